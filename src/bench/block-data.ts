/** Owns making blocks for measurements as the store makes them: OTLP requests into a live head, from the head's columns into a block. */
import { Shop, type Payload } from '../load/shop.js'
import type { Backend } from '../storage/backend/backend.js'
import type { BlockEncoding, BlockMeta } from '../storage/block/encoding.js'
import { META_OBJECT, objectPath, serializeMeta } from '../storage/block/meta.js'
import { Scratch } from '../storage/compaction/scratch.js'
import { ARENA_BYTES_MAX } from '../storage/head/layout.js'
import { HeadArena } from '../storage/head/arena.js'
import { openHead } from '../storage/head/source.js'
import { HeadWriter } from '../storage/head/writer.js'

export const TENANT = 'bench'
const SHOP = { run: 'bench', lateShare: 0, late_ms: 0 }

/** Columns and dictionary of a head take less than its spans took as OTLP; the arena is only touched as far as it is needed. */
const ARENA_BYTES_PER_BYTE = 3
const ARENA_BYTES_MIN = 64 * 2 ** 20

export interface DataOptions {
  readonly seed: number
  readonly traces: number
  /** When the last trace starts, about. */
  readonly now_ns: bigint
}

/** Requests of the web shop's traces, as `tempo-actors load` sends them. */
export function shopPayloads({ seed, traces, now_ns }: DataOptions): Payload[] {
  const shop = new Shop({ ...SHOP, seed, batch: 256, split: 1, spread_ms: 30_000 })
  const payloads: Payload[] = []
  while (shop.traces < traces) {
    shop.addTrace(now_ns)
    for (let next = shop.next(); next; next = shop.next()) payloads.push(next)
  }
  return [...payloads, ...shop.finish()]
}

export const spansOf = (payloads: readonly Payload[]): number =>
  payloads.reduce((sum, { spans }) => sum + spans, 0)

export interface FilledHead {
  readonly arena: HeadArena
  readonly chunk: number
  readonly spans: number
}

/** A head with these requests, published. */
export function fillHead(payloads: readonly Payload[], blockId: string): FilledHead {
  const bytes = payloads.reduce((sum, payload) => sum + payload.bytes.length, 0)
  const wanted = ARENA_BYTES_MIN + bytes * ARENA_BYTES_PER_BYTE
  const arena = HeadArena.create({
    bytes: Math.min(ARENA_BYTES_MAX - 2 ** 20, wanted),
    readers: 2,
  })
  const writer = HeadWriter.create(arena, { blockId, tenant: TENANT, partition: 0 })
  if (!writer) throw new Error(`an arena of ${wanted} bytes has no room for a head`)
  for (const payload of payloads) writer.append(payload.bytes)
  writer.publish(1)
  return { arena, chunk: writer.headerChunk, spans: spansOf(payloads) }
}

/** Writes a head's spans as a block to the scratch folder; what is not in the backend yet. */
export async function encodeHead(
  encoding: BlockEncoding,
  head: FilledHead,
  scratchFolder: string,
): Promise<{ meta: BlockMeta; files: { name: string; path: string }[] }> {
  const source = openHead(head.arena, head.chunk, { order: 'traceId' })
  try {
    const scratch = await new Scratch(scratchFolder).begin(TENANT, source.id)
    const groups = (async function* () {
      for (let i = 0; i < source.groupCount; i++) yield await source.group(i)
    })()
    const meta = await encoding.write({
      blockId: source.id,
      tenant: TENANT,
      compactionLevel: 0,
      groups,
      sink: scratch,
    })
    return { meta, files: scratch.files() }
  } finally {
    await source.close()
  }
}

/** Writes a head's spans as a whole block of the backend. */
export async function writeBlock(
  encoding: BlockEncoding,
  head: FilledHead,
  backend: Backend,
  scratchFolder: string,
): Promise<BlockMeta> {
  const { meta, files } = await encodeHead(encoding, head, scratchFolder)
  for (const { name, path } of files) {
    await backend.putFile(objectPath(TENANT, meta.blockID, name), path)
  }
  await backend.put(objectPath(TENANT, meta.blockID, META_OBJECT), serializeMeta(meta))
  return meta
}

export const blockIdOf = (n: number): string =>
  `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Blocks of about so many spans each for a compaction: about half of the traces have spans in two of them. */
export async function writeShopBlocks(
  encoding: BlockEncoding,
  blocks: number,
  spansPerBlock: number,
  backend: Backend,
  scratchFolder: string,
  now_ns: bigint,
): Promise<BlockMeta[]> {
  const shop = new Shop({ ...SHOP, seed: 1, batch: 4096, split: 2, spread_ms: 60_000 })
  const metas: BlockMeta[] = []
  for (let n = 0; n < blocks; n++) {
    const payloads: Payload[] = []
    let spans = 0
    while (spans < spansPerBlock) {
      const payload = shop.next()
      if (payload) payloads.push(payload)
      else shop.addTrace(now_ns)
      spans += payload?.spans ?? 0
    }
    const head = fillHead(payloads, blockIdOf(n))
    metas.push(await writeBlock(encoding, head, backend, scratchFolder))
  }
  return metas
}
