/** Owns the limits that can be set for a tenant: their keys in Tempo's YAML, types, defaults and meaning. */
import { bytes, choice, columns, duration, flag, int, section, type SettingsOf } from './fields.js'
import type { TenantLimits } from './limits.js'

const MAX_COUNT = 1_000_000_000

/** What stands under `overrides.defaults`, and under a tenant's name in the file of `per_tenant_override_config`. */
export const limitsSection = section({
  ingestion: section({
    rate_limit_bytes: bytes(
      30_000_000,
      'Bytes a second of OTLP a tenant may send; what is over is refused, to be sent again. 0 = nothing beyond the burst.',
    ),
    burst_size_bytes: bytes(
      30_000_000,
      'Bytes a tenant may send at once; a request that is larger is never taken.',
    ),
    retry_info_enabled: flag(true, 'Tell a client that is over its rate when to come back.'),
    max_traces_per_user: int(
      0,
      0,
      MAX_COUNT,
      'Traces of a tenant in live heads; spans of further traces are rejected. 0 = any (Tempo: 10000; ours are bounded by actors.head_bytes, which rejects nothing).',
    ),
    max_attribute_bytes: int(
      0,
      0,
      MAX_COUNT,
      'Longer attribute names and values are cut; 0 = as distributor.max_attribute_bytes.',
    ),
  }),
  global: section({
    max_bytes_per_trace: bytes(
      5_000_000,
      'The largest trace; spans beyond are rejected, and an answer holds no more. 0 = any.',
    ),
  }),
  read: section({
    max_bytes_per_tag_values_query: bytes(1_000_000, 'The most tag values in an answer; 0 = any.'),
    max_search_duration: duration(
      '0',
      'The longest time range of a search, also for tags; 0 = as query_frontend.search.max_duration.',
    ),
    max_metrics_duration: duration(
      '0',
      'The longest time range of a metrics query; 0 = as query_frontend.metrics.max_duration.',
    ),
  }),
  compaction: section({
    block_retention: duration(
      '0',
      'A block is deleted this long after its last span; 0 = as backend_worker.compaction.block_retention.',
    ),
    compaction_window: duration(
      '0',
      'Blocks are merged within windows of this length; 0 = as backend_scheduler.provider.compaction.compaction.compaction_window.',
    ),
    compaction_disabled: flag(
      false,
      'Blocks are neither merged nor deleted: another program does, or nobody.',
    ),
  }),
  storage: section({
    block_version: choice(
      'auto',
      ['auto', 'blockpack1', 'vParquet4', 'vParquet5'],
      'The encoding of new blocks; auto = as storage.trace.block.version. Ours: Tempo has no such key.',
    ),
    parquet_dedicated_columns: columns(
      'Attributes with columns of their own in parquet blocks; auto = as storage.trace.block.parquet_dedicated_columns, [] = none.',
    ),
  }),
})

export type LimitSettings = SettingsOf<typeof limitsSection>

export function toLimits({
  ingestion,
  global,
  read,
  compaction,
  storage,
}: LimitSettings): TenantLimits {
  const { max_search_duration, max_metrics_duration, ...rest } = read
  return {
    ...{ ...ingestion, ...global, ...rest },
    max_search_duration_ms: max_search_duration,
    max_metrics_duration_ms: max_metrics_duration,
    block_retention_ms: compaction.block_retention,
    compaction_window_ms: compaction.compaction_window,
    compaction_disabled: compaction.compaction_disabled,
    block_version: storage.block_version === 'auto' ? '' : storage.block_version,
    dedicated_columns: storage.parquet_dedicated_columns,
  }
}
