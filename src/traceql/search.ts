/** Owns searching a source for traces: newest first, stopping at the limit, and merging what several sources found. */
import type { ColumnSource, IntColumn } from '../otlp/columns.js'
import { PipelineRunner } from './engine/pipeline.js'
import type { PreparedPipeline, Spanset } from './engine/pipeline.js'
import { nameReader, returnedAttributes } from './engine/returned.js'
import type { ReturnedAttribute } from './engine/returned.js'
import { SERVICE_NAME } from './engine/conditions.js'
import { levelReader, readerOf, spanIdText, traceIdText, uint64At } from './engine/values.js'
import type { Reader } from './engine/values.js'
import { GroupView } from './engine/view.js'
import { intrinsicOf } from './ast.js'
import type { SearchPlan } from './plan.js'
import { staticText } from './static.js'
import type { Static } from './static.js'

export interface FoundAttribute {
  readonly key: string
  readonly value: Static
}
export interface FoundSpan {
  readonly spanId: string
  /** Empty unless the query asks for it. */
  readonly name: string
  readonly start_ns: bigint
  readonly duration_ns: bigint
  readonly attributes: readonly FoundAttribute[]
}
export interface FoundSpanset {
  readonly spans: readonly FoundSpan[]
  readonly matched: number
  readonly attributes: readonly FoundAttribute[]
}
export interface FoundTrace {
  /** Hex without leading zeros. */
  readonly traceId: string
  readonly rootServiceName: string
  readonly rootTraceName: string
  readonly start_ns: bigint
  readonly end_ns: bigint
  readonly spansets: readonly FoundSpanset[]
  readonly services: Readonly<Record<string, { spanCount: number; errorCount: number }>>
}

/** Data that structured clone can carry from a querier to the frontend. */
export interface SearchPartial {
  /** Newest first. */
  readonly traces: readonly FoundTrace[]
  readonly inspectedTraces: number
  readonly inspectedSpans: number
  readonly inspected_bytes: number
  /** The deadline came before the source was through. */
  readonly stopped: boolean
}

export interface SearchOptions {
  readonly start_ns?: bigint | undefined
  readonly end_ns?: bigint | undefined
  /** 0 = all. */
  readonly limit: number
  /** 0 = 3, as Tempo has it. */
  readonly spansPerSpanSet: number
  /** True = stop with what there is. */
  readonly deadline?: (() => boolean) | undefined
}

export const NO_TRACES: SearchPartial = {
  traces: [],
  inspectedTraces: 0,
  inspectedSpans: 0,
  inspected_bytes: 0,
  stopped: false,
}

const DEFAULT_SPANS_PER_SPAN_SET = 3
/** Traces between two looks at the deadline. */
const DEADLINE_STRIDE = 256
const STATUS_ERROR = 2

/** Newest start first, then by trace id, so that an answer is the same each time. */
export const newestFirst = (
  a: Pick<FoundTrace, 'start_ns' | 'traceId'>,
  b: Pick<FoundTrace, 'start_ns' | 'traceId'>,
): number =>
  a.start_ns !== b.start_ns
    ? a.start_ns > b.start_ns
      ? -1
      : 1
    : a.traceId < b.traceId
      ? -1
      : a.traceId > b.traceId
        ? 1
        : 0

export async function searchSource(
  source: ColumnSource,
  plan: SearchPlan,
  options: SearchOptions,
): Promise<SearchPartial> {
  if (plan.isNoop) return NO_TRACES
  const search = new Search(source, plan, options)
  return search.run()
}

class Search {
  readonly #source: ColumnSource
  readonly #plan: SearchPlan
  readonly #options: SearchOptions
  readonly #limit: number
  readonly #runner: PipelineRunner
  #found: FoundTrace[] = []
  #inspectedTraces = 0
  #inspectedSpans = 0
  #stopped = false
  constructor(source: ColumnSource, plan: SearchPlan, options: SearchOptions) {
    this.#source = source
    this.#plan = plan
    this.#options = options
    this.#limit = options.limit > 0 ? options.limit : Infinity
    this.#runner = new PipelineRunner(plan.pipeline, plan.conditions)
  }

  async run(): Promise<SearchPartial> {
    const before = this.#source.inspected_bytes()
    const groups = await Promise.all(
      Array.from({ length: this.#source.groupCount }, (_, i) => this.#source.group(i)),
    )
    groups.sort((a, b) => (a.maxEnd_ns > b.maxEnd_ns ? -1 : a.maxEnd_ns < b.maxEnd_ns ? 1 : 0))
    for (const group of groups) {
      if (this.#isOut(group.minStart_ns, group.maxEnd_ns)) continue
      const oldest = this.#oldestKept()
      if (oldest !== undefined && oldest > group.maxEnd_ns) break
      if (this.#mustStop()) break
      await this.#searchGroup(new GroupView(group, this.#source.dictionary))
    }
    return {
      traces: this.#found,
      inspectedTraces: this.#inspectedTraces,
      inspectedSpans: this.#inspectedSpans,
      inspected_bytes: Math.max(0, this.#source.inspected_bytes() - before),
      stopped: this.#stopped,
    }
  }

  /** A range counts when it has both ends: a trace is in when it overlaps it. */
  #isOut(start_ns: bigint, end_ns: bigint): boolean {
    const { start_ns: from, end_ns: to } = this.#options
    return Boolean(from && to && (start_ns > to || end_ns < from))
  }

  #oldestKept(): bigint | undefined {
    return this.#found.length >= this.#limit ? this.#found.at(-1)!.start_ns : undefined
  }

  #mustStop(): boolean {
    if (this.#options.deadline?.()) this.#stopped = true
    return this.#stopped
  }

  async #searchGroup(view: GroupView): Promise<void> {
    this.#inspectedTraces += view.rows('trace')
    this.#inspectedSpans += view.spanCount
    const prepared = await this.#runner.prepare(view)
    if (!prepared) return
    const [parents, starts, ends] = await Promise.all([
      view.parents(),
      view.field('trace.start'),
      view.field('trace.end'),
    ])
    const rows = await this.#newestCandidates(
      view,
      prepared.candidates(parents.trace),
      starts,
      ends,
    )
    const hits = this.#runTraces(prepared, rows, starts)
    if (hits.length === 0) return
    const assembler = await TraceAssembler.open(view, this.#plan, this.#options)
    this.#found.push(...hits.map(({ trace, sets }) => assembler.trace(trace, sets)))
    this.#found.sort(newestFirst)
    if (this.#found.length > this.#limit) this.#found.length = this.#limit
  }

  #runTraces(
    prepared: PreparedPipeline,
    rows: readonly number[],
    starts: IntColumn | undefined,
  ): { trace: number; sets: Spanset[] }[] {
    const oldest = this.#oldestKept()
    const hits: { trace: number; sets: Spanset[] }[] = []
    for (const [i, trace] of rows.entries()) {
      if (hits.length >= this.#limit) break
      if (i % DEADLINE_STRIDE === 0 && this.#mustStop()) break
      if (oldest !== undefined && starts && uint64At(starts, trace) < oldest) break
      const sets = prepared.run(trace)
      if (sets.length > 0) hits.push({ trace, sets })
    }
    return hits
  }

  /** Candidate traces within the time range, newest first, then by id. */
  async #newestCandidates(
    view: GroupView,
    candidates: Uint8Array,
    starts: IntColumn | undefined,
    ends: IntColumn | undefined,
  ): Promise<number[]> {
    const rows: number[] = []
    for (let row = 0; row < candidates.length; row++) {
      if (candidates[row] !== 1) continue
      const start = starts ? uint64At(starts, row) : 0n
      if (!this.#isOut(start, ends ? uint64At(ends, row) : 0n)) rows.push(row)
    }
    if (!starts) return rows
    const ids = await view.field('trace.id')
    const textOf = (row: number) =>
      ids ? traceIdText(ids.bytes.subarray(row * 16, row * 16 + 16)) : ''
    const { hi, lo } = starts
    return rows.sort((a, b) => {
      if (hi[a] !== hi[b]) return hi[b]! - hi[a]!
      if (lo[a] !== lo[b]) return lo[b]! - lo[a]!
      return textOf(a) < textOf(b) ? -1 : 1
    })
  }
}

/** Second pass: reads what an answer shows, of the traces that are in it. */
class TraceAssembler {
  readonly #spansPerSpanSet: number
  readonly #columns: Awaited<ReturnType<typeof loadShown>>
  private constructor(options: SearchOptions, columns: Awaited<ReturnType<typeof loadShown>>) {
    this.#spansPerSpanSet = options.spansPerSpanSet || DEFAULT_SPANS_PER_SPAN_SET
    this.#columns = columns
  }

  static async open(
    view: GroupView,
    plan: SearchPlan,
    options: SearchOptions,
  ): Promise<TraceAssembler> {
    return new TraceAssembler(options, await loadShown(view, plan))
  }

  trace(row: number, sets: readonly Spanset[]): FoundTrace {
    const { traceId, start, end, rootService, rootName, offsets } = this.#columns
    const first = offsets[row]!
    const text = (read: Reader) => staticText(read(first))
    return {
      traceId: text(traceId),
      rootServiceName: text(rootService),
      rootTraceName: text(rootName),
      start_ns: start ? uint64At(start, row) : 0n,
      end_ns: end ? uint64At(end, row) : 0n,
      spansets: sets.map((set) => this.#spanset(set)),
      services: this.#services(first, offsets[row + 1]!),
    }
  }

  #spanset(set: Spanset): FoundSpanset {
    return {
      spans: set.rows.slice(0, this.#spansPerSpanSet).map((row) => this.#span(row)),
      matched: set.rows.length,
      attributes: set.attributes.map(({ name, value }) => ({ key: name, value })),
    }
  }

  #span(row: number): FoundSpan {
    const { spanIds, spanStart, duration, name, attributes } = this.#columns
    const id = spanIds?.bytes.subarray(row * 8, row * 8 + 8) ?? new Uint8Array(8)
    const shown: FoundAttribute[] = []
    for (const { attribute, read } of attributes) {
      const value = read(row)
      if (value.type !== 'nil') shown.push({ key: attribute.name, value })
    }
    return {
      spanId: spanIdText(id),
      name: name ? seenText(name(row)) : '',
      start_ns: spanStart ? uint64At(spanStart, row) : 0n,
      duration_ns: duration ? uint64At(duration, row) : 0n,
      attributes: shown,
    }
  }

  #services(begin: number, end: number): FoundTrace['services'] {
    const { resource, service, status } = this.#columns
    const counts = new Map<string, { spanCount: number; errorCount: number }>()
    for (let row = begin; row < end; row++) {
      const name = staticText(service(resource[row]!))
      let of = counts.get(name)
      if (!of) counts.set(name, (of = { spanCount: 0, errorCount: 0 }))
      of.spanCount++
      if (status?.lo[row] === STATUS_ERROR) of.errorCount++
    }
    return Object.fromEntries(counts)
  }
}

const seenText = (value: Static): string => (value.type === 'nil' ? '' : staticText(value))

async function loadShown(view: GroupView, plan: SearchPlan) {
  const [traceId, start, end, rootService, rootName, offsets, parents] = await Promise.all([
    readerOf(view, intrinsicOf('trace:id')),
    view.field('trace.start'),
    view.field('trace.end'),
    readerOf(view, intrinsicOf('rootServiceName')),
    readerOf(view, intrinsicOf('rootName')),
    view.traceOffsets(),
    view.parents(),
  ])
  const [spanIds, spanStart, duration, status, service, name] = await Promise.all([
    view.field('span.id'),
    view.field('span.start'),
    view.field('span.duration'),
    view.field('span.status'),
    levelReader(view, 'resource', SERVICE_NAME),
    nameReader(view, plan.conditions),
  ])
  const attributes: readonly ReturnedAttribute[] = await returnedAttributes(view, plan.conditions)
  return {
    traceId,
    start,
    end,
    rootService,
    rootName,
    offsets,
    resource: parents.resource,
    spanIds,
    spanStart,
    duration,
    status,
    service,
    name,
    attributes,
  }
}

/** One answer of several: a trace that is spread over sources appears once, with what all of them know of it. */
export function mergeSearch(partials: readonly SearchPartial[], limit: number): SearchPartial {
  const byId = new Map<string, FoundTrace>()
  for (const { traces } of partials) {
    for (const trace of traces) {
      const known = byId.get(trace.traceId)
      byId.set(trace.traceId, known ? mergeTraces(known, trace) : trace)
    }
  }
  const traces = [...byId.values()].sort(newestFirst)
  const sum = (of: (p: SearchPartial) => number) => partials.reduce((n, p) => n + of(p), 0)
  return {
    traces: limit > 0 ? traces.slice(0, limit) : traces,
    inspectedTraces: sum((p) => p.inspectedTraces),
    inspectedSpans: sum((p) => p.inspectedSpans),
    inspected_bytes: sum((p) => p.inspected_bytes),
    stopped: partials.some((p) => p.stopped),
  }
}

function mergeTraces(a: FoundTrace, b: FoundTrace): FoundTrace {
  const services = new Map(Object.entries(a.services))
  for (const [name, of] of Object.entries(b.services)) {
    const known = services.get(name)
    // Parts may overlap (a span held by two sources), so the greater count stands, as in Tempo.
    services.set(name, {
      spanCount: Math.max(known?.spanCount ?? 0, of.spanCount),
      errorCount: Math.max(known?.errorCount ?? 0, of.errorCount),
    })
  }
  const spansets = new Map(a.spansets.map((set) => [identityOf(set), set]))
  for (const set of b.spansets) {
    const known = spansets.get(identityOf(set))
    if (!known || set.matched > known.matched) spansets.set(identityOf(set), set)
  }
  return {
    traceId: a.traceId,
    rootServiceName: a.rootServiceName || b.rootServiceName,
    rootTraceName: a.rootTraceName || b.rootTraceName,
    start_ns: a.start_ns < b.start_ns ? a.start_ns : b.start_ns,
    end_ns: a.end_ns > b.end_ns ? a.end_ns : b.end_ns,
    spansets: [...spansets.values()],
    // fromEntries makes own properties: a service may be called `__proto__`.
    services: Object.fromEntries(services),
  }
}

/** Span sets of one trace are the same set when they are of the same group. */
const identityOf = (set: FoundSpanset): string =>
  set.attributes
    .filter(({ key }) => key.startsWith('by'))
    .map(({ key, value }) => `${key} ${value.type} ${staticText(value)}`)
    .join('\n')
