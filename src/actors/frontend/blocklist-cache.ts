/**
 * Owns the frontend's copy of the blocklist. It is refreshed every second by version; a frontend must not answer from
 * a copy older than half of what the backend-worker waits before it forgets the frontend, or a block could be missed.
 */
import { errorText, type Log } from '../../lib/log.js'
import { listOfTenant } from '../../lib/tenant.js'
import type { Clock } from '../../lib/time.js'
import {
  FRONTEND_STALE_MS,
  type BackendWorkerAsks,
  type UnusableBlock,
} from '../backend-worker/contract.js'
import type { Asker } from '../../bus/actor.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import type { Blocklist } from './read-set.js'

const REFRESH_MS = 1000
const ASK_DEADLINE_MS = 5000

export class BlocklistCache {
  #tenants: Blocklist = {}
  #version = 0
  /** The backend could be listed since the start. */
  #isListed = false
  #unread: ReadonlySet<string> = new Set()
  #unusable: Readonly<Record<string, readonly UnusableBlock[]>> = {}
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
    if (!this.#isListed) {
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

  /** False while blocks of the backend may be missing, because it could not be read since the start, or not all of it. */
  get isWhole(): boolean {
    return this.#isListed && this.#unread.size === 0
  }

  /** Blocks of a tenant whose meta.json cannot be used. */
  unusable(tenant: string): readonly UnusableBlock[] {
    return listOfTenant(this.#unusable, tenant)
  }

  /** What may be missing in an answer to a tenant until the backend can be read; undefined when nothing is. */
  missing(tenant: string): string | undefined {
    if (!this.#isListed) return 'the backend could not be read yet: spans in its blocks are missing'
    return this.#unread.has(tenant)
      ? 'not all blocks of the backend could be listed yet: spans in them are missing'
      : undefined
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
    if (this.#isListed && !reply.isWhole) return
    if (reply.tenants) {
      this.#take(reply.tenants, reply.unread ?? [])
      this.#unusable = reply.unusable ?? {}
    }
    this.#version = reply.version
    this.#isListed = reply.isWhole
  }

  /** Of a tenant that a new backend-worker could not list, what was listed before is kept, as Tempo keeps it. */
  #take(tenants: Blocklist, unread: readonly string[]): void {
    const known = this.#isListed ? unread.filter((tenant) => !this.#unread.has(tenant)) : []
    const kept = known.map((tenant): [string, BlockMeta[]] => {
      const blocks = new Map(
        listOfTenant(this.#tenants, tenant).map((meta) => [meta.blockID, meta]),
      )
      for (const meta of listOfTenant(tenants, tenant)) blocks.set(meta.blockID, meta)
      return [tenant, [...blocks.values()]]
    })
    // fromEntries makes own properties: a tenant may be called `__proto__`.
    this.#tenants = kept.length === 0 ? tenants : { ...tenants, ...Object.fromEntries(kept) }
    this.#unread = new Set(unread.filter((tenant) => !known.includes(tenant)))
  }
}
