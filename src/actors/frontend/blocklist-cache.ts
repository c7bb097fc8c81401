/**
 * Owns the frontend's copy of the blocklist. It is refreshed every second by version; a frontend must not answer from
 * a copy older than half of what the backend-worker waits before it forgets the frontend, or a block could be missed.
 */
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { FRONTEND_STALE_MS, type BackendWorkerAsks } from '../backend-worker/contract.js'
import type { Asker } from '../../bus/actor.js'
import type { Blocklist } from './read-set.js'

const REFRESH_MS = 1000
const ASK_DEADLINE_MS = 5000

export class BlocklistCache {
  #tenants: Blocklist = {}
  #version = 0
  #isWhole = false
  #refreshedAt_ms = -Infinity
  #refreshing: Promise<void> | undefined
  readonly #stopping = new AbortController()

  constructor(
    private readonly name: string,
    private readonly worker: Asker<BackendWorkerAsks>,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /** Fetches the first copy if the backend can be read by now, and keeps it fresh until `stop`. */
  async start(): Promise<void> {
    await this.#refresh().catch((error: unknown) => {
      this.log.warn('no blocklist yet: queries are refused until the backend-worker answers', {
        error: errorText(error),
      })
    })
    if (!this.#isWhole) {
      this.log.warn('the backend cannot be read yet: queries answer from what is held locally')
    }
    void this.#loop()
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** The blocklist as it is now: after `fresh`, and in the same turn as the catalogs are read. */
  get tenants(): Blocklist {
    return this.#tenants
  }

  /** False while blocks of the backend may be missing, because it could not be read since the start. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** Makes the blocklist fresh enough to answer from. Rejects when the backend-worker cannot be reached in time. */
  async fresh(): Promise<void> {
    if (this.clock.monotonic() - this.#refreshedAt_ms > FRONTEND_STALE_MS) await this.#refresh()
  }

  async #loop(): Promise<void> {
    for (;;) {
      await this.clock.sleep(REFRESH_MS, this.#stopping.signal)
      if (this.#stopping.signal.aborted) return
      await this.#refresh().catch((error: unknown) =>
        this.log.debug('blocklist not refreshed', { error: errorText(error) }),
      )
    }
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.#ask().finally(() => (this.#refreshing = undefined))
    return this.#refreshing
  }

  async #ask(): Promise<void> {
    const askedAt_ms = this.clock.monotonic()
    const query = { frontend: this.name, version: this.#version }
    const reply = await this.worker.blocklist(query, { deadline_ms: ASK_DEADLINE_MS })
    this.#refreshedAt_ms = askedAt_ms
    // A backend-worker that was replaced and cannot read the backend knows less than we do. It lets no local copy go for
    // which it has not seen us take its list, so ours stays good.
    if (this.#isWhole && !reply.isWhole) return
    if (reply.tenants) this.#tenants = reply.tenants
    this.#version = reply.version
    this.#isWhole = reply.isWhole
  }
}
