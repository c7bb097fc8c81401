/** Owns making blocks for tests of compaction: spans dealt over several heads, some to more than one. */
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import type { BlockEncoding, BlockMeta } from '../../../src/storage/block/encoding.js'
import { openBlock } from '../../../src/storage/block/registry.js'
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
  encoding: BlockEncoding = blockpack,
): Promise<BlockMeta> {
  const arena = HeadArena.create({ bytes: 64 << 20, readers: 2 })
  const writer = HeadWriter.create(arena, { blockId: id, tenant, partition: 0 })!
  for (const request of requests) writer.append(encodeTraces(request))
  writer.publish(1)
  const head = openHead(arena, writer.headerChunk, { order: 'traceId', groupSpans: 500 })
  const meta = await encoding.write({
    blockId: id,
    tenant,
    compactionLevel: change.compactionLevel ?? 0,
    groups: groupsOf(head),
    sink: backend.sink(tenant, id),
    ...(change.dedicatedColumns && { dedicatedColumns: change.dedicatedColumns }),
  })
  await head.close()
  const changed = { ...meta, ...change }
  await backend.put(objectPath(tenant, id, META_OBJECT), serializeMeta(changed))
  return changed
}

export function open(backend: MemoryBackend, meta: BlockMeta): Promise<ColumnSource> {
  return openBlock(meta, backend)
}

/** What each trace says of itself beside its spans. */
export async function headers(source: ColumnSource): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  for (let i = 0; i < source.groupCount; i++) {
    const group = await source.group(i)
    const ids = (await group.field('trace.id'))!.bytes
    const [start, end] = [await group.field('trace.start'), await group.field('trace.end')]
    const service = await group.field('trace.rootService')
    const name = await group.field('trace.rootName')
    for (let row = 0; row < group.counts.trace; row++) {
      found.set(Buffer.from(ids.subarray(16 * row, 16 * row + 16)).toString('hex'), {
        start: [start!.hi[row], start!.lo[row]],
        end: [end!.hi[row], end!.lo[row]],
        service: service && text(service, row),
        name: name && text(name, row),
      })
    }
  }
  return found
}

function text(column: { codes: Uint32Array; dictionary: { text(code: number): string } }, row: number) {
  const code = column.codes[row]!
  return code === 0 ? '' : column.dictionary.text(code)
} // prettier-ignore
