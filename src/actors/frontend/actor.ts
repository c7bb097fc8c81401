/** The query-frontend splits a query into jobs over the read set, runs them on the queriers, merges, and stops at the limit. */
import type { Actor, Asker, Call, Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import { Metrics, type Counter } from '../../lib/metrics.js'
import { combineTraces } from '../../otlp/combine.js'
import { Catalog } from '../../storage/catalog.js'
import { isQueryError } from '../../traceql/errors.js'
import { mergeMetrics, type MetricsPartial } from '../../traceql/metrics.js'
import { planMetrics, planSearch } from '../../traceql/plan.js'
import {
  toQueryInstantResponse,
  toQueryRangeResponse,
  toSearchResponse,
  toTagNamesV2Response,
  toTagValuesV2Response,
} from '../../traceql/response.js'
import { mergeSearch, NO_TRACES, type SearchPartial } from '../../traceql/search.js'
import {
  mergeTagNames,
  mergeTagValues,
  type TagNamesPartial,
  type TagValuesPartial,
} from '../../traceql/tags.js'
import type { BackendWorkerAsks } from '../backend-worker/contract.js'
import type { Job, JobReply, JobStats, QuerierAsks } from '../querier/contract.js'
import { BlocklistCache } from './blocklist-cache.js'
import type {
  FrontendAsks,
  MetricsQuery,
  Refusal,
  Reply,
  SearchQuery,
  TagNamesQuery,
  TagValuesQuery,
  TimeRange,
  TraceByIdQuery,
  TraceByIdReply,
} from './contract.js'
import { runJobs, shard, type RunOptions } from './jobs.js'
import { listSources, type ListedSource } from './read-set.js'

type Op = 'traces' | 'search' | 'metadata' | 'metrics'

/** Jobs wanted a querier, so that a slow one does not hold up the rest. */
const JOBS_PER_QUERIER = 4

export default class Frontend implements Actor {
  readonly asks: FrontendAsks = {
    traceById: (query, call) =>
      this.#answer('traces', query.tenant, () => this.#traceById(query, call)),
    search: (query, call) => this.#answer('search', query.tenant, () => this.#search(query, call)),
    queryRange: (query, call) =>
      this.#answer('metrics', query.tenant, async () => {
        const { merged, stats, counts } = await this.#metricsOf(query, call)
        return toQueryRangeResponse(merged, planMetrics(query.query, query), stats, counts)
      }),
    queryInstant: (query, call) =>
      this.#answer('metrics', query.tenant, async () => {
        const { merged, stats, counts } = await this.#metricsOf(query, call)
        return toQueryInstantResponse(merged, planMetrics(query.query, query), stats, counts)
      }),
    tagNames: (query, call) =>
      this.#answer('metadata', query.tenant, () => this.#tagNames(query, call)),
    tagValues: (query, call) =>
      this.#answer('metadata', query.tenant, () => this.#tagValues(query, call)),
  }
  readonly #ctx: Context<Config>
  readonly #catalogs: Catalog[]
  readonly #queries: Counter
  readonly #bytes: Counter
  #blocklist!: BlocklistCache
  #queriers!: Asker<QuerierAsks>

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#catalogs = Array.from(
      { length: ctx.config.actors.bus.partitions },
      (_, p) => new Catalog(ctx.shared[`catalog-${p}`]!),
    )
    const metrics = new Metrics(ctx.shared[`metrics-${ctx.component}`]!)
    this.#queries = metrics.counter('tempo_query_frontend_queries_total', 'Queries answered.', [
      'tenant',
      'op',
      'result',
    ])
    this.#bytes = metrics.counter(
      'tempo_query_frontend_bytes_inspected_total',
      'Bytes read for queries.',
      ['tenant', 'op'],
    )
  }

  async start(): Promise<void> {
    const { name, clock, log } = this.#ctx
    this.#queriers = this.#ctx.ask<QuerierAsks>('querier')
    this.#blocklist = new BlocklistCache(
      name,
      this.#ctx.ask<BackendWorkerAsks>('backend-worker'),
      clock,
      log,
    )
    await this.#blocklist.start()
  }

  stop(): Promise<void> {
    this.#blocklist.stop()
    return Promise.resolve()
  }

  /** What the asker got wrong and what could not be read are answers, not crashes. */
  async #answer<T>(op: Op, tenant: string, work: () => Promise<T>): Promise<Reply<T>> {
    try {
      const ok = await work()
      this.#queries.labels(tenant, op, 'completed').inc()
      return { ok }
    } catch (error) {
      const refusal = refusalOf(error)
      this.#queries.labels(tenant, op, refusal.status < 500 ? 'canceled' : 'error').inc()
      if (refusal.status >= 500)
        this.#ctx.log.warn('query failed', { op, tenant, error: errorText(error) })
      return { refused: refusal }
    }
  }

  async #traceById(query: TraceByIdQuery, call: Call): Promise<TraceByIdReply> {
    const parts: Uint8Array[] = []
    const take = (found: Uint8Array[]) => {
      parts.push(...found)
      return false
    }
    const { stats } = await this.#run(
      'traces',
      query,
      query,
      call,
      (ask, job, options) => ask.traceById(job, options),
      take,
    )
    const max_bytes = this.#ctx.config.overrides.max_bytes_per_trace
    const { trace, spanCount, isTruncated } = combineTraces(parts, { max_bytes })
    return {
      trace: spanCount > 0 ? trace : undefined,
      spanCount,
      inspected_bytes: stats.inspected_bytes,
      partial: isTruncated ? `trace exceeds max size (max bytes: ${max_bytes})` : undefined,
    }
  }

  async #search(query: SearchQuery, call: Call) {
    this.#checkLength(query.query)
    planSearch(query.query)
    let merged: SearchPartial = NO_TRACES
    const take = (found: SearchPartial, rest: readonly ListedSource[]) => {
      merged = mergeSearch([merged, found], query.limit)
      return isSettled(merged, query.limit, rest)
    }
    const { counts } = await this.#run(
      'search',
      query,
      query,
      call,
      (ask, job, options) => ask.search(job, options),
      take,
    )
    return toSearchResponse(merged, counts)
  }

  async #metricsOf(query: MetricsQuery, call: Call) {
    this.#checkLength(query.query)
    const plan = planMetrics(query.query, query)
    const partials: MetricsPartial[] = []
    const take = (found: MetricsPartial) => {
      partials.push(found)
      return false
    }
    const run = await this.#run(
      'metrics',
      query,
      query,
      call,
      (ask, job, options) => ask.metrics(job, options),
      take,
    )
    return { ...run, merged: mergeMetrics(partials, plan) }
  }

  async #tagNames(query: TagNamesQuery, call: Call) {
    const partials: TagNamesPartial[] = []
    const { stats, counts } = await this.#run(
      'metadata',
      query,
      query,
      call,
      (ask, job, options) => ask.tagNames(job, options),
      (found) => {
        partials.push(found)
        return false
      },
    )
    return toTagNamesV2Response(mergeTagNames(partials), query, stats, counts)
  }

  async #tagValues(query: TagValuesQuery, call: Call) {
    const partials: TagValuesPartial[] = []
    const { stats, counts } = await this.#run(
      'metadata',
      query,
      query,
      call,
      (ask, job, options) => ask.tagValues(job, options),
      (found) => {
        partials.push(found)
        return false
      },
    )
    return toTagValuesV2Response(mergeTagValues(partials), query, stats, counts)
  }

  #checkLength(query: string): void {
    const most = this.#ctx.config.query_frontend.max_query_expression_size_bytes
    const length = Buffer.byteLength(query)
    if (most > 0 && length > most) {
      throw new QueryRefused({
        status: 400,
        message: `TraceQL query of ${length} bytes exceeds max_query_expression_size_bytes of ${most}`,
      })
    }
  }

  async #run<Q extends { tenant: string }, R>(
    op: Op,
    query: Q,
    range: TimeRange,
    call: Call,
    send: (
      ask: Asker<QuerierAsks>,
      job: Job<Q>,
      options: { deadline_ms: number; signal: AbortSignal },
    ) => Promise<JobReply<R>>,
    take: RunOptions<Q, R>['take'],
  ): Promise<{
    stats: JobStats
    counts: {
      totalBlocks: number
      totalJobs: number
      completedJobs: number
      totalBlock_bytes: number
    }
  }> {
    const { config, clock } = this.#ctx
    const deadline =
      clock.monotonic() + (config.query_frontend.api_timeout_ms || config.querier.query_timeout_ms)
    const blocklist = await this.#blocklist.current()
    const sources = listSources(this.#catalogs, blocklist, query.tenant, range)
    const jobs = shard(sources, JOBS_PER_QUERIER * this.#ctx.replicas('querier').length)
    let completedJobs = 0
    const stats = await runJobs<Q, R>({
      query,
      jobs,
      retriesMax: config.query_frontend.max_retries,
      take: (result, rest) => {
        completedJobs++
        return take(result, rest)
      },
      call: (job) => {
        const left_ms = Math.max(1, deadline - clock.monotonic())
        return send(this.#queriers, job, { deadline_ms: left_ms, signal: call.signal })
      },
    })
    this.#bytes.labels(query.tenant, op).inc(stats.inspected_bytes)
    const totalBlock_bytes = sources.reduce((sum, source) => sum + source.size_bytes, 0)
    return {
      stats,
      counts: {
        totalBlocks: sources.length,
        totalJobs: jobs.length,
        completedJobs,
        totalBlock_bytes,
      },
    }
  }
}

/** Nothing in the sources not asked yet can be newer than what fills the limit. */
function isSettled(merged: SearchPartial, limit: number, rest: readonly ListedSource[]): boolean {
  if (merged.traces.length < limit) return false
  const oldest = merged.traces[limit - 1]!
  return rest.every((source) => source.maxEnd_ns < oldest.start_ns)
}

class QueryRefused extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message)
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof QueryRefused) return error.refusal
  const message = errorText(error)
  if (isQueryError(error)) return { status: 400, message: `invalid TraceQL query: ${message}` }
  const code = (error as { code?: unknown }).code
  if (code === 'DEADLINE_EXCEEDED') return { status: 504, message: `query timed out: ${message}` }
  if (code === 'ACTOR_DOWN') return { status: 503, message: `${message}; try again` }
  if (code === 'OVERLOADED') return { status: 429, message }
  if (code === 'ASK_CANCELLED') return { status: 499, message: 'the client went away' }
  return { status: 500, message }
}
