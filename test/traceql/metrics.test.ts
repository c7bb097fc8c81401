/** Judges metrics against naive counting over plain objects, and their intervals, labels and answers. */
import { describe, expect, test } from 'vitest'
import { IntervalMapper, alignRange, defaultStep_ns } from '../../src/traceql/intervals.js'
import { log2Bucket, log2Quantile } from '../../src/traceql/histogram.js'
import { mergeMetrics, metricsSource, planMetrics } from '../../src/traceql/metrics.js'
import { toQueryInstantResponse, toQueryRangeResponse } from '../../src/traceql/metrics-response.js'
import type { QueryRangeResponse } from '../../src/traceql/response.js'
import { memorySource } from '../support/memory-source.js'
import { BASE_NS, SPREAD_NS, randomTraces } from './random-traces.js'
import { tracesOf } from './reference.js'
import type { Node } from './reference.js'

const STEP_NS = 60_000_000_000n
const OPTIONS = {
  start_ns: BASE_NS,
  end_ns: BASE_NS + SPREAD_NS,
  step_ns: STEP_NS,
  exemplars: 0,
  maxSeries: 0,
}
const input = randomTraces(1, 100)
const source = memorySource(input, { spansPerGroup: 64 })
const nodes = [...tracesOf(input).values()].flat()

async function ask(query: string, options = {}): Promise<QueryRangeResponse> {
  const plan = planMetrics(query, { ...OPTIONS, ...options })
  const partial = structuredClone(await metricsSource(source, plan))
  return toQueryRangeResponse(plan, mergeMetrics(plan, [partial]))
}

/** Series as `label=value,... => timestamp:value ...`. */
const shown = ({ series = [] }: QueryRangeResponse): string[] =>
  series
    .map(({ labels = [], samples = [] }) => {
      const names = labels.map(({ key, value }) => `${key}=${String(Object.values(value)[0])}`)
      const points = samples.map((s) => `${s.timestampMs!}:${round(Number(s.value ?? 0))}`)
      return `${names.join(',')} => ${points.join(' ')}`
    })
    .sort()

/** Sums in another order differ in their last digits: pushed off the ties of rounding. */
const round = (value: number) => Number((value * (1 + 1e-12)).toPrecision(9))

/** The same by hand: what each group of spans comes to in each interval. */
function naive(
  groupOf: (node: Node) => string | undefined,
  value: (nodes: Node[]) => number | undefined,
): string[] {
  const { start_ns, end_ns } = alignRange(OPTIONS.start_ns, OPTIONS.end_ns, STEP_NS)
  const groups = new Map<string | undefined, Node[]>()
  for (const node of nodes) {
    if (node.span.start <= start_ns || node.span.start > end_ns) continue
    const group = groupOf(node)
    groups.set(group, [...(groups.get(group) ?? []), node])
  }
  const out: string[] = []
  for (const [group, members] of groups) {
    if (group === undefined) continue
    const points: string[] = []
    for (let from = start_ns; from < end_ns; from += STEP_NS) {
      const to = from + STEP_NS
      const inside = members.filter((n) => n.span.start > from && n.span.start <= to)
      const result = value(inside)
      if (result !== undefined) points.push(`${to / 1_000_000n}:${round(result)}`)
    }
    if (points.length > 0) out.push(`${group} => ${points.join(' ')}`)
  }
  return out.sort()
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']
const byKind = (n: Node) => `kind=${KINDS[n.span.kind!]!}`
const seconds = (n: Node) => Number(n.span.end - n.span.start) / 1e9
const isError = (n: Node) => n.span.status?.code === 2

describe('against naive counting', () => {
  test('counts include intervals without spans', async () => {
    expect(shown(await ask('{} | count_over_time()'))).toEqual(
      naive(
        () => '__name__=count_over_time',
        (all) => all.length,
      ),
    )
  })
  test('rates are per second of the step', async () => {
    expect(shown(await ask('{ status = error } | rate() by (kind)'))).toEqual(
      naive(
        (n) => (isError(n) ? byKind(n) : undefined),
        (all) => all.length / 60,
      ),
    )
  })
  const some = (of: (all: number[]) => number) => (all: Node[]) =>
    all.length > 0 ? of(all.map(seconds)) : undefined
  test.each([
    ['min_over_time', some((all) => Math.min(...all))],
    ['max_over_time', some((all) => Math.max(...all))],
    ['sum_over_time', some((all) => all.reduce((a, b) => a + b, 0))],
    ['avg_over_time', some((all) => all.reduce((a, b) => a + b, 0) / all.length)],
  ])('%s of durations is in seconds and leaves out empty intervals', async (op, value) => {
    expect(shown(await ask(`{} | ${op}(duration) by (kind)`))).toEqual(naive(byKind, value))
  })
  test('histograms count by powers of two and drop what is under 2 ns', async () => {
    const bucket = (n: Node) => {
      const ns = Number(n.span.end - n.span.start)
      return ns < 2 ? undefined : `__bucket=${2 ** Math.ceil(Math.log2(ns)) / 1e9}`
    }
    expect(shown(await ask('{} | histogram_over_time(duration)'))).toEqual(
      naive(bucket, (all) => all.length),
    )
  })
  test('a pipeline of several stages counts the spans that it leaves', async () => {
    const plain = await ask('{ status = error } | rate()')
    expect(await ask('{} | { status = error } | rate()')).toEqual(plain)
    expect(await ask('({ status = error } && { status = error }) | rate()')).toEqual(plain)
  })
})

test('sources merge into what one source of all would say', async () => {
  const halves = [0, 1].map((half) =>
    memorySource(
      input.map((rs) => ({
        ...rs,
        scopes: rs.scopes.map((ss) => ({
          ...ss,
          spans: ss.spans.filter((_, i) => i % 2 === half),
        })),
      })),
    ),
  )
  const queries = [
    '{} | rate() by (name)',
    '{} | max_over_time(duration) by (status)',
    '{} | avg_over_time(span.code) by (resource.service.name)',
    '{} | quantile_over_time(duration, .5, .99) by (kind)',
    '({ status = error } | rate()) / ({} | rate())',
  ]
  for (const query of queries) {
    const plan = planMetrics(query, OPTIONS)
    const partials = await Promise.all(halves.map((half) => metricsSource(half, plan)))
    const merged = toQueryRangeResponse(plan, mergeMetrics(plan, partials))
    expect([query, ...shown(merged)]).toEqual([query, ...shown(await ask(query))])
  }
})

describe('labels', () => {
  test('missing values make no label, and when all are missing the first is nil', async () => {
    const { series = [] } = await ask('{} | count_over_time() by (span.absent, span.cached)')
    expect(series.map(({ labels }) => JSON.stringify(labels)).sort()).toEqual([
      '[{"key":"span.absent","value":{"stringValue":"nil"}}]',
      '[{"key":"span.cached","value":{"boolValue":false}}]',
      '[{"key":"span.cached","value":{"boolValue":true}}]',
    ])
  })
  test('quantiles are labelled p, one series each', async () => {
    const { series = [] } = await ask('{} | quantile_over_time(duration, .5, .9)')
    expect(series.map(({ labels }) => labels)).toEqual([
      [{ key: 'p', value: { doubleValue: 0.5 } }],
      [{ key: 'p', value: { doubleValue: 0.9 } }],
    ])
  })
  test('a quotient of unnamed series is named after both', async () => {
    const { series } = await ask('({} | rate()) / ({} | count_over_time())')
    expect(series![0]!.labels).toEqual([
      { key: '__name__', value: { stringValue: '(rate / count_over_time)' } },
    ])
  })
})

describe('second stages', () => {
  test('topk takes the greatest of each interval', async () => {
    const all = await ask('{} | count_over_time() by (kind)')
    const top = await ask('{} | count_over_time() by (kind) | topk(1)')
    const greatest = new Map<string, number>()
    for (const { samples = [] } of all.series!) {
      for (const { timestampMs, value } of samples) {
        greatest.set(timestampMs!, Math.max(greatest.get(timestampMs!) ?? 0, Number(value ?? 0)))
      }
    }
    const taken = top.series!.flatMap(({ samples = [] }) => samples)
    expect(taken).toHaveLength(greatest.size)
    for (const s of taken) expect(Number(s.value ?? 0)).toBe(greatest.get(s.timestampMs!))
  })
  test('comparisons drop samples, arithmetic changes them, division by zero leaves none', async () => {
    const plain = shown(await ask('{} | count_over_time() by (kind)')).join(' ')
    const filtered = shown(await ask('{} | count_over_time() by (kind) > 5')).join(' ')
    expect(filtered.length).toBeLessThan(plain.length)
    expect(filtered).not.toMatch(/:[0-5]( |$)/)
    expect(shown(await ask('({} | count_over_time()) * 2 - 1'))).toEqual(
      naive(
        () => '__name__=count_over_time',
        (all) => all.length * 2 - 1,
      ),
    )
    expect((await ask('({} | rate()) / 0')).series).toBeUndefined()
  })
})

test('too many series are cut, marked and explained', async () => {
  const response = await ask('{} | rate() by (span:id)', { maxSeries: 3 })
  expect(response.series).toHaveLength(3)
  expect(response.status).toBe('PARTIAL')
  expect(response.message).toContain('maximum series limit of 3')
})

test('exemplars name traces and take the value of their sample', async () => {
  const { series } = await ask('{ span.method = "GET" } | rate()', { exemplars: 6 })
  const exemplars = series![0]!.exemplars!
  expect(exemplars.length).toBeGreaterThan(0)
  expect(exemplars.length).toBeLessThanOrEqual(6)
  const samples = new Set(series![0]!.samples!.map(({ value }) => value))
  for (const { labels, value } of exemplars) {
    expect(labels!.map(({ key }) => key)).toEqual(['trace:id', 'span.method'])
    expect(samples).toContain(value)
  }
})

test('an instant query is one value over the whole range', async () => {
  const plan = planMetrics('{} | count_over_time() by (kind)', { ...OPTIONS, step_ns: 0n })
  const merged = mergeMetrics(plan, [await metricsSource(source, plan)])
  const total = toQueryInstantResponse(plan, merged).series!.reduce(
    (n, s) => n + Number(s.value),
    0,
  )
  const inside = nodes.filter(
    ({ span }) => span.start > OPTIONS.start_ns && span.start <= OPTIONS.end_ns,
  )
  expect(total).toBe(inside.length)
})

test.each([
  ['{} | compare({ status = error })', 'compare()'],
  ['{} | rate() with(extrapolate=true)', 'extrapolate'],
])('%s is refused by name', (query, words) => {
  expect(() => planMetrics(query, OPTIONS)).toThrow(words)
})

test.each([
  [{ end_ns: BASE_NS }, 'end must be greater than start'],
  [{ step_ns: 1_000n }, 'intervals are over'],
])('a bad range is refused: %o', (options, words) => {
  expect(() => planMetrics('{} | rate()', { ...OPTIONS, ...options })).toThrow(words)
})

describe('intervals', () => {
  test('ranges grow to whole steps and one more at the start', () => {
    expect(alignRange(95n, 201n, 10n)).toMatchObject({ start_ns: 80n, end_ns: 210n })
    expect(alignRange(90n, 200n, 10n)).toMatchObject({ start_ns: 80n, end_ns: 200n })
  })
  test('a time on a border belongs to the interval that ends there', () => {
    const start_ns = 2n ** 40n * 1000n
    const range = { start_ns, end_ns: start_ns + 30n, step_ns: 10n, isInstant: false }
    const mapper = new IntervalMapper(range)
    const of = (ns: bigint) => mapper.of(Number(ns >> 32n), Number(ns & 0xffffffffn))
    const found = [0n, 1n, 10n, 11n, 20n, 30n, 31n].map((ns) => of(start_ns + ns))
    expect(found).toEqual([-1, 0, 0, 1, 1, 2, -1])
  })
  test.each([
    [30, 125n],
    [3600, 15_000n],
    [86_400, 360_000n - 60_000n],
    [604_800, 2_400_000n],
  ])('a range of %i s has a step of %i ms by default', (range_s, step_ms) => {
    const step = defaultStep_ns(0n, BigInt(range_s) * 1_000_000_000n)
    const allowed = [step_ms * 1_000_000n, 100_000_000n]
    expect(allowed).toContain(step)
  })
})

test('buckets are powers of two at or above the value', () => {
  expect([2, 3, 4, 5, 1024, 1025].map(log2Bucket)).toEqual([2, 4, 4, 8, 1024, 2048])
})

test('quantiles interpolate exponentially between buckets', () => {
  const buckets = [
    { max: 2, count: 1 },
    { max: 8, count: 2 },
  ]
  expect(log2Quantile(1, buckets)).toBe(8)
  expect(log2Quantile(0.3, buckets)).toBe(2)
  expect(log2Quantile(0.5, buckets)).toBe(4)
  expect(log2Quantile(0.5, [])).toBe(0)
})
