/**
 * The livestore owns partitions of `traces`: WAL, live heads, blocks, and the flush queue. An acknowledged span is in its
 * WAL until the block that holds it is complete on local disk, and on local disk until the backend lists the block.
 */
import { AckMarker } from '../../bus/acks.js'
import type { Actor, Context } from '../../bus/actor.js'
import { poisonOf } from '../../bus/chaos.js'
import { BATCH_BYTES_MAX_DEFAULT, Consumer } from '../../bus/consumer.js'
import { assignGroup, countAttempt } from '../../bus/group.js'
import { forgiveDeaths, lastDeath } from '../../bus/last-death.js'
import { PoisonGuard, TrialRoom, type Death } from '../../bus/poison.js'
import { Ring } from '../../bus/ring.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import { Metrics } from '../../lib/metrics.js'
import { limitsIn, type LimitsSource } from '../../limits/view.js'
import { countSpans } from '../../otlp/count-spans.js'
import type { Backend } from '../../storage/backend/backend.js'
import { LocalBlocks } from '../../storage/backend/local-blocks.js'
import { openBackend } from '../../storage/backend/open.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { Catalog } from '../../storage/catalog.js'
import { HeadArena } from '../../storage/head/arena.js'
import { LivestoreState } from '../../storage/wal/state.js'
import { Wal } from '../../storage/wal/wal.js'
import type { BackendWorkerAsks } from '../backend-worker/contract.js'
import { BlockBuilder } from './block-builder.js'
import { blockFormatOf } from './block-format.js'
import { BlockPipeline } from './block-pipeline.js'
import type { CompleteBlock } from './complete-block-lifecycle.js'
import {
  LIVESTORE_GROUP,
  TRACES_TOPIC,
  type LivestoreAsks,
  type PartitionStatus,
} from './contract.js'
import { Judge, LiveTraces } from './judge.js'
import { LocalFlush } from './local-flush.js'
import { LivestoreMetrics } from './metrics.js'
import { Partition } from './partition.js'
import { localBlocksPath } from './paths.js'
import { Quarantine } from './quarantine.js'
import { RecentSpans } from './recent-spans.js'
import { Room } from './room.js'
import { recover } from './recovery.js'
import { ReplayGuard } from './replay-guard.js'
import type { CutLimits } from './slice.js'

/** A client that got no answer tries again within this time; its first copy must still be known by then. */
const RETRY_HORIZON_MS = 15_000
/** A slice is no more than this part of `actors.head_bytes`: a search and a builder go over a slice at once. */
const SLICES_LEAST = 4
/** Of `actors.head_bytes`, all partitions together: memory for the ids of spans in heads that were cut lately. */
const RECENT_SHARE = 1 / 4
const ASK_DEADLINE_MS = 5000
/** What a deletion under way gets to end at a stop; one that waits for the backend is finished after the next start. */
const STOP_GRACE_MS = 300

interface Owned {
  readonly partition: Partition
  readonly pipeline: BlockPipeline
  readonly state: LivestoreState
  readonly blocks: LocalBlocks
  readonly recent: RecentSpans
}

export default class Livestore implements Actor {
  readonly #ctx: Context<Config>
  readonly #metrics: LivestoreMetrics
  readonly #quarantine: Quarantine
  readonly asks: LivestoreAsks
  readonly #arena: HeadArena
  readonly #tenants: LimitsSource
  readonly #live = new LiveTraces()
  readonly #owned: Owned[] = []
  readonly #stopping = new AbortController()
  readonly #trials = new TrialRoom()
  readonly #room = new Room()
  #lanes: Promise<void>[] = []
  #ticking: Promise<void> = Promise.resolve()
  #backend!: Backend
  #builder!: BlockBuilder
  #flush!: LocalFlush

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    const { log, clock } = ctx
    this.#metrics = new LivestoreMetrics(new Metrics(ctx.shared[`metrics-${ctx.component}`]))
    this.#quarantine = new Quarantine({ metrics: this.#metrics.quarantine, log, clock })
    this.asks = {
      status: () => Promise.resolve(this.#status()),
      flush: () => this.#flushAll(),
      ...this.#quarantine.asks,
    }
    this.#arena = new HeadArena(ctx.shared.arena!)
    this.#tenants = limitsIn(ctx.shared, ctx.config.overrides)
  }

  async start(): Promise<void> {
    const { config, clock, log } = this.#ctx
    // A local backend has to last as long as the copy that is deleted for it.
    const sync = config.actors.wal_sync === 'flushed'
    this.#backend = await openBackend(config.storage, { clock, log, sync })
    this.#builder = new BlockBuilder({
      concurrency: config.live_store.complete_block_concurrency,
      heap: config.memory.heaps.builder,
      groupSpans: config.memory.groupSpans,
    })
    this.#flush = new LocalFlush({
      backend: this.#backend,
      clock,
      log,
      metrics: this.#metrics.flush,
      concurrency: config.live_store.complete_block_concurrency,
      opTimeout_ms: config.live_store.flush_op_timeout_ms,
      completeBlockTimeout_ms: config.live_store.complete_block_timeout_ms,
      filesOf: (block) => this.#ownerOf(block).blocks.files(block.tenant, block.blockId),
      onFlushed: (block) => this.#flushed(block),
      random: Math.random,
    })
    const death = await lastDeath(this.#ctx)
    for (let p = 0; p < config.actors.bus.partitions; p++) {
      this.#owned.push(await this.#own(p, death))
    }
    this.#flush.start()
    const { signal } = this.#stopping
    this.#lanes = this.#owned.map(({ partition }) =>
      partition.run(signal).catch((error: unknown) => this.#ctx.crash(error)),
    )
    this.#ticking = this.#tick(signal).catch((error: unknown) => this.#ctx.crash(error))
  }

  /** The distributor has stopped before: what is in the rings goes to the WAL; heads are rebuilt from it at the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const { pipeline } of this.#owned) pipeline.stop()
    await Promise.all(this.#lanes)
    await this.#flush.stop()
    await Promise.race([this.#ticking, this.#ctx.clock.sleep(STOP_GRACE_MS)])
    await this.#builder.close()
    for (const { partition, state } of this.#owned) {
      await partition.close()
      await state.close()
    }
    await this.#backend.close()
  }

  async #own(number: number, death: Death | undefined): Promise<Owned> {
    const { config, shared, clock, log, abort: waitForRoom } = this.#ctx
    const path = config.live_store.wal_path
    const catalog = new Catalog(shared[`catalog-${number}`]!)
    const ring = new Ring(shared[`traces-${number}`]!)
    const files = { path, partition: number, clock, log, waitForRoom }
    const wal = await Wal.open({ ...files, sync: config.actors.wal_sync })
    const state = await LivestoreState.open(files)
    const fsync = config.actors.wal_sync === 'flushed'
    const blocks = new LocalBlocks(localBlocksPath(path, number), { fsync })
    const pipeline = new BlockPipeline({
      partition: number,
      wal,
      state,
      ...{ arena: this.#arena, room: this.#room },
      catalog,
      blocks,
      builder: this.#builder,
      lifecycle: this.#flush,
      formatFor: (tenant) => blockFormatOf(tenant, this.#tenants, config.storage),
      fsync,
      metrics: this.#metrics.pipeline,
      clock,
      log,
      random: Math.random,
    })
    const recent = this.#recent()
    const common = {
      partition: number,
      wal,
      state,
      ...{ arena: this.#arena, room: this.#room },
      catalog,
      blocks,
      pipeline,
      recent,
      clock,
      log,
      progress: () => this.#ctx.progress(),
    }
    const quarantine = this.#quarantine
    quarantine.own(number, state)
    const slice = await recover({
      ...common,
      guard: await ReplayGuard.open({
        ...common,
        ...{ quarantine, segments: wal.segments(), death },
        forgive: (deaths) => forgiveDeaths(this.#ctx, deaths),
      }),
      killer: this.#killerOf('replay'),
    })
    const consumer = this.#consumer(ring, wal.appliedOffset)
    const partition = new Partition(
      {
        ...common,
        consumer,
        guard: await this.#guard(consumer, death),
        killer: this.#killerOf('livestore'),
        acks: new AckMarker(shared.acks!),
        judge: this.#judge(),
        limits: this.#limits(),
        retryHorizon_ms: RETRY_HORIZON_MS,
        metrics: this.#metrics,
      },
      slice,
    )
    this.#metrics.partitionOwned.labels(String(number)).set(1)
    return { partition, pipeline, state, blocks, recent }
  }

  /** What the WAL has is applied, whether or not the predecessor came to say so. */
  #consumer(ring: Ring, from: number): Consumer {
    const { actorId } = this.#ctx
    const group = ring.groupIndex(LIVESTORE_GROUP)
    const epoch = assignGroup(ring, group, actorId)
    const consumer = new Consumer(ring, group, { actorId, epoch, from, reusesMemory: true })
    consumer.commit(from)
    return consumer
  }

  /** For tests: dies of a record that says so. */
  #killerOf(stage: string): ((bytes: Uint8Array) => void) | undefined {
    return this.#ctx.config.actors.chaos ? poisonOf(stage) : undefined
  }

  /** Beside the consumer of a partition: knows what the predecessor had in its hands, and what is known of earlier ones. */
  #guard({ ring, group }: Consumer, death: Death | undefined): Promise<PoisonGuard> {
    const { clock, log } = this.#ctx
    const hasDied = death !== undefined && countAttempt(ring, group) > 0
    return PoisonGuard.open({
      topic: TRACES_TOPIC,
      room: this.#trials,
      ledger: this.#quarantine.ledger(TRACES_TOPIC, ring.partition),
      death: hasDied ? death : undefined,
      window_bytes: BATCH_BYTES_MAX_DEFAULT,
      tail: ring.tail,
      count: countSpans,
      forgive: (deaths) => forgiveDeaths(this.#ctx, deaths),
      ...{ clock, log, signal: this.#stopping.signal },
      progress: () => this.#ctx.progress(),
    })
  }

  #judge(): Judge {
    const { shared } = this.#ctx
    return new Judge({
      limits: this.#tenants,
      live: this.#live,
      acks: new AckMarker(shared.acks!),
      discarded: this.#metrics.discarded,
    })
  }

  #recent(): RecentSpans {
    const { ack_timeout_ms, head_bytes, bus } = this.#ctx.config.actors
    return new RecentSpans({
      // An answer may be as late as the ack's timeout; the retry comes after it.
      horizon_ms: ack_timeout_ms + RETRY_HORIZON_MS,
      max_bytes: (head_bytes * RECENT_SHARE) / bus.partitions,
      onForgotten: (spans) => this.#metrics.recent.forgotten.inc(spans),
    })
  }

  #limits(): CutLimits {
    const { live_store, actors } = this.#ctx.config
    return {
      maxAge_ms: live_store.max_block_duration_ms,
      maxIdle_ms: actors.max_head_idle_ms,
      // Each partition may fill one slice while its last one is being built.
      max_bytes: Math.min(
        live_store.max_block_bytes,
        actors.head_bytes / Math.max(SLICES_LEAST, 2 * actors.bus.partitions),
      ),
    }
  }

  #ownerOf(block: CompleteBlock): Owned {
    return this.#owned.find(({ partition }) => partition.number === block.partition)!
  }

  /** The backend has the block: that is made durable here, and the backend-worker lists it ahead of its next poll. */
  async #flushed(block: CompleteBlock): Promise<void> {
    const { pipeline, state } = this.#ownerOf(block)
    await pipeline.flushed(block)
    const meta = state.block(block.blockId)?.meta as BlockMeta
    await this.#backendWorker
      .flushed(meta, { deadline_ms: ASK_DEADLINE_MS })
      .catch((error: unknown) =>
        this.#ctx.log.debug('flushed block not announced', { error: errorText(error) }),
      )
  }

  get #backendWorker() {
    return this.#ctx.ask<BackendWorkerAsks>('backend-worker')
  }

  /** Gauges, and the local blocks whose time is up. */
  async #tick(signal: AbortSignal): Promise<void> {
    const { clock, config, log } = this.#ctx
    for (let at = 0; ; at++) {
      await clock.sleep(1000, signal)
      if (signal.aborted) return
      this.#mustHaveState()
      this.#setGauges()
      const period_s = Math.max(1, Math.round(config.live_store.flush_check_period_ms / 1000))
      if (at % period_s !== 0) continue
      await this.#clearLocal(signal).catch((error: unknown) =>
        log.warn('local blocks not cleared', { error: errorText(error) }),
      )
    }
  }

  /** A state that takes no more writes fails every build and flush for ever; opened anew it may be fine, so that is a crash. */
  #mustHaveState(): void {
    for (const { state } of this.#owned) if (state.failure) throw state.failure
  }

  async #clearLocal(signal: AbortSignal): Promise<void> {
    for (const { pipeline } of this.#owned) {
      const blocks = pipeline.deletable()
      if (blocks.length === 0) continue
      const ids = blocks.map(({ tenant, blockId }) => ({ tenant, blockId }))
      const listed = new Set(
        await this.#backendWorker.listedEverywhere(ids, { deadline_ms: ASK_DEADLINE_MS }),
      )
      for (const block of blocks) {
        if (signal.aborted) return
        if (listed.has(block.blockId)) await this.#clear(pipeline, block)
      }
    }
  }

  /** One block that cannot be cleared must not keep the others: the disk would fill. It is tried again at the next look. */
  async #clear(pipeline: BlockPipeline, block: CompleteBlock): Promise<void> {
    try {
      await pipeline.delete(block)
    } catch (error) {
      this.#ctx.log.warn('local block not cleared', {
        block: block.blockId,
        tenant: block.tenant,
        error: errorText(error),
      })
    }
  }

  #setGauges(): void {
    for (const { partition, recent } of this.#owned) {
      const label = String(partition.number)
      this.#metrics.liveSpans.labels(label).set(partition.slice.spans)
      this.#metrics.liveBytes.labels(label).set(partition.slice.arena_bytes)
      this.#metrics.recent.bytes.labels(label).set(recent.memory_bytes)
    }
    this.#metrics.completeQueue.set(this.#owned.reduce((n, { pipeline }) => n + pipeline.length, 0))
    this.#metrics.flushQueue.set(this.#flush.length)
  }

  #status(): PartitionStatus[] {
    return this.#owned.map(({ partition, pipeline, state }) => ({
      partition: partition.number,
      appliedOffset: partition.appliedOffset,
      liveSpans: partition.slice.spans,
      liveBytes: partition.slice.arena_bytes,
      blocksCut: pipeline.length,
      blocksToFlush: state.blocks().filter((block) => block.state === 'completed').length,
      blocksLocal: state.blocks().length,
    }))
  }

  async #flushAll(): Promise<void> {
    await Promise.all(this.#owned.map(({ partition }) => partition.cutNow()))
    await Promise.all(this.#owned.map(({ pipeline }) => pipeline.idle()))
    await this.#flush.drained()
  }
}
