/** The backend-worker knows what the backend has: it polls the bucket and hands the list to the frontends by version. */
import type { Actor, Context } from '../../bus/actor.js'
import type { Config } from '../../config.js'
import { errorText } from '../../lib/log.js'
import { Metrics, type Counter, type Gauge, type Histogram } from '../../lib/metrics.js'
import type { OpenBackend } from '../../storage/backend/backend.js'
import { emptyBlocklist, pollBlocklist, type Blocklist } from '../../storage/backend/blocklist.js'
import { openBackend } from '../../storage/backend/open.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { BlockRegistry } from './block-registry.js'
import type { BackendWorkerAsks } from './contract.js'

/** After a poll that failed; Tempo waits for its next poll, which may be five minutes. */
const RETRY_POLL_MS = 5000
const SECONDS = [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300]

export default class BackendWorker implements Actor {
  readonly asks: BackendWorkerAsks = {
    blocklist: async (query) => {
      await this.#firstPoll
      return this.#registry.answer(query)
    },
    flushed: (meta) => {
      this.#registry.add(meta)
      return Promise.resolve()
    },
    listedEverywhere: (blocks) => Promise.resolve(this.#registry.listedEverywhere(blocks)),
  }
  readonly #ctx: Context<Config>
  readonly #registry: BlockRegistry
  readonly #length: Gauge
  readonly #duration: Histogram
  readonly #errors: Counter
  #backend!: OpenBackend
  #blocklist: Blocklist = emptyBlocklist
  #firstPoll: Promise<void> = Promise.resolve()
  #loop: Promise<void> = Promise.resolve()

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    // Above any version an earlier incarnation gave out, so that no frontend takes an old list for a new one.
    this.#registry = new BlockRegistry(ctx.clock, Math.floor(ctx.clock.now()))
    const metrics = new Metrics(ctx.shared[`metrics-${ctx.component}`])
    this.#length = metrics.gauge('tempodb_blocklist_length', 'Blocks in the backend.', ['tenant'])
    this.#duration = metrics.histogram(
      'tempodb_blocklist_poll_duration_seconds',
      'One poll.',
      SECONDS,
    )
    this.#errors = metrics.counter('tempodb_blocklist_poll_errors_total', 'Polls that failed.')
  }

  async start(): Promise<void> {
    const { config, clock, log } = this.#ctx
    this.#backend = await openBackend(config.storage, { clock, log })
    this.#firstPoll = this.#poll()
    // A backend that cannot be reached does not keep the store from starting: spans are taken, and polled again soon.
    await this.#firstPoll.catch((error: unknown) =>
      log.warn('backend not readable yet', { error: errorText(error) }),
    )
    this.#loop = this.#pollForever()
  }

  async stop(): Promise<void> {
    await this.#loop
    await this.#backend.close()
  }

  async #pollForever(): Promise<void> {
    const { clock, config, abort, log } = this.#ctx
    let isFine = true
    for (;;) {
      await clock.sleep(isFine ? config.storage.blocklist_poll_ms : RETRY_POLL_MS, abort)
      if (abort.aborted) return
      try {
        await this.#poll()
        this.#firstPoll = Promise.resolve()
        isFine = true
      } catch (error) {
        isFine = false
        log.warn('blocklist poll failed', { retry_ms: RETRY_POLL_MS, error: errorText(error) })
      }
    }
  }

  async #poll(): Promise<void> {
    const { clock, log } = this.#ctx
    const started = clock.monotonic()
    try {
      this.#blocklist = await pollBlocklist(this.#backend, this.#blocklist, { log })
      const tenants: Record<string, readonly BlockMeta[]> = {}
      for (const [tenant, { metas }] of this.#blocklist.tenants) {
        tenants[tenant] = [...metas.values()]
        this.#length.labels(tenant).set(metas.size)
      }
      this.#registry.replace(tenants)
      this.#duration.observe((clock.monotonic() - started) / 1000)
    } catch (error) {
      this.#errors.inc()
      throw error
    }
  }
}
