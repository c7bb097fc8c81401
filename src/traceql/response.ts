/** Owns the JSON objects of Tempo's read API: protobuf's JSON form, 64-bit integers as text, zero fields left out. */
import { staticText } from './static.js'
import type { Static } from './static.js'
import type {
  FoundAttribute,
  FoundSpan,
  FoundSpanset,
  FoundTrace,
  SearchPartial,
} from './search.js'

export type AnyValue =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number | string }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } }
export interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}
export interface SpanResponse {
  readonly spanID: string
  readonly name?: string
  readonly startTimeUnixNano?: string
  readonly durationNanos?: string
  readonly attributes?: readonly KeyValue[]
}
export interface SpanSetResponse {
  readonly spans?: readonly SpanResponse[]
  readonly matched?: number
  readonly attributes?: readonly KeyValue[]
}
export interface TraceResponse {
  readonly traceID: string
  readonly rootServiceName?: string
  readonly rootTraceName?: string
  readonly startTimeUnixNano?: string
  readonly durationMs?: number
  /** The first of spanSets; old clients read it. */
  readonly spanSet?: SpanSetResponse
  readonly spanSets?: readonly SpanSetResponse[]
  readonly serviceStats?: Readonly<Record<string, { spanCount?: number; errorCount?: number }>>
}
export interface SearchMetrics {
  readonly inspectedTraces?: number
  readonly inspectedBytes?: string
  readonly totalBlocks?: number
  readonly completedJobs?: number
  readonly totalJobs?: number
  readonly totalBlockBytes?: string
  readonly inspectedSpans?: string
}
export interface SearchResponse {
  readonly traces?: readonly TraceResponse[]
  readonly metrics: SearchMetrics
}

export interface Sample {
  readonly timestampMs?: string
  readonly value?: number | string
}
export interface ExemplarResponse {
  readonly labels?: readonly KeyValue[]
  readonly value?: number | string
  readonly timestampMs?: string
}
export interface SeriesResponse {
  readonly labels?: readonly KeyValue[]
  readonly samples?: readonly Sample[]
  readonly exemplars?: readonly ExemplarResponse[]
}
export interface QueryRangeResponse {
  readonly series?: readonly SeriesResponse[]
  readonly metrics?: SearchMetrics
  readonly status?: 'PARTIAL'
  readonly message?: string
}
export interface QueryInstantResponse {
  readonly series?: readonly {
    readonly labels?: readonly KeyValue[]
    readonly value?: number | string
  }[]
  readonly metrics?: SearchMetrics
  readonly status?: 'PARTIAL'
  readonly message?: string
}

export interface MetadataMetrics {
  readonly inspectedBytes?: string
  readonly totalJobs?: number
  readonly completedJobs?: number
  readonly totalBlocks?: number
  readonly totalBlockBytes?: string
}
export interface TagNamesResponse {
  readonly tagNames?: readonly string[]
  readonly metrics?: MetadataMetrics
}
export interface TagNamesV2Response {
  readonly scopes?: readonly { readonly name: string; readonly tags?: readonly string[] }[]
  readonly metrics?: MetadataMetrics
}
export interface TagValuesResponse {
  readonly tagValues?: readonly string[]
  readonly metrics?: MetadataMetrics
}
export interface TagValuesV2Response {
  readonly tagValues?: readonly { readonly type: string; readonly value: string }[]
  readonly metrics?: MetadataMetrics
}

export const ROOT_NOT_RECEIVED = '<root span not yet received>'

type Shown<T> = { -readonly [K in keyof T]: T[K] }

/** A copy without what protobuf's JSON leaves out: undefined, 0, "", "0" and empty lists. */
export function withoutZeros<T extends object>(object: T): T {
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(object) as [string, unknown][]) {
    if (value === undefined || value === 0 || value === '' || value === '0') continue
    if (Array.isArray(value) && value.length === 0) continue
    out[key] = value
  }
  return out as T
}

/** A double as JSON has it: not every double is a JSON number. */
export const jsonNumber = (value: number): number | string =>
  Number.isFinite(value)
    ? value
    : Number.isNaN(value)
      ? 'NaN'
      : value > 0
        ? 'Infinity'
        : '-Infinity'

/** Statuses, kinds and durations travel as text. */
export function anyValueOf(s: Static): AnyValue {
  switch (s.type) {
    case 'int':
      return { intValue: s.value.toString() }
    case 'float':
      return { doubleValue: jsonNumber(s.value) }
    case 'bool':
      return { boolValue: s.value }
    case 'intArray':
      return { arrayValue: { values: s.value.map((v) => ({ intValue: v.toString() })) } }
    case 'floatArray':
      return { arrayValue: { values: s.value.map((v) => ({ doubleValue: jsonNumber(v) })) } }
    case 'stringArray':
      return { arrayValue: { values: s.value.map((stringValue) => ({ stringValue })) } }
    case 'boolArray':
      return { arrayValue: { values: s.value.map((boolValue) => ({ boolValue })) } }
    default:
      return { stringValue: staticText(s) }
  }
}

const keyValueOf = ({ key, value }: FoundAttribute): KeyValue => ({ key, value: anyValueOf(value) })

/** Counters of a search that only the frontend knows. */
export interface JobCounts {
  readonly totalBlocks?: number
  readonly totalJobs?: number
  readonly completedJobs?: number
  readonly totalBlock_bytes?: number
}

export function searchMetrics(
  inspected: { inspectedTraces: number; inspectedSpans: number; inspected_bytes: number },
  jobs: JobCounts = {},
): SearchMetrics {
  return withoutZeros({
    inspectedTraces: inspected.inspectedTraces,
    inspectedBytes: String(inspected.inspected_bytes),
    totalBlocks: jobs.totalBlocks ?? 0,
    completedJobs: jobs.completedJobs ?? 0,
    totalJobs: jobs.totalJobs ?? 0,
    totalBlockBytes: String(jobs.totalBlock_bytes ?? 0),
    inspectedSpans: String(inspected.inspectedSpans),
  })
}

/** The answer of /api/search. */
export function toSearchResponse(merged: SearchPartial, jobs: JobCounts = {}): SearchResponse {
  const response: Shown<SearchResponse> = { metrics: searchMetrics(merged, jobs) }
  const traces = merged.traces.map(traceResponse)
  return traces.length > 0 ? { traces, ...response } : response
}

function traceResponse(trace: FoundTrace): TraceResponse {
  const spanSets = trace.spansets.map(spansetResponse)
  // fromEntries makes own properties: a service may be called `__proto__`.
  const serviceStats: TraceResponse['serviceStats'] = Object.fromEntries(
    Object.entries(trace.services).map(([name, counts]) => [name, withoutZeros(counts)]),
  )
  const elapsed_ns = trace.end_ns > trace.start_ns ? trace.end_ns - trace.start_ns : 0n
  return withoutZeros({
    traceID: trace.traceId,
    rootServiceName: trace.rootServiceName || ROOT_NOT_RECEIVED,
    rootTraceName: trace.rootTraceName,
    startTimeUnixNano: trace.start_ns.toString(),
    durationMs: Number(BigInt.asUintN(32, elapsed_ns / 1_000_000n)),
    ...(spanSets[0] ? { spanSet: spanSets[0] } : {}),
    spanSets,
    serviceStats,
  })
}

function spansetResponse(set: FoundSpanset): SpanSetResponse {
  return withoutZeros({
    spans: set.spans.map(spanResponse),
    matched: set.matched,
    attributes: set.attributes.map(keyValueOf),
  })
}

function spanResponse(span: FoundSpan): SpanResponse {
  return withoutZeros({
    spanID: span.spanId,
    name: span.name,
    startTimeUnixNano: span.start_ns.toString(),
    durationNanos: span.duration_ns.toString(),
    attributes: span.attributes.map(keyValueOf),
  })
}
