/**
 * Owns what stands between a querier and the backend. Before S3: ranges are kept in memory, and a read that is not answered in time
 * is asked for once more. Before a folder nothing does: the kernel keeps what was read.
 */
import type { Config } from '../../config.js'
import type { Metrics } from '../../lib/metrics.js'
import type { Clock } from '../../lib/time.js'
import type { Backend, BackendReader } from '../../storage/backend/backend.js'
import { hedged } from '../../storage/backend/hedged.js'
import { ReadCache } from '../../storage/backend/read-cache.js'
import { isBlockData } from '../../storage/block/registry.js'
import { cacheCounters, hedgedCounter } from './metrics.js'

export interface BackendReads {
  readonly reader: BackendReader
  /** Drops what is kept of a block. */
  readonly forget?: (blockId: string) => void
}

export function backendReads(
  backend: Backend,
  config: Pick<Config, 'storage' | 'memory'>,
  metrics: Metrics,
  clock: Clock,
): BackendReads {
  if (config.storage.backend !== 's3') return { reader: backend }
  const { hedge_requests_at_ms, hedge_requests_up_to } = config.storage.s3
  const further = hedgedCounter(metrics)
  const reader = hedged(backend, {
    clock,
    after_ms: hedge_requests_at_ms,
    upTo: hedge_requests_up_to,
    onFurther: () => further.inc(),
  })
  const cache = new ReadCache(reader, {
    max_bytes: config.memory.ranges_bytes,
    isImmutable: isBlockData,
    counters: cacheCounters(metrics, 'ranges'),
  })
  return { reader: cache, forget: (blockId) => cache.forget(blockId) }
}
