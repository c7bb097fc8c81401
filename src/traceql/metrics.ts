/** Owns TraceQL metrics over a source: counts and values by series and interval, in a form that merges over sources. */
import type { ColumnSource } from '../otlp/columns.js'
import type { FirstStage, MetricsAggregate, Pipeline, SecondStage, SeriesExpr } from './ast.js'
import { Conditions } from './engine/conditions.js'
import { ValueIds } from './engine/group-ids.js'
import type { IdOf } from './engine/group-ids.js'
import { PipelineRunner } from './engine/pipeline.js'
import type { PreparedPipeline } from './engine/pipeline.js'
import { returnedAttributes } from './engine/returned.js'
import { readerOf } from './engine/values.js'
import { GroupView } from './engine/view.js'
import { UnsupportedError, ValidationError } from './errors.js'
import { log2Bucket } from './histogram.js'
import { IntervalMapper, alignRange } from './intervals.js'
import type { Range } from './intervals.js'
import { isNoop, refuseUnsupported } from './plan.js'
import { printAttribute } from './print.js'
import { hintOf, parseQuery } from './query.js'
import type { Query } from './query.js'
import { NAME_LABEL, labelsKey } from './series.js'
import type { Exemplar, Label } from './series.js'
import { NIL, isNumeric, staticFloat, staticString, staticText, toFloat } from './static.js'
import type { Static } from './static.js'
import { intrinsicOf } from './ast.js'
import { leavesOf } from './validate.js'

export interface MetricsOptions {
  readonly start_ns: bigint
  readonly end_ns: bigint
  /** 0 = instant: one value over the whole range. */
  readonly step_ns: bigint
  /** 0 = none. */
  readonly exemplars: number
  /** 0 = no limit but the engine's own. */
  readonly maxSeries: number
}

export interface LeafPlan {
  readonly pipeline: Pipeline
  readonly conditions: Conditions
  readonly first: MetricsAggregate
  readonly isNoop: boolean
}
export interface MetricsPlan {
  readonly query: Query
  readonly range: Range
  readonly series: SeriesExpr
  readonly leaves: readonly LeafPlan[]
  readonly exemplars: number
  /** Of each leaf while it is computed, and of the answer. */
  readonly maxSeries: number
  readonly maxAnswered: number
}

export const BUCKET_LABEL = '__bucket'
/** More intervals than this are refused: each series holds a number for each. */
export const MAX_INTERVALS = 11_000
/** Series of one leaf and source, whatever the caller allows. */
export const MAX_SERIES = 100_000
/** And as many as have this many numbers over all intervals and leaves: `by (span:id)` in short steps would take all memory. */
export const MAX_HELD_SAMPLES = 2_000_000
/** An answer has fewer: each sample of it is an object, and then text. */
export const MAX_ANSWERED_SAMPLES = 300_000

/** Throws what parseQuery throws, ValidationError for a bad range, UnsupportedError for what is not evaluated. */
export function planMetrics(query: Query | string, options: MetricsOptions): MetricsPlan {
  const parsed = typeof query === 'string' ? parseQuery(query) : query
  const { series } = parsed.root
  if (!series) throw new ValidationError('not a metrics query: it has no rate() or the like')
  if (options.end_ns <= options.start_ns) {
    throw new ValidationError('end must be greater than start')
  }
  const range = alignRange(options.start_ns, options.end_ns, options.step_ns)
  const { count } = new IntervalMapper(range)
  if (count > MAX_INTERVALS) {
    throw new ValidationError(
      `${count} intervals are over ${MAX_INTERVALS}: take a longer step or a shorter range`,
    )
  }
  refuseHints(parsed)
  const leaves = leavesOf(series).map(({ pipeline, first, second }) =>
    planLeaf(pipeline, first, second),
  )
  const asked = options.maxSeries > 0 ? options.maxSeries : MAX_SERIES
  const atMost = (samples: number) =>
    Math.max(1, Math.min(asked, MAX_SERIES, Math.floor(samples / count)))
  return {
    query: parsed,
    range,
    series,
    leaves,
    exemplars: exemplarsOf(parsed, options),
    maxSeries: atMost(MAX_HELD_SAMPLES / leaves.length),
    maxAnswered: atMost(MAX_ANSWERED_SAMPLES),
  }
}

function planLeaf(
  pipeline: Pipeline,
  first: FirstStage,
  _second: readonly SecondStage[],
): LeafPlan {
  if (first.kind === 'compare') throw new UnsupportedError('compare()')
  refuseUnsupported(pipeline)
  return { pipeline, conditions: Conditions.of(pipeline), first, isNoop: isNoop(pipeline) }
}

/** Sampling only trades accuracy for speed: all spans are read. Extrapolation would change the numbers. */
function refuseHints(query: Query): void {
  if (hintOf(query, 'extrapolate', 'bool') === true) throw new UnsupportedError('hint extrapolate')
}

function exemplarsOf(query: Query, options: MetricsOptions): number {
  if (options.step_ns === 0n) return 0
  if (hintOf(query, 'exemplars', 'bool') === false) return 0
  const hinted = hintOf(query, 'exemplars', 'int')
  return typeof hinted === 'bigint'
    ? Math.max(0, Math.min(Number(hinted), options.exemplars))
    : options.exemplars
}

export interface PartialSeries {
  readonly labels: readonly Label[]
  /** Counts, sums, least or greatest values by interval; NaN where there is none. */
  readonly values: Float64Array
  /** Of averages: how many values are in each sum. */
  readonly weights: Float64Array | undefined
  readonly exemplars: readonly Exemplar[]
}
/** Data that structured clone can carry; one list of series for each sub-query of the plan. */
export interface MetricsPartial {
  readonly leaves: readonly (readonly PartialSeries[])[]
  readonly inspectedTraces: number
  readonly inspectedSpans: number
  readonly inspected_bytes: number
  /** Some series were left out: their number reached the limit. */
  readonly truncated: boolean
  /** The deadline came before the source was through. */
  readonly stopped: boolean
}

export async function metricsSource(
  source: ColumnSource,
  plan: MetricsPlan,
  deadline?: () => boolean,
): Promise<MetricsPartial> {
  const before = source.inspected_bytes()
  const mapper = new IntervalMapper(plan.range)
  const leaves = plan.leaves.map((leaf) => new LeafAggregator(leaf, mapper, plan))
  let [inspectedTraces, inspectedSpans, stopped] = [0, 0, false]
  for (let i = 0; i < source.groupCount && !stopped; i++) {
    const group = await source.group(i)
    if (group.minStart_ns > plan.range.end_ns || group.maxEnd_ns <= plan.range.start_ns) continue
    const view = new GroupView(group, source.dictionary)
    inspectedTraces += view.rows('trace')
    inspectedSpans += view.spanCount
    for (const leaf of leaves) await leaf.observe(view)
    stopped = deadline?.() ?? false
  }
  return {
    leaves: leaves.map((leaf) => leaf.result()),
    inspectedTraces,
    inspectedSpans,
    inspected_bytes: Math.max(0, source.inspected_bytes() - before),
    truncated: leaves.some((leaf) => leaf.truncated),
    stopped,
  }
}

interface Held {
  readonly labels: readonly Label[]
  readonly values: Float64Array
  readonly weights: Float64Array | undefined
  /** What the additions to each sum have lost so far. */
  readonly lost: Float64Array | undefined
  readonly exemplars: Exemplar[]
}

class LeafAggregator {
  truncated = false
  readonly #leaf: LeafPlan
  readonly #mapper: IntervalMapper
  readonly #runner: PipelineRunner
  readonly #by: readonly ValueIds[]
  readonly #series: Held[] = []
  readonly #seriesOf: Map<number, number>[]
  readonly #maxSeries: number
  #exemplarsLeft: number
  readonly #exemplarTraces = new Set<string>()
  constructor(leaf: LeafPlan, mapper: IntervalMapper, plan: MetricsPlan) {
    this.#leaf = leaf
    this.#mapper = mapper
    this.#runner = new PipelineRunner(leaf.pipeline, leaf.conditions)
    this.#by = leaf.first.by.map((attribute) => new ValueIds(attribute))
    this.#seriesOf = Array.from({ length: this.#by.length + 2 }, () => new Map<number, number>())
    this.#maxSeries = plan.maxSeries
    this.#exemplarsLeft = Math.ceil(plan.exemplars / plan.leaves.length)
  }

  async observe(view: GroupView): Promise<void> {
    if (this.#leaf.isNoop) return
    const prepared = await this.#runner.prepare(view)
    if (!prepared) return
    const { rows, intervals } = await this.#spansInRange(view, prepared)
    if (rows.length === 0) return
    const { op, attribute } = this.#leaf.first
    const bucketed = op === 'histogram_over_time' || op === 'quantile_over_time'
    const values = attribute ? await numbersOf(view, attribute, rows, bucketed) : undefined
    const ids = await Promise.all(this.#by.map((by) => by.open(view)))
    const touched = this.#addAll(rows, intervals, values, ids, bucketed)
    if (this.#exemplarsLeft > 0) await this.#addExemplars(view, rows, intervals, values, touched)
  }

  /** Matched spans whose start is in range, ascending by row, each with its interval. */
  async #spansInRange(
    view: GroupView,
    prepared: PreparedPipeline,
  ): Promise<{ rows: Uint32Array; intervals: Uint32Array }> {
    const starts = await view.field('span.start')
    const rows = new Uint32Array(view.spanCount)
    const intervals = new Uint32Array(view.spanCount)
    let count = 0
    const take = (row: number) => {
      const interval = starts ? this.#mapper.of(starts.hi[row]!, starts.lo[row]!) : -1
      if (interval < 0) return
      rows[count] = row
      intervals[count++] = interval
    }
    const mask = prepared.spanMask
    if (mask) {
      for (let row = 0; row < mask.length; row++) if (mask[row] === 1) take(row)
    } else {
      const { trace } = await view.parents()
      const candidates = prepared.candidates(trace)
      for (let row = 0; row < candidates.length; row++) {
        if (candidates[row] !== 1) continue
        for (const set of prepared.run(row)) for (const span of set.rows) take(span)
      }
    }
    return { rows: rows.subarray(0, count), intervals: intervals.subarray(0, count) }
  }

  /** The series each row went to; -1 = none. */
  #addAll(
    rows: Uint32Array,
    intervals: Uint32Array,
    values: Float64Array | undefined,
    ids: readonly IdOf[],
    bucketed: boolean,
  ): Int32Array {
    const { op } = this.#leaf.first
    const touched = new Int32Array(rows.length).fill(-1)
    for (let i = 0; i < rows.length; i++) {
      const value = values ? values[i]! : 1
      if (values && Number.isNaN(value) && (bucketed || op === 'avg_over_time')) continue
      const index = this.#seriesIndex(rows[i]!, ids, bucketed ? value : undefined)
      touched[i] = index
      if (index >= 0) add(op, this.#series[index]!, intervals[i]!, value)
    }
    return touched
  }

  #seriesIndex(row: number, ids: readonly IdOf[], bucket: number | undefined): number {
    let key = 0
    for (const [i, idOf] of ids.entries()) {
      key = numbered(this.#seriesOf[i]!, key * 2 ** 26 + idOf(row))
    }
    // Buckets are powers of two, maybe in seconds: their exponent numbers them.
    if (bucket !== undefined) {
      const exponent = Math.round(Math.log2(bucket) * 64) + 2 ** 16
      key = numbered(this.#seriesOf[ids.length]!, key * 2 ** 26 + exponent)
    }
    const last = this.#seriesOf[ids.length + 1]!
    const known = last.get(key)
    if (known !== undefined) return known
    if (this.#series.length >= this.#maxSeries) {
      this.truncated = true
      return -1
    }
    last.set(key, this.#series.length)
    return this.#series.push(this.#newSeries(row, ids, bucket)) - 1
  }

  #newSeries(row: number, ids: readonly IdOf[], bucket: number | undefined): Held {
    const { op } = this.#leaf.first
    const values = ids.map((idOf, i) => this.#by[i]!.values[idOf(row)]!)
    const counts = op === 'rate' || op === 'count_over_time' || bucket !== undefined
    const sums = op === 'sum_over_time' || op === 'avg_over_time'
    const length = this.#mapper.count
    return {
      labels: labelsOf(this.#leaf.first, values, bucket),
      values: new Float64Array(length).fill(counts ? 0 : NaN),
      weights: op === 'avg_over_time' ? new Float64Array(length) : undefined,
      lost: sums ? new Float64Array(length) : undefined,
      exemplars: [],
    }
  }

  /** One span of each of some traces, the earliest rows first. */
  async #addExemplars(
    view: GroupView,
    rows: Uint32Array,
    intervals: Uint32Array,
    values: Float64Array | undefined,
    touched: Int32Array,
  ): Promise<void> {
    const [traceId, start, attributes] = await Promise.all([
      readerOf(view, intrinsicOf('trace:id')),
      view.field('span.start'),
      returnedAttributes(view, this.#leaf.conditions),
    ])
    const counts = ['rate', 'count_over_time', 'histogram_over_time'].includes(this.#leaf.first.op)
    for (let i = 0; i < rows.length && this.#exemplarsLeft > 0; i++) {
      const row = rows[i]!
      const id = traceId(row)
      const series = this.#series[touched[i]!]
      if (!series || id.type !== 'string' || this.#exemplarTraces.has(id.value)) continue
      this.#exemplarTraces.add(id.value)
      this.#exemplarsLeft--
      const labels: Label[] = [{ name: 'trace:id', value: id }]
      for (const { attribute, read } of attributes) {
        const value = read(row)
        if (value.type !== 'nil') labels.push({ name: printAttribute(attribute), value })
      }
      const ms = start ? (start.hi[row]! * 2 ** 32 + start.lo[row]!) / 1e6 : intervals[i]!
      const value = counts || !values ? NaN : values[i]!
      series.exemplars.push({ labels, value, timestamp_ms: Math.floor(ms) })
    }
  }

  result(): PartialSeries[] {
    const { op, by } = this.#leaf.first
    if (this.#series.length === 0 && by.length === 0 && isCount(op) && !this.#leaf.isNoop) {
      // An ungrouped count is zero where nothing matched, rather than absent.
      this.#series.push(this.#newSeries(0, [], undefined))
    }
    return this.#series.map(({ labels, values, weights, lost, exemplars }) => ({
      labels,
      values: lost ? values.map((v, i) => v + lost[i]!) : values,
      weights,
      exemplars,
    }))
  }
}

const isCount = (op: MetricsAggregate['op']) => op === 'rate' || op === 'count_over_time'

function numbered(numbers: Map<number, number>, key: number): number {
  let number = numbers.get(key)
  if (number === undefined) numbers.set(key, (number = numbers.size))
  return number
}

function add(op: MetricsAggregate['op'], series: Held, interval: number, value: number): void {
  const { values, weights, lost } = series
  const known = values[interval]!
  switch (op) {
    case 'min_over_time':
      if (Number.isNaN(known) || value < known) values[interval] = value
      return
    case 'max_over_time':
      if (Number.isNaN(known) || value > known) values[interval] = value
      return
    case 'sum_over_time':
    case 'avg_over_time':
      if (Number.isNaN(value)) return
      if (weights) weights[interval]!++
      if (Number.isNaN(known)) values[interval] = value
      else addCompensated(values, lost!, interval, value)
      return
    default:
      values[interval] = known + 1
  }
}

/** Neumaier's sum. */
function addCompensated(
  sums: Float64Array,
  lost: Float64Array,
  interval: number,
  value: number,
): void {
  const sum = sums[interval]!
  const total = sum + value
  if (Number.isFinite(total)) {
    lost[interval]! += Math.abs(sum) >= Math.abs(value) ? sum - total + value : value - total + sum
  }
  sums[interval] = total
}

/** Labels hold texts, numbers and booleans; Tempo loses arrays on the way between its parts. */
function labelValue(value: Static): Static {
  if (value.type.endsWith('Array')) return NIL
  const isPlain = ['string', 'int', 'float', 'bool'].includes(value.type)
  return isPlain ? value : staticString(staticText(value))
}

/** Missing values make no label; when all are missing the first says so. */
function labelsOf(
  first: MetricsAggregate,
  values: readonly Label['value'][],
  bucket: number | undefined,
): Label[] {
  const labels: Label[] = []
  for (const [i, attribute] of first.by.entries()) {
    const value = values[i]!
    if (value.type !== 'nil') {
      labels.push({ name: printAttribute(attribute), value: labelValue(value) })
    }
  }
  if (bucket !== undefined) labels.push({ name: BUCKET_LABEL, value: staticFloat(bucket) })
  if (labels.length > 0) return labels
  const [by] = first.by
  return by
    ? [{ name: printAttribute(by), value: NIL }]
    : [{ name: NAME_LABEL, value: staticString(first.op) }]
}

/** The attribute's number by matched span (or the bucket it falls into); NaN where it has none. Span durations are seconds. */
async function numbersOf(
  view: GroupView,
  attribute: NonNullable<MetricsAggregate['attribute']>,
  rows: Uint32Array,
  bucketed: boolean,
): Promise<Float64Array> {
  const out = new Float64Array(rows.length)
  if (attribute.intrinsic === 'duration') {
    const column = await view.field('span.duration')
    for (let i = 0; i < rows.length; i++) {
      const ns = column ? column.hi[rows[i]!]! * 2 ** 32 + column.lo[rows[i]!]! : 0
      out[i] = bucketed ? (ns < 2 ? NaN : log2Bucket(ns) / 1e9) : ns / 1e9
    }
    return out
  }
  const read = await readerOf(view, attribute)
  for (let i = 0; i < rows.length; i++) {
    const value = read(rows[i]!)
    const number = isNumeric(value.type) ? toFloat(value) : NaN
    if (!bucketed) out[i] = number
    else if (value.type === 'float' || !(number >= 2)) out[i] = NaN
    else out[i] = log2Bucket(number) / (value.type === 'duration' ? 1e9 : 1)
  }
  return out
}

/** One partial of several: the same series are joined interval by interval. */
export function mergeMetrics(
  plan: MetricsPlan,
  partials: readonly MetricsPartial[],
): MetricsPartial {
  let truncated = partials.some((p) => p.truncated)
  const leaves = plan.leaves.map(({ first }, leaf) => {
    const merged = new Map<string, PartialSeries>()
    for (const series of partials.flatMap((p) => p.leaves[leaf] ?? [])) {
      const key = labelsKey(series.labels)
      const known = merged.get(key)
      if (known) merged.set(key, join(first.op, known, series))
      else if (merged.size < plan.maxSeries) merged.set(key, series)
      else truncated = true
    }
    return [...merged.values()]
  })
  const sum = (of: (p: MetricsPartial) => number) => partials.reduce((n, p) => n + of(p), 0)
  return {
    leaves,
    inspectedTraces: sum((p) => p.inspectedTraces),
    inspectedSpans: sum((p) => p.inspectedSpans),
    inspected_bytes: sum((p) => p.inspected_bytes),
    truncated,
    stopped: partials.some((p) => p.stopped),
  }
}

function join(op: MetricsAggregate['op'], a: PartialSeries, b: PartialSeries): PartialSeries {
  const pick = (x: number, y: number): number => {
    if (Number.isNaN(x)) return y
    if (Number.isNaN(y)) return x
    if (op === 'min_over_time') return Math.min(x, y)
    return op === 'max_over_time' ? Math.max(x, y) : x + y
  }
  return {
    labels: a.labels,
    values: a.values.map((x, i) => pick(x, b.values[i]!)),
    weights: a.weights?.map((x, i) => x + b.weights![i]!),
    exemplars: [...a.exemplars, ...b.exemplars],
  }
}
