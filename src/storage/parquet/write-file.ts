/** Owns a parquet file in the making: row groups one after the other, then the page indexes and the footer. */
import type { ObjectWriter } from '../block/encoding.js'
import type { ColumnChunk, RowGroupMetaData, SchemaElement } from './metadata.js'
import { ChunkWriter } from './write-chunk.js'
import { columnIndexBytes, fileMetaDataBytes, offsetIndexBytes } from './write-metadata.js'
import type { Leaf } from './write-values.js'

const MAGIC = Buffer.from('PAR1')
const VERSION = 2
/** Small pages are written together. */
const WRITE_BYTES = 1 << 18

interface Indexes {
  readonly column: Uint8Array
  readonly offset: Uint8Array
}

export class ParquetWriter {
  readonly chunks: readonly ChunkWriter[]
  readonly #object: ObjectWriter
  readonly #schema: readonly SchemaElement[]
  readonly #createdBy: string
  #groups: RowGroupMetaData[] = []
  /** Of each chunk of each group, in their order; written together at the end. */
  readonly #indexes: Indexes[] = []
  #pending: Uint8Array[] = []
  #pending_bytes = 0
  #rows = 0
  #at = 0

  constructor(
    object: ObjectWriter,
    schema: readonly SchemaElement[],
    leaves: readonly Leaf[],
    createdBy: string,
  ) {
    this.#object = object
    this.#schema = schema
    this.#createdBy = createdBy
    this.chunks = leaves.map((leaf) => new ChunkWriter(leaf))
  }

  get groupCount(): number {
    return this.#groups.length
  }

  /** Bytes of the row group that is being filled. */
  get buffered_bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.buffered_bytes, 0)
  }

  /** Writes what the chunks have as one row group. */
  async finishGroup(rows: number): Promise<void> {
    if (this.#at === 0) await this.#write(MAGIC)
    const start = this.#at
    const columns: ColumnChunk[] = []
    let uncompressed = 0
    for (const writer of this.chunks) {
      const { chunk, parts } = writer.finish(this.#at)
      const { metaData, columnIndex, offsetIndex } = chunk
      columns.push({ fileOffset: 0, metaData })
      uncompressed += metaData.totalUncompressedSize
      this.#indexes.push({
        column: columnIndexBytes(columnIndex),
        offset: offsetIndexBytes(offsetIndex),
      })
      for (const part of parts) await this.#write(part)
    }
    await this.#flush()
    this.#rows += rows
    this.#groups.push({
      columns,
      totalByteSize: uncompressed,
      numRows: rows,
      fileOffset: start,
      totalCompressedSize: this.#at - start,
    })
  }

  /** Writes indexes and footer, and closes the object. */
  async finish(): Promise<{ size: number; footerSize: number }> {
    await this.#writeIndexes()
    const footer = fileMetaDataBytes({
      version: VERSION,
      schema: this.#schema,
      numRows: this.#rows,
      rowGroups: this.#groups,
      createdBy: this.#createdBy,
      columnOrders: this.chunks.length,
    })
    await this.#write(footer)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(footer.length)
    await this.#write(length)
    await this.#write(MAGIC)
    await this.#flush()
    await this.#object.close()
    return { size: this.#at, footerSize: footer.length }
  }

  /** All column indexes, then all offset indexes: parquet-go reads either as one range. */
  async #writeIndexes(): Promise<void> {
    const columnOffsets: number[] = []
    for (const { column } of this.#indexes) {
      columnOffsets.push(this.#at)
      await this.#write(column)
    }
    const offsetOffsets: number[] = []
    for (const { offset } of this.#indexes) {
      offsetOffsets.push(this.#at)
      await this.#write(offset)
    }
    let next = 0
    this.#groups = this.#groups.map((group) => ({
      ...group,
      columns: group.columns.map((chunk) => {
        const { column, offset } = this.#indexes[next]!
        return {
          ...chunk,
          columnIndexOffset: columnOffsets[next]!,
          columnIndexLength: column.length,
          offsetIndexOffset: offsetOffsets[next++]!,
          offsetIndexLength: offset.length,
        }
      }),
    }))
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#at += bytes.length
    this.#pending.push(bytes)
    this.#pending_bytes += bytes.length
    if (this.#pending_bytes >= WRITE_BYTES) await this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return
    const bytes = Buffer.concat(this.#pending)
    this.#pending = []
    this.#pending_bytes = 0
    await this.#object.write(bytes)
  }
}
