/** Judges the engine against the naive reference on random traces. */
import { describe, expect, test } from 'vitest'
import { toHex } from '../../src/lib/bytes.js'
import type { ColumnSource } from '../../src/otlp/columns.js'
import { planSearch } from '../../src/traceql/plan.js'
import { mergeSearch, searchSource } from '../../src/traceql/search.js'
import { memorySource } from '../support/memory-source.js'
import type { ResourceSpansObject } from '../support/otlp-objects.js'
import { Random, randomTraces } from './random-traces.js'
import { runPipeline, tracesOf } from './reference.js'

const ALL = { limit: 0, spansPerSpanSet: 1_000_000 }

/** Random traces whose span ids are unique within a trace: the reference knows no shared ids. */
function uniqueTraces(seed: number, count: number): ResourceSpansObject[] {
  const input = randomTraces(seed, count)
  const seen = new Set<string>()
  for (const { scopes } of input) {
    for (const scope of scopes) {
      scope.spans = scope.spans.filter((span) => {
        const id = toHex(span.traceId) + toHex(span.spanId)
        return !seen.has(id) && seen.add(id)
      })
    }
  }
  return input
}

/** What a query finds, as text: trace, then its span sets. */
async function found(source: ColumnSource, query: string) {
  const { traces } = await searchSource(source, planSearch(query), ALL)
  return traces
    .map((t) => {
      const sets = t.spansets.map((set) =>
        set.spans
          .map((s) => s.spanId)
          .sort()
          .join(','),
      )
      return `${t.traceId.padStart(32, '0')}: ${sets.sort().join(' | ')}`
    })
    .sort()
}

function expected(traces: ReturnType<typeof tracesOf>, query: string): string[] {
  const { pipeline } = planSearch(query)
  const out: string[] = []
  for (const [id, nodes] of traces) {
    const sets = runPipeline(pipeline, [nodes])
    const texts = sets.map((set) =>
      set
        .map(({ span }) => toHex(span.spanId))
        .sort()
        .join(','),
    )
    if (texts.length > 0) out.push(`${id}: ${texts.sort().join(' | ')}`)
  }
  return out.sort()
}

const QUERIES = [
  '{}',
  '{ false }',
  '{ span.method = "GET" }',
  '{ span.method != "GET" }',
  '{ span.method = "" }',
  '{ span.method =~ "G.*|P.+" }',
  '{ span.method !~ "G.*" }',
  '{ span.method > "G" && span.method <= "POST" }',
  '{ span.code = 404 || span.code = 500 }',
  '{ span.code != 404 && span.code != 500 }',
  '{ span.code >= 404 }',
  '{ 404 <= span.code }',
  '{ span.code < 0 }',
  '{ span.code > 404 }',
  '{ span.code < 404 }',
  '{ span.code <= 404 }',
  '{ duration > 999ns }',
  '{ duration <= 999ns }',
  '{ duration < 1.5ms }',
  '{ span.ratio < 1.5 }',
  '{ span.ratio >= 1.5 }',
  '{ span.ratio > 1.0 }',
  '{ span.ratio = -3.25 }',
  '{ span.cached }',
  '{ !span.cached }',
  '{ !(span.cached = true) }',
  '{ span.cached = false && status = error }',
  '{ span.absent = "x" }',
  '{ span.absent = nil }',
  '{ span.method = nil || span.code != nil }',
  '{ resource.service.name = "shop" }',
  '{ resource.service.name = "" }',
  '{ resource.service.name =~ "s.*|" }',
  '{ .method = "resource" }',
  '{ .method != "GET" }',
  '{ .code = 200 && .method = "GET" }',
  '{ instrumentation.method = "s1" }',
  '{ name = "" }',
  '{ name =~ "GET.*|query" }',
  '{ kind = server || kind = consumer }',
  '{ status != ok }',
  '{ statusMessage = "oops" && status = error }',
  '{ duration > 1ms }',
  '{ duration = 0s }',
  '{ duration >= 999ns && duration < 3s }',
  '{ span.code + 4 > 404 }',
  '{ span.code - 200 = 0 }',
  '{ span.method = resource.method }',
  '{ (span.code = 200) = (status = ok) }',
  '{ span."a b\\"c" = "odd" }',
  '{ span.code = 200 } && { status = error }',
  '{ span.code = 200 } || { status = error }',
  '{ kind = server } > { status = error }',
  '{ kind = server } >> { status = error }',
  '{ kind = server } < { status = error }',
  '{ kind = server } << { status = error }',
  '{ kind = server } ~ { status = error }',
  '{ kind = server } !> { status = error }',
  '{ kind = server } !>> { status = error }',
  '{ kind = server } !< { status = error }',
  '{ kind = server } !<< { status = error }',
  '{ kind = server } !~ { status = error }',
  '{ kind = server } &> { status = error }',
  '{ kind = server } &>> { status = error }',
  '{ kind = server } &< { status = error }',
  '{ kind = server } &<< { status = error }',
  '{ kind = server } &~ { status = error }',
  '{} > {} > {}',
  '{} >> { span.code = 200 } && { name = "" }',
  '{ status = error } | count() > 1',
  '{} | count() = 3',
  '{} | avg(duration) > 100ms',
  '{} | max(span.code) = 404',
  '{} | min(span.code) < 0',
  '{} | sum(span.code) >= 1000',
  '{} | by(resource.service.name) | count() > 1',
  '{} | by(status) | { kind = server } | coalesce() | count() > 1',
  '{ span.code != nil } | by(span.code > 300)',
  '({ status = error } | count() > 1) && ({ kind = server } | count() > 0)',
  '{ status = ok } | select(span.code, name)',
]

describe.each([1, 2, 3])('random traces of seed %i', (seed) => {
  const input = uniqueTraces(seed, 60)
  const [source, traces] = [memorySource(input, { spansPerGroup: 100 }), tracesOf(input)]
  test.each(QUERIES)('%s finds what the reference finds', async (query) => {
    expect(await found(source, query)).toEqual(expected(traces, query))
  })
})

test('most of the queries find something, or the comparison says nothing', async () => {
  const source = memorySource(uniqueTraces(1, 60), { spansPerGroup: 100 })
  let withAnswer = 0
  for (const query of QUERIES) if ((await found(source, query)).length > 0) withAnswer++
  expect(withAnswer).toBeGreaterThan(QUERIES.length * 0.85)
})

test('random conjunctions agree with the reference', async () => {
  const random = new Random(99)
  const input = uniqueTraces(4, 60)
  const [source, traces] = [memorySource(input, { spansPerGroup: 60 }), tracesOf(input)]
  const single = QUERIES.filter(
    (q) => /^{[^{}]+}$/.test(q) && !q.includes('.method') && q !== '{ false }',
  )
  for (let i = 0; i < 60; i++) {
    const parts = [0, 1].map(() => random.pick(single).slice(1, -1).trim())
    const query = `{ (${parts[0]!}) ${random.pick(['&&', '||'])} (${parts[1]!}) }`
    expect([query, ...(await found(source, query))]).toEqual([query, ...expected(traces, query)])
  }
})

test('groups of any size give the same answer', async () => {
  const input = uniqueTraces(5, 80)
  const query = '{ status = error } >> { span.code != nil } | by(kind)'
  const whole = await found(memorySource(input), query)
  for (const spansPerGroup of [1, 37]) {
    expect(await found(memorySource(input, { spansPerGroup }), query)).toEqual(whole)
  }
})

describe('search', () => {
  const input = uniqueTraces(6, 200)
  const source = memorySource(input, { spansPerGroup: 50 })

  test('stops at the limit with the newest traces, each time the same', async () => {
    const plan = planSearch('{ status = error }')
    const all = await searchSource(source, plan, ALL)
    const some = await searchSource(source, plan, { limit: 7, spansPerSpanSet: 3 })
    expect(some.traces.map((t) => t.traceId)).toEqual(all.traces.slice(0, 7).map((t) => t.traceId))
    const starts = all.traces.map((t) => t.start_ns)
    expect(starts).toEqual([...starts].sort((a, b) => (a < b ? 1 : a > b ? -1 : 0)))
  })

  test('takes traces that overlap the time range, ends included', async () => {
    const plan = planSearch('{}')
    const { traces } = await searchSource(source, plan, ALL)
    const middle = traces[100]!
    const range = { start_ns: middle.end_ns, end_ns: middle.end_ns, ...ALL }
    const hits = (await searchSource(source, plan, range)).traces
    expect(hits.map((t) => t.traceId)).toEqual(
      traces
        .filter((t) => t.start_ns <= middle.end_ns && t.end_ns >= middle.end_ns)
        .map((t) => t.traceId),
    )
    expect(hits.length).toBeGreaterThan(0)
  })

  test('stops when the deadline says so, and says that it did', async () => {
    const stopped = await searchSource(source, planSearch('{}'), { ...ALL, deadline: () => true })
    expect(stopped).toMatchObject({ traces: [], stopped: true })
  })

  test('shows the first spans of a set and how many matched', async () => {
    const { traces } = await searchSource(source, planSearch('{} | count() > 5'), {
      limit: 1,
      spansPerSpanSet: 2,
    })
    expect(traces[0]!.spansets[0]!.spans).toHaveLength(2)
    expect(traces[0]!.spansets[0]!.matched).toBeGreaterThan(5)
  })

  test('a trace that is spread over two sources is one trace', async () => {
    const half = (keep: (i: number) => boolean) =>
      input.map((rs) => ({
        ...rs,
        scopes: rs.scopes.map((ss) => ({ ...ss, spans: ss.spans.filter((_, i) => keep(i)) })),
      }))
    const plan = planSearch('{}')
    const parts = await Promise.all(
      [half((i) => i % 2 === 0), half((i) => i % 2 === 1)].map((part) =>
        searchSource(memorySource(part), plan, ALL),
      ),
    )
    const whole = await searchSource(source, plan, ALL)
    const key = (t: (typeof whole.traces)[0]) => [t.traceId, t.start_ns, t.end_ns]
    expect(mergeSearch(parts, 0).traces.map(key)).toEqual(whole.traces.map(key))
    expect(mergeSearch(parts, 5).traces).toHaveLength(5)
  })

  test('what structured clone carries is what was found', async () => {
    const partial = await searchSource(source, planSearch('{ status = error } | by(name)'), ALL)
    expect(structuredClone(partial)).toEqual(partial)
  })
})

describe('events and links', () => {
  const at = 1_700_000_000_000_000_000n
  const id = (n: number, width: number) => Uint8Array.from([...new Uint8Array(width - 1), n])
  const events = [
    { time: at + 5n, name: 'retry', attributes: { code: 1n } },
    {
      time: at + 2_000_000n,
      name: 'exception',
      attributes: { code: 2n, tags: { array: ['x', 'y'] } },
    },
  ]
  const links = [{ traceId: id(0xab, 16), spanId: id(7, 8), attributes: { via: 'queue' } }]
  const span = { traceId: id(1, 16), spanId: id(1, 8), start: at, end: at + 9n, events, links }
  const source = memorySource([{ scopes: [{ spans: [span] }] }])
  test.each([
    ['{ event:name = "retry" }', 1],
    ['{ event:name != "retry" }', 1],
    ['{ event:name = "none" }', 0],
    // One event must meet both conditions, unless an aggregate makes Tempo look at them apart.
    ['{ event:name = "retry" && event.code = 2 }', 0],
    ['{ event:name = "retry" && event.code = 1 }', 1],
    ['{ event:name = "retry" && event.code = 2 } | count() > 0', 1],
    ['{ event:timeSinceStart > 1ms }', 1],
    ['{ event:timeSinceStart < 5ns }', 0],
    ['{ event.tags = "y" }', 1],
    ['{ event.tags = "z" }', 0],
    ['{ event.absent = nil }', 1],
    ['{ event.tags != nil }', 1],
    ['{ link:traceID = "ab" }', 1],
    ['{ link:spanID = "0000000000000007" }', 1],
    ['{ link.via = "queue" && link:spanID = "0000000000000008" }', 0],
    ['{ trace:id = "0001" }', 1],
    ['{ span:id = "0000000000000001" && span:parentID = "0000000000000000" }', 1],
    ['{ nestedSetParent = -1 && nestedSetLeft = 1 && nestedSetRight = 2 }', 1],
    ['{ traceDuration = 9ns && rootName = "" }', 1],
  ])('%s finds %i', async (query, count) => {
    expect((await searchSource(source, planSearch(query), ALL)).traces).toHaveLength(count)
  })
})

describe('values of several types', () => {
  const at = 1_700_000_000_000_000_000n
  const values = ['a', 7n, 2.5, true, { array: ['a', 'b'] }]
  const spans = values.map((v, i) => ({
    traceId: Uint8Array.from([...new Uint8Array(15), i + 1]),
    spanId: Uint8Array.from([1, 1, 1, 1, 1, 1, 1, 1]),
    start: at,
    end: at,
    attributes: { v, other: 300n },
  }))
  const source = memorySource([{ scopes: [{ spans }] }])
  const traces = async (query: string) =>
    (await searchSource(source, planSearch(query), ALL)).traces
      .map((t) => t.traceId)
      .sort()
      .join('')
  test.each([
    ['{ span.v = "a" }', '15'],
    // Of an array only the elements that differ are seen, and they differ.
    ['{ span.v != "a" }', '5'],
    ['{ span.v > 2 }', '2'],
    ['{ span.v > 2.0 }', '3'],
    ['{ span.v > 2 || span.v > 2.0 }', '23'],
    // Another attribute's condition on integers lets 300 be seen by a comparison with a float.
    ['{ span.other > 1.5 }', ''],
    ['{ span.other > 1.5 || span.v = 300 }', '12345'],
    ['{ span.v = true }', '4'],
    ['{ span.v =~ "b" }', '5'],
    ['{ span.v > 1ns }', ''],
    ['{ span.v > 1 } | by(span.v)', '23'],
  ])('%s finds %s', async (query, ids) => {
    expect(await traces(query)).toBe(ids)
  })
})
