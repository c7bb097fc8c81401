/** The querier runs jobs: it opens each source of a job wherever the block is by now, and runs the TraceQL engine over it. */
import type { Actor, Call, Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { Metrics, type Counter } from '../../lib/metrics.js'
import type { ColumnSource } from '../../otlp/columns.js'
import type { Backend } from '../../storage/backend/backend.js'
import { LocalBackend } from '../../storage/backend/local.js'
import { openBackend } from '../../storage/backend/open.js'
import { assembleTrace } from '../../storage/block/assemble.js'
import { limitsIn, type LimitsSource } from '../../limits/view.js'
import { Catalog } from '../../storage/catalog.js'
import { HeadArena } from '../../storage/head/arena.js'
import { HeadReaders } from '../../storage/head/readers.js'
import { mergeMetrics, metricsSource, planMetrics } from '../../traceql/metrics.js'
import { planSearch } from '../../traceql/plan.js'
import { mergeSearch, searchSource } from '../../traceql/search.js'
import { mergeTagNames, mergeTagValues, tagNamesOf, tagValuesOf } from '../../traceql/tags.js'
import { Pressure } from '../../lib/pressure.js'
import { localBlocksPath } from '../livestore/paths.js'
import type { FailedSource, Job, JobReply, JobStats, QuerierAsks, SourceRef } from './contract.js'
import { backendReads } from './backend-reads.js'
import { JobSlots } from './job-slots.js'
import { cacheCounters } from './metrics.js'
import { Sources } from './sources.js'
import { TraceFilters } from './trace-filters.js'
import { Unreadable } from './unreadable.js'

/** One reader slot of the arena a replica. */
const READER_SLOT_FIRST = 0

interface OpenOptions {
  readonly openHead?: (chunk: number, blockId: string) => ColumnSource | undefined
}

export default class Querier implements Actor {
  readonly asks: QuerierAsks = {
    traceById: (job, call) => this.#traceById(job, call),
    search: (job, call) => this.#search(job, call),
    metrics: (job, call) => this.#metrics(job, call),
    tagNames: (job, call) => this.#tagNames(job, call),
    tagValues: (job, call) => this.#tagValues(job, call),
  }
  readonly #ctx: Context<Config>
  #sources!: Sources
  #heads!: HeadReaders
  #slots!: JobSlots
  #filters!: TraceFilters
  readonly #backends: Backend[] = []
  readonly #unreadable: Unreadable
  readonly #ruledOut: Counter
  readonly #limits: LimitsSource
  readonly #meters: Metrics

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#limits = limitsIn(ctx.shared, ctx.config.overrides)
    const metrics = new Metrics(ctx.shared[`metrics-${ctx.component}`])
    this.#meters = metrics
    this.#ruledOut = metrics.counter(
      'tempo_actors_querier_ruled_out_blocks_total',
      'Blocks that traces by id did not look into, since their trace filters have not got the id.',
    )
    const counter = metrics.counter(
      'tempo_actors_querier_unreadable_blocks_total',
      'Blocks that a query could not read, each try counted; what is damaged was left out of its answer.',
      ['tenant', 'reason'],
    )
    this.#unreadable = new Unreadable({ clock: ctx.clock, log: ctx.log, counter })
  }

  async start(): Promise<void> {
    const { config, shared, clock, log, index } = this.#ctx
    const partitions = config.actors.bus.partitions
    const local = Array.from(
      { length: partitions },
      (_, p) => new LocalBackend(localBlocksPath(config.live_store.wal_path, p), { clock, log }),
    )
    const backend = await openBackend(config.storage, { clock, log })
    this.#backends.push(...local, backend)
    const { reader, forget } = backendReads(backend, config, this.#meters, clock)
    this.#heads = new HeadReaders(new HeadArena(shared.arena!), READER_SLOT_FIRST + index)
    const catalogs = Array.from(
      { length: partitions },
      (_, p) => new Catalog(shared[`catalog-${p}`]!),
    )
    this.#sources = new Sources({
      catalogs,
      heads: this.#heads,
      local,
      backend: reader,
      clock,
      log,
      max_bytes: config.memory.openBlocks_bytes,
      counters: cacheCounters(this.#meters, 'blocks'),
      ...(forget && { onDistrust: forget }),
    })
    this.#filters = new TraceFilters(
      config.memory.traceFilters_bytes,
      cacheCounters(this.#meters, 'filters'),
    )
    const pressure = new Pressure(shared.pressure!)
    this.#slots = new JobSlots({
      max: Math.min(config.querier.max_concurrent_queries, config.memory.queryJobs),
      isMemoryHigh: () => pressure.isHigh,
    })
  }

  async stop(): Promise<void> {
    await this.#sources.close()
    for (const backend of this.#backends) await backend.close()
  }

  #traceById(job: Parameters<QuerierAsks['traceById']>[0], call: Call) {
    const { traceId } = job.query
    const options = {
      openHead: (chunk: number, blockId: string) => this.#heads.openTrace(chunk, blockId, traceId),
    }
    return this.#run(
      this.#withoutRuledOut(job, traceId),
      call,
      options,
      async (source) => {
        if (await this.#isRuledOutBy(source, traceId)) return undefined
        const place = await source.locate(traceId)
        if (!place) return undefined
        return assembleTrace(await source.group(place.group), place.row)
      },
      (parts) => parts.filter((part) => part !== undefined),
    )
  }

  /** Only the sources that may have the trace, as far as it is known. */
  #withoutRuledOut<Q>(job: Job<Q>, traceId: Uint8Array): Job<Q> {
    const sources = job.sources.filter(({ blockId }) => !this.#filters.rulesOut(blockId, traceId))
    this.#ruledOut.inc(job.sources.length - sources.length)
    return { ...job, sources }
  }

  /** Takes the filter of a block that is looked into for the first time. */
  async #isRuledOutBy(source: ColumnSource, traceId: Uint8Array): Promise<boolean> {
    if (this.#filters.has(source.id)) return false
    const filter = await source.traceFilter?.()
    if (!filter) return false
    this.#filters.keep(source.id, filter)
    return !filter.mayHave(traceId)
  }

  #search(job: Parameters<QuerierAsks['search']>[0], call: Call) {
    const { query, start_ns, end_ns, limit, spansPerSpanSet } = job.query
    const plan = planSearch(query)
    const options = {
      start_ns,
      end_ns,
      limit,
      spansPerSpanSet,
      deadline: () => call.signal.aborted,
    }
    return this.#run(
      job,
      call,
      {},
      (source) => searchSource(source, plan, options),
      (parts) => mergeSearch(parts, limit),
    )
  }

  #metrics(job: Parameters<QuerierAsks['metrics']>[0], call: Call) {
    const plan = planMetrics(job.query.query, job.query)
    return this.#run(
      job,
      call,
      {},
      (source) => metricsSource(source, plan, () => call.signal.aborted),
      (parts) => mergeMetrics(plan, parts),
    )
  }

  #tagNames(job: Parameters<QuerierAsks['tagNames']>[0], call: Call) {
    const { scope, query, start_ns, end_ns, limit } = job.query
    const options = { start_ns, end_ns, deadline: () => call.signal.aborted }
    return this.#run(
      job,
      call,
      {},
      (source) => tagNamesOf(source, scope, query, options),
      (parts) => mergeTagNames(parts, limit),
    )
  }

  #tagValues(job: Parameters<QuerierAsks['tagValues']>[0], call: Call) {
    const { tenant, tag, query, start_ns, end_ns, limit } = job.query
    const max_bytes = this.#limits.of(tenant).max_bytes_per_tag_values_query
    const options = { start_ns, end_ns, max_bytes, deadline: () => call.signal.aborted }
    return this.#run(
      job,
      call,
      {},
      (source) => tagValuesOf(source, tag, query, options),
      (parts) => mergeTagValues(parts, limit, max_bytes),
    )
  }

  #run<Q, P, R>(
    job: Job<Q>,
    call: Call,
    options: OpenOptions,
    work: (source: ColumnSource) => Promise<P>,
    merge: (parts: P[]) => R,
  ): Promise<JobReply<R>> {
    return this.#slots.run(call.signal, () => this.#each(job, call, options, work, merge))
  }

  /** Runs `work` over each source of the job in turn. What fails is named, not thrown: the others' answers count. */
  async #each<Q, P, R>(
    job: Job<Q>,
    call: Call,
    options: OpenOptions,
    work: (source: ColumnSource) => Promise<P>,
    merge: (parts: P[]) => R,
  ): Promise<JobReply<R>> {
    const parts: P[] = []
    const stats: JobStats = { inspected_bytes: 0, inspectedSpans: 0, inspectedTraces: 0 }
    const failed: FailedSource[] = []
    for (const ref of job.sources) {
      if (call.signal.aborted) break
      try {
        const part = await this.#over(ref, options, stats, work)
        if (part.some) parts.push(part.value)
      } catch (error) {
        if (isQuestion(error)) throw error
        failed.push(this.#unreadable.failed(ref, error))
      }
      this.#ctx.progress()
    }
    return { result: merge(parts), stats, failed }
  }

  /** A block that moved while it was read (its local copy is gone), or whose local copy is damaged, is opened once more, where it is now. */
  async #over<P>(
    ref: SourceRef,
    options: OpenOptions,
    stats: JobStats,
    work: (source: ColumnSource) => Promise<P>,
  ): Promise<{ some: true; value: P } | { some: false }> {
    for (let attempt = 0; ; attempt++) {
      const lease = await this.#sources.open(ref, options.openHead)
      if (!lease) return { some: false }
      const before = lease.source.inspected_bytes()
      try {
        const value = await work(lease.source)
        stats.inspected_bytes += lease.source.inspected_bytes() - before
        stats.inspectedSpans += lease.source.spanCount
        stats.inspectedTraces += lease.source.traceCount
        return { some: true, value }
      } catch (error) {
        if (isQuestion(error)) throw error
        this.#sources.failed(ref.blockId, error)
        if (attempt > 0) throw error
      } finally {
        await lease.release()
      }
    }
  }
}

/** The query is at fault, not the source. */
function isQuestion(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'TRACEQL_PARSE' || code === 'TRACEQL_INVALID' || code === 'TRACEQL_UNSUPPORTED'
}
