/**
 * Owns verifying what only Tempo's parquet has: every page of every column chunk, also of columns that no query of ours reads, the
 * indexes of pages, and the objects beside the data: blooms and `index`.
 */
import { ObjectNotFound, type BackendReader } from '../backend/backend.js'
import { guarded } from '../block/blockpack-container.js'
import { Malformed } from '../block/codec/bytes.js'
import { CorruptBlock, type BlockMeta } from '../block/encoding.js'
import { objectPath } from '../block/meta.js'
import type { ColumnChunk } from '../parquet/metadata.js'
import { ColumnReader, type ColumnData } from '../parquet/read-column.js'
import type { Leaf } from '../parquet/read-schema.js'
import { bloomName, shardOf } from '../vparquet/bloom-hash.js'
import { INDEX_OBJECT } from '../vparquet/objects.js'
import { guardedGroup, openFile, type OpenFile } from '../vparquet/read/anatomy.js'
import { bloomMayHave, parseIndex } from '../vparquet/read/trace-index.js'

const ID_BYTES = 16
/** Far beyond what any writer makes; a reader's bound on what a footer may claim. */
const MAX_VALUES = 2 ** 27
const MAX_SHARDS = 65_536

export class ParquetFile {
  private constructor(
    private readonly meta: BlockMeta,
    private readonly file: OpenFile,
  ) {}

  static async open(meta: BlockMeta, backend: BackendReader): Promise<ParquetFile> {
    return new ParquetFile(meta, await openFile(meta, backend))
  }

  /** Reads every page. Throws `CorruptBlock`. */
  async verifyGroup(index: number, onProgress: (share: number) => void): Promise<void> {
    const { blockID } = this.meta
    const { leaves } = this.file.footer
    const group = guardedGroup(blockID, this.file, index)
    for (const [i, leaf] of leaves.entries()) {
      const chunk = group.columns[leaf.index]!
      const where = `row group ${index}, column ${leaf.path}`
      try {
        await this.#chunk(leaf, chunk, group.numRows)
      } catch (error) {
        if (!(error instanceof Malformed)) throw error
        throw new CorruptBlock(blockID, where, error.offset || chunk.metaData.dataPageOffset, error.message) // prettier-ignore
      }
      onProgress((i + 1) / leaves.length)
    }
  }

  /** By the offset index, so that it is held against the pages. */
  async #chunk(leaf: Leaf, chunk: ColumnChunk, rows: number): Promise<void> {
    const reader = new ColumnReader(this.file.ranges, leaf, chunk, { rows, maxValues: MAX_VALUES })
    const at = chunk.metaData.dataPageOffset
    const [columnIndex, offsetIndex] = [await reader.columnIndex(), await reader.offsetIndex()]
    const pages = offsetIndex?.offsets.length
    if (columnIndex && pages !== undefined && columnIndex.minValues.length !== pages) {
      throw new Malformed(at, `the column index has ${columnIndex.minValues.length} pages, the offset index ${pages}`) // prettier-ignore
    }
    const data = await reader.read(true, { from: 0, to: rows })
    const { numValues, statistics } = chunk.metaData
    const { entries, values } = counted(data)
    if (entries !== numValues)
      throw new Malformed(at, `${entries} of ${numValues} values are there`)
    const nulls = statistics?.nullCount
    if (nulls !== undefined && entries - values !== nulls) {
      throw new Malformed(at, `${entries - values} nulls, the footer says ${nulls}`)
    }
  }
}

function counted({ parts }: ColumnData): { entries: number; values: number } {
  let entries = 0
  let values = 0
  for (const { count, valueFrom, valueTo } of parts) {
    entries += count
    values += valueTo - valueFrom
  }
  return { entries, values }
}

/** The objects beside the data: each trace must be in its bloom, and each row group's last one in `index`. */
export class ParquetObjects {
  #group = 0

  private constructor(
    private readonly meta: BlockMeta,
    private readonly blooms: readonly Uint8Array[],
    private readonly lastIds: readonly Uint8Array[] | undefined,
  ) {}

  static async open(meta: BlockMeta, backend: BackendReader): Promise<ParquetObjects> {
    const { tenantID, blockID, bloomShards } = meta
    const get = async (name: string): Promise<Uint8Array | undefined> => {
      try {
        return await backend.get(objectPath(tenantID, blockID, name))
      } catch (error) {
        if (error instanceof ObjectNotFound) return undefined
        throw error
      }
    }
    if (bloomShards > MAX_SHARDS)
      throw new CorruptBlock(blockID, 'meta.json', 0, `${bloomShards} bloom shards`)
    const blooms: Uint8Array[] = []
    for (let shard = 0; shard < bloomShards; shard++) {
      const bloom = await get(bloomName(shard))
      if (!bloom) throw new CorruptBlock(blockID, bloomName(shard), 0, 'the object is missing')
      blooms.push(bloom)
    }
    const index = await get(INDEX_OBJECT)
    const lastIds = index && guarded(blockID, INDEX_OBJECT, 0, () => parseIndex(index))
    const { totalRecords } = meta
    if (lastIds && totalRecords > 0 && lastIds.length !== totalRecords) {
      throw new CorruptBlock(blockID, INDEX_OBJECT, 0, `${lastIds.length} row groups, meta.json says ${totalRecords}`) // prettier-ignore
    }
    return new ParquetObjects(meta, blooms, lastIds)
  }

  /** The ids of the next row group. Throws `CorruptBlock`. */
  add(traceIds: Uint8Array): void {
    const { blockID } = this.meta
    const group = this.#group++
    const last = this.lastIds?.[group]
    if (last && Buffer.compare(last, traceIds.subarray(-ID_BYTES)) !== 0) {
      throw new CorruptBlock(blockID, INDEX_OBJECT, 0, `the last trace of row group ${group} is another`) // prettier-ignore
    }
    if (this.blooms.length === 0) return
    for (let at = 0; at < traceIds.length; at += ID_BYTES) {
      const id = traceIds.subarray(at, at + ID_BYTES)
      const shard = shardOf(id, this.blooms.length)
      const mayHave = guarded(blockID, bloomName(shard), 0, () => bloomMayHave(this.blooms[shard]!, id)) // prettier-ignore
      if (mayHave) continue
      const text = Buffer.from(id).toString('hex')
      throw new CorruptBlock(blockID, bloomName(shard), 0, `trace ${text} is not in it, so that nobody finds it`) // prettier-ignore
    }
  }
}
