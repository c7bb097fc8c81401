/**
 * Owns the process and what comes back after it: shared memory, the real supervisor over simulated threads, and, when
 * the process has ended in whatever way, the next one on the same disk and bucket.
 */
import BackendWorker from '../../src/actors/backend-worker/actor.js'
import Distributor from '../../src/actors/distributor/actor.js'
import Livestore from '../../src/actors/livestore/actor.js'
import { TRACES_TOPIC } from '../../src/actors/livestore/contract.js'
import type { ActorClass } from '../../src/bus/actor.js'
import { releaseDeadOwner, Ring } from '../../src/bus/ring.js'
import { Supervisor } from '../../src/bus/supervisor.js'
import type { Config } from '../../src/config.js'
import type { Log } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { Catalog } from '../../src/storage/catalog.js'
import { HeadArena } from '../../src/storage/head/arena.js'
import { readAppliedOffsets } from '../../src/storage/wal/applied.js'
import { createSharedMemory, type SharedMemory, type SharedSizes } from '../../src/topology.js'
import { EdgeFrontend, EdgeReceiver } from './edges.js'
import { ledger } from './ledger.js'
import { Threads } from './threads.js'
import { world, type Life } from './world.js'

/** In the order of the data path. */
export const COMPONENTS = [
  'receiver',
  'frontend',
  'distributor',
  'livestore',
  'backend-worker',
] as const
export type Component = (typeof COMPONENTS)[number]

const ACTORS = {
  receiver: EdgeReceiver,
  frontend: EdgeFrontend,
  distributor: Distributor,
  livestore: Livestore,
  'backend-worker': BackendWorker,
} as unknown as Readonly<Record<string, ActorClass>>

/** With few slots one is soon given to the next request, and late marks find it there. */
const ACK_SLOTS = [2, 8, 32] as const
const CATALOG_ENTRIES = 64
const ARENA_READERS = 2
const LIMITS_BYTES = 1024
const BEAT_MS = 500
const RESTART_MS = 500
const READER_SLOT = 0

export class House {
  readonly #config: Config
  readonly #sizes: SharedSizes
  threads!: Threads
  process!: Life
  #memory: SharedMemory = {}
  #supervisor: Supervisor | undefined
  /** Where each ring of `traces` was committed, whatever came after. */
  readonly #committed: number[] = []
  processes = 0

  constructor(
    config: Config,
    private readonly log: Log,
  ) {
    this.#config = config
    this.#sizes = {
      catalogEntries: CATALOG_ENTRIES,
      arenaReaders: ARENA_READERS,
      ackSlots: world.random.pick(ACK_SLOTS),
      limits_bytes: LIMITS_BYTES,
    }
  }

  /** Starts a process, now; one that cannot is tried again. */
  begin(): void {
    this.processes++
    const process = world.life(`process-${this.processes}`, world.outside)
    this.process = process
    this.threads = new Threads(process, ACTORS, this.log)
    process.ends.add(() => {
      this.#noteOffsets()
      ledger.forgetVolatile()
      this.#supervisor = undefined
      this.#memory = {}
      world.at(
        RESTART_MS * (1 + world.random.float()),
        world.outside,
        'the process comes back',
        () => this.begin(),
      )
    })
    world.at(0, process, 'a process begins', () => {
      this.#start(process).catch((error: unknown) => world.unhandled(error))
    })
  }

  /** kill -9. */
  crash(): void {
    world.say('kill -9 of the process')
    world.end(this.process, undefined)
  }

  /** SIGTERM. */
  stop(): void {
    const { process } = this
    world.at(0, process, 'SIGTERM', () => void this.#supervisor?.stop())
  }

  get isStopping(): boolean {
    const state = this.#supervisor?.status().state
    return state === undefined || state === 'stopping' || state === 'stopped'
  }

  get rings(): Ring[] {
    return Object.keys(this.#memory)
      .filter((name) => name.startsWith('traces-') || name.startsWith('ingress-'))
      .map((name) => new Ring(this.#memory[name]!))
  }

  get catalogs(): Catalog[] {
    return Object.keys(this.#memory)
      .filter((name) => name.startsWith('catalog-'))
      .map((name) => new Catalog(this.#memory[name]!))
  }

  get arena(): HeadArena | undefined {
    return this.#memory.arena && new HeadArena(this.#memory.arena)
  }

  async #start(process: Life): Promise<void> {
    const config = this.#config
    const { partitions } = config.actors.bus
    const offsets = await readAppliedOffsets(config.live_store.wal_path, partitions, {
      sync: config.actors.wal_sync,
      clock: systemClock,
      log: this.log,
    })
    for (const [partition, committed] of this.#committed.entries()) {
      const offset = offsets[partition]!
      const text = () => `traces/${partition} was committed at ${committed}, begins at ${offset}`
      world.check(offset >= committed, 'offsets never go back over a restart', text)
    }
    this.#memory = createSharedMemory(config, offsets, this.#sizes)
    const arena = new HeadArena(this.#memory.arena!)
    const supervisor = new Supervisor({
      children: COMPONENTS.map((component) => this.#spec(component)),
      log: this.log,
      clock: systemClock,
      spawn: this.threads.spawn,
      random: () => world.random.float(),
      stop_timeout_ms: config.actors.supervisor.drain_timeout_ms,
      hooks: {
        onActorDead: (actorId, name) => {
          for (const ring of this.rings) releaseDeadOwner(ring.buffer, actorId)
          if (name === 'frontend-0') arena.clearReader(READER_SLOT)
        },
        onExit: () => world.end(process, undefined),
      },
    })
    this.#supervisor = supervisor
    this.threads.supervisorAsks = supervisor.asks
    void this.#beat(this.threads)
    await supervisor.start()
  }

  async #beat(threads: Threads): Promise<void> {
    for (;;) {
      await world.sleep(BEAT_MS)
      threads.beat()
      this.#noteOffsets()
    }
  }

  #noteOffsets(): void {
    for (const ring of this.rings.filter(({ topic }) => topic === TRACES_TOPIC)) {
      const committed = ring.committed(0)
      const before = this.#committed[ring.partition] ?? 0
      const text = () => `${ring.label} from ${before} to ${committed}`
      world.check(committed >= before, 'offsets never go back', text)
      world.check(ring.tail >= committed, 'committed is inside the ring', () => ring.label)
      this.#committed[ring.partition] = committed
    }
  }

  #spec(component: Component) {
    const { supervisor } = this.#config.actors
    return {
      component,
      index: 0,
      module: component,
      config: this.#config,
      shared: this.#memory,
      restart: {
        intensity: supervisor.intensity,
        period_ms: supervisor.period_ms,
        backoff_base_ms: supervisor.backoff_min_ms,
        backoff_max_ms: supervisor.backoff_max_ms,
        heartbeat_timeout_ms: supervisor.heartbeat_timeout_ms,
        drain_timeout_ms: supervisor.drain_timeout_ms,
      },
    }
  }
}
