/** Owns which limits a tenant has, and how Tempo's YAML names them. It is loaded by every actor, so it loads no schema. */
import { formatDuration } from '../lib/units.js'
import type { ColumnSetting } from './dedicated-columns.js'

/** The limits of one tenant. */
export interface TenantLimits {
  readonly rate_limit_bytes: number
  readonly burst_size_bytes: number
  readonly retry_info_enabled: boolean
  readonly max_traces_per_user: number
  readonly max_attribute_bytes: number
  readonly max_bytes_per_trace: number
  readonly max_bytes_per_tag_values_query: number
  /** 0 = as `query_frontend` has it; so too the next. */
  readonly max_search_duration_ms: number
  readonly max_metrics_duration_ms: number
  /** 0 = as `backend_worker` has it; so too the next, of `backend_scheduler`. */
  readonly block_retention_ms: number
  readonly compaction_window_ms: number
  /** Its blocks are neither merged nor deleted. */
  readonly compaction_disabled: boolean
  /** The encoding of its new blocks; empty = as `storage.trace.block`, as is undefined of the next. */
  readonly block_version: string
  readonly dedicated_columns: readonly ColumnSetting[] | undefined
}

export type LimitName = keyof TenantLimits
export type SomeLimits = Partial<TenantLimits>

/** Where each limit stands below `overrides.defaults` or a tenant's name. */
export const LIMIT_KEYS: Readonly<Record<LimitName, readonly [section: string, key: string]>> = {
  rate_limit_bytes: ['ingestion', 'rate_limit_bytes'],
  burst_size_bytes: ['ingestion', 'burst_size_bytes'],
  retry_info_enabled: ['ingestion', 'retry_info_enabled'],
  max_traces_per_user: ['ingestion', 'max_traces_per_user'],
  max_attribute_bytes: ['ingestion', 'max_attribute_bytes'],
  max_bytes_per_trace: ['global', 'max_bytes_per_trace'],
  max_bytes_per_tag_values_query: ['read', 'max_bytes_per_tag_values_query'],
  max_search_duration_ms: ['read', 'max_search_duration'],
  max_metrics_duration_ms: ['read', 'max_metrics_duration'],
  block_retention_ms: ['compaction', 'block_retention'],
  compaction_window_ms: ['compaction', 'compaction_window'],
  compaction_disabled: ['compaction', 'compaction_disabled'],
  block_version: ['storage', 'block_version'],
  dedicated_columns: ['storage', 'parquet_dedicated_columns'],
}

export const LIMIT_NAMES = Object.keys(LIMIT_KEYS) as readonly LimitName[]

/** As Tempo's YAML nests them. */
export function nestedLimits(limits: SomeLimits): Record<string, Record<string, unknown>> {
  const nested: Record<string, Record<string, unknown>> = {}
  for (const name of LIMIT_NAMES) {
    const [section, key] = LIMIT_KEYS[name]
    const value = limits[name]
    // Who says nothing of blocks has them as all others.
    if (value === undefined || value === '') continue
    const isDuration = typeof value === 'number' && name.endsWith('_ms')
    ;(nested[section] ??= {})[key] = isDuration ? formatDuration(value) : value
  }
  return nested
}
