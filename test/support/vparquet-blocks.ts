/** Owns making vParquet blocks for tests: spans go into a live head, and the block is written from its columns. */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ColumnSource, RowGroup } from '../../src/otlp/columns.js'
import type { BlockMeta, BlockSink } from '../../src/storage/block/encoding.js'
import { serializeMeta } from '../../src/storage/block/meta.js'
import { HeadArena } from '../../src/storage/head/arena.js'
import { openHead } from '../../src/storage/head/source.js'
import { HeadWriter } from '../../src/storage/head/writer.js'
import type { Version } from '../../src/storage/vparquet/write/schema.js'
import { writeVparquet, type VparquetOptions } from '../../src/storage/vparquet/write/writer.js'
import { attributePairs } from './otlp-objects.js'
import type {
  Attributes,
  LinkObject,
  ResourceSpansObject,
  SpanObject,
  Value,
} from './otlp-objects.js'

export const TENANT = 'single-tenant'

/** The columns of a head with these requests in it, in the order of trace ids. */
export function headOf(requests: readonly Uint8Array[], blockId: string, groupSpans = 16_384) {
  const arena = HeadArena.create({ bytes: 64 << 20, readers: 2 })
  const writer = HeadWriter.create(arena, { blockId, tenant: TENANT, partition: 0 })!
  for (const request of requests) writer.append(request)
  writer.publish(1)
  return openHead(arena, writer.headerChunk, { order: 'traceId', groupSpans })
}

export async function* groupsOf(source: ColumnSource): AsyncGenerator<RowGroup> {
  for (let i = 0; i < source.groupCount; i++) yield await source.group(i)
}

export class MemorySink implements BlockSink {
  readonly objects = new Map<string, Buffer>()
  create(name: string) {
    const parts: Buffer[] = []
    return Promise.resolve({
      write: (bytes: Uint8Array) => Promise.resolve(void parts.push(Buffer.from(bytes))),
      close: () => Promise.resolve(void this.objects.set(name, Buffer.concat(parts))),
    })
  }
}

export interface MadeBlock {
  readonly meta: BlockMeta
  readonly objects: ReadonlyMap<string, Buffer>
}

export async function makeBlock(
  version: Version,
  source: ColumnSource,
  options: VparquetOptions = {},
): Promise<MadeBlock> {
  const sink = new MemorySink()
  const meta = await writeVparquet(version, { blockId: source.id, tenant: TENANT, compactionLevel: 0, groups: groupsOf(source), sink }, options) // prettier-ignore
  return { meta, objects: sink.objects }
}

/** Puts a block below a local backend's folder, meta.json last. */
export async function saveBlock(folder: string, { meta, objects }: MadeBlock): Promise<void> {
  const place = join(folder, meta.tenantID, meta.blockID)
  await mkdir(place, { recursive: true })
  for (const [name, bytes] of objects) await writeFile(join(place, name), bytes)
  await writeFile(join(place, 'meta.json'), serializeMeta(meta))
}

/** A block id that depends on a name alone. */
export function blockIdOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/**
 * Traces as Tempo's schema can have them: without schema URLs, flags and an empty service name; and what is kept as JSON
 * (maps, arrays of several types) with U+FFFD where a text is no UTF-8.
 */
export function asInParquet(traces: readonly ResourceSpansObject[]): ResourceSpansObject[] {
  const link = ({ flags: _, ...kept }: LinkObject): LinkObject => withAttributes(kept)
  const span = ({ flags: _, ...kept }: SpanObject): SpanObject =>
    withAttributes({
      ...kept,
      events: (kept.events ?? []).map(withAttributes),
      links: (kept.links ?? []).map(link),
    })
  return traces.map(({ resource = {}, scopes }) => ({
    resource: withAttributes({ ...resource, attributes: withoutEmptyService(resource.attributes) }),
    scopes: scopes.map(({ scope = {}, spans }) => ({
      scope: withAttributes(scope),
      spans: spans.map(span),
    })),
  }))
}

function withoutEmptyService(attributes: Attributes | undefined): Attributes {
  return attributePairs(attributes).filter(([key, value]) => key !== 'service.name' || value !== '')
}

function withAttributes<T extends { attributes?: Attributes }>(object: T): T {
  const attributes = attributePairs(object.attributes).map(
    ([key, value]) => [key, isOneType(value) ? value : asJson(value)] as const,
  )
  return { ...object, attributes }
}

/** Scalars, and arrays that have a column. */
function isOneType(value: Value): boolean {
  if (typeof value !== 'object' || value === null || 'utf8' in value) return true
  if (!('array' in value)) return false
  const types = new Set(value.array.map((item) => (isText(item) ? 'string' : typeof item)))
  return types.size < 2 && !types.has('object')
}

const isText = (value: Value): boolean =>
  typeof value === 'string' || (typeof value === 'object' && value !== null && 'utf8' in value)

function asJson(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  if ('utf8' in value) return Buffer.from(value.utf8).toString()
  if ('array' in value) return { array: value.array.map(asJson) }
  return 'map' in value ? { map: value.map.map(([key, item]) => [key, asJson(item)]) } : value
}
