/** Owns when blocks are merged, deleted and listed in indexes: the loops beside the poll, none of which ends the actor when the backend fails. */
import { join } from 'node:path'
import type { Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import type { Metrics } from '../../lib/metrics.js'
import { Pressure } from '../../lib/pressure.js'
import { residentMemory } from '../../memory/resident.js'
import { limitsIn } from '../../limits/view.js'
import type { Backend } from '../../storage/backend/backend.js'
import { Scratch } from '../../storage/compaction/scratch.js'
import type { BlockRegistry } from './block-registry.js'
import type { BucketView } from './bucket-view.js'
import { CompactionPool } from './compaction-pool.js'
import { Compactor, type RunCompaction } from './compactor.js'
import { FRONTEND_STALE_MS } from './contract.js'
import { IndexKeeper } from './index-keeper.js'
import { compactionMetrics, indexMetrics, retentionMetrics } from './metrics.js'
import { MergeRoom } from './merge-room.js'
import { Retainer } from './retainer.js'

/** The first look for what is to be deleted after a start: not an hour later, should the process be started each hour. */
const FIRST_RETENTION_MS = 600_000

export interface MaintenanceOptions {
  readonly ctx: Context<Config>
  readonly backend: Backend
  readonly view: BucketView
  readonly registry: BlockRegistry
  readonly metrics: Metrics
  /** In the place of a thread, for tests. */
  readonly run?: RunCompaction
}

export class Maintenance {
  readonly index: IndexKeeper
  readonly #ctx: Context<Config>
  readonly #room: MergeRoom
  readonly #compactor: Compactor
  readonly #retainer: Retainer
  readonly #pool: CompactionPool
  #loops: Promise<unknown> = Promise.resolve()

  constructor({ ctx, backend, view, registry, metrics, run }: MaintenanceOptions) {
    const { config, clock, log, abort, shared } = ctx
    this.#ctx = ctx
    const compaction = compactionMetrics(metrics)
    const folder = join(config.live_store.wal_path, 'compaction')
    const { progress } = compaction
    this.#pool = new CompactionPool({ config, scratch: folder, progress, clock, log })
    const limits = limitsIn(shared, config.overrides)
    const pressure = shared.pressure && new Pressure(shared.pressure)
    const common = { backend, view, registry, limits, clock, log, abort }
    this.index = new IndexKeeper({
      ...common,
      settings: config.storage.tenant_index,
      metrics: indexMetrics(metrics),
    })
    this.#room = new MergeRoom({
      mark_bytes: config.memory.resumeBelow_bytes,
      resident_bytes: () => residentMemory().total_bytes,
      isMerging: () => this.#compactor.isMerging,
      clock,
    })
    const onChanged = (tenant: string) => this.index.write(tenant)
    this.#compactor = new Compactor({
      ...common,
      run: run ?? ((inputs, signal) => this.#pool.run(inputs, signal)),
      scratch: new Scratch(folder),
      settings: config.compaction,
      metrics: compaction,
      pressure: () => pressure?.level ?? 'none',
      room: this.#room,
      onChanged,
    })
    this.#retainer = new Retainer({
      ...common,
      settings: config.retention,
      held_ms: config.live_store.complete_block_timeout_ms,
      readersGone_ms: FRONTEND_STALE_MS + config.querier.query_timeout_ms,
      isBusy: (meta) => this.#compactor.isBusy(meta),
      metrics: retentionMetrics(metrics),
      onChanged,
    })
  }

  /** Once the backend was listed for the first time. */
  start(): void {
    const { compaction, retention } = this.#ctx.config
    const first_ms = Math.min(FIRST_RETENTION_MS, retention.interval_ms)
    this.#loops = Promise.all([
      this.#room.run(this.#ctx.abort),
      this.#every('compaction', compaction.cycle_ms, compaction.cycle_ms, () => this.#compactor.cycle()), // prettier-ignore
      this.#every('retention', first_ms, retention.interval_ms, () => this.#retainer.run()),
    ])
  }

  /** Waits for what is under way, which the actor's abort has ended. */
  async stop(): Promise<void> {
    await this.#loops
    await this.#pool.close()
  }

  async #every(
    what: string,
    first_ms: number,
    pause_ms: number,
    work: () => Promise<void>,
  ): Promise<void> {
    const { clock, abort, log } = this.#ctx
    for (let wait_ms = first_ms; ; wait_ms = pause_ms) {
      await clock.sleep(wait_ms, abort)
      if (abort.aborted) return
      try {
        await work()
      } catch (error) {
        log.warn(`${what} was not done, will try again`, { error: errorText(error) })
      }
    }
  }
}
