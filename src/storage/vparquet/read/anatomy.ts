/** Owns telling what a block of Tempo's parquet consists of: its footer, row groups and column chunks, which attributes have columns. */
import type { AttributeKey, Level } from '../../../otlp/columns.js'
import type { BackendReader } from '../../backend/backend.js'
import {
  shownBytes,
  type BlockAnatomy,
  type ColumnAnatomy,
  type ColumnValue,
  type GroupAnatomy,
  type SectionAnatomy,
} from '../../block/anatomy.js'
import { guarded } from '../../block/blockpack-container.js'
import { RangeReader } from '../../block/blockpack-ranges.js'
import { CorruptBlock, type BlockMeta } from '../../block/encoding.js'
import { objectPath } from '../../block/meta.js'
import { CODEC, ENCODING, TYPE } from '../../parquet/metadata.js'
import type { ColumnChunk, RowGroupMetaData, Statistics } from '../../parquet/metadata.js'
import { ParquetFooter, TRAILER_BYTES, footerLength } from '../../parquet/read-file.js'
import type { Leaf } from '../../parquet/read-schema.js'
import { DATA_OBJECT } from '../objects.js'
import { COUNTED_BY, GROUP_OF, dedicatedOf, ownColumns, type AttributeLevel } from './paths.js'

const CODEC_NAMES = new Map<number, string>(Object.entries(CODEC).map(([name, code]) => [code, name])) // prettier-ignore
const ENCODING_NAMES = new Map<number, string>(Object.entries(ENCODING).map(([name, code]) => [code, name])) // prettier-ignore
/** Tempo has these as unsigned numbers, also in their statistics. */
const UNSIGNED = /(?:UnixNano|DurationNano|SinceStartNano)$/
const TIME_COLUMN = /(?:Start|End)TimeUnixNano$/
const LEVELS_FROM_WITHIN: readonly AttributeLevel[] = ['event', 'link', 'span', 'scope', 'resource']

/** A file's footer with the block's own columns, for looking at every chunk of it. */
export interface OpenFile {
  readonly ranges: RangeReader
  readonly footer: ParquetFooter
  readonly footerOffset: number
  /** Indexes of pages, which stand together behind the columns. */
  readonly indexes: readonly SectionAnatomy[]
  /** The attribute that a column of its own is for, by the column's path. */
  readonly attributes: ReadonlyMap<string, AttributeKey>
}

/** Throws `CorruptBlock`. */
export async function openFile(meta: BlockMeta, backend: BackendReader): Promise<OpenFile> {
  const { blockID: blockId, size } = meta
  const ranges = new RangeReader(backend, objectPath(meta.tenantID, blockId, DATA_OBJECT), blockId, size) // prettier-ignore
  if (size < 2 * TRAILER_BYTES) throw new CorruptBlock(blockId, 'footer', 0, `an object of ${size} bytes is too short`) // prettier-ignore
  const magic = Buffer.from(await ranges.read(0, 4)).toString('latin1')
  if (magic !== 'PAR1') throw new CorruptBlock(blockId, 'object', 0, 'it does not begin as a parquet file does') // prettier-ignore
  const trailer = await ranges.read(size - TRAILER_BYTES, TRAILER_BYTES)
  const length = guarded(blockId, 'footer', size - TRAILER_BYTES, () => footerLength(trailer, size))
  const footerOffset = size - length
  const bytes = await ranges.read(footerOffset, length - TRAILER_BYTES)
  const columnIndexes = new Extent('column indexes')
  const offsetIndexes = new Extent('offset indexes')
  const footer = guarded(blockId, 'footer', footerOffset, () =>
    new ParquetFooter(bytes.slice(), size, ({ columns }) => {
      for (const column of columns) {
        columnIndexes.add(column.columnIndexOffset, column.columnIndexLength)
        offsetIndexes.add(column.offsetIndexOffset, column.offsetIndexLength)
      }
    }),
  ) // prettier-ignore
  const indexes = [...columnIndexes.section(), ...offsetIndexes.section()]
  return { ranges, footer, footerOffset, indexes, attributes: ownAttributes(meta, footer) }
}

/** Pieces of one kind. */
class Extent {
  #offset = Infinity
  #bytes = 0
  constructor(private readonly name: string) {}

  add(offset = 0, length = 0): void {
    if (offset <= 0 || length <= 0) return
    this.#offset = Math.min(this.#offset, offset)
    this.#bytes += length
  }

  /** None when there are none. */
  section(): SectionAnatomy[] {
    const { name } = this
    if (this.#bytes === 0) return []
    return [{ name, offset: this.#offset, stored_bytes: this.#bytes, raw_bytes: undefined }]
  }
}

export async function vparquetAnatomy(
  meta: BlockMeta,
  backend: BackendReader,
): Promise<BlockAnatomy> {
  const { blockID: blockId, size } = meta
  const file = await openFile(meta, backend)
  const { footer, footerOffset } = file
  let columns_bytes = 0
  let raw_bytes = 0
  for (let i = 0; i < footer.groupCount; i++) {
    for (const { metaData } of guardedGroup(blockId, file, i).columns) {
      columns_bytes += metaData.totalCompressedSize
      raw_bytes += metaData.totalUncompressedSize
    }
  }
  const sections: SectionAnatomy[] = [
    { name: 'columns', offset: 4, stored_bytes: columns_bytes, raw_bytes },
    ...file.indexes,
    { name: 'footer', offset: footerOffset, stored_bytes: size - footerOffset, raw_bytes: undefined }, // prettier-ignore
  ]
  return {
    createdBy: footer.meta.createdBy,
    sections,
    groupCount: footer.groupCount,
    group: (index) =>
      Promise.resolve().then(() => groupAnatomy(index, guardedGroup(blockId, file, index), file)),
  }
}

/** A row group's chunks as the footer has them. Throws `CorruptBlock`. */
export function guardedGroup(
  blockId: string,
  { footer, footerOffset }: OpenFile,
  index: number,
): RowGroupMetaData {
  if (!(index >= 0 && index < footer.groupCount)) {
    throw new RangeError(`group ${index} is not in 0..${footer.groupCount - 1}`)
  }
  return guarded(blockId, 'footer', footerOffset, () => footer.group(index))
}

function ownAttributes(meta: BlockMeta, footer: ParquetFooter): Map<string, AttributeKey> {
  const dedicated = dedicatedOf(meta)
  if (typeof dedicated === 'string') throw new CorruptBlock(meta.blockID, 'meta.json', 0, dedicated)
  const attributes = new Map<string, AttributeKey>()
  for (const level of ['resource', 'span', 'event'] as const) {
    for (const { key, type, path } of ownColumns(dedicated, level, (at) => footer.byPath.has(at))) {
      attributes.set(path, { level, key, type })
    }
  }
  return attributes
}

function groupAnatomy(
  index: number,
  group: RowGroupMetaData,
  { footer, attributes }: OpenFile,
): GroupAnatomy {
  const columns = footer.leaves.map((leaf) =>
    columnAnatomy(leaf, group.columns[leaf.index]!, attributes.get(leaf.path)),
  )
  const chunk = (path: string) => {
    const leaf = footer.byPath.get(path)
    return leaf && group.columns[leaf.index]!.metaData
  }
  const spans = chunk(COUNTED_BY.span)
  const nulls = spans?.statistics?.nullCount
  return {
    index,
    offset: Math.min(...group.columns.map(offsetOf)),
    stored_bytes: columns.reduce((sum, { stored_bytes }) => sum + stored_bytes, 0),
    spans: spans && nulls !== undefined ? spans.numValues - nulls : undefined,
    traces: group.numRows,
    minStart_ns: wordOf(chunk('StartTimeUnixNano')?.statistics?.minValue),
    maxEnd_ns: wordOf(chunk('EndTimeUnixNano')?.statistics?.maxValue),
    columns,
  }
}

function columnAnatomy(
  leaf: Leaf,
  { metaData }: ColumnChunk,
  attribute: AttributeKey | undefined,
): ColumnAnatomy {
  const { statistics, numValues } = metaData
  const nulls = statistics?.nullCount
  const encodings = metaData.encodings.map((encoding) => ENCODING_NAMES.get(encoding) ?? encoding)
  const codec = CODEC_NAMES.get(metaData.codec) ?? String(metaData.codec)
  return {
    name: leaf.path,
    level: levelOf(leaf.path),
    attribute,
    values: nulls === undefined ? numValues : numValues - nulls,
    nulls,
    stored_bytes: metaData.totalCompressedSize,
    raw_bytes: metaData.totalUncompressedSize,
    codec: `${codec} ${encodings.join('+')}`,
    distinct: statistics?.distinctCount,
    ...bounds(leaf, statistics),
    isTime: TIME_COLUMN.test(leaf.path),
  }
}

function levelOf(path: string): Level {
  const found = LEVELS_FROM_WITHIN.find((level) => path.startsWith(`${GROUP_OF[level]}.`))
  return found ?? 'trace'
}

const offsetOf = ({ metaData }: ColumnChunk): number => {
  const { dictionaryPageOffset = 0, dataPageOffset } = metaData
  return dictionaryPageOffset > 0 ? Math.min(dictionaryPageOffset, dataPageOffset) : dataPageOffset
}

function bounds(leaf: Leaf, statistics: Statistics | undefined) {
  const value = (bytes: Uint8Array | undefined) => bytes && valueOf(leaf, bytes)
  return { min: value(statistics?.minValue), max: value(statistics?.maxValue) }
}

function valueOf({ type, path }: Leaf, bytes: Uint8Array): ColumnValue {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length === 8 && type === TYPE.INT64)
    return UNSIGNED.test(path) ? view.getBigUint64(0, true) : view.getBigInt64(0, true)
  if (bytes.length === 8 && type === TYPE.DOUBLE) return view.getFloat64(0, true)
  if (bytes.length === 4 && type === TYPE.INT32) return view.getInt32(0, true)
  if (bytes.length === 1 && type === TYPE.BOOLEAN) return String(bytes[0] === 1)
  if (/(?:TraceID|SpanID)$/.test(path)) return Buffer.from(bytes).toString('hex')
  return shownBytes(bytes)
}

function wordOf(bytes: Uint8Array | undefined): bigint | undefined {
  if (bytes?.length !== 8) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
}
