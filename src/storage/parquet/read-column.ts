/**
 * Owns reading one column chunk: all of it, or the pages that hold a range of rows, found by the offset index. Where there is
 * none, the whole chunk is read and rows are counted by their levels, so that pages may begin within a row.
 */
import { Malformed } from '../block/codec/bytes.js'
import { ENCODING, PAGE_TYPE } from './metadata.js'
import type { ColumnChunk, ColumnIndex, OffsetIndex, PageHeader } from './metadata.js'
import { readDataPage, readDictionaryPage, type Page } from './read-page.js'
import { readColumnIndex, readOffsetIndex, readPageHeader } from './read-page-header.js'
import type { Leaf } from './read-schema.js'
import { ThriftReader } from './thrift-reader.js'
import { MAX_PAGE_BYTES } from './uncompress.js'
import type { PageValues, PlainValues } from './values.js'

/** Where bytes of the file come from. */
export interface ByteRanges {
  read(offset: number, length: number): Promise<Uint8Array>
}

export interface RowRange {
  readonly from: number
  readonly to: number
}

/** A page, or the part of one that lies within the rows that were asked for: values[valueFrom..valueTo). */
export interface Part {
  readonly count: number
  readonly repetition: Uint8Array | undefined
  readonly definition: Uint8Array | undefined
  readonly values: PageValues
  readonly valueFrom: number
  readonly valueTo: number
}

export interface ColumnData {
  readonly parts: readonly Part[]
  readonly dictionary: PlainValues | undefined
}

export interface ChunkBounds {
  /** Rows of the row group. */
  readonly rows: number
  /** Pairs of levels that a chunk may have. */
  readonly maxValues: number
}

/** The longest column chunk that is read; writers close row groups long before. */
const MAX_CHUNK_BYTES = 2 ** 30
const MAX_INDEX_BYTES = 64 * 2 ** 20
/** Room for a page header with long statistics. */
const MAX_HEADER_BYTES = 2 ** 20

export class ColumnReader {
  #dictionary: Promise<PlainValues | undefined> | undefined
  #offsetIndex: Promise<OffsetIndex | undefined> | undefined

  constructor(
    readonly ranges: ByteRanges,
    readonly leaf: Leaf,
    readonly chunk: ColumnChunk,
    readonly bounds: ChunkBounds,
  ) {
    const { numValues, totalCompressedSize } = chunk.metaData
    if (numValues > bounds.maxValues) {
      throw new Malformed(chunk.metaData.dataPageOffset, `${numValues} values in a row group that can have ${bounds.maxValues}`)
    }
    if (totalCompressedSize > MAX_CHUNK_BYTES) {
      throw new Malformed(chunk.metaData.dataPageOffset, `a column chunk of ${totalCompressedSize} bytes`)
    }
  } // prettier-ignore

  /** Where the chunk begins: at its dictionary, if it has one. */
  get offset(): number {
    const { dictionaryPageOffset, dataPageOffset } = this.chunk.metaData
    return this.#hasDictionary ? dictionaryPageOffset! : dataPageOffset
  }

  get #hasDictionary(): boolean {
    const { dictionaryPageOffset = 0, dataPageOffset } = this.chunk.metaData
    return dictionaryPageOffset > 0 && dictionaryPageOffset < dataPageOffset
  }

  /** Whether every value certainly stands in the dictionary. */
  get isAllInDictionary(): boolean {
    const { encodingStats } = this.chunk.metaData
    if (!this.#hasDictionary || !encodingStats) return false
    return encodingStats.every(
      ({ pageType, encoding }) =>
        (pageType !== PAGE_TYPE.DATA_PAGE && pageType !== PAGE_TYPE.DATA_PAGE_V2) ||
        encoding === ENCODING.RLE_DICTIONARY ||
        encoding === ENCODING.PLAIN_DICTIONARY,
    )
  }

  /** The dictionary's values without a page that uses them; undefined when the chunk has none. */
  dictionary(): Promise<PlainValues | undefined> {
    return (this.#dictionary ??= this.#readDictionary())
  }

  offsetIndex(): Promise<OffsetIndex | undefined> {
    return (this.#offsetIndex ??= this.#readOffsetIndex())
  }

  async columnIndex(): Promise<ColumnIndex | undefined> {
    const { columnIndexOffset: at, columnIndexLength: length = 0 } = this.chunk
    if (!at || length <= 0 || length > MAX_INDEX_BYTES) return undefined
    const bytes = await this.ranges.read(at, length)
    return this.#guarded(at, 'column index', () => readColumnIndex(new ThriftReader(bytes)))
  }

  /** Values of all rows, or of some. Without `needsLevels` parts of whole pages come without levels. */
  read(needsLevels: boolean, rows?: RowRange): Promise<ColumnData> {
    return rows ? this.#readRows(rows) : this.#readAll(needsLevels, undefined)
  }

  async #readRows(rows: RowRange): Promise<ColumnData> {
    const index = await this.offsetIndex()
    if (!index || index.offsets.length === 0) return this.#readAll(true, rows)
    const { offsets, compressedPageSizes: sizes, firstRowIndexes: firsts } = index
    let first = 0
    while (first + 1 < offsets.length && firsts[first + 1]! <= rows.from) first++
    let end = first + 1
    while (end < offsets.length && firsts[end]! < rows.to) end++
    const at = offsets[first]!
    const length = offsets[end - 1]! + sizes[end - 1]! - at
    if (length <= 0 || length > MAX_CHUNK_BYTES) this.#fail(at, `pages ${first} to ${end - 1} have ${length} bytes`)
    const [dictionary, bytes] = await Promise.all([
      this.#hasDictionary ? this.dictionary() : undefined,
      this.ranges.read(at, length),
    ])
    const parts: Part[] = []
    for (let p = first; p < end; p++) {
      const from = offsets[p]! - at
      if (from < 0 || from + sizes[p]! > length) this.#fail(offsets[p]!, `page ${p} is not among its neighbours`)
      const page = this.#page(bytes.subarray(from, from + sizes[p]!), offsets[p]!, p, dictionary)
      if (page.repetition && page.count > 0 && page.repetition[0] !== 0) this.#fail(offsets[p]!, `page ${p} begins within a row`)
      const next = p + 1 < firsts.length ? firsts[p + 1]! : this.bounds.rows
      const trimmed = trim(page, this.leaf, firsts[p]!, rows)
      if (trimmed.row !== next) this.#fail(offsets[p]!, `page ${p} ends at row ${trimmed.row}, not ${next}`)
      if (trimmed.part) parts.push(trimmed.part)
    }
    return { parts, dictionary }
  } // prettier-ignore

  async #readAll(needsLevels: boolean, rows: RowRange | undefined): Promise<ColumnData> {
    const { metaData } = this.chunk
    const base = this.offset
    const bytes = await this.ranges.read(base, metaData.totalCompressedSize)
    let dictionary: PlainValues | undefined
    const parts: Part[] = []
    let left = metaData.numValues
    let row = 0
    let at = 0
    for (let p = 0; at < bytes.length && left > 0; p++) {
      const { header, body } = this.#split(bytes.subarray(at), base + at, p)
      const bodyAt = base + at + body.at
      at += body.at + header.compressedPageSize
      if (header.type === PAGE_TYPE.INDEX_PAGE) continue
      if (header.type === PAGE_TYPE.DICTIONARY_PAGE) {
        if (dictionary) this.#fail(bodyAt, `page ${p} is a second dictionary`)
        dictionary = this.#guarded(bodyAt, 'dictionary', () =>
          readDictionaryPage(header, body.bytes, this.leaf, metaData.codec),
        )
        continue
      }
      const page = this.#data(header, body.bytes, bodyAt, p, dictionary, needsLevels, left)
      left -= page.count
      if (!rows) parts.push(wholePart(page))
      else {
        const trimmed = trim(page, this.leaf, row, rows)
        row = trimmed.row
        if (trimmed.part) parts.push(trimmed.part)
      }
    }
    if (left > 0) this.#fail(base + at, `${left} of ${metaData.numValues} values are missing`)
    if (rows && row !== this.bounds.rows) this.#fail(base, `${row} rows where ${this.bounds.rows} belong`)
    return { parts, dictionary }
  } // prettier-ignore

  #page(bytes: Uint8Array, at: number, p: number, dictionary: PlainValues | undefined): Page {
    const { header, body } = this.#split(bytes, at, p)
    const { numValues } = this.chunk.metaData
    return this.#data(header, body.bytes, at + body.at, p, dictionary, true, numValues)
  }

  #data(
    header: PageHeader,
    body: Uint8Array,
    at: number,
    p: number,
    dictionary: PlainValues | undefined,
    needsLevels: boolean,
    left: number,
  ): Page {
    const { codec } = this.chunk.metaData
    const count = header.dataPageHeaderV2?.numValues ?? header.dataPageHeader?.numValues ?? 0
    if (count > left) this.#fail(at, `page ${p} has ${count} values, the chunk ${left} more`)
    return this.#guarded(at, `page ${p}`, () =>
      readDataPage(header, body, { leaf: this.leaf, codec, dictionary }, needsLevels),
    )
  }

  /** A page's header and the bytes after it. */
  #split(bytes: Uint8Array, offset: number, p: number) {
    return this.#guarded(offset, `header of page ${p}`, () => {
      const input = new ThriftReader(bytes.subarray(0, MAX_HEADER_BYTES))
      const header = readPageHeader(input)
      const at = input.offset
      const length = header.compressedPageSize
      if (length > bytes.length - at) input.fail(`${length} bytes of page, ${bytes.length - at} are left`)
      if (header.uncompressedPageSize > MAX_PAGE_BYTES) input.fail(`a page of ${header.uncompressedPageSize} bytes`)
      return { header, body: { at, bytes: bytes.subarray(at, at + length) } }
    })
  } // prettier-ignore

  async #readDictionary(): Promise<PlainValues | undefined> {
    if (!this.#hasDictionary) return undefined
    const { metaData } = this.chunk
    const at = this.offset
    const length = metaData.dataPageOffset - at
    if (length > MAX_CHUNK_BYTES) this.#fail(at, `a dictionary of ${length} bytes`)
    const bytes = await this.ranges.read(at, length)
    const { header, body } = this.#split(bytes, at, 0)
    if (header.type !== PAGE_TYPE.DICTIONARY_PAGE) this.#fail(at, `page of type ${header.type} where the dictionary belongs`)
    return this.#guarded(at + body.at, 'dictionary', () =>
      readDictionaryPage(header, body.bytes, this.leaf, metaData.codec),
    )
  } // prettier-ignore

  async #readOffsetIndex(): Promise<OffsetIndex | undefined> {
    const { offsetIndexOffset: at, offsetIndexLength: length = 0 } = this.chunk
    if (!at || length <= 0 || length > MAX_INDEX_BYTES) return undefined
    const bytes = await this.ranges.read(at, length)
    const index = this.#guarded(at, 'offset index', () => readOffsetIndex(new ThriftReader(bytes)))
    const { firstRowIndexes: firsts } = index
    for (let p = 0; p < firsts.length; p++) {
      if (p === 0 ? firsts[p] !== 0 : firsts[p]! < firsts[p - 1]!) {
        this.#fail(at, `page ${p} of the offset index begins at row ${firsts[p]!}`)
      }
    }
    return index
  }

  #fail(offset: number, detail: string): never {
    throw new Malformed(offset, detail)
  }

  /** Places within a page become places within the file. */
  #guarded<T>(offset: number, what: string, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      throw new Malformed(offset + error.offset, `${what}: ${error.message}`)
    }
  }
}

const wholePart = ({ count, repetition, definition, values, present }: Page): Part => ({
  count,
  repetition,
  definition,
  values,
  valueFrom: 0,
  valueTo: present,
})

/** What of a page that begins at `row` (or within the row before) lies in the range, and the row after the page. */
function trim(
  page: Page,
  leaf: Leaf,
  row: number,
  rows: RowRange,
): { part: Part | undefined; row: number } {
  const { count, repetition, definition } = page
  let from = -1
  let to = count
  let valueFrom = 0
  let valueTo = page.present
  let values = 0
  // The row that an entry is of is one less than those begun.
  let begun = row
  for (let i = 0; i < count; i++) {
    if (!repetition || repetition[i] === 0) begun++
    if (begun - 1 >= rows.to) {
      to = i
      valueTo = values
      if (from < 0) from = i
      if (!repetition) begun = row + count
      else for (let j = i + 1; j < count; j++) if (repetition[j] === 0) begun++
      break
    }
    if (from < 0 && begun - 1 >= rows.from) {
      from = i
      valueFrom = values
    }
    if (!definition || definition[i] === leaf.maxDefinition) values++
  }
  if (from < 0 || from === to) return { part: undefined, row: begun }
  const part: Part = {
    count: to - from,
    repetition: repetition?.subarray(from, to),
    definition: definition?.subarray(from, to),
    values: page.values,
    valueFrom,
    valueTo,
  }
  return { part, row: begun }
}
