import { describe, expect, test } from 'vitest'
import { ByteWriter, Malformed } from '../../../src/storage/block/codec/bytes.js'
import {
  CODEC,
  ENCODING,
  PAGE_TYPE,
  TYPE,
  type ColumnChunk,
  type PageHeader,
} from '../../../src/storage/parquet/metadata.js'
import { ColumnReader, type ColumnData } from '../../../src/storage/parquet/read-column.js'
import type { Leaf } from '../../../src/storage/parquet/read-schema.js'
import { ThriftWriter } from '../../../src/storage/parquet/thrift-writer.js'
import { writeHybrid } from '../../../src/storage/parquet/write-bits.js'
import { offsetIndexBytes, writePageHeader } from '../../../src/storage/parquet/write-metadata.js'

/** A list of integers, itself within a list, as `rs.ss.n` would be. */
const LEAF: Leaf = {
  index: 0,
  path: 'rs.ss.n',
  type: TYPE.INT64,
  typeLength: 0,
  maxRepetition: 2,
  maxDefinition: 2,
  definitionOf: [0, 1, 2],
}

/** Rows as repetition and definition of each entry, and the values of those that are defined. */
const ROWS: { repetition: number[]; definition: number[]; values: number[] }[] = Array.from(
  { length: 40 },
  (_, row) => {
    if (row % 7 === 3) return { repetition: [0], definition: [0], values: [] }
    const length = 1 + (row % 5)
    return {
      repetition: [0, ...Array<number>(length - 1).fill(1 + (row % 2))],
      definition: [2, ...Array<number>(length - 1).fill(2)],
      values: Array.from({ length }, (_, i) => row * 100 + i),
    }
  },
)
const ENTRIES = ROWS.flatMap(({ repetition, definition, values }) =>
  repetition.map((r, i) => ({ repetition: r, definition: definition[i]!, value: values[i] })),
)

function levels(out: ByteWriter, values: readonly number[], withLength: boolean): number {
  const bytes = new ByteWriter()
  writeHybrid(bytes, Uint8Array.from(values), 0, values.length, 2)
  if (withLength) out.u32(bytes.length)
  out.bytes(bytes.view())
  return bytes.length
}

/** One page of these entries in either version, and its header. */
function page(entries: typeof ENTRIES, version: 1 | 2): { header: PageHeader; body: Uint8Array } {
  const out = new ByteWriter()
  const repetitions = levels(
    out,
    entries.map((e) => e.repetition),
    version === 1,
  )
  const definitions = levels(
    out,
    entries.map((e) => e.definition),
    version === 1,
  )
  for (const { value } of entries) if (value !== undefined) out.big(BigInt(value))
  const body = out.view().slice()
  const sizes = { uncompressedPageSize: body.length, compressedPageSize: body.length }
  const numValues = entries.length
  const encoding = ENCODING.PLAIN
  if (version === 1) {
    const level = { definitionLevelEncoding: ENCODING.RLE, repetitionLevelEncoding: ENCODING.RLE }
    return {
      body,
      header: {
        type: PAGE_TYPE.DATA_PAGE,
        ...sizes,
        dataPageHeader: { numValues, encoding, ...level },
      },
    }
  }
  const v2 = {
    numValues,
    numNulls: entries.filter(({ value }) => value === undefined).length,
    numRows: entries.filter(({ repetition }) => repetition === 0).length,
    encoding,
    definitionLevelsByteLength: definitions,
    repetitionLevelsByteLength: repetitions,
    isCompressed: false,
  }
  return { body, header: { type: PAGE_TYPE.DATA_PAGE_V2, ...sizes, dataPageHeaderV2: v2 } }
}

/** We write pages of version 2 only. */
function writeHeaderV1(w: ThriftWriter, header: PageHeader): void {
  const { numValues, encoding, definitionLevelEncoding, repetitionLevelEncoding } =
    header.dataPageHeader!
  w.struct(() => {
    w.i32Field(1, header.type)
    w.i32Field(2, header.uncompressedPageSize)
    w.i32Field(3, header.compressedPageSize)
    w.structField(5, () => {
      w.i32Field(1, numValues)
      w.i32Field(2, encoding)
      w.i32Field(3, definitionLevelEncoding)
      w.i32Field(4, repetitionLevelEncoding)
    })
  })
}

/** A reader of a chunk whose pages end behind these entries; the offset index is there when pages begin with rows. */
function chunkOf(ends: readonly number[], version: 1 | 2, hasIndex: boolean): ColumnReader {
  const file = new ByteWriter()
  file.bytes(Buffer.from('PAR1'))
  const index = {
    offsets: [] as number[],
    compressedPageSizes: [] as number[],
    firstRowIndexes: [] as number[],
  }
  let from = 0
  for (const end of ends) {
    const { header, body } = page(ENTRIES.slice(from, end), version)
    const thrift = new ThriftWriter()
    if (header.dataPageHeader) writeHeaderV1(thrift, header)
    else writePageHeader(thrift, header)
    index.offsets.push(file.length)
    index.compressedPageSizes.push(thrift.out.length + body.length)
    index.firstRowIndexes.push(ENTRIES.slice(0, from).filter((e) => e.repetition === 0).length)
    file.bytes(thrift.out.view())
    file.bytes(body)
    from = end
  }
  const totalCompressedSize = file.length - 4
  const offsetIndexOffset = file.length
  file.bytes(offsetIndexBytes(index))
  const bytes = file.view().slice()
  const chunk: ColumnChunk = {
    fileOffset: 0,
    metaData: {
      type: TYPE.INT64, encodings: [ENCODING.PLAIN], pathInSchema: ['rs', 'ss', 'n'], codec: CODEC.UNCOMPRESSED,
      numValues: ENTRIES.length, totalUncompressedSize: totalCompressedSize, totalCompressedSize, dataPageOffset: 4,
    },
    ...(hasIndex && { offsetIndexOffset, offsetIndexLength: bytes.length - offsetIndexOffset }),
  } // prettier-ignore
  const ranges = {
    read: (at: number, length: number) => Promise.resolve(bytes.subarray(at, at + length)),
  }
  return new ColumnReader(ranges, LEAF, chunk, { rows: ROWS.length, maxValues: 1000 })
}

const entriesOf = ({ parts }: ColumnData) =>
  parts.flatMap((part) => {
    const values =
      part.values.kind === 'int64' ? [...part.values.lo].slice(part.valueFrom, part.valueTo) : []
    let next = 0
    return Array.from({ length: part.count }, (_, i) => {
      const definition = part.definition![i]!
      return {
        repetition: part.repetition![i]!,
        definition,
        value: definition === 2 ? values[next++] : undefined,
      }
    })
  })

const rowStarts = ENTRIES.flatMap(({ repetition }, i) => (repetition === 0 ? [i] : []))
const entriesOfRows = (from: number, to: number) =>
  ENTRIES.slice(rowStarts[from], rowStarts[to] ?? ENTRIES.length)

describe.each([1, 2] as const)('pages of version %i', (version) => {
  const last = ENTRIES.length
  const aligned = [rowStarts[3]!, rowStarts[4]!, rowStarts[22]!, last]
  /** A row's values go over the borders of pages, of some rows over two. */
  const unaligned = [
    rowStarts[4]! + 2,
    rowStarts[4]! + 3,
    rowStarts[9]! + 1,
    rowStarts[14]! + 2,
    last,
  ]

  test.each([
    ['with an offset index', aligned, true],
    ['without one', aligned, false],
    ['that begin within rows', unaligned, false],
  ])('%s give any range of rows exactly', async (_, ends, hasIndex) => {
    const reader = chunkOf(ends, version, hasIndex)
    expect(entriesOf(await reader.read(true))).toEqual(ENTRIES)
    for (let from = 0; from < ROWS.length; from++) {
      for (const to of [from + 1, from + 5, ROWS.length]) {
        const data = await reader.read(true, { from, to: Math.min(to, ROWS.length) })
        expect(entriesOf(data)).toEqual(entriesOfRows(from, Math.min(to, ROWS.length)))
      }
    }
  })

  test('that begin within rows are refused where the index says that they do not', async () => {
    const reader = chunkOf(unaligned, version, true)
    await expect(reader.read(true, { from: 4, to: 6 })).rejects.toThrow(Malformed)
  })

  test('fewer than the chunk has values for, or more, are malformed', async () => {
    await expect(chunkOf([10, 20], version, false).read(true)).rejects.toThrow(/values are missing/)
  })
})

test('a chunk that says it has more values than its row group can have is malformed', () => {
  const { ranges, chunk } = chunkOf([ENTRIES.length], 2, false)
  expect(() => new ColumnReader(ranges, LEAF, chunk, { rows: 40, maxValues: 10 })).toThrow(
    Malformed,
  )
})
