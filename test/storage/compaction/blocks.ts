/** Owns making blocks for tests of compaction: spans dealt over several heads, some to more than one. */
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { META_OBJECT, objectPath, serializeMeta } from '../../../src/storage/block/meta.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { encodeTraces, type ResourceSpansObject } from '../../support/otlp-objects.js'
import type { Random } from '../../support/random.js'
import { groupsOf } from '../block/blocks.js'

export const TENANT = 'single-tenant'

export const blockId = (n: number): string =>
  `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Deals the spans of each request over `count` lots; every fifth goes to two of them. */
export function deal(
  random: Random,
  requests: readonly ResourceSpansObject[][],
  count: number,
): ResourceSpansObject[][][] {
  const lots = Array.from({ length: count }, (): ResourceSpansObject[][] => [])
  for (const request of requests) {
    const owners = new Map<object, Set<number>>()
    const isIn = (span: object, lot: number): boolean => {
      let chosen = owners.get(span)
      if (!chosen) {
        chosen = new Set([random.below(count)])
        if (random.oneIn(5)) chosen.add(random.below(count))
        owners.set(span, chosen)
      }
      return chosen.has(lot)
    }
    for (const [lot, dealt] of lots.entries()) {
      dealt.push(
        request.map((rs) => ({
          ...rs,
          scopes: rs.scopes.map((ss) => ({
            ...ss,
            spans: ss.spans.filter((span) => isIn(span, lot)),
          })),
        })),
      )
    }
  }
  return lots
}

/** A block of what was sent, in the backend with its meta.json. */
export async function putBlock(
  backend: MemoryBackend,
  id: string,
  requests: readonly ResourceSpansObject[][],
  change: Partial<BlockMeta> = {},
  tenant = TENANT,
): Promise<BlockMeta> {
  const arena = HeadArena.create({ bytes: 64 << 20, readers: 2 })
  const writer = HeadWriter.create(arena, { blockId: id, tenant, partition: 0 })!
  for (const request of requests) writer.append(encodeTraces(request))
  writer.publish(1)
  const head = openHead(arena, writer.headerChunk, { order: 'traceId', groupSpans: 500 })
  const meta = await blockpack.write({
    blockId: id,
    tenant,
    compactionLevel: change.compactionLevel ?? 0,
    groups: groupsOf(head),
    sink: backend.sink(tenant, id),
  })
  await head.close()
  const changed = { ...meta, ...change }
  await backend.put(objectPath(tenant, id, META_OBJECT), serializeMeta(changed))
  return changed
}

export function open(backend: MemoryBackend, meta: BlockMeta): Promise<ColumnSource> {
  return blockpack.open(meta, backend)
}
