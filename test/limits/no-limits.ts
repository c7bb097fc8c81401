/** Owns limits for tests: none but those that a test names. */
import type { SomeLimits } from '../../src/config/limits.js'
import { LimitsView } from '../../src/limits/view.js'

export function noLimits(but: SomeLimits = {}): LimitsView {
  return new LimitsView({
    rate_limit_bytes: 1e12,
    burst_size_bytes: 1e12,
    retry_info_enabled: true,
    max_traces_per_user: 0,
    max_attribute_bytes: 0,
    max_bytes_per_trace: 0,
    max_bytes_per_tag_values_query: 0,
    max_search_duration_ms: 0,
    max_metrics_duration_ms: 0,
    block_retention_ms: 0,
    compaction_window_ms: 0,
    compaction_disabled: false,
    block_version: '',
    dedicated_columns: undefined,
    ...but,
  })
}
