/** The query-frontend splits a query into jobs over the read set, runs them on the queriers, merges, and stops at the limit. */
import type { Actor, Asker, AskOptions, Call, Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import { Metrics, type Counter } from '../../lib/metrics.js'
import { limitsIn, type LimitsSource } from '../../limits/view.js'
import { combineTraces } from '../../otlp/combine.js'
import { Catalog } from '../../storage/catalog.js'
import { mergeMetrics, planMetrics } from '../../traceql/metrics.js'
import { toQueryInstantResponse, toQueryRangeResponse } from '../../traceql/metrics-response.js'
import { planSearch } from '../../traceql/plan.js'
import {
  toSearchResponse,
  withoutZeros,
  type JobCounts,
  type MetadataMetrics,
} from '../../traceql/response.js'
import { mergeSearch, NO_TRACES, type SearchPartial } from '../../traceql/search.js'
import {
  mergeTagNames,
  mergeTagValues,
  parseTag,
  scopesOf,
  toTagNamesV2Response,
  toTagValuesV2Response,
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
import { missingIn, unreadBlocks, type Missing } from './missing.js'
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
        const { plan, merged, counts, missing } = await this.#metrics(query, call)
        return withStatus(toQueryRangeResponse(plan, merged, counts), missing)
      }),
    queryInstant: (query, call) =>
      this.#answer('metrics', query.tenant, async () => {
        const { plan, merged, counts, missing } = await this.#metrics(query, call)
        return withStatus(toQueryInstantResponse(plan, merged, counts), missing)
      }),
    tagNames: (query, call) =>
      this.#answer('metadata', query.tenant, () => this.#tagNames(query, call)),
    tagValues: (query, call) =>
      this.#answer('metadata', query.tenant, () => this.#tagValues(query, call)),
  }
  readonly #ctx: Context<Config>
  readonly #catalogs: Catalog[]
  readonly #limits: LimitsSource
  readonly #queries: Counter
  readonly #bytes: Counter
  readonly #duplicates: Counter
  readonly #partial: Counter
  #blocklist!: BlocklistCache
  #queriers!: Asker<QuerierAsks>

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#limits = limitsIn(ctx.shared, ctx.config.overrides)
    this.#catalogs = Array.from(
      { length: ctx.config.actors.bus.partitions },
      (_, p) => new Catalog(ctx.shared[`catalog-${p}`]!),
    )
    const metrics = new Metrics(ctx.shared[`metrics-${ctx.component}`])
    this.#queries = metrics.counter('tempo_query_frontend_queries_total', 'Queries answered.', [
      'tenant',
      'op',
      'result',
    ])
    this.#duplicates = metrics.counter(
      'tempo_actors_query_frontend_duplicate_spans_total',
      'Spans that a trace by id found more than once and shows once: searches and metrics count each copy.',
      ['tenant'],
    )
    this.#partial = metrics.counter(
      'tempo_actors_query_frontend_partial_answers_total',
      'Queries whose answer says that blocks could not be listed yet, or are damaged and left out.',
      ['tenant', 'op'],
    )
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
  async #answer<T>(op: Op, tenant: string, work: () => Promise<Answer<T>>): Promise<Reply<T>> {
    try {
      const { ok, missing } = await work()
      this.#queries.labels(tenant, op, 'completed').inc()
      if (missing === undefined) return { ok }
      this.#partial.labels(tenant, op).inc()
      return { ok, missing: missing.words }
    } catch (error) {
      const refusal = refusalOf(error)
      this.#queries.labels(tenant, op, refusal.status < 500 ? 'canceled' : 'error').inc()
      if (refusal.status >= 500)
        this.#ctx.log.warn('query failed', { op, tenant, error: errorText(error) })
      return { refused: refusal }
    }
  }

  async #traceById(query: TraceByIdQuery, call: Call): Promise<Answer<TraceByIdReply>> {
    const { parts, stats, missing } = await this.#gather('traces', query, call, 'traceById')
    const max_bytes = this.#limits.of(query.tenant).max_bytes_per_trace
    const combined = combineTraces(parts.flat(), { max_bytes })
    const { trace, spanCount, droppedSpans, duplicateSpans } = combined
    if (duplicateSpans > 0) this.#duplicates.labels(query.tenant).inc(duplicateSpans)
    const ok = {
      trace: spanCount > 0 ? trace : undefined,
      spanCount,
      inspected_bytes: stats.inspected_bytes,
      partial:
        droppedSpans > 0
          ? `trace exceeds max size (max bytes: ${max_bytes}): ${droppedSpans} spans are left out`
          : undefined,
      unread: missing?.words,
      isUnreadForNow: missing?.isForNow ?? false,
    }
    return { ok, missing }
  }

  async #search(query: SearchQuery, call: Call) {
    this.#checkLength(query.query)
    planSearch(query.query)
    let merged: SearchPartial = NO_TRACES
    const take = (found: SearchPartial, rest: readonly ListedSource[]) => {
      merged = mergeSearch([merged, found], query.limit)
      return isSettled(merged, query.limit, rest)
    }
    const { counts, missing } = await this.#run('search', query, call, 'search', take)
    return { ok: toSearchResponse(merged, counts), missing }
  }

  async #metrics(query: MetricsQuery, call: Call) {
    this.#checkLength(query.query)
    const plan = planMetrics(query.query, query)
    const { parts, ...run } = await this.#gather('metrics', query, call, 'metrics')
    return { plan, merged: mergeMetrics(plan, parts), ...run }
  }

  async #tagNames(query: TagNamesQuery, call: Call) {
    scopesOf(query.scope)
    const { parts, counts, missing } = await this.#gather('metadata', query, call, 'tagNames')
    const ok = toTagNamesV2Response(mergeTagNames(parts, query.limit), query.scope)
    return { ok: withCounts(ok, counts), missing }
  }

  async #tagValues(query: TagValuesQuery, call: Call) {
    parseTag(query.tag)
    const max_bytes = this.#limits.of(query.tenant).max_bytes_per_tag_values_query
    const { parts, counts, missing } = await this.#gather('metadata', query, call, 'tagValues')
    const ok = toTagValuesV2Response(mergeTagValues(parts, query.limit, max_bytes))
    return { ok: withCounts(ok, counts), missing }
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

  /** Runs all jobs of a query and keeps their results. */
  async #gather<M extends keyof QuerierAsks>(op: Op, query: QueryOf<M>, call: Call, method: M) {
    const parts: ResultOf<M>[] = []
    const run = await this.#run(op, query, call, method, (result) => {
      parts.push(result)
      return false
    })
    return { ...run, parts }
  }

  /** Runs the jobs of a query, newest sources first, until `take` says enough. */
  async #run<M extends keyof QuerierAsks>(
    op: Op,
    query: QueryOf<M>,
    call: Call,
    method: M,
    take: RunOptions<QueryOf<M>, ResultOf<M>>['take'],
  ): Promise<{ stats: JobStats; counts: JobCounts; missing: Missing | undefined }> {
    const { config, clock } = this.#ctx
    const limit_ms = config.query_frontend.api_timeout_ms || config.querier.query_timeout_ms
    const deadline = clock.monotonic() + limit_ms
    await this.#blocklist.fresh()
    const { tenants } = this.#blocklist
    const unlisted = this.#blocklist.missing(query.tenant)
    const unusable = this.#blocklist.unusable(query.tenant)
    const unread = unreadBlocks(unusable, this.#catalogs, tenants, query.tenant)
    const sources = listSources(this.#catalogs, tenants, query.tenant, query)
    const jobs = shard(sources, JOBS_PER_QUERIER * this.#ctx.replicas('querier').length)
    // One signature for all methods; the contract ties each method's query to its result.
    const send = this.#queriers[method] as (
      job: Job<QueryOf<M>>,
      options: AskOptions,
    ) => Promise<JobReply<ResultOf<M>>>
    let completedJobs = 0
    const { stats, leftOut } = await runJobs<QueryOf<M>, ResultOf<M>>({
      query,
      jobs,
      retriesMax: config.query_frontend.max_retries,
      take: (result, rest) => {
        completedJobs++
        return take(result, rest)
      },
      call: (job) => {
        const deadline_ms = Math.max(1, deadline - clock.monotonic())
        return send(job, { deadline_ms, signal: call.signal })
      },
    })
    this.#bytes.labels(query.tenant, op).inc(stats.inspected_bytes)
    const missing = missingIn(unlisted, [...leftOut, ...unread])
    const totalBlock_bytes = sources.reduce((sum, source) => sum + source.size_bytes, 0)
    const counts = {
      totalBlocks: sources.length,
      // What could not be read is a job that nobody has done: clients of Tempo take such an answer for partial.
      totalJobs: jobs.length + (missing === undefined ? 0 : 1),
      completedJobs,
      totalBlock_bytes,
    }
    return { stats, counts, missing }
  }
}

/** An answer, and what is missing in it because blocks could not be listed or read. */
interface Answer<T> {
  readonly ok: T
  readonly missing: Missing | undefined
}

/** Tempo has a place for it in answers with metrics; another reason may be there already. */
function withStatus<T extends { status?: 'PARTIAL'; message?: string }>(
  response: T,
  missing: Missing | undefined,
): Answer<T> {
  if (missing === undefined) return { ok: response, missing }
  const { words } = missing
  const message = response.message === undefined ? words : `${response.message} ${words}`
  return { ok: { ...response, status: 'PARTIAL', message }, missing }
}

function withCounts<T extends { metrics?: MetadataMetrics }>(response: T, counts: JobCounts): T {
  const { totalBlocks, totalJobs, completedJobs, totalBlock_bytes = 0 } = counts
  const jobs = { totalJobs, completedJobs, totalBlocks, totalBlockBytes: String(totalBlock_bytes) }
  return { ...response, metrics: withoutZeros({ ...response.metrics, ...jobs }) }
}

type QueryOf<M extends keyof QuerierAsks> =
  Parameters<QuerierAsks[M]>[0] extends Job<infer Q extends { tenant: string } & TimeRange>
    ? Q
    : never
type ResultOf<M extends keyof QuerierAsks> =
  Awaited<ReturnType<QuerierAsks[M]>> extends JobReply<infer R> ? R : never

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
  const { code } = error as { code?: unknown }
  // By code: an error that comes from a querier has kept nothing else.
  if (typeof code === 'string' && code.startsWith('TRACEQL_'))
    return { status: 400, message: `invalid TraceQL query: ${message}` }
  if (code === 'DEADLINE_EXCEEDED') return { status: 504, message: `query timed out: ${message}` }
  if (code === 'ACTOR_DOWN') return { status: 503, message: `${message}; try again` }
  if (code === 'OVERLOADED') return { status: 429, message }
  if (code === 'ASK_CANCELLED') return { status: 499, message: 'the client went away' }
  return { status: 500, message }
}
