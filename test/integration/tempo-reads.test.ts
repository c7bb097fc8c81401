import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../src/lib/bytes.js'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { LocalBackend } from '../../src/storage/backend/local.js'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { compact } from '../../src/storage/compaction/compact.js'
import { markCompacted, publish } from '../../src/storage/compaction/marks.js'
import type { Version } from '../../src/storage/vparquet/write/schema.js'
import { spansOf } from '../storage/block/blocks.js'
import {
  attributePairs,
  decodeTraces,
  encodeTraces,
  lengthDelimited,
} from '../support/otlp-objects.js'
import type { ResourceSpansObject, SpanObject, Value } from '../support/otlp-objects.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { shopTraces } from '../support/shop-traces.js'
import { Tempo } from '../support/tempo.js'
import { TENANT, asInParquet, blockIdOf, headOf, makeBlock, saveBlock } from '../support/vparquet-blocks.js' // prettier-ignore

const EDGE = readFileSync(new URL('../fixtures/edge.bin', import.meta.url))
/** edge.bin is of this hour. */
const EDGE_START_S = Date.parse('2026-11-21T07:00:00Z') / 1000
const SHOP_TRACES = 400
const SHOP_END_S = Date.parse('2025-03-01T12:00:00Z') / 1000
const AT_ONCE = 6
const LOTS = 3

/** A span with all that it was sent under, as the queries see it. */
interface Flat {
  readonly trace: string
  readonly span: SpanObject
  readonly attributes: ReadonlyMap<string, Value>
  readonly resource: ReadonlyMap<string, Value>
  readonly scope: string
}

function flatten(traces: readonly ResourceSpansObject[]): Flat[] {
  return traces.flatMap((rs) =>
    rs.scopes.flatMap((ss) =>
      ss.spans.map((span) => ({
        trace: toHex(span.traceId),
        span,
        attributes: new Map(attributePairs(span.attributes)),
        resource: new Map(attributePairs(rs.resource?.attributes)),
        scope: ss.scope?.name ?? '',
      })),
    ),
  )
}

const isText = (value: Value | undefined, regex: RegExp) =>
  typeof value === 'string' && regex.test(value)
const isOver = (value: Value | undefined, least: bigint) =>
  typeof value === 'bigint' && value >= least
const isRoot = ({ span }: Flat) => (span.parentSpanId ?? []).length === 0
const duration_ms = ({ span }: Flat) => Number(span.end - span.start) / 1e6

/** Queries of one spanset, with what they mean. */
const FILTERS: readonly (readonly [string, (flat: Flat) => boolean])[] = [
  ['{}', () => true],
  ['{ resource.service.name = "payment" }', (s) => s.resource.get('service.name') === 'payment'],
  ['{ resource.k8s.pod.name =~ "cart.*" }', (s) => isText(s.resource.get('k8s.pod.name'), /^cart/)],
  ['{ resource.process.pid = 101 }', (s) => s.resource.get('process.pid') === 101n],
  ['{ span.http.status_code >= 500 }', (s) => isOver(s.attributes.get('http.status_code'), 500n)],
  ['{ span.http.method = "POST" && span.http.route = "/api/cart" }', (s) => s.attributes.get('http.method') === 'POST' && s.attributes.get('http.route') === '/api/cart'],
  ['{ span.http.url =~ ".*session=1.*" }', (s) => isText(s.attributes.get('http.url'), /session=1/)],
  ['{ span.db.system != nil }', (s) => s.attributes.has('db.system')],
  ['{ span.http.retry = true }', (s) => s.attributes.get('http.retry') === true],
  ['{ name =~ "SELECT.*" && kind = client }', (s) => isText(s.span.name, /^SELECT/) && s.span.kind === 3],
  ['{ status = error }', (s) => s.span.status?.code === 2],
  ['{ duration > 1500ms }', (s) => duration_ms(s) > 1500],
  ['{ nestedSetParent < 0 }', isRoot],
  ['{ instrumentation:name =~ ".*otelhttp" }', (s) => s.scope.endsWith('otelhttp')],
  ['{ event:name = "exception" }', (s) => (s.span.events ?? []).some(({ name }) => name === 'exception')],
] // prettier-ignore

/** What was sent of each trace. A span that was sent twice is one span in a head. */
function spansByTrace(requests: readonly Uint8Array[]) {
  const parts = new Map<string, ResourceSpansObject[]>()
  for (const rs of requests.flatMap((bytes) => decodeTraces(bytes))) {
    for (const scope of rs.scopes) {
      for (const span of scope.spans) {
        const id = toHex(span.traceId)
        parts.set(id, [...(parts.get(id) ?? []), { ...rs, scopes: [{ ...scope, spans: [span] }] }])
      }
    }
  }
  const traces = new Map<string, { spans: string[]; sharesIds: boolean }>()
  for (const [id, all] of parts) {
    const spans = [...new Set(spansOf(asInParquet(all)))]
    const ids = new Set(flatten(all).map(({ span }) => toHex(span.spanId)))
    traces.set(id, { spans, sharesIds: ids.size < spans.length })
  }
  return traces
}

const tracesOf = (spans: readonly Flat[]) => new Set(spans.map(({ trace }) => trace))
const title = peerTitle('a real Tempo reads our blocks', 'tempo')

/** Each request goes to one of three lots, and now and then to two. */
function inLots(requests: readonly Uint8Array[]): Uint8Array[][] {
  const isIn = (i: number, lot: number) => i % LOTS === lot || (i % 5 === 0 && (i + 1) % LOTS === lot)
  return Array.from({ length: LOTS }, (_, lot) => requests.filter((__, i) => isIn(i, lot)))
} // prettier-ignore

/** Many parts and several row groups, so that traces are looked for across all of them. */
async function writeBlock(folder: string, version: Version, name: string, requests: readonly Uint8Array[]) {
  const source = headOf(requests, blockIdOf(name), 700)
  const block = await makeBlock(version, source, { rowGroupTraces: 500 })
  await saveBlock(folder, block)
  await source.close()
  return block.meta
} // prettier-ignore

/** The same spans in a block that was merged from three, which are marked as Tempo marks them. */
async function writeMerged(folder: string, version: Version, name: string, requests: readonly Uint8Array[]) {
  const inputs: BlockMeta[] = []
  for (const [i, lot] of inLots(requests).entries()) {
    inputs.push(await writeBlock(folder, version, `${name} ${i}`, lot))
  }
  const backend = new LocalBackend(folder, { clock: systemClock, log: silentLog, sync: false })
  const scratch = mkdtempSync(join(tmpdir(), 'tempo-reads-'))
  const { meta, counts } = await compact({ inputs, scratch, partSpans: 900, merge: { groupSpans: 1200 } }, backend)
  rmSync(scratch, { recursive: true })
  expect(counts.combinedTraces).toBeGreaterThan(5)
  expect(counts.duplicateSpans).toBeGreaterThan(100)
  await publish(backend, meta)
  for (const input of inputs) await markCompacted(backend, input, systemClock.now())
  return meta
} // prettier-ignore

const WAYS = { written: writeBlock, merged: writeMerged }

describe.skipIf(!peerPath('tempo')).each<[Version, keyof typeof WAYS]>([
  ['vParquet4', 'written'],
  ['vParquet5', 'written'],
  ['vParquet4', 'merged'],
  ['vParquet5', 'merged'],
])(`${title}: %s, %s`, (version, way) => {
  const edge = [...lengthDelimited(EDGE)]
  const shop = shopTraces({ traces: SHOP_TRACES, end_ns: BigInt(SHOP_END_S) * 1_000_000_000n }).map((rs) => encodeTraces([rs])) // prettier-ignore
  const shopSpans = flatten(shop.flatMap((bytes) => decodeTraces(bytes)))
  const ids: string[] = []
  let tempo: Tempo

  beforeAll(async () => {
    tempo = await Tempo.prepare()
    for (const [i, requests] of [edge, shop].entries()) {
      const { blockID } = await WAYS[way](tempo.blocks, version, `${version} ${i}`, requests)
      ids.push(blockID)
    }
    await tempo.run()
  })
  afterAll(async () => {
    await tempo.stop()
  })

  const search = async (query: string, start_s = SHOP_END_S - 3600) => {
    const parameters = { q: query, limit: '5000', spss: '1', start: String(start_s), end: String(start_s + 7200) } // prettier-ignore
    const found = (await tempo.json('/api/search', parameters)) as {
      traces?: { traceID: string; rootServiceName?: string; rootTraceName?: string }[]
    }
    return found.traces ?? []
  }
  const idsOf = (found: readonly { traceID: string }[]) =>
    found.map(({ traceID }) => traceID.padStart(32, '0')).sort()

  test.each([
    ['edge.bin', edge],
    ['the shop', shop],
  ])('every trace of %s comes back by its id, span by span', async (_, requests) => {
    const expected = spansByTrace(requests)
    const queue = [...expected]
    const ask = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        const [id, { spans, sharesIds }] = next
        const bytes = await tempo.get(`/api/traces/${id}`, {}, 'application/protobuf')
        const found = spansOf(asInParquet(decodeTraces(bytes)))
        // Tempo answers with an id of its own where client and server share one.
        if (sharesIds) expect(found).toHaveLength(spans.length)
        else expect(found).toEqual(spans)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, ask))
  })

  test.each(FILTERS)('%s finds the traces that were sent', async (query, matches) => {
    const expected = [...tracesOf(shopSpans.filter(matches))].sort()
    expect(expected.length).toBeGreaterThan(0)
    expect(idsOf(await search(query))).toEqual(expected)
  })

  test('structural, counting and root queries find the traces that were sent', async () => {
    const byId = new Map(shopSpans.map((flat) => [toHex(flat.span.spanId), flat]))
    const parentOf = ({ span }: Flat) => byId.get(toHex(span.parentSpanId ?? new Uint8Array(0)))
    const isBelowCart = (flat: Flat) => {
      for (let up = parentOf(flat); up; up = parentOf(up)) {
        if (up.resource.get('service.name') === 'cart') return true
      }
      return false
    }
    const below = shopSpans.filter((s) => s.span.status?.code === 2 && isBelowCart(s))
    expect(idsOf(await search('{ resource.service.name = "cart" } >> { status = error }'))).toEqual([...tracesOf(below)].sort()) // prettier-ignore
    const children = shopSpans.filter((s) => s.span.kind === 3 && parentOf(s)?.span.kind === 2)
    expect(idsOf(await search('{ kind = server } > { kind = client }'))).toEqual([...tracesOf(children)].sort()) // prettier-ignore
    const counts = new Map<string, number>()
    for (const { trace } of shopSpans) counts.set(trace, (counts.get(trace) ?? 0) + 1)
    const large = [...counts].filter(([, count]) => count > 20).map(([trace]) => trace)
    expect(idsOf(await search('{} | count() > 20'))).toEqual(large.sort())
    const roots = await search('{ rootServiceName = "frontend" }')
    expect(roots).toHaveLength(SHOP_TRACES)
    const root = shopSpans.find(isRoot)!
    const answer = roots.find(({ traceID }) => traceID.padStart(32, '0') === root.trace)
    expect(answer).toMatchObject({ rootServiceName: 'frontend', rootTraceName: root.span.name })
  })

  test('arrays and values without a type of their own are found in edge.bin', async () => {
    expect(await search('{ span.sa = "a" }', EDGE_START_S)).toHaveLength(1)
    expect((await search('{}', EDGE_START_S)).length).toBe(1508)
  })

  test('metrics by service are the counts that were sent', async () => {
    const parameters = { q: '{} | count_over_time() by (resource.service.name)', start: String(SHOP_END_S - 600), end: String(SHOP_END_S + 600), step: '60s' } // prettier-ignore
    const { series } = (await tempo.json('/api/metrics/query_range', parameters)) as {
      series: { labels: { value: { stringValue: string } }[]; samples: { value?: number }[] }[]
    }
    const found = series.map(({ labels, samples }) => [
      labels[0]!.value.stringValue,
      samples.reduce((sum, { value = 0 }) => sum + value, 0),
    ])
    const counts = new Map<string, number>()
    for (const { resource } of shopSpans) {
      const service = resource.get('service.name') as string
      counts.set(service, (counts.get(service) ?? 0) + 1)
    }
    expect(new Map(found as [string, number][])).toEqual(counts)
  })

  test.skipIf(!peerPath('tempo-cli'))('tempo-cli lists and analyses both blocks', async () => {
    const list = await tempo.cli(['list', 'blocks'], [TENANT])
    for (const id of ids) expect(list).toContain(id)
    const analysis = await tempo.cli(['analyse', 'block'], [TENANT, ids[1]!])
    expect(analysis).toContain(`Total rows: ${shopSpans.length}`)
    expect(analysis).toMatch(/http\.route \(dedicated\)/)
  })
})
