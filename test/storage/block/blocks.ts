/** Owns what the tests of blocks share: building one in memory, and a trace in a form that can be compared. */
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { assembleTrace } from '../../../src/storage/block/assemble.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import type { ColumnSource, RowGroup } from '../../../src/otlp/columns.js'
import { toHex } from '../../../src/lib/bytes.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { attributePairs, decodeTraces, encodeAnyValue } from '../../support/otlp-objects.js'
import type { Attributes, ResourceSpansObject } from '../../support/otlp-objects.js'

export const BLOCK_ID = '11111111-2222-4333-8444-555555555555'
export const TENANT = 'single-tenant'
export const DATA_PATH = `${TENANT}/${BLOCK_ID}/data.blockpack`

export async function* groupsOf(source: ColumnSource): AsyncGenerator<RowGroup> {
  for (let i = 0; i < source.groupCount; i++) yield await source.group(i)
}

export async function build(
  groups: AsyncIterable<RowGroup> | Iterable<RowGroup>,
): Promise<{ meta: BlockMeta; backend: MemoryBackend; data: Uint8Array }> {
  const backend = new MemoryBackend()
  const sink = backend.sink(TENANT, BLOCK_ID)
  const request = { blockId: BLOCK_ID, tenant: TENANT, compactionLevel: 0, groups, sink }
  const meta = await blockpack.write(request)
  return { meta, backend, data: backend.objects.get(DATA_PATH)! }
}

/** Every trace of a source by id, each as a sorted list of spans with all that they were sent under. */
export async function tracesOf(source: ColumnSource): Promise<Map<string, string[]>> {
  const traces = new Map<string, string[]>()
  for await (const group of groupsOf(source)) {
    const ids = (await group.field('trace.id'))?.bytes ?? new Uint8Array(16)
    for (let row = 0; row < group.counts.trace; row++) {
      const id = toHex(ids.subarray(16 * row, 16 * (row + 1)))
      traces.set(id, spansOf(decodeTraces(await assembleTrace(group, row))))
    }
  }
  return traces
}

/** The spans as texts, in an order that does not depend on how they were sent. */
export function spansOf(resourceSpans: readonly ResourceSpansObject[]): string[] {
  const out: string[] = []
  for (const rs of resourceSpans) {
    for (const ss of rs.scopes) {
      for (const span of ss.spans) {
        out.push(
          text({
            resource: content(rs.resource),
            resourceSchema: rs.schemaUrl ?? '',
            scope: content(ss.scope),
            scopeSchema: ss.schemaUrl ?? '',
            span: {
              ...content(span),
              events: (span.events ?? []).map(content),
              links: (span.links ?? []).map(content),
            },
          }),
        )
      }
    }
  }
  return out.sort()
}

/** Attributes by key and type with the last value of each, defaults left out, so that equal meaning is equal text. */
function content(object: { attributes?: Attributes } | undefined): Record<string, unknown> {
  const attributes = new Map<string, string>()
  for (const [key, value] of attributePairs(object?.attributes)) {
    const bytes = encodeAnyValue(value)
    const type = bytes[0] === undefined || bytes[0] >= 0x2a ? 'any' : String(bytes[0])
    attributes.set(`${key} ${type}`, toHex(bytes))
  }
  return { ...object, attributes: [...attributes].sort() }
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (typeof v === 'bigint') return `${v}n`
    if (v instanceof Uint8Array) return toHex(v)
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return v
    const entries = Object.entries(v).filter(([, item]) => !isDefault(item))
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === 0 || value === 0n || value === '') return true
  if (value instanceof Uint8Array) return value.every((byte) => byte === 0)
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && value !== null && Object.values(value).every(isDefault)
}
