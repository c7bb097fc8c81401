/** Owns writing a block of Tempo's parquet: row groups as they fill, then blooms, the index and what meta.json says. */
import type { RowGroup } from '../../../otlp/columns.js'
import { buildInfo } from '../../../lib/build-info.js'
import { compareBytes } from '../../../lib/bytes.js'
import { EmptyBlock, UnsortedInput } from '../../block/blockpack-writer.js'
import type {
  BlockMeta,
  DedicatedColumn,
  ObjectWriter,
  WriteRequest,
} from '../../block/encoding.js'
import { formatTime } from '../../block/meta.js'
import { ParquetWriter } from '../../parquet/write-file.js'
import { bloomName } from '../bloom-hash.js'
import { DATA_OBJECT, INDEX_OBJECT } from '../objects.js'
import { bloomShards } from './bloom.js'
import { Chunks } from './columns.js'
import { DEFAULT_DEDICATED_COLUMNS, mappingOf, usable } from './dedicated.js'
import { schemaOf, type Version } from './schema.js'
import { Shredder } from './shredder.js'

/** A row group ends with the trace that reaches one of these: finding one trace costs the dictionaries of its row group. */
export const ROW_GROUP_TRACES = 5000
/** Of encoded pages, which wait in memory until the row group is whole. */
export const ROW_GROUP_BYTES = 8 << 20
const ID_BYTES = 16
const NEVER = 2n ** 64n

export interface VparquetOptions {
  readonly rowGroupTraces?: number // default 5000
  readonly rowGroup_bytes?: number // default 8 MiB
}

export async function writeVparquet(
  version: Version,
  request: WriteRequest,
  options: VparquetOptions = {},
): Promise<BlockMeta> {
  const object = await request.sink.create(DATA_OBJECT)
  const writer = new BlockWriter(version, request, object, options)
  for await (const group of request.groups) {
    if (group.counts.span === 0) continue
    await writer.add(group)
    request.onProgress?.(writer.spans)
  }
  return writer.finish()
}

class BlockWriter {
  readonly #version: Version
  readonly #request: WriteRequest
  readonly #dedicated: readonly DedicatedColumn[]
  readonly #most: { readonly traces: number; readonly bytes: number }
  readonly #file: ParquetWriter
  readonly #shredder: Shredder
  /** Ids of all traces, for the blooms: how large these are depends on how many come. */
  readonly #ids: Uint8Array[] = []
  /** The last id of each row group, in base64. */
  readonly #lastIds: string[] = []
  #rows = 0
  #traces = 0
  #minStart_ns = NEVER
  #maxEnd_ns = 0n
  spans = 0

  constructor(
    version: Version,
    request: WriteRequest,
    object: ObjectWriter,
    options: VparquetOptions,
  ) {
    const dedicated = usable(version, request.dedicatedColumns ?? DEFAULT_DEDICATED_COLUMNS)
    this.#version = version
    this.#request = request
    this.#dedicated = dedicated
    this.#most = {
      traces: options.rowGroupTraces ?? ROW_GROUP_TRACES,
      bytes: options.rowGroup_bytes ?? ROW_GROUP_BYTES,
    }
    const mapping = (scope: Parameters<typeof mappingOf>[2]) => mappingOf(version, dedicated, scope)
    const mappings = {
      resource: mapping('resource'),
      span: mapping('span'),
      event: mapping('event'),
    }
    const { elements, leaves, names } = schemaOf(version, mappings)
    this.#file = new ParquetWriter(object, elements, leaves, createdBy())
    this.#shredder = new Shredder(version, new Chunks(names, this.#file.chunks), dedicated)
  }

  async add(group: RowGroup): Promise<void> {
    const { ids, minStart_ns } = await this.#shredder.add(group)
    this.#checkOrder(ids)
    this.#ids.push(ids.slice())
    this.#rows += group.counts.trace
    this.#traces += group.counts.trace
    this.spans += group.counts.span
    // Tempo's metrics refuse a block that begins in 1970, and with it the whole query.
    if (minStart_ns > 0n && minStart_ns < this.#minStart_ns) this.#minStart_ns = minStart_ns
    if (group.maxEnd_ns > this.#maxEnd_ns) this.#maxEnd_ns = group.maxEnd_ns
    const { traces, bytes } = this.#most
    const isFull = this.#rows >= traces || this.#file.buffered_bytes >= bytes
    if (isFull) await this.#finishGroup()
  }

  async #finishGroup(): Promise<void> {
    await this.#file.finishGroup(this.#rows)
    this.#rows = 0
    const last = this.#ids.at(-1)!
    this.#lastIds.push(Buffer.from(last.subarray(-ID_BYTES)).toString('base64'))
  }

  async finish(): Promise<BlockMeta> {
    const { blockId, tenant, compactionLevel } = this.#request
    if (this.spans === 0) throw new EmptyBlock(blockId)
    if (this.#rows > 0) await this.#finishGroup()
    const { size, footerSize } = await this.#file.finish()
    const blooms = bloomShards(this.#ids)
    for (const [shard, bytes] of blooms.entries()) await this.#object(bloomName(shard), bytes)
    const index = JSON.stringify({ rowGroups: this.#lastIds })
    await this.#object(INDEX_OBJECT, Buffer.from(index))
    return {
      format: this.#version,
      blockID: blockId,
      tenantID: tenant,
      startTime: formatTime(this.#minStart_ns === NEVER ? 0n : this.#minStart_ns),
      endTime: formatTime(this.#maxEnd_ns),
      totalObjects: this.#traces,
      totalSpans: this.spans,
      size,
      compactionLevel,
      indexPageSize: 0,
      totalRecords: this.#file.groupCount,
      bloomShards: blooms.length,
      footerSize,
      ...(this.#dedicated.length > 0 && { dedicatedColumns: this.#dedicated }),
      replicationFactor: 1,
    }
  }

  async #object(name: string, bytes: Uint8Array): Promise<void> {
    const object = await this.#request.sink.create(name)
    await object.write(bytes)
    await object.close()
  }

  #checkOrder(ids: Uint8Array): void {
    let before = this.#ids.at(-1)?.subarray(-ID_BYTES)
    for (let at = 0; at < ids.length; at += ID_BYTES) {
      const id = ids.subarray(at, at + ID_BYTES)
      if (before && compareBytes(before, id) >= 0) {
        throw new UnsortedInput(this.#request.blockId, before, id)
      }
      before = id
    }
  }
}

function createdBy(): string {
  const { version, revision } = buildInfo()
  return `tempo-actors version ${version}${revision === '' ? '' : ` (build ${revision})`}`
}
