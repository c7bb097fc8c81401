/** Owns what others may ask of a querier: one job over some sources, answered with mergeable partial results. */
import type { Call } from '../../bus/actor.js'
import type { MetricsPartial } from '../../traceql/metrics.js'
import type { SearchPartial } from '../../traceql/search.js'
import type { TagNamesPartial, TagValuesPartial } from '../../traceql/tags.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import type {
  MetricsQuery,
  SearchQuery,
  TagNamesQuery,
  TagValuesQuery,
  TraceByIdQuery,
} from '../frontend/contract.js'

/** One block by its UUID, wherever it is by the time the job runs: live head, local block, or the backend. */
export interface SourceRef {
  readonly blockId: string
  readonly tenant: string
  /** Known when the block was listed in the backend. */
  readonly meta?: BlockMeta | undefined
}

export interface Job<Q> {
  readonly query: Q
  readonly sources: readonly SourceRef[]
}

export interface JobStats {
  inspected_bytes: number
  inspectedSpans: number
  inspectedTraces: number
}

/** A source that gave no part of the result, and why. */
export interface FailedSource {
  readonly blockId: string
  readonly message: string
  /** The block's own bytes are at fault, or no build of this version reads them: trying again changes nothing. */
  readonly isDamaged: boolean
}

/** `failed` names the sources that could not be read; the frontend decides whether the answer is partial. */
export interface JobReply<R> {
  readonly result: R
  readonly stats: JobStats
  readonly failed: readonly FailedSource[]
}

export interface QuerierAsks {
  /** tempopb.Trace bytes, one a source that has the trace. */
  traceById(job: Job<TraceByIdQuery>, call: Call): Promise<JobReply<Uint8Array[]>>
  search(job: Job<SearchQuery>, call: Call): Promise<JobReply<SearchPartial>>
  metrics(job: Job<MetricsQuery>, call: Call): Promise<JobReply<MetricsPartial>>
  tagNames(job: Job<TagNamesQuery>, call: Call): Promise<JobReply<TagNamesPartial>>
  tagValues(job: Job<TagValuesQuery>, call: Call): Promise<JobReply<TagValuesPartial>>
}
