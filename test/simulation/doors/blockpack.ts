/**
 * Owns the block encoding of the simulation, in the place of blockpack: the names of the spans, line by line, with a checksum at the end. Written
 * in a few pieces, as the real one is, so that a death leaves part of a file.
 */
import { crc32 } from 'node:zlib'
import {
  CorruptBlock,
  type BlockEncoding,
  type BlockMeta,
  type WriteRequest,
} from '../../../src/storage/block/encoding.js'
import { formatTime } from '../../../src/storage/block/meta.js'
import type { ColumnSource } from '../../../src/otlp/columns.js'
import type { BackendReader } from '../../../src/storage/backend/backend.js'
import { namesOf } from '../span-names.js'

const DATA = 'data.sim'
const PIECES = 3

const ONE = 1

/** A block that was opened: one row group of whole traces, by its names. */
export class SimulatedBlock {
  readonly groupCount = 1
  readonly spanCount: number
  readonly traceCount: number
  readonly names: readonly string[]
  readonly #traces: readonly string[]

  constructor(
    readonly id: string,
    names: readonly string[],
  ) {
    this.names = [...names].sort()
    this.spanCount = names.length
    this.#traces = [...new Set(this.names.map((name) => name.split('.')[0]!))]
    this.traceCount = this.#traces.length
  }

  group() {
    const rows = new Map(this.#traces.map((trace, row) => [trace, row]))
    const trace = Uint32Array.from(this.names, (name) => rows.get(name.split('.')[0]!)!)
    const fixed = (width: number, ids: readonly string[]) => {
      return { type: 'fixed', width, bytes: Buffer.from(ids.join(''), 'hex') }
    }
    const fields: Record<string, object> = {
      'trace.id': fixed(16, this.#traces),
      'span.id': fixed(8, this.names.map((name) => name.split('.')[1]!)), // prettier-ignore
      'span.kind': {
        type: 'int',
        lo: new Uint32Array(this.spanCount).fill(ONE),
        hi: new Uint32Array(this.spanCount),
        present: undefined,
      },
    }
    return Promise.resolve({
      counts: { trace: this.traceCount, span: this.spanCount },
      parents: () => Promise.resolve({ trace }),
      field: (name: string) => Promise.resolve(fields[name]),
    })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export const blockpack: BlockEncoding = {
  dataObject: DATA,
  version: 'simulated',

  async write({ blockId, tenant, groups, sink }: WriteRequest): Promise<BlockMeta> {
    const names: string[] = []
    let [minStart_ns, maxEnd_ns] = [2n ** 63n, 0n]
    for await (const group of groups) {
      names.push(...(await namesOf(group)))
      if (group.minStart_ns < minStart_ns) minStart_ns = group.minStart_ns
      if (group.maxEnd_ns > maxEnd_ns) maxEnd_ns = group.maxEnd_ns
    }
    if (names.length === 0) throw new Error(`block ${blockId}: nothing to write`)
    const text = Buffer.from(names.join('\n'))
    const bytes = Buffer.alloc(text.length + 4)
    text.copy(bytes)
    bytes.writeUInt32LE(crc32(text), text.length)
    const file = await sink.create(DATA)
    const step = Math.ceil(bytes.length / PIECES)
    for (let at = 0; at < bytes.length; at += step) await file.write(bytes.subarray(at, at + step))
    await file.close()
    return {
      format: 'simulated',
      blockID: blockId,
      tenantID: tenant,
      startTime: formatTime(minStart_ns),
      endTime: formatTime(maxEnd_ns),
      totalObjects: new SimulatedBlock(blockId, names).traceCount,
      totalSpans: names.length,
      size: bytes.length,
      compactionLevel: 0,
      indexPageSize: 0,
      totalRecords: 1,
      bloomShards: 0,
      footerSize: 0,
      replicationFactor: 1,
    }
  },

  async open(meta: BlockMeta, backend: BackendReader): Promise<ColumnSource> {
    const bytes = await backend.get(`${meta.tenantID}/${meta.blockID}/${DATA}`)
    const text = Buffer.from(bytes.subarray(0, Math.max(0, bytes.length - 4)))
    const isWhole =
      bytes.length === meta.size && crc32(text) === Buffer.from(bytes).readUInt32LE(text.length)
    if (!isWhole)
      throw new CorruptBlock(meta.blockID, DATA, 0, `${bytes.length} of ${meta.size} bytes`)
    const block: unknown = new SimulatedBlock(meta.blockID, text.toString().split('\n'))
    return block as ColumnSource
  },
}
