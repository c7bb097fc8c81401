/** Owns how long a time range a tenant may ask for: its own limit, or the query-frontend's for everyone. */
import type { LimitName } from '../config/limits.js'
import { formatDuration } from '../lib/units.js'
import type { LimitsSource } from '../limits/view.js'
import { BadParam, type Range } from './params.js'

/** The limit by tenant, and what holds for those that have none. */
export interface LongestRange {
  readonly limit: LimitName & `max_${string}_duration_ms`
  /** 0 = any. */
  readonly otherwise_ms: number
  readonly otherwiseKey: string
}

/** Throws `BadParam` for a range that is too long; one that is open at its ends is not measured, as in Tempo. */
export function checkRange(
  tenant: string,
  { start_ns, end_ns }: Range,
  limits: LimitsSource,
  { limit, otherwise_ms, otherwiseKey }: LongestRange,
): void {
  if (start_ns === undefined || end_ns === undefined) return
  const own_ms = limits.of(tenant)[limit]
  const most_ms = own_ms || otherwise_ms
  const length_ms = Number((end_ns - start_ns) / 1_000_000n)
  if (most_ms === 0 || length_ms <= most_ms) return
  const key = own_ms > 0 ? limits.keyOf(tenant, limit) : otherwiseKey
  throw new BadParam(
    `range of ${formatDuration(length_ms)} exceeds ${key} of ${formatDuration(most_ms)}`,
  )
}

/** Of searches, and of tags and their values. */
export function longestSearch(max_duration_ms: number): LongestRange {
  return {
    limit: 'max_search_duration_ms',
    otherwise_ms: max_duration_ms,
    otherwiseKey: 'query_frontend.search.max_duration',
  }
}

export function longestMetrics(max_duration_ms: number): LongestRange {
  return {
    limit: 'max_metrics_duration_ms',
    otherwise_ms: max_duration_ms,
    otherwiseKey: 'query_frontend.metrics.max_duration',
  }
}
