/** Owns the shape of the configuration after defaults: what the actors are given, frozen. Units are in the names. */
import type { LogFormat, LogLevel } from '../lib/log.js'
import type { MemoryPlan } from '../memory/plan.js'
import type { TenantLimits } from './limits.js'
import type { ColumnSetting } from './dedicated-columns.js'
import type { WrittenSettings } from './written.js'

export interface Config {
  /** All of it as it would stand in YAML, under Tempo's names, without secrets: what /status/config shows. */
  settings: WrittenSettings
  target: 'all'
  server: {
    http_listen_address: string
    http_listen_port: number
    log_level: LogLevel
    log_format: LogFormat | 'auto'
  }
  multitenancy_enabled: boolean
  distributor: {
    receivers: { otlp: { grpc?: { endpoint: string }; http?: { endpoint: string } } }
    max_attribute_bytes: number
    retry_after_on_resource_exhausted_ms: number
    max_recv_msg_size_bytes: number
  }
  live_store: {
    wal_path: string
    max_trace_idle_ms: number
    max_block_duration_ms: number
    max_block_bytes: number
    complete_block_timeout_ms: number
    complete_block_concurrency: number
    flush_check_period_ms: number
    flush_op_timeout_ms: number
  }
  querier: { query_timeout_ms: number; max_concurrent_queries: number }
  query_frontend: {
    default_result_limit: number
    max_result_limit: number
    default_spans_per_span_set: number
    max_spans_per_span_set: number
    max_search_duration_ms: number
    max_metrics_duration_ms: number
    max_query_expression_size_bytes: number
    query_end_cutoff_ms: number
    max_retries: number
    api_timeout_ms: number
  }
  storage: {
    backend: 'local' | 's3'
    local_path: string
    s3: {
      bucket: string
      endpoint: string
      region: string
      prefix: string
      access_key: string
      secret_key: string
      insecure: boolean
      forcepathstyle: boolean
      /** 0 = never. */
      hedge_requests_at_ms: number
      hedge_requests_up_to: number
    }
    blocklist_poll_ms: number
    tenant_index: {
      /** False: another program writes it, and it is read. */
      isBuilder: boolean
      /** 0 = of any age. */
      stale_ms: number
      /** Without it, blocks are listed. */
      hasFallback: boolean
    }
    block_version: string
    /** Undefined = Tempo's. */
    dedicated_columns: readonly ColumnSetting[] | undefined
  }
  compaction: {
    window_ms: number
    max_objects: number
    max_block_bytes: number
    min_input_blocks: number
    max_input_blocks: number
    /** 0 = any. */
    max_level: number
    cycle_ms: number
    max_time_per_tenant_ms: number
  }
  retention: {
    interval_ms: number
    block_retention_ms: number
    compacted_block_retention_ms: number
    concurrency: number
    /** Of all blocks in the backend; 0 = any size. */
    max_bytes: number
    /** Deleted down to, when they are more. */
    low_bytes: number
  }
  /** The default limits, and where the tenants' own are. */
  overrides: TenantLimits & {
    /** Absolute; empty = there is none. */
    readonly per_tenant_override_config: string
    readonly per_tenant_override_period_ms: number
  }
  /** `memory.limit`, divided. */
  memory: MemoryPlan
  /** Our own keys. */
  actors: {
    chaos: boolean
    wal_sync: 'committed' | 'flushed'
    bus: { partitions: number; ring_bytes: number; ingress_bytes: number }
    head_bytes: number // shared memory of all live heads together
    max_head_idle_ms: number
    supervisor: {
      intensity: number
      period_ms: number
      backoff_min_ms: number
      backoff_max_ms: number
      heartbeat_timeout_ms: number
      drain_timeout_ms: number
    }
    ack_timeout_ms: number
  }
}
