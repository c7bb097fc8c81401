/**
 * Owns metrics: the counters, gauges and histograms an actor writes (plain stores into its page of shared memory), and
 * the one text that Prometheus reads of all pages. The only file that knows prom-client, and only to render.
 */
import type { Metric, Registry } from 'prom-client'
import { assert } from './assert.js'
import { MetricsPage, SERIES_SLOTS_MAX } from './metrics-page.js'

export { MetricsPage } from './metrics-page.js'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
/** Tempo's buckets for what is measured in seconds. */
export const SECONDS_BUCKETS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100,
]
/** Buckets, sum and +Inf share a series' slots. */
export const BUCKETS_MAX = SERIES_SLOTS_MAX - 2
/** Longer label values are cut: a label comes from outside, the page does not grow. */
export const LABEL_LENGTH_MAX = 256

const DROPPED_NAME = 'tempo_actors_metrics_dropped_total'
const DROPPED_HELP =
  'Uses of a series that found no room in its page, or another kind of the same name.'
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/
const SINK_SLOT = 0

type Kind = 'counter' | 'gauge' | 'histogram'
type FamilyEntry = ['F', Kind, string, string, string[], number[]]
type SeriesEntry = ['S', number, string[]]

/** `start`, `start * factor`, ...: for sizes. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i)
}

/** A series: what `labels()` answers. Keep it where it is used often; its methods are an addition and a store. */
export class CounterSeries {
  constructor(
    protected readonly values: Float64Array,
    protected readonly slot: number,
  ) {}

  inc(by = 1): void {
    if (!(by >= 0)) throw new RangeError(`a counter only grows: by=${by}`)
    this.values[this.slot]! += by
  }
}

export class GaugeSeries {
  constructor(
    protected readonly values: Float64Array,
    protected readonly slot: number,
  ) {}

  set(value: number): void {
    this.values[this.slot] = value
  }

  inc(by = 1): void {
    this.values[this.slot]! += by
  }

  dec(by = 1): void {
    this.values[this.slot]! -= by
  }
}

/** Slots: one count a bucket (not cumulative), one for what is above all, then the sum. */
export class HistogramSeries {
  constructor(
    protected readonly values: Float64Array,
    protected readonly slot: number,
    protected readonly buckets: readonly number[],
  ) {}

  observe(value: number): void {
    const { buckets, values, slot } = this
    let bucket = 0
    while (bucket < buckets.length && value > buckets[bucket]!) bucket++
    values[slot + bucket]! += 1
    values[slot + buckets.length + 1]! += value
  }
}

/** The series of one name, by their label values. Holds what the page holds, so it is bounded as the page is. */
class Family<Series> {
  readonly #labelNames: readonly string[]
  readonly #find: (labels: readonly string[]) => number | undefined
  readonly #make: (slot: number) => Series
  readonly #series = new Map<string, Series>()
  readonly #sink: Series

  constructor(
    labelNames: readonly string[],
    find: (labels: readonly string[]) => number | undefined,
    make: (slot: number) => Series,
  ) {
    this.#labelNames = labelNames
    this.#find = find
    this.#make = make
    this.#sink = make(SINK_SLOT)
    // A series without labels is there from the start: rates need its zero.
    if (labelNames.length === 0) this.labels()
  }

  /** The series with these label values, in the order of the label names. */
  labels(...values: string[]): Series {
    const key = values.length === 1 ? values[0]! : values.join('\u0000')
    return this.#series.get(key) ?? this.#add(values, key)
  }

  protected get bare(): Series {
    return this.labels()
  }

  #add(values: string[], key: string): Series {
    assert(
      values.length === this.#labelNames.length,
      `labels (${this.#labelNames.join(', ')}) were given ${values.length} values`,
    )
    if (values.some((value) => value.length > LABEL_LENGTH_MAX)) {
      return this.labels(...values.map((value) => value.slice(0, LABEL_LENGTH_MAX)))
    }
    const slot = this.#find(values)
    if (slot === undefined) return this.#sink
    const series = this.#make(slot)
    this.#series.set(key, series)
    return series
  }
}

export class Counter extends Family<CounterSeries> {
  inc(by = 1): void {
    this.bare.inc(by)
  }
}

export class Gauge extends Family<GaugeSeries> {
  set(value: number): void {
    this.bare.set(value)
  }

  inc(by = 1): void {
    this.bare.inc(by)
  }

  dec(by = 1): void {
    this.bare.dec(by)
  }
}

export class Histogram extends Family<HistogramSeries> {
  observe(value: number): void {
    this.bare.observe(value)
  }
}

/** The metrics of one actor. Thread contract: one writer of a page at a time, the actor of that name. */
export class Metrics {
  readonly #page: MetricsPage
  readonly #families = new Map<string, { number: number; declared: string }>()
  readonly #slots = new Map<string, number>()
  #familyCount = 0

  /** Without a page: metrics that nobody reads but their owner, for tests and tools. */
  constructor(buffer: SharedArrayBuffer = MetricsPage.create()) {
    this.#page = new MetricsPage(buffer)
    for (const { text, slot } of this.#page.entries()) {
      const entry = JSON.parse(text) as FamilyEntry | SeriesEntry
      if (entry[0] === 'F')
        this.#families.set(entry[2], { number: this.#familyCount++, declared: text })
      else this.#slots.set(text, slot)
    }
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    const find = this.#declare('counter', name, help, labelNames, [])
    return new Counter(labelNames, find, (slot) => new CounterSeries(this.#page.values, slot))
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    const find = this.#declare('gauge', name, help, labelNames, [])
    return new Gauge(labelNames, find, (slot) => new GaugeSeries(this.#page.values, slot))
  }

  /** A classic histogram; `buckets` are the upper bounds, ascending, without +Inf. */
  histogram(
    name: string,
    help: string,
    buckets: readonly number[] = SECONDS_BUCKETS,
    labelNames: readonly string[] = [],
  ): Histogram {
    const isAscending = buckets.every((bound, i) => i === 0 || bound > buckets[i - 1]!)
    assert(
      isAscending && buckets.length > 0 && buckets.length <= BUCKETS_MAX,
      `metric ${name}: 1 to ${BUCKETS_MAX} ascending buckets: ${buckets.join(', ')}`,
    )
    const find = this.#declare('histogram', name, help, labelNames, buckets)
    const { values } = this.#page
    return new Histogram(labelNames, find, (slot) => new HistogramSeries(values, slot, buckets))
  }

  /** Finds the family in the page or adds it; answers how its series are found. */
  #declare(
    kind: Kind,
    name: string,
    help: string,
    labelNames: readonly string[],
    buckets: readonly number[],
  ): (labels: readonly string[]) => number | undefined {
    assert(NAME.test(name), `metric ${JSON.stringify(name)}: not a name Prometheus takes`)
    const isValid = labelNames.every((label) => LABEL_NAME.test(label) && label !== 'le')
    assert(isValid, `metric ${name}: not label names Prometheus takes: ${labelNames.join(', ')}`)
    const entry: FamilyEntry = ['F', kind, name, help, [...labelNames], [...buckets]]
    const declared = JSON.stringify(entry)
    const known = this.#families.get(name)
    assert(
      known === undefined || known.declared === declared,
      `metric ${name} is declared twice: ${known?.declared ?? ''} and ${declared}`,
    )
    const number = known?.number ?? this.#addFamily(name, declared)
    if (number === undefined) {
      return () => {
        this.#page.drop()
        return undefined
      }
    }
    const slotCount = kind === 'histogram' ? buckets.length + 2 : 1
    return (labels) => this.#slotOf(number, labels, slotCount)
  }

  #addFamily(name: string, declared: string): number | undefined {
    if (this.#page.append(declared, 0) === undefined) return undefined
    const number = this.#familyCount++
    this.#families.set(name, { number, declared })
    return number
  }

  #slotOf(family: number, labels: readonly string[], slotCount: number): number | undefined {
    const entry: SeriesEntry = ['S', family, [...labels]]
    const text = JSON.stringify(entry)
    const known = this.#slots.get(text)
    if (known !== undefined) return known
    const slot = this.#page.append(text, slotCount)
    if (slot !== undefined) this.#slots.set(text, slot)
    return slot
  }
}

/** A page and the name of the actor that writes it. */
export interface ActorPage {
  actor: string
  sab: SharedArrayBuffer
}

export interface RenderOptions {
  processMetrics?: boolean // default false; adds prom-client's: the process's CPU and memory, this thread's heap and loop
}

interface MergedSeries {
  labels: Record<string, string>
  values: number[]
}

interface MergedFamily {
  kind: Kind
  name: string
  help: string
  buckets: number[]
  series: Map<string, MergedSeries>
}

/**
 * The exposition of all pages together. Series of the same name and labels are summed (counters, histograms), of
 * gauges the last page's stands. A name that two pages use for different kinds or buckets is the first page's.
 */
export async function renderMetrics(
  pages: readonly ActorPage[],
  options: RenderOptions = {},
): Promise<string> {
  const families = new Map<string, MergedFamily>()
  const dropped = new Map<string, number>()
  for (const { actor, sab } of pages) {
    const lost = mergePage(families, new MetricsPage(sab))
    dropped.set(actor, (dropped.get(actor) ?? 0) + lost)
  }
  families.set(DROPPED_NAME, droppedFamily(dropped))
  // Loaded where /metrics is served, not in each worker.
  const { Registry: PromRegistry } = await import('prom-client')
  const registry = new PromRegistry()
  for (const family of families.values()) {
    registry.registerMetric(promMetric(family) as unknown as Metric)
  }
  const text = await registry.metrics()
  return options.processMetrics === true ? text + (await (await defaults()).metrics()) : text
}

/** Adds a page to the families; answers how much of it was left out. */
function mergePage(families: Map<string, MergedFamily>, page: MetricsPage): number {
  const local: { labelNames: string[]; merged: MergedFamily | undefined }[] = []
  let lost = page.dropped
  for (const { text, slot, slotCount } of page.entries()) {
    const entry = JSON.parse(text) as FamilyEntry | SeriesEntry
    if (entry[0] === 'F') {
      const [, kind, name, help, labelNames, buckets] = entry
      const merged = families.get(name) ?? { kind, name, help, buckets, series: new Map() }
      const isSame = merged.kind === kind && merged.buckets.join() === buckets.join()
      if (isSame) families.set(name, merged)
      else lost++
      local.push({ labelNames, merged: isSame ? merged : undefined })
      continue
    }
    const { labelNames, merged } = local[entry[1]]!
    if (merged === undefined) continue
    const labels = Object.fromEntries(labelNames.map((name, i) => [name, entry[2][i]!]))
    addSeries(merged, labels, Array.from(page.values.subarray(slot, slot + slotCount)))
  }
  return lost
}

function addSeries(family: MergedFamily, labels: Record<string, string>, values: number[]): void {
  const key = JSON.stringify(Object.entries(labels).sort())
  const known = family.series.get(key)
  if (known === undefined || family.kind === 'gauge') family.series.set(key, { labels, values })
  else known.values = known.values.map((value, i) => value + values[i]!)
}

function droppedFamily(dropped: Map<string, number>): MergedFamily {
  const series = new Map<string, MergedSeries>()
  for (const [actor, count] of dropped) series.set(actor, { labels: { actor }, values: [count] })
  return { kind: 'counter', name: DROPPED_NAME, help: DROPPED_HELP, buckets: [], series }
}

/** What prom-client asks of a metric that it did not make itself. */
function promMetric(family: MergedFamily): object {
  const { name, help, kind: type, buckets } = family
  const all = [...family.series.values()]
  const values =
    type === 'histogram'
      ? all.flatMap((series) => histogramValues(name, buckets, series))
      : all.map((series) => ({ labels: series.labels, value: series.values[0]! }))
  return { name, help, type, get: () => Promise.resolve({ name, help, type, values }) }
}

function histogramValues(name: string, buckets: readonly number[], series: MergedSeries): object[] {
  const { labels, values } = series
  let count = 0
  const counts = [...buckets.map(String), '+Inf'].map((le, i) => {
    count += values[i]!
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
  })
  const sum = { metricName: `${name}_sum`, labels, value: values[buckets.length + 1]! }
  return [...counts, sum, { metricName: `${name}_count`, labels, value: count }]
}

let defaultRegistry: Promise<Registry> | undefined

/** Once a thread: prom-client's own collectors watch the event loop and the garbage collector from then on. */
function defaults(): Promise<Registry> {
  defaultRegistry ??= import('prom-client').then(
    ({ Registry: PromRegistry, collectDefaultMetrics }) => {
      const register = new PromRegistry()
      collectDefaultMetrics({ register })
      return register
    },
  )
  return defaultRegistry
}
