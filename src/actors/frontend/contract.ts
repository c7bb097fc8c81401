/** Owns what others may ask of the query-frontend: Tempo's read API, before HTTP. Every answer is data or a typed refusal. */
import type { Call } from '../../bus/actor.js'
import type {
  QueryRangeResponse,
  SearchResponse,
  TagNamesV2Response,
  TagValuesV2Response,
  QueryInstantResponse,
} from '../../traceql/response.js'

/** A refusal is part of the protocol: the status Tempo would answer with, and words for the person who asked. */
export interface Refusal {
  readonly status: 400 | 404 | 422 | 429 | 499 | 500 | 501 | 503 | 504
  readonly message: string
}
/** `missing` says what the answer lacks: blocks of the backend that could not be listed yet, or that are damaged. */
export type Reply<T> = { readonly ok: T; readonly missing?: string } | { readonly refused: Refusal }

export interface TimeRange {
  /** Unix ns; undefined = open. */
  readonly start_ns?: bigint | undefined
  readonly end_ns?: bigint | undefined
}
export interface TraceByIdQuery extends TimeRange {
  readonly tenant: string
  /** 16 bytes. */
  readonly traceId: Uint8Array
}
export interface TraceByIdReply {
  /** tempopb.Trace bytes; undefined = no such trace. */
  readonly trace: Uint8Array | undefined
  readonly spanCount: number
  readonly inspected_bytes: number
  /** Set when the trace is larger than max_bytes_per_trace. */
  readonly partial: string | undefined
  /** Set when blocks could not be read in which the trace may have spans. */
  readonly unread: string | undefined
  /** Of `unread`: it is worth asking again, since the backend could not be read only yet. */
  readonly isUnreadForNow: boolean
}
export interface SearchQuery extends TimeRange {
  readonly tenant: string
  readonly query: string
  readonly limit: number
  readonly spansPerSpanSet: number
}
export interface MetricsQuery {
  readonly tenant: string
  readonly query: string
  readonly start_ns: bigint
  readonly end_ns: bigint
  /** 0 = instant: one value over the whole range. */
  readonly step_ns: bigint
  readonly maxSeries: number
  readonly exemplars: number
}
export interface TagNamesQuery extends TimeRange {
  readonly tenant: string
  /** '' = all scopes. */
  readonly scope: string
  readonly query: string
  readonly limit: number
}
export interface TagValuesQuery extends TimeRange {
  readonly tenant: string
  readonly tag: string
  readonly query: string
  readonly limit: number
}

/** The read API as its users see it. */
export interface FrontendApi {
  traceById(query: TraceByIdQuery): Promise<Reply<TraceByIdReply>>
  search(query: SearchQuery): Promise<Reply<SearchResponse>>
  queryRange(query: MetricsQuery): Promise<Reply<QueryRangeResponse>>
  queryInstant(query: MetricsQuery): Promise<Reply<QueryInstantResponse>>
  tagNames(query: TagNamesQuery): Promise<Reply<TagNamesV2Response>>
  tagValues(query: TagValuesQuery): Promise<Reply<TagValuesV2Response>>
}

/** The same as asks: each handler is given the call it belongs to. */
export type FrontendAsks = {
  [Method in keyof FrontendApi]: (
    query: Parameters<FrontendApi[Method]>[0],
    call: Call,
  ) => ReturnType<FrontendApi[Method]>
}
