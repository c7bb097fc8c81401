/**
 * Owns a column chunk in the making: pages are encoded and compressed as they come, and wait as bytes until the row group
 * is whole, because the dictionary they refer to stands before them.
 */
import { ByteWriter } from '../block/codec/bytes.js'
import { crc32 } from '../block/codec/crc32.js'
import { compress as compressZstd } from '../block/zstd.js'
import {
  BOUNDARY_ORDER,
  CODEC,
  ENCODING,
  PAGE_TYPE,
  TYPE,
  type BoundaryOrder,
  type ColumnIndex,
  type ColumnMetaData,
  type Encoding,
  type OffsetIndex,
  type PageHeader,
  type Statistics,
} from './metadata.js'
import { ThriftWriter } from './thrift-writer.js'
import { ColumnDictionary } from './write-dictionary.js'
import type { Levels, PageLevels } from './write-levels.js'
import { writePageHeader } from './write-metadata.js'
import { compressSnappy } from './write-snappy.js'
import { boundsOf, comparePlain, writeValues, type Bounds, type Leaf, type Values } from './write-values.js' // prettier-ignore

/** Bounds in the column index are cut off here, as Tempo's are. */
const INDEX_BOUND_BYTES = 16
/** A chunk's statistics have exact bounds, or none when they are longer. */
const STATISTICS_BOUND_BYTES = 256

interface Page {
  /** Header, levels and values, as they stand in the file. */
  readonly bytes: Uint8Array
  readonly uncompressed_bytes: number
  readonly rows: number
  readonly nulls: number
  readonly bounds: Bounds | undefined
}

/** What the file needs to know of a chunk that was written at an offset. */
export interface WrittenChunk {
  readonly metaData: ColumnMetaData
  readonly columnIndex: ColumnIndex
  readonly offsetIndex: OffsetIndex
}

const header = new ThriftWriter(new ByteWriter(256))
const body = new ByteWriter(1 << 16)

export class ChunkWriter {
  readonly leaf: Leaf
  readonly dictionary: ColumnDictionary | undefined
  #pages: Page[] = []
  #values = 0
  #pages_bytes = 0

  constructor(leaf: Leaf) {
    this.leaf = leaf
    this.dictionary = leaf.layout === 'dictionary' ? new ColumnDictionary() : undefined
  }

  /** Bytes that wait for the end of the row group. */
  get buffered_bytes(): number {
    return this.#pages_bytes + (this.dictionary?.length_bytes ?? 0)
  }

  /** Adds the pages of some rows. `values` has those values that the levels say are there. */
  add(levels: Levels, values: Values): void {
    let at = 0
    for (let p = 0; p < levels.pageCount; p++) {
      const page = levels.page(p)
      this.#addPage(page, values, at, at + page.present)
      at += page.present
    }
  }

  #addPage(levels: PageLevels, values: Values, from: number, to: number): void {
    const { leaf, dictionary } = this
    body.clear()
    writeValues(body, values, from, to, leaf, dictionary)
    const plain_bytes = body.length
    const stored = compressed(leaf, body.view())
    const { repetition, definition } = levels
    const level_bytes = repetition.length + definition.length
    const page = new Uint8Array(level_bytes + stored.length)
    page.set(repetition)
    page.set(definition, repetition.length)
    page.set(stored, level_bytes)
    const nulls = levels.values - levels.present
    const bytes = withHeader(page, {
      type: PAGE_TYPE.DATA_PAGE_V2,
      uncompressedPageSize: level_bytes + plain_bytes,
      compressedPageSize: page.length,
      crc: crc32(page),
      dataPageHeaderV2: {
        numValues: levels.values,
        numNulls: nulls,
        numRows: levels.rows,
        encoding: encodingOf(leaf),
        definitionLevelsByteLength: definition.length,
        repetitionLevelsByteLength: repetition.length,
        isCompressed: leaf.codec !== CODEC.UNCOMPRESSED,
      },
    })
    this.#pages.push({
      bytes,
      uncompressed_bytes: bytes.length - page.length + level_bytes + plain_bytes,
      rows: levels.rows,
      nulls,
      bounds: from < to ? boundsOf(values, from, to, leaf, dictionary) : undefined,
    })
    this.#values += levels.values
    this.#pages_bytes += bytes.length
  }

  /** The chunk's pages as they are to stand at `offset` of the file; begins the next chunk. */
  finish(offset: number): { chunk: WrittenChunk; parts: Uint8Array[] } {
    const pages = this.#pages
    const dictionaryPage = this.#dictionaryPage()
    const parts = pages.map(({ bytes }) => bytes)
    let dataOffset = offset
    let uncompressed = 0
    if (dictionaryPage) {
      parts.unshift(dictionaryPage.bytes)
      dataOffset += dictionaryPage.bytes.length
      uncompressed += dictionaryPage.uncompressed_bytes
    }
    for (const page of pages) uncompressed += page.uncompressed_bytes
    const offsetIndex = offsetsOf(pages, dataOffset)
    const columnIndex = indexOf(this.leaf, pages)
    const metaData: ColumnMetaData = {
      type: this.leaf.type,
      encodings: encodingsOf(this.leaf),
      pathInSchema: this.leaf.path,
      codec: this.leaf.codec,
      numValues: this.#values,
      totalUncompressedSize: uncompressed,
      totalCompressedSize: parts.reduce((sum, part) => sum + part.length, 0),
      dataPageOffset: dataOffset,
      dictionaryPageOffset: dictionaryPage && offset,
      statistics: statisticsOf(this.leaf, pages),
      encodingStats: [
        ...(dictionaryPage ? [{ pageType: PAGE_TYPE.DICTIONARY_PAGE, encoding: ENCODING.PLAIN, count: 1 }] : []),
        { pageType: PAGE_TYPE.DATA_PAGE_V2, encoding: encodingOf(this.leaf), count: pages.length },
      ],
    } // prettier-ignore
    this.#pages = []
    this.#values = 0
    this.#pages_bytes = 0
    this.dictionary?.clear()
    return { chunk: { metaData, columnIndex, offsetIndex }, parts }
  }

  #dictionaryPage(): { bytes: Uint8Array; uncompressed_bytes: number } | undefined {
    const { dictionary, leaf } = this
    if (!dictionary) return undefined
    const plain = dictionary.page
    const page = compressed(leaf, plain)
    const bytes = withHeader(page, {
      type: PAGE_TYPE.DICTIONARY_PAGE,
      uncompressedPageSize: plain.length,
      compressedPageSize: page.length,
      crc: crc32(page),
      dictionaryPageHeader: { numValues: dictionary.size, encoding: ENCODING.PLAIN, isSorted: false }, // prettier-ignore
    })
    return { bytes, uncompressed_bytes: bytes.length - page.length + plain.length }
  }
}

/** Valid until the next page. */
function compressed(leaf: Leaf, bytes: Uint8Array): Uint8Array {
  if (leaf.codec === CODEC.SNAPPY) return compressSnappy(bytes)
  return leaf.codec === CODEC.ZSTD ? compressZstd(bytes) : bytes
}

function withHeader(page: Uint8Array, fields: PageHeader): Uint8Array {
  header.out.clear()
  writePageHeader(header, fields)
  const bytes = new Uint8Array(header.out.length + page.length)
  bytes.set(header.out.view())
  bytes.set(page, header.out.length)
  return bytes
}

function encodingOf({ layout, type }: Leaf): Encoding {
  if (layout === 'dictionary') return ENCODING.RLE_DICTIONARY
  if (layout === 'plain') return ENCODING.PLAIN
  return type === TYPE.BYTE_ARRAY ? ENCODING.DELTA_LENGTH_BYTE_ARRAY : ENCODING.DELTA_BINARY_PACKED
}

/** All encodings of the chunk: of the dictionary, of levels, of values. */
function encodingsOf(leaf: Leaf): Encoding[] {
  const encodings: Encoding[] = []
  if (leaf.layout !== 'delta') encodings.push(ENCODING.PLAIN)
  if (leaf.maxDefinition > 0) encodings.push(ENCODING.RLE)
  if (leaf.layout !== 'plain') encodings.push(encodingOf(leaf))
  return encodings
}

function offsetsOf(pages: readonly Page[], offset: number): OffsetIndex {
  const offsets: number[] = []
  const firstRowIndexes: number[] = []
  let row = 0
  for (const page of pages) {
    offsets.push(offset)
    firstRowIndexes.push(row)
    offset += page.bytes.length
    row += page.rows
  }
  return { offsets, firstRowIndexes, compressedPageSizes: pages.map(({ bytes }) => bytes.length) }
}

const NOTHING = new Uint8Array(0)

function indexOf(leaf: Leaf, pages: readonly Page[]): ColumnIndex {
  const isText = leaf.type === TYPE.BYTE_ARRAY
  const min = ({ bounds }: Page) => {
    if (!bounds) return NOTHING
    return isText ? bounds.min.subarray(0, INDEX_BOUND_BYTES) : bounds.min
  }
  const max = ({ bounds }: Page) => {
    if (!bounds) return NOTHING
    return isText ? roundedUp(bounds.max) : bounds.max
  }
  return {
    nullPages: pages.map(({ bounds }) => !bounds),
    minValues: pages.map(min),
    maxValues: pages.map(max),
    boundaryOrder: orderOf(leaf, pages),
    nullCounts: pages.map(({ nulls }) => nulls),
  }
}

/** A bound that is not less than the value, however long that is. */
function roundedUp(value: Uint8Array): Uint8Array {
  if (value.length <= INDEX_BOUND_BYTES) return value
  const bound = value.slice(0, INDEX_BOUND_BYTES)
  for (let i = bound.length - 1; i >= 0; i--) {
    if (bound[i]! === 0xff) continue
    bound[i]!++
    return bound.subarray(0, i + 1)
  }
  return value
}

function orderOf(leaf: Leaf, pages: readonly Page[]): BoundaryOrder {
  const bounds = pages.flatMap((page) => page.bounds ?? [])
  const isOrdered = (sign: number) =>
    bounds.every((bound, i) => {
      const before = bounds[i - 1]
      if (!before) return true
      const least = comparePlain(leaf, before.min, bound.min) * sign
      return least <= 0 && comparePlain(leaf, before.max, bound.max) * sign <= 0
    })
  if (isOrdered(1)) return BOUNDARY_ORDER.ASCENDING
  return isOrdered(-1) ? BOUNDARY_ORDER.DESCENDING : BOUNDARY_ORDER.UNORDERED
}

function statisticsOf(leaf: Leaf, pages: readonly Page[]): Statistics {
  const nullCount = pages.reduce((sum, { nulls }) => sum + nulls, 0)
  let min: Uint8Array | undefined
  let max: Uint8Array | undefined
  for (const { bounds } of pages) {
    if (!bounds) continue
    if (!min || comparePlain(leaf, bounds.min, min) < 0) min = bounds.min
    if (!max || comparePlain(leaf, bounds.max, max) > 0) max = bounds.max
  }
  const isShort = min && max && Math.max(min.length, max.length) <= STATISTICS_BOUND_BYTES
  return isShort ? { nullCount, minValue: min, maxValue: max } : { nullCount }
}
