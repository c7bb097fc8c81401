/** Owns what a seed chooses once: sizes so small that every bound is reached, times so short that everything happens. */
import type { Random } from '../../src/lib/random.js'
import { deepFreeze } from '../../src/bus/context.js'
import { loadConfig, type Config } from '../../src/config.js'

const KIB = 1024
const CHUNK_BYTES = 16 * KIB
const SIMULATED_PATH = '/store'

const base = loadConfig({ cwd: SIMULATED_PATH, files: [], env: {} }).config

export interface Settings {
  readonly config: Config
  /**
   * Everything at once that makes memory short: two tenants in two partitions with room for two heads in all, clients
   * that soon send again, and a livestore that stands still meanwhile.
   */
  readonly isSiege: boolean
}

const SIEGE_ONE_IN = 8

export function settingsOf(random: Random): Settings {
  const isSiege = random.oneIn(SIEGE_ONE_IN)
  return { config: configOf(random, isSiege), isSiege }
}

function configOf(random: Random, isSiege: boolean): Config {
  const ingress_bytes = 2 ** (13 + random.below(3))
  const partitions = isSiege ? 2 : 1 + random.below(2)
  // A head takes ten chunks.
  const headChunks = 24 + random.below(isSiege ? 6 : 90)
  return deepFreeze<Config>({
    ...base,
    storage: { ...base.storage, block_version: 'simulated', blocklist_poll_ms: 4000 + random.below(8000) }, // prettier-ignore
    live_store: {
      ...base.live_store,
      wal_path: SIMULATED_PATH,
      max_block_duration_ms: 2000 + random.below(6000),
      max_block_bytes: random.pick([2, 12, 20, 40]) * CHUNK_BYTES,
      complete_block_timeout_ms: 1000 + random.below(4000),
      complete_block_concurrency: 1 + random.below(2),
      flush_check_period_ms: 1000,
      flush_op_timeout_ms: 3000,
    },
    actors: {
      ...base.actors,
      wal_sync: random.pick(['committed', 'flushed'] as const),
      head_bytes: headChunks * CHUNK_BYTES,
      max_head_idle_ms: 500 + random.below(4000),
      ack_timeout_ms: isSiege ? 400 : 2000 + random.below(3000),
      bus: { ...base.actors.bus, partitions, ingress_bytes, ring_bytes: ingress_bytes * (1 + random.below(2)) }, // prettier-ignore
      supervisor: {
        ...base.actors.supervisor,
        intensity: 5,
        period_ms: 20_000,
        backoff_min_ms: 20,
        backoff_max_ms: 1000,
        heartbeat_timeout_ms: 3000,
        drain_timeout_ms: 3000,
      },
    },
  })
}
