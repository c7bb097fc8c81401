/**
 * Owns the two actors at the edges that the simulation has to make itself: a receiver without sockets and a frontend
 * without HTTP. Both are put together from the parts of the real ones.
 */
import { LIVESTORE_GROUP, TRACES_TOPIC } from '../../src/actors/livestore/contract.js'
import { localBlocksPath } from '../../src/actors/livestore/paths.js'
import { INGRESS_TOPIC } from '../../src/actors/distributor/contract.js'
import { BlocklistCache } from '../../src/actors/frontend/blocklist-cache.js'
import { listSources } from '../../src/actors/frontend/read-set.js'
import { Sources } from '../../src/actors/querier/sources.js'
import type { PushRequest, PushResult } from '../../src/actors/receiver/contract.js'
import { Pending } from '../../src/actors/receiver/pending.js'
import { RingIngest } from '../../src/actors/receiver/ring-ingest.js'
import type { BackendWorkerAsks } from '../../src/actors/backend-worker/contract.js'
import { AckReceiver } from '../../src/bus/acks.js'
import type { Actor, Context } from '../../src/bus/actor.js'
import { committedBy, openRings } from '../../src/bus/topic.js'
import type { Config } from '../../src/config.js'
import type { ColumnSource } from '../../src/otlp/columns.js'
import { Catalog } from '../../src/storage/catalog.js'
import { HeadArena } from '../../src/storage/head/arena.js'
import { HeadReaders } from '../../src/storage/head/readers.js'
import { bucket, BucketClient } from './bucket.js'
import { SimulatedBlock } from './doors/blockpack.js'
import { namesOf } from './span-names.js'
import { world } from './world.js'

const READER_SLOT = 0
/** Between the listing of a query and its jobs. */
const JOB_DELAY_MS = 20

/** As the real one starts, without its doors. */
export class EdgeReceiver implements Actor {
  readonly #ctx: Context<Config>
  readonly #stopping = new AbortController()
  #acks!: AckReceiver
  #pending!: Pending
  #ingest!: RingIngest

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
  }

  start(): Promise<void> {
    const { config, shared, clock, actorId } = this.#ctx
    const ingress = openRings(shared, INGRESS_TOPIC)
    const traces = openRings(shared, TRACES_TOPIC)
    this.#acks = new AckReceiver(shared.acks!)
    this.#pending = new Pending({
      acks: this.#acks,
      committedOf: committedBy(traces, LIVESTORE_GROUP),
      spots: [this.#acks.marked, ...traces.map((ring) => ring.space)],
      timeout_ms: config.actors.ack_timeout_ms,
      clock,
    })
    this.#pending.run().catch((error: unknown) => this.#ctx.crash(error))
    this.#ingest = new RingIngest({
      actorId,
      ingress,
      acks: this.#acks,
      pending: this.#pending,
      retryAfter_ms: config.distributor.retry_after_on_resource_exhausted_ms,
      clock,
      signal: this.#stopping.signal,
    })
    return Promise.resolve()
  }

  push(request: PushRequest): Promise<PushResult> {
    return this.#ingest.push(request)
  }

  /** Requests that wait for their ack, and slots that are taken. */
  get open(): number {
    return this.#pending.size + this.#acks.openCount
  }

  async stop(): Promise<void> {
    // Its doors drain first: who waits is answered.
    for (let i = 0; i < 20 && this.#pending.size > 0; i++) await this.#ctx.clock.sleep(100)
    this.#stopping.abort()
    this.#pending.stop()
  }
}

export interface Answer {
  readonly found: Map<string, string[]>
  readonly isWhole: boolean
}

/** Asks as a query does: the read set of a tenant, then each source of it, wherever it is by then. */
export class EdgeFrontend implements Actor {
  readonly #ctx: Context<Config>
  #cache!: BlocklistCache
  #catalogs: Catalog[] = []
  #sources!: Sources

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
  }

  async start(): Promise<void> {
    const { shared, clock, log, name, config } = this.#ctx
    const path = config.live_store.wal_path
    this.#catalogs = Object.keys(shared)
      .filter((memory) => memory.startsWith('catalog-'))
      .map((memory) => new Catalog(shared[memory]!))
      .sort((a, b) => a.partition - b.partition)
    this.#sources = new Sources({
      catalogs: this.#catalogs,
      heads: new HeadReaders(new HeadArena(shared.arena!), READER_SLOT),
      local: this.#catalogs.map(({ partition }) => {
        return new BucketClient(bucket, localBlocksPath(path, partition))
      }),
      backend: new BucketClient(bucket),
      clock,
      log,
    })
    const worker = this.#ctx.ask<BackendWorkerAsks>('backend-worker')
    this.#cache = new BlocklistCache(name, worker, clock, log)
    await this.#cache.start()
  }

  /** Names of all spans of a tenant, and the blocks each is in. Not whole until the backend could be read: then it says so. */
  async query(tenant: string): Promise<Answer> {
    const found = new Map<string, string[]>()
    await this.#cache.fresh()
    const { isWhole } = this.#cache
    for (const ref of listSources(this.#catalogs, this.#cache.tenants, tenant, {})) {
      await this.#ctx.clock.sleep(world.random.float() * JOB_DELAY_MS)
      const lease = await this.#sources.open(ref)
      if (!lease) continue
      for (const name of await namesIn(lease.source)) {
        const blocks = found.get(name)
        if (blocks) blocks.push(ref.blockId)
        else found.set(name, [ref.blockId])
      }
      await lease.release()
    }
    return { found, isWhole }
  }

  async stop(): Promise<void> {
    this.#cache.stop()
    await this.#sources.close()
  }
}

async function namesIn(source: ColumnSource): Promise<readonly string[]> {
  const opened: unknown = source
  if (opened instanceof SimulatedBlock) return opened.names
  const names: string[] = []
  for (let i = 0; i < source.groupCount; i++) names.push(...(await namesOf(await source.group(i))))
  return names
}
