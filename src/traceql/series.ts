/** Owns time series: labels, their identity, merging by kind, and what runs over finished series (topk, filters, arithmetic). */
import type { SecondStage, SeriesExpr } from './ast.js'
import { compareText, staticKey, staticText } from './static.js'
import type { Static } from './static.js'

export interface Label {
  readonly name: string
  readonly value: Static
}
export interface Exemplar {
  readonly labels: readonly Label[]
  /** NaN: takes the value of its interval's sample. */
  readonly value: number
  readonly timestamp_ms: number
}
export interface TimeSeries {
  readonly labels: readonly Label[]
  /** One an interval; NaN = no sample. */
  readonly values: Float64Array
  readonly exemplars: readonly Exemplar[]
}
export type SeriesSet = Map<string, TimeSeries>

export const NAME_LABEL = '__name__'

/** Series are the same when their labels are, the metric's name aside. */
export const labelsKey = (labels: readonly Label[]): string =>
  labels
    .filter(({ name }) => name !== NAME_LABEL)
    .map(({ name, value }) => `${name} ${staticKey(value)}`)
    .join('\n')

export function seriesSet(list: readonly TimeSeries[]): SeriesSet {
  return new Map(list.map((series) => [labelsKey(series.labels), series]))
}

/** Applies a query's arithmetic and second stages to the series of its leaves, taken in order. */
export function evaluateSeries(expr: SeriesExpr, leaves: Iterator<SeriesSet>): SeriesSet {
  let series: SeriesSet
  if (expr.kind === 'leaf') {
    const next = leaves.next()
    series = next.done ? new Map<string, TimeSeries>() : next.value
  } else {
    const left = evaluateSeries(expr.lhs, leaves)
    series = combineSets(expr.op, left, evaluateSeries(expr.rhs, leaves))
  }
  for (const stage of expr.second) series = applyStage(stage, series)
  return series
}

type Arithmetic = '+' | '-' | '*' | '/'

function calculate(op: Arithmetic, a: number, b: number): number {
  if (op === '+') return a + b
  if (op === '-') return a - b
  if (op === '*') return a * b
  return b === 0 ? NaN : a / b
}

/** Series meet by equal labels; one without labels meets all of the other side. */
function combineSets(op: Arithmetic, lhs: SeriesSet, rhs: SeriesSet): SeriesSet {
  const target = rhs.has('') ? lhs : rhs
  const out: SeriesSet = new Map()
  for (const key of target.keys()) {
    const left = lhs.get(key) ?? lhs.get('')
    const right = rhs.get(key) ?? rhs.get('')
    if (!left || !right) continue
    const fanLeft = !lhs.has(key)
    const fanRight = !rhs.has(key)
    const exemplars = [
      ...(fanLeft && !fanRight ? [] : left.exemplars),
      ...(fanRight && !fanLeft ? [] : right.exemplars),
    ]
    const values = left.values.map((value, i) => calculate(op, value, right.values[i] ?? NaN))
    out.set(key, { labels: combineLabels(op, left.labels, right.labels), values, exemplars })
  }
  return out
}

function combineLabels(op: Arithmetic, left: readonly Label[], right: readonly Label[]): Label[] {
  const nameOf = (labels: readonly Label[]) => labels.find((l) => l.name === NAME_LABEL)?.value
  const [a, b] = [nameOf(left), nameOf(right)]
  const isNamed = a?.type === 'string' && b?.type === 'string'
  const out: Label[] = []
  for (const label of left) {
    if (label.name !== NAME_LABEL) out.push(label)
    else if (isNamed) {
      const value = `(${a.value} ${op} ${b.value})`
      out.push({ name: NAME_LABEL, value: { type: 'string', value } })
    }
  }
  for (const label of right) {
    if (label.name !== NAME_LABEL && !out.some(({ name }) => name === label.name)) out.push(label)
  }
  return out
}

function applyStage(stage: SecondStage, input: SeriesSet): SeriesSet {
  switch (stage.kind) {
    case 'topk':
    case 'bottomk':
      return pick(stage.kind, Number(stage.limit), input)
    case 'compareTo':
      return keep(stage, input)
    case 'scalar': {
      const { op, value, scalarOnLeft } = stage
      const of = (v: number) => (scalarOnLeft ? calculate(op, value, v) : calculate(op, v, value))
      return mapSeries(input, (series) => ({
        labels: series.labels,
        values: series.values.map(of),
        exemplars: series.exemplars.map((e) => ({ ...e, value: of(e.value) })),
      }))
    }
  }
}

function mapSeries(
  input: SeriesSet,
  of: (series: TimeSeries) => TimeSeries | undefined,
): SeriesSet {
  const out: SeriesSet = new Map()
  for (const [key, series] of input) {
    const made = of(series)
    if (made) out.set(key, made)
  }
  return out
}

function keep(stage: SecondStage & { kind: 'compareTo' }, input: SeriesSet): SeriesSet {
  const holds = (v: number): boolean => {
    switch (stage.op) {
      case '=':
        return v === stage.value
      case '!=':
        return v !== stage.value
      case '<':
        return v < stage.value
      case '<=':
        return v <= stage.value
      case '>':
        return v > stage.value
      case '>=':
        return v >= stage.value
    }
  }
  return mapSeries(input, ({ labels, values, exemplars }) => {
    const kept = values.map((v) => (!Number.isNaN(v) && holds(v) ? v : NaN))
    if (kept.every(Number.isNaN)) return undefined
    const shown = exemplars.filter(({ value }) => !Number.isNaN(value) && holds(value))
    return { labels, values: kept, exemplars: shown }
  })
}

/** The k greatest (least) values of each interval on its own; ties go to the alphabetically first (last). */
function pick(kind: 'topk' | 'bottomk', limit: number, input: SeriesSet): SeriesSet {
  if (input.size <= limit) return input
  const entries = [...input.values()]
  const intervals = entries.reduce((most, s) => Math.max(most, s.values.length), 0)
  const sign = kind === 'topk' ? -1 : 1
  const picked = new Map<TimeSeries, Float64Array>()
  for (let i = 0; i < intervals; i++) {
    const present = entries.filter(({ values }) => !Number.isNaN(values[i] ?? NaN))
    present.sort((a, b) => sign * (a.values[i]! - b.values[i]! || compareTies(a.labels, b.labels)))
    for (const series of present.slice(0, limit)) {
      let values = picked.get(series)
      if (!values) picked.set(series, (values = new Float64Array(intervals).fill(NaN)))
      values[i] = series.values[i]!
    }
  }
  return mapSeries(input, (series) => {
    const values = picked.get(series)
    return values && { ...series, values }
  })
}

const TIE_ORDER: Partial<Record<Static['type'], number>> = {
  nil: 0,
  int: 3,
  float: 4,
  string: 5,
  bool: 6,
}

/** Texts and names in reverse, then by type, then by bits: Tempo's order of series of equal value. */
function compareTies(a: readonly Label[], b: readonly Label[]): number {
  const [left, right] = [a, b].map((labels) => labels.filter(({ name }) => name !== NAME_LABEL))
  for (let i = 0; i < Math.max(left!.length, right!.length); i++) {
    const [x, y] = [left![i], right![i]]
    const byText = compareText(textOf(y), textOf(x)) || compareText(y?.name ?? '', x?.name ?? '')
    if (byText !== 0) return byText
    const byType = tieOrder(x) - tieOrder(y)
    if (byType !== 0) return byType
    const [p, q] = [bitsOf(x), bitsOf(y)]
    if (p !== q) return p < q ? -1 : 1
  }
  return 0
}

const textOf = (label: Label | undefined) =>
  label && typeof (label.value as { value?: unknown }).value === 'string'
    ? staticText(label.value)
    : ''
const tieOrder = (label: Label | undefined) => (label ? (TIE_ORDER[label.value.type] ?? 5) : 0)

function bitsOf(label: Label | undefined): bigint {
  const value = label?.value
  if (value?.type === 'int') return BigInt.asUintN(64, value.value)
  if (value?.type === 'bool') return value.value ? 1n : 0n
  if (value?.type !== 'float') return 0n
  return new BigUint64Array(Float64Array.of(value.value).buffer)[0]!
}
