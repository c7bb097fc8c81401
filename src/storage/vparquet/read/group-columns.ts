/** Owns reading the columns of one row group, or of a range of its rows, by their paths; what is wrong becomes `CorruptBlock`. */
import { Malformed } from '../../block/codec/bytes.js'
import { CorruptBlock } from '../../block/encoding.js'
import { TYPE, type RowGroupMetaData, type Statistics } from '../../parquet/metadata.js'
import { ColumnReader } from '../../parquet/read-column.js'
import type { ByteRanges, ColumnData, RowRange } from '../../parquet/read-column.js'
import type { ParquetFooter } from '../../parquet/read-file.js'
import type { Leaf } from '../../parquet/read-schema.js'
import { valueCount } from './join.js'

/** Entries that a column may have for each byte of the row group: levels and equal values take next to nothing. */
const MAX_VALUES_PER_BYTE = 64
const FREE_VALUES = 65_536
const MAX_VALUES = 2 ** 27

export interface GroupContext {
  readonly blockId: string
  readonly ranges: ByteRanges
  readonly footer: ParquetFooter
  readonly index: number
  readonly meta: RowGroupMetaData
}

/** A column's values with what they are of. */
export interface Column {
  readonly leaf: Leaf
  readonly data: ColumnData
}

export class GroupColumns {
  readonly #readers = new Map<string, ColumnReader>()
  readonly #maxValues: number

  constructor(
    readonly context: GroupContext,
    readonly rows?: RowRange,
  ) {
    let bytes = 0
    for (const { metaData } of context.meta.columns) bytes += metaData.totalCompressedSize
    this.#maxValues = Math.min(MAX_VALUES, FREE_VALUES + MAX_VALUES_PER_BYTE * bytes)
  }

  has(path: string): boolean {
    return this.context.footer.byPath.has(path)
  }

  leaf(path: string): Leaf | undefined {
    return this.context.footer.byPath.get(path)
  }

  reader(path: string): ColumnReader | undefined {
    const leaf = this.leaf(path)
    if (!leaf) return undefined
    let reader = this.#readers.get(path)
    if (!reader) {
      const { ranges, meta } = this.context
      const bounds = { rows: meta.numRows, maxValues: this.#maxValues }
      reader = this.#guarded(path, () => new ColumnReader(ranges, leaf, meta.columns[leaf.index]!, bounds))
      this.#readers.set(path, reader)
    }
    return reader
  } // prettier-ignore

  /** The column, put into shape by `make`; undefined when the file has none, or when it has no value at all. */
  async read<T>(
    path: string,
    needsLevels: boolean,
    make: (column: Column) => T,
  ): Promise<T | undefined> {
    const reader = this.reader(path)
    if (!reader || this.isEmpty(path)) return undefined
    try {
      const data = await reader.read(needsLevels, this.rows)
      return make({ leaf: reader.leaf, data })
    } catch (error) {
      throw this.#translated(path, error)
    }
  }

  /** What `ask` finds in the column's dictionary or indexes. */
  async ask<T>(path: string, ask: (reader: ColumnReader) => Promise<T>): Promise<T | undefined> {
    const reader = this.reader(path)
    if (!reader) return undefined
    try {
      return await ask(reader)
    } catch (error) {
      throw this.#translated(path, error)
    }
  }

  statistics(path: string): Statistics | undefined {
    return this.reader(path)?.chunk.metaData.statistics
  }

  /** Stored bytes of the column. */
  size_bytes(path: string): number {
    return this.reader(path)?.chunk.metaData.totalCompressedSize ?? 0
  }

  /** The statistics say that the column has nulls only. */
  isEmpty(path: string): boolean {
    const meta = this.reader(path)?.chunk.metaData
    return !meta || meta.statistics?.nullCount === meta.numValues || meta.numValues === 0
  }

  /** The statistics say that every value is 0, or the empty text. */
  isZero(path: string): boolean {
    const { minValue, maxValue } = this.statistics(path) ?? {}
    if (!minValue || !maxValue) return false
    if (this.leaf(path)?.type === TYPE.BYTE_ARRAY) return maxValue.length === 0
    const isZero = (bytes: Uint8Array) => bytes.length > 0 && bytes.every((byte) => byte === 0)
    return isZero(minValue) && isZero(maxValue)
  }

  /** Of the columns that have a value in each row of a table and no list of their own, the one that costs least. */
  smallest(group: string, list: number): string | undefined {
    let least: string | undefined
    for (const leaf of this.context.footer.leaves) {
      const { path, maxRepetition, maxDefinition, definitionOf } = leaf
      if (!path.startsWith(`${group}.`) || maxRepetition !== list) continue
      if (maxDefinition !== definitionOf[list]) continue
      if (least === undefined || this.size_bytes(path) < this.size_bytes(least)) least = path
    }
    return least
  }

  /** Values of a column that every row of a table has one in, from the footer alone where it says so. */
  async countOf(path: string): Promise<number> {
    const meta = this.reader(path)?.chunk.metaData
    if (!meta) return 0
    const { nullCount } = meta.statistics ?? {}
    if (nullCount === undefined) {
      return (await this.read(path, true, ({ data }) => valueCount(data))) ?? 0
    }
    if (nullCount > meta.numValues)
      this.corrupt(path, `${nullCount} nulls of ${meta.numValues} values`)
    return meta.numValues - nullCount
  }

  corrupt(path: string, detail: string, offset?: number): never {
    const { blockId, index } = this.context
    const at = offset ?? this.#readers.get(path)?.offset ?? 0
    throw new CorruptBlock(blockId, `row group ${index}, column ${path}`, at, detail)
  }

  #guarded<T>(path: string, make: () => T): T {
    try {
      return make()
    } catch (error) {
      throw this.#translated(path, error)
    }
  }

  #translated(path: string, error: unknown): unknown {
    if (!(error instanceof Malformed)) return error
    const { blockId, index } = this.context
    const at = error.offset || (this.#readers.get(path)?.offset ?? 0)
    return new CorruptBlock(blockId, `row group ${index}, column ${path}`, at, error.message)
  }
}
