/**
 * Owns the map: every actor, in the order of the data path, and the shared memory between them. Read this file first.
 *
 *     client ─OTLP▶ receiver ─[ingress]▶ distributor ─[traces 0..P]▶ livestore ─▶ WAL ─▶ head ─▶ block ─▶ flush ─▶ backend
 *     client ◀HTTP─ http ◀─ frontend ◀─ querier ◀─ { heads, local blocks, backend blocks }            backend-worker: blocklist
 *
 * Started from the bottom up (sinks first), drained from the top down. `[x]` is a ring topic; the other arrows are asks.
 */
import type { Config } from './config.js'
import { Acks } from './bus/acks.js'
import type { ChildSpec } from './bus/child.js'
import { createTopic } from './bus/topic.js'
import { DISTRIBUTOR_GROUP, INGRESS_TOPIC } from './actors/distributor/contract.js'
import { LIVESTORE_GROUP, TRACES_TOPIC } from './actors/livestore/contract.js'
import { MetricsPage } from './lib/metrics.js'
import { LIMITS_CAPACITY_BYTES, LimitsPage } from './limits/page.js'
import { Pressure } from './lib/pressure.js'
import { Catalog } from './storage/catalog.js'
import { HeadArena } from './storage/head/arena.js'

/** How much each part of the shared memory holds that no configuration sets. */
export interface SharedSizes {
  /** Live heads and local blocks of one partition. */
  readonly catalogEntries: number
  /** Threads that may read live heads; a slot each. */
  readonly arenaReaders: number
  /** Requests waiting for their ack at once. */
  readonly ackSlots: number
  /** The text of the tenants' limits. */
  readonly limits_bytes: number
}

/** A store that cannot reach its backend for a day stays below the entries. */
const SIZES: SharedSizes = {
  catalogEntries: 8192,
  arenaReaders: 64,
  ackSlots: 16_384,
  limits_bytes: LIMITS_CAPACITY_BYTES,
}

/** What the main thread counts of the process as a whole. */
export const PROCESS_METRICS = 'metrics-process'

/** How near the process is to its memory limit: for every actor. */
export const PRESSURE = 'pressure'

/** All memory that outlives its users, by name; the supervisor holds it. */
export type SharedMemory = Record<string, SharedArrayBuffer>

export interface ActorSpec {
  readonly component: string
  readonly module: string
  /** Components it asks. */
  readonly asks: readonly string[]
  /** Names (or prefixes ending in '-') of the shared memory it is given. */
  readonly shared: readonly string[]
  /** Which share of the memory plan its heap has: actors on the way of queries have theirs on top. */
  readonly heap: 'write' | 'read'
}

/** Top to bottom: the way of a span in, then the way of an answer out. */
export const ACTORS: readonly ActorSpec[] = [
  // Owns the OTLP sockets; answers when the span is durable.
  {
    component: 'receiver',
    module: './actors/receiver/actor.js',
    asks: [],
    shared: ['ingress-', 'traces-', 'acks', 'pressure', 'limits'],
    heap: 'write',
  },
  // Owns Tempo's HTTP port: routes, JSON, /metrics, /ready.
  {
    component: 'http',
    module: './http/actor.js',
    asks: ['frontend', 'livestore', 'receiver', 'supervisor'],
    shared: ['metrics-', 'ingress-', 'traces-', 'arena', 'limits'],
    heap: 'read',
  },
  // Splits a query into jobs, merges, stops at the limit, retries.
  {
    component: 'frontend',
    module: './actors/frontend/actor.js',
    asks: ['querier', 'backend-worker'],
    shared: ['catalog-', 'limits'],
    heap: 'read',
  },
  // Runs one job over live heads, local blocks and backend blocks.
  {
    component: 'querier',
    module: './actors/querier/actor.js',
    asks: [],
    shared: ['catalog-', 'arena', 'limits'],
    heap: 'read',
  },
  // Validates, limits, regroups by trace.
  {
    component: 'distributor',
    module: './actors/distributor/actor.js',
    // Dead letters, and how its predecessor died.
    asks: ['livestore', 'supervisor'],
    shared: ['ingress-', 'traces-', 'acks', 'limits'],
    heap: 'write',
  },
  // WAL, live heads, blocks, and the flush queue.
  {
    component: 'livestore',
    module: './actors/livestore/actor.js',
    asks: ['backend-worker', 'supervisor'],
    shared: ['traces-', 'catalog-', 'arena', 'acks', 'limits'],
    heap: 'write',
  },
  // Knows what the backend has; merges its blocks, deletes old ones.
  {
    component: 'backend-worker',
    module: './actors/backend-worker/actor.js',
    asks: [],
    shared: ['limits'],
    heap: 'read',
  },
]

/** Makes the memory between the actors. Ring offsets start where the write-ahead log ended, so that they never go back. */
export function createSharedMemory(
  config: Config,
  baseOffsets: readonly number[],
  { catalogEntries, arenaReaders, ackSlots, limits_bytes }: SharedSizes = SIZES,
): SharedMemory {
  const { partitions, ring_bytes, ingress_bytes } = config.actors.bus
  const memory: SharedMemory = {
    acks: Acks.create({ slots: ackSlots }),
    limits: LimitsPage.create(limits_bytes),
    arena: HeadArena.create({ bytes: config.actors.head_bytes, readers: arenaReaders }).memory,
  }
  const ingress = createTopic({
    name: INGRESS_TOPIC,
    partitions,
    capacity_bytes: ingress_bytes,
    groups: [{ name: DISTRIBUTOR_GROUP, mode: 'gating' }],
  })
  const traces = createTopic({
    name: TRACES_TOPIC,
    partitions,
    capacity_bytes: ring_bytes,
    baseOffsets,
    groups: [{ name: LIVESTORE_GROUP, mode: 'gating' }],
  })
  for (let partition = 0; partition < partitions; partition++) {
    memory[`ingress-${partition}`] = ingress.partitions[partition]!
    memory[`traces-${partition}`] = traces.partitions[partition]!
    memory[`catalog-${partition}`] = Catalog.create(partition, catalogEntries)
  }
  for (const { component } of ACTORS) memory[`metrics-${component}`] = MetricsPage.create()
  memory[PROCESS_METRICS] = MetricsPage.create({ slots: 256, text_bytes: 16 * 1024 })
  memory[PRESSURE] = Pressure.create()
  return memory
}

/** The children of the supervisor, one replica of each actor. */
export function children(config: Config, memory: SharedMemory): ChildSpec[] {
  const { supervisor } = config.actors
  const { heaps } = config.memory
  return ACTORS.map((spec) => ({
    component: spec.component,
    index: 0,
    module: new URL(spec.module, import.meta.url).href,
    config,
    asks: spec.asks,
    shared: pick(memory, [...spec.shared, `metrics-${spec.component}`, PRESSURE]),
    heap: {
      maxOldGenerationSizeMb: heaps[spec.heap].old_mib,
      maxYoungGenerationSizeMb: heaps[spec.heap].young_mib,
    },
    restart: {
      intensity: supervisor.intensity,
      period_ms: supervisor.period_ms,
      backoff_base_ms: supervisor.backoff_min_ms,
      backoff_max_ms: supervisor.backoff_max_ms,
      heartbeat_timeout_ms: supervisor.heartbeat_timeout_ms,
      drain_timeout_ms: supervisor.drain_timeout_ms,
    },
  }))
}

function pick(memory: SharedMemory, names: readonly string[]): SharedMemory {
  const wanted = (name: string) =>
    names.some((n) => n === name || (n.endsWith('-') && name.startsWith(n)))
  return Object.fromEntries(Object.entries(memory).filter(([name]) => wanted(name)))
}
