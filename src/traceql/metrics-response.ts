/** Owns finishing metrics: rates, averages and quantiles, second stages, and Tempo's query_range and instant answers. */
import type { MetricsAggregate } from './ast.js'
import { log2Quantile } from './histogram.js'
import type { Bucket } from './histogram.js'
import { IntervalMapper } from './intervals.js'
import { BUCKET_LABEL } from './metrics.js'
import type { MetricsPartial, MetricsPlan, PartialSeries } from './metrics.js'
import { anyValueOf, jsonNumber, searchMetrics, withoutZeros } from './response.js'
import type {
  ExemplarResponse,
  JobCounts,
  KeyValue,
  QueryInstantResponse,
  QueryRangeResponse,
  Sample,
  SeriesResponse,
} from './response.js'
import { evaluateSeries, labelsKey, seriesSet } from './series.js'
import type { Exemplar, Label, SeriesSet, TimeSeries } from './series.js'
import { compareText, staticFloat, toFloat } from './static.js'

/** At most this many exemplars in each of `exemplars / 2` equal parts of the range. */
const MAX_EXEMPLARS_PER_PART = 2

/** The finished series of a query: as they are shown, sorted. */
export function finishMetrics(plan: MetricsPlan, merged: MetricsPartial): TimeSeries[] {
  const sets = plan.leaves.map(({ first }, i) => {
    const series = capExemplars(plan, merged.leaves[i] ?? [])
    return finishLeaf(first, series, plan)
  })
  const result = evaluateSeries(plan.series, sets[Symbol.iterator]())
  return [...result.values()]
    .filter(({ values }) => !values.every(Number.isNaN))
    .sort((a, b) => compareLabels(a.labels, b.labels))
}

function finishLeaf(
  first: MetricsAggregate,
  series: readonly PartialSeries[],
  plan: MetricsPlan,
): SeriesSet {
  if (first.op === 'quantile_over_time') return quantiles(first, series)
  const perSecond = 1 / (Number(plan.range.step_ns) / 1e9)
  return seriesSet(
    series.map(({ labels, values, weights, exemplars }) => ({
      labels,
      exemplars,
      values:
        first.op === 'rate'
          ? values.map((v) => v * perSecond)
          : weights
            ? values.map((v, i) => (weights[i]! > 0 ? v / weights[i]! : NaN))
            : values,
    })),
  )
}

interface Histogram {
  readonly labels: readonly Label[]
  readonly buckets: { readonly max: number; readonly counts: Float64Array }[]
  readonly exemplars: Exemplar[]
}

function quantiles(first: MetricsAggregate, series: readonly PartialSeries[]): SeriesSet {
  const histograms = new Map<string, Histogram>()
  for (const { labels, values, exemplars } of series) {
    const rest = labels.filter(({ name }) => name !== BUCKET_LABEL)
    const bucket = labels.find(({ name }) => name === BUCKET_LABEL)
    if (!bucket) continue
    const key = labelsKey(rest)
    let histogram = histograms.get(key)
    if (!histogram) histograms.set(key, (histogram = { labels: rest, buckets: [], exemplars: [] }))
    histogram.buckets.push({ max: toFloat(bucket.value), counts: values })
    histogram.exemplars.push(...exemplars)
  }
  const overall = overallQuantiles(first.quantiles, [...histograms.values()])
  const out: TimeSeries[] = []
  for (const { labels, buckets, exemplars } of histograms.values()) {
    buckets.sort((a, b) => a.max - b.max)
    const intervals = buckets[0]!.counts.length
    for (const [at, q] of first.quantiles.entries()) {
      const values = new Float64Array(intervals)
      for (let i = 0; i < intervals; i++) {
        const counts = buckets.map(({ max, counts: c }) => ({ max, count: c[i]! }))
        values[i] = log2Quantile(
          q,
          counts.filter(({ count }) => count > 0),
        )
      }
      const shown = exemplars.filter(({ value }) => closest(overall, value) === at)
      out.push({
        labels: [...labels, { name: 'p', value: staticFloat(q) }],
        values,
        exemplars: shown,
      })
    }
  }
  return seriesSet(out)
}

/** The quantiles of everything: an exemplar is shown with the one that it is nearest to. */
function overallQuantiles(qs: readonly number[], histograms: readonly Histogram[]): number[] {
  const totals = new Map<number, number>()
  for (const { max, counts } of histograms.flatMap(({ buckets }) => buckets)) {
    totals.set(
      max,
      counts.reduce((sum, n) => sum + n, totals.get(max) ?? 0),
    )
  }
  const buckets: Bucket[] = [...totals].map(([max, count]) => ({ max, count }))
  buckets.sort((a, b) => a.max - b.max)
  return qs.map((q) => log2Quantile(q, buckets))
}

function closest(values: readonly number[], to: number): number {
  let best = -1
  for (const [i, value] of values.entries()) {
    if (best < 0 || Math.abs(to - value) < Math.abs(to - values[best]!)) best = i
  }
  return best
}

/** Spreads exemplars over the range. */
function capExemplars(
  plan: MetricsPlan,
  series: readonly PartialSeries[],
): readonly PartialSeries[] {
  const { start_ns, end_ns } = plan.range
  if (plan.exemplars === 0) return series.map((s) => ({ ...s, exemplars: [] }))
  const parts = Math.max(1, Math.floor(plan.exemplars / MAX_EXEMPLARS_PER_PART))
  const [start, end] = [Number(start_ns / 1_000_000n), Number(end_ns / 1_000_000n)]
  const width = Math.max(1, Math.floor((end - start) / parts))
  const counts = new Uint32Array(parts)
  let left = plan.exemplars
  return series.map((s) => ({
    ...s,
    exemplars: s.exemplars.filter(({ timestamp_ms }) => {
      if (left === 0 || timestamp_ms < start || timestamp_ms > end) return false
      const part = Math.min(parts - 1, Math.floor((timestamp_ms - start) / width))
      if (counts[part]! >= MAX_EXEMPLARS_PER_PART) return false
      counts[part]!++
      left--
      return true
    }),
  }))
}

/** Fewer labels first, then by name and value as protobuf prints them. */
function compareLabels(a: readonly Label[], b: readonly Label[]): number {
  if (a.length !== b.length) return a.length - b.length
  for (const [i, { name, value }] of a.entries()) {
    const other = b[i]!
    const order =
      compareText(name, other.name) || compareText(printedValue(value), printedValue(other.value))
    if (order !== 0) return order
  }
  return 0
}

function printedValue(value: Label['value']): string {
  const [[kind, content]] = Object.entries(anyValueOf(value)) as [[string, unknown]]
  const order = { stringValue: 'string_value', intValue: 'int_value', doubleValue: 'double_value' }
  return `${(order as Record<string, string>)[kind] ?? 'bool_value'}:${JSON.stringify(content)}`
}

const labelsOf = (labels: readonly Label[]): KeyValue[] =>
  labels.map(({ name, value }) => ({ key: name, value: anyValueOf(value) }))

/** Set when an answer is not whole: why. */
function partialOf(
  plan: MetricsPlan,
  merged: MetricsPartial,
): { status: 'PARTIAL'; message: string } | undefined {
  if (merged.truncated) {
    const most = Math.min(plan.maxSeries, plan.maxAnswered)
    const limit = `Response exceeds maximum series limit of ${most}, a partial response is returned.`
    const warning = 'Warning: the accuracy of each individual value is not guaranteed.'
    return { status: 'PARTIAL', message: `${limit} ${warning}` }
  }
  return merged.stopped
    ? { status: 'PARTIAL', message: 'The deadline came before all data was read.' }
    : undefined
}

/** The answer of /api/metrics/query_range. */
export function toQueryRangeResponse(
  plan: MetricsPlan,
  merged: MetricsPartial,
  jobs: JobCounts = {},
): QueryRangeResponse {
  const mapper = new IntervalMapper(plan.range)
  let series = finishMetrics(plan, merged)
  let shown = merged
  if (series.length > plan.maxAnswered) {
    series = series.slice(0, plan.maxAnswered)
    shown = { ...merged, truncated: true }
  }
  return withoutZeros({
    series: series.map((s) => seriesResponse(s, mapper)),
    metrics: searchMetrics(merged, jobs),
    ...partialOf(plan, shown),
  })
}

function seriesResponse(
  { labels, values, exemplars }: TimeSeries,
  mapper: IntervalMapper,
): SeriesResponse {
  const samples: Sample[] = []
  for (const [i, value] of values.entries()) {
    if (Number.isNaN(value)) continue
    samples.push(
      withoutZeros({ timestampMs: String(mapper.timestamp_ms(i)), value: jsonNumber(value) }),
    )
  }
  const shown = exemplars
    .map((e): Exemplar | undefined => {
      const value = values[mapper.ofMs(e.timestamp_ms)] ?? NaN
      if (Number.isNaN(value)) return undefined
      return Number.isNaN(e.value) ? { ...e, value } : e
    })
    .filter((e) => e !== undefined)
    .sort((a, b) => a.timestamp_ms - b.timestamp_ms)
  return withoutZeros({
    labels: labelsOf(labels),
    samples,
    exemplars: shown.map((e): ExemplarResponse =>
      withoutZeros({
        labels: labelsOf(e.labels),
        value: jsonNumber(e.value),
        timestampMs: String(e.timestamp_ms),
      }),
    ),
  })
}

/** The answer of /api/metrics/query: the one value of each series. */
export function toQueryInstantResponse(
  plan: MetricsPlan,
  merged: MetricsPartial,
  jobs: JobCounts = {},
): QueryInstantResponse {
  const series = finishMetrics(plan, merged).slice(0, plan.maxAnswered)
  return withoutZeros({
    series: series.map(({ labels, values }) =>
      withoutZeros({
        labels: labelsOf(labels),
        value: jsonNumber(values.find((v) => !Number.isNaN(v)) ?? 0),
      }),
    ),
    metrics: searchMetrics(merged, jobs),
    ...partialOf(plan, merged),
  })
}
