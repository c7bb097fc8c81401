/** Owns taking a parquet file apart and putting it together again with right sizes and checksums, so that a test can lie in it. */
import { crc32 } from '../../../src/storage/block/codec/crc32.js'
import { compress as compressZstd } from '../../../src/storage/block/zstd.js'
import {
  CODEC,
  type ColumnChunk,
  type FileMetaData,
  type PageHeader,
} from '../../../src/storage/parquet/metadata.js'
import { readFileMetaData } from '../../../src/storage/parquet/read-metadata.js'
import { readPageHeader } from '../../../src/storage/parquet/read-page-header.js'
import { ThriftReader } from '../../../src/storage/parquet/thrift-reader.js'
import { ThriftWriter } from '../../../src/storage/parquet/thrift-writer.js'
import { uncompress } from '../../../src/storage/parquet/uncompress.js'
import { fileMetaDataBytes, writePageHeader } from '../../../src/storage/parquet/write-metadata.js'
import { compressSnappy } from '../../../src/storage/parquet/write-snappy.js'
import { lie } from '../../support/lies.js'
import { scramble } from '../../support/scramble.js'
import type { Random } from '../../support/random.js'

export const PARTS = ['footer', 'thrift', 'header', 'page', 'stored', 'index'] as const
export type Part = (typeof PARTS)[number]

const TRAILER_BYTES = 8

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** A file in which one thing of `part` is a lie; undefined when it cannot be written. `where` says which. */
export function mutateParquet(
  random: Random,
  data: Uint8Array,
  part: Part,
): { data: Uint8Array; where: string } | undefined {
  const length = new DataView(data.buffer, data.byteOffset).getUint32(data.length - TRAILER_BYTES, true) // prettier-ignore
  const footerAt = data.length - TRAILER_BYTES - length
  const thrift = data.slice(footerAt, footerAt + length)
  if (part === 'thrift') {
    scramble(thrift, random)
    return { data: assembled(data.subarray(0, footerAt), [], thrift), where: 'footer bytes' }
  }
  const file = readFileMetaData(new ThriftReader(thrift))
  if (part === 'footer') {
    const where = lie(random, file)
    return written(data.subarray(0, footerAt), [], file, where)
  }
  const group = random.pick(file.rowGroups)
  const chunk = random.pick(group.columns) as Writable<ColumnChunk>
  const name = chunk.metaData.pathInSchema.join('.')
  if (part === 'index') {
    const body = data.slice(0, footerAt)
    const at = random.oneIn(2) ? chunk.offsetIndexOffset : chunk.columnIndexOffset
    const size = at === chunk.offsetIndexOffset ? chunk.offsetIndexLength : chunk.columnIndexLength
    if (at === undefined || size === undefined) return undefined
    scramble(body.subarray(at, at + size), random)
    return written(body, [], file, `page index of ${name}`)
  }
  const parts = mutateChunk(random, data, chunk, part)
  if (!parts) return undefined
  repoint(chunk, footerAt, parts)
  return written(data.subarray(0, footerAt), parts.flat(), file, `${part} of ${name}`)
}

/** The chunk's pages, each its header and its body, one of them changed. */
function mutateChunk(
  random: Random,
  data: Uint8Array,
  { metaData }: ColumnChunk,
  part: 'header' | 'page' | 'stored',
): Uint8Array[][] | undefined {
  const { dictionaryPageOffset = 0, dataPageOffset, totalCompressedSize, codec } = metaData
  let at = dictionaryPageOffset > 0 ? Math.min(dictionaryPageOffset, dataPageOffset) : dataPageOffset // prettier-ignore
  const end = at + totalCompressedSize
  const pages: { header: PageHeader; body: Uint8Array }[] = []
  while (at < end) {
    const input = new ThriftReader(data, at)
    const header = readPageHeader(input)
    at = input.offset
    pages.push({ header, body: data.slice(at, at + header.compressedPageSize) })
    at += header.compressedPageSize
  }
  if (pages.length === 0) return undefined
  const page = random.pick(pages)
  let { header, body } = page
  if (part === 'header') {
    header = structuredClone(header)
    lie(random, header)
  } else {
    const levels = levelBytes(header)
    const plain =
      part === 'stored' ? body : join(body.subarray(0, levels), uncompress(codec, body.subarray(levels), header.uncompressedPageSize - levels)) // prettier-ignore
    if (plain.length === 0) return undefined
    scramble(random.oneIn(2) ? plain.subarray(0, 24) : plain, random)
    body = part === 'stored' ? plain : join(plain.subarray(0, levels), stored(codec, plain.subarray(levels))) // prettier-ignore
    header = { ...header, compressedPageSize: body.length }
  }
  return pages.map((one) => {
    const [h, b] = one === page ? [header, body] : [one.header, one.body]
    return [headerBytes({ ...h, crc: crc32(b) }), b]
  })
}

/** Of pages of version 2, whose levels are never compressed. */
function levelBytes({ dataPageHeaderV2: v2 }: PageHeader): number {
  return v2 ? v2.definitionLevelsByteLength + v2.repetitionLevelsByteLength : 0
}

function stored(codec: number, bytes: Uint8Array): Uint8Array {
  if (codec === CODEC.SNAPPY) return compressSnappy(bytes).slice()
  if (codec === CODEC.ZSTD) return compressZstd(bytes).slice()
  if (codec === CODEC.UNCOMPRESSED) return bytes
  throw new Error(`no writer of codec ${codec}`)
}

function headerBytes(header: PageHeader): Uint8Array {
  const writer = new ThriftWriter()
  writePageHeader(writer, header)
  return writer.out.view().slice()
}

/** The chunk is where its new pages are; its page indexes, of the old ones, are left away. */
function repoint(chunk: Writable<ColumnChunk>, offset: number, pages: Uint8Array[][]): void {
  const hasDictionary = (chunk.metaData.dictionaryPageOffset ?? 0) > 0
  const first = pages[0]!.reduce((sum, part) => sum + part.length, 0)
  const total = pages.flat().reduce((sum, part) => sum + part.length, 0)
  chunk.metaData = {
    ...chunk.metaData,
    dictionaryPageOffset: hasDictionary ? offset : undefined,
    dataPageOffset: hasDictionary ? offset + first : offset,
    totalCompressedSize: total,
  }
  chunk.offsetIndexOffset = undefined
  chunk.offsetIndexLength = undefined
  chunk.columnIndexOffset = undefined
  chunk.columnIndexLength = undefined
}

function written(
  body: Uint8Array,
  more: readonly Uint8Array[],
  file: FileMetaData,
  where: string,
): { data: Uint8Array; where: string } | undefined {
  try {
    return { data: assembled(body, more, fileMetaDataBytes(file)), where }
  } catch {
    return undefined // a lie that thrift has no words for
  }
}

function assembled(
  body: Uint8Array,
  more: readonly Uint8Array[],
  thrift: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const trailer = Buffer.from('0000PAR1')
  trailer.writeUInt32LE(thrift.length)
  return join(body, ...more, thrift, trailer)
}

function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts))
}
