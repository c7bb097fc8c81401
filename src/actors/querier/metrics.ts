/** Owns the names of a querier's metrics of what it reads and keeps. */
import type { CacheCounters } from '../../lib/cache-counters.js'
import type { Counter, Metrics } from '../../lib/metrics.js'

/** `blocks`: open ones; `filters`: of their trace ids; `ranges`: as they were read from the backend. */
export type CacheName = 'blocks' | 'filters' | 'ranges'

export function cacheCounters(metrics: Metrics, cache: CacheName): CacheCounters {
  const name = (what: string) => `tempo_actors_querier_cache_${what}`
  const counter = (what: string, about: string) =>
    metrics.counter(name(what), about, ['cache']).labels(cache)
  const bytes = metrics.gauge(name('bytes'), 'What is kept.', ['cache'])
  return {
    hits: counter('hits_total', 'What was asked for and kept, or under way already.'),
    misses: counter('misses_total', 'What had to be read.'),
    evictions: counter('evictions_total', 'What was dropped since there was no room for it.'),
    bytes: bytes.labels(cache),
  }
}

/** Tempo's name. */
export function hedgedCounter(metrics: Metrics): Counter {
  return metrics.counter(
    'tempodb_backend_hedged_roundtrips_total',
    'Reads that were asked for once more since they were not answered in time.',
  )
}
