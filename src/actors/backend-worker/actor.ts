/**
 * The backend-worker knows what the backend has: it polls the bucket and hands the list to the frontends by version. Beside that it
 * merges blocks, deletes old ones, and writes the tenant indexes.
 */
import type { Actor, Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import { Metrics, type Counter, type Gauge, type Histogram } from '../../lib/metrics.js'
import { ObjectNotFound, type OpenBackend } from '../../storage/backend/backend.js'
import { metasByTenant, pollBlocklist } from '../../storage/backend/blocklist.js'
import { openBackend } from '../../storage/backend/open.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { META_OBJECT, objectPath } from '../../storage/block/meta.js'
import { BlockRegistry } from './block-registry.js'
import { BucketView } from './bucket-view.js'
import { FRONTEND_STALE_MS, type BackendWorkerAsks } from './contract.js'
import { Maintenance } from './maintenance.js'

/** After a poll that failed, or left something out; Tempo waits for its next poll, which may be five minutes. */
const RETRY_POLL_MS = 5000
/** The others start after this, whether or not the first poll is done: a large or slow backend must not keep spans out. */
const FIRST_POLL_WAIT_MS = 10_000
/** What a poll under way gets to end by itself at a stop. */
const STOP_GRACE_MS = 300
const SECONDS = [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300]

export default class BackendWorker implements Actor {
  readonly asks: BackendWorkerAsks = {
    // Also while the backend cannot be read: what is held locally must be found.
    blocklist: (query) => Promise.resolve(this.#registry.answer(query)),
    flushed: (meta) => {
      this.#registry.add(meta)
      return Promise.resolve()
    },
    listedEverywhere: (blocks) => {
      // A frontend that has not come yet may still answer from a list of our predecessor's.
      const isSure = this.#ctx.clock.monotonic() - this.#startedAt_ms >= FRONTEND_STALE_MS
      return Promise.resolve(isSure ? this.#registry.listedEverywhere(blocks) : [])
    },
  }
  readonly #ctx: Context<Config>
  readonly #registry: BlockRegistry
  readonly #startedAt_ms: number
  readonly #length: Gauge
  readonly #duration: Histogram
  readonly #errors: Counter
  readonly #unread: Gauge
  readonly #unusable: Gauge
  readonly #metrics: Metrics
  readonly #view = new BucketView()
  #backend!: OpenBackend
  #maintenance!: Maintenance
  #loop: Promise<void> = Promise.resolve()
  #told: ReadonlySet<string> = new Set()

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#startedAt_ms = ctx.clock.monotonic()
    // Above any version an earlier incarnation gave out, so that no frontend takes an old list for a new one.
    this.#registry = new BlockRegistry(ctx.clock, Math.floor(ctx.clock.now()))
    const metrics = new Metrics(ctx.shared[`metrics-${ctx.component}`])
    this.#metrics = metrics
    this.#length = metrics.gauge('tempodb_blocklist_length', 'Blocks in the backend.', ['tenant'])
    this.#duration = metrics.histogram(
      'tempodb_blocklist_poll_duration_seconds',
      'One poll.',
      SECONDS,
    )
    this.#errors = metrics.counter(
      'tempodb_blocklist_poll_errors_total',
      'Polls that failed, and tenants or blocks that one could not read.',
    )
    this.#unread = metrics.gauge(
      'tempo_actors_blocklist_unread_tenants',
      'Tenants whose queries are partial: blocks of theirs could not be listed since the start.',
    )
    this.#unusable = metrics.gauge(
      'tempo_actors_blocklist_unusable_blocks',
      'Blocks that are left out of all answers, which say so: their meta.json cannot be used.',
    )
  }

  async start(): Promise<void> {
    const { config, clock, log, abort } = this.#ctx
    // Synced, for a merged block must be on the disk before its inputs are marked.
    this.#backend = await openBackend(config.storage, { clock, log, sync: true })
    this.#maintenance = new Maintenance({
      ctx: this.#ctx,
      backend: this.#backend,
      view: this.#view,
      registry: this.#registry,
      metrics: this.#metrics,
    })
    // A backend that cannot be reached does not keep the store from starting: spans are taken, and polled again soon.
    const first = this.#poll().then(
      () => this.#isComplete,
      (error: unknown) => {
        log.warn('backend not readable yet', { error: errorText(error) })
        return false
      },
    )
    this.#loop = this.#pollForever(first)
    this.#maintenance.start()
    await Promise.race([first, clock.sleep(FIRST_POLL_WAIT_MS, abort)])
  }

  async stop(): Promise<void> {
    await Promise.race([this.#loop, this.#ctx.clock.sleep(STOP_GRACE_MS)])
    // A poll that hangs in a backend that does not answer ends with its requests.
    await this.#backend.close()
    await this.#loop
    await this.#maintenance.stop()
  }

  /** Of these blocks, the ones whose meta.json is there, or cannot be looked at now. */
  async #stillThere(metas: readonly BlockMeta[]): Promise<BlockMeta[]> {
    const there: BlockMeta[] = []
    for (const meta of metas) {
      const path = objectPath(meta.tenantID, meta.blockID, META_OBJECT)
      const isGone = await this.#backend.get(path).then(
        () => false,
        (error: unknown) => error instanceof ObjectNotFound,
      )
      if (!isGone) there.push(meta)
    }
    return there
  }

  /** A hole is told when it opens and when it closes, not at each poll. */
  #tellUnread(unread: ReadonlySet<string>): void {
    const { log } = this.#ctx
    const isNew = [...unread].some((tenant) => !this.#told.has(tenant))
    const [first = ''] = unread
    if (isNew) {
      const fields = { tenants: unread.size, first, retry_ms: RETRY_POLL_MS }
      log.warn('blocks of the backend could not be listed: queries of their tenants are partial', fields) // prettier-ignore
    } else if (unread.size === 0 && this.#told.size > 0) {
      log.info('all blocks of the backend are listed')
    }
    this.#told = unread
    this.#unread.set(unread.size)
  }

  get #isComplete(): boolean {
    return this.#view.list.failures.length === 0
  }

  async #pollForever(first: Promise<boolean>): Promise<void> {
    const { clock, config, abort, log } = this.#ctx
    let isFine = await first
    for (;;) {
      const { blocklist_poll_ms } = config.storage
      const pause_ms = isFine ? blocklist_poll_ms : Math.min(RETRY_POLL_MS, blocklist_poll_ms)
      await clock.sleep(pause_ms, abort)
      if (abort.aborted) return
      try {
        await this.#poll()
        isFine = this.#isComplete
      } catch (error) {
        isFine = false
        log.warn('blocklist poll failed', { retry_ms: RETRY_POLL_MS, error: errorText(error) })
      }
    }
  }

  async #poll(): Promise<void> {
    await this.#view.alone(() => this.#pollAlone())
    await this.#maintenance.index.writeAll()
  }

  async #pollAlone(): Promise<void> {
    const { clock, log } = this.#ctx
    const started = clock.monotonic()
    const begunAt = this.#registry.version
    const fromIndex = (tenant: string) => this.#maintenance.index.read(tenant)
    try {
      const list = await pollBlocklist(this.#backend, this.#view.list, { log, fromIndex })
      await this.#view.take(list, this.#backend, clock.now())
      for (const [tenant, { metas }] of list.tenants) this.#length.labels(tenant).set(metas.size)
      const tenants = metasByTenant(list)
      const confirmed = await this.#stillThere(this.#registry.unfound(tenants))
      const { unread, failures, rejected } = list
      this.#registry.replace(tenants, begunAt, this.#isComplete, confirmed, unread)
      this.#registry.leaveOut(rejected)
      this.#unusable.set(rejected.size)
      this.#tellUnread(unread)
      this.#errors.inc(failures.length)
      this.#duration.observe((clock.monotonic() - started) / 1000)
    } catch (error) {
      this.#errors.inc()
      throw error
    }
  }
}
