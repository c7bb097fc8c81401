/** Owns the keys of Tempo 3 that we know and do not read: they warn, where a typo fails. */

/** By section ('' = top level); what is below a listed key is not looked at. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  '': `http_api_prefix stream_over_http_enabled shutdown_delay internal_server memberlist usage_report cache
    enable_go_runtime_metrics span_profiling metrics_generator metrics_generator_client ingest block_builder
    live_store_client backend_scheduler_client`,
  memory: 'automemlimit_enabled automemlimit_ratio',
  server: `http_listen_network http_listen_conn_limit grpc_listen_network grpc_listen_address grpc_listen_port
    grpc_listen_conn_limit grpc_collect_max_streams_by_conn proxy_protocol_enabled tls_cipher_suites tls_min_version
    http_tls_config grpc_tls_config register_instrumentation report_grpc_codes_in_instrumentation_label_enabled
    graceful_shutdown_timeout http_server_read_timeout http_server_read_header_timeout http_server_write_timeout
    http_server_idle_timeout http_log_closed_connections_without_response_enabled grpc_server_max_recv_msg_size
    grpc_server_max_send_msg_size grpc_server_max_concurrent_streams grpc_server_max_connection_idle
    grpc_server_max_connection_age grpc_server_max_connection_age_grace grpc_server_keepalive_time
    grpc_server_keepalive_timeout grpc_server_min_time_between_pings grpc_server_ping_without_stream_allowed
    grpc_server_num_workers grpc_server_stats_tracking_enabled grpc_server_recv_buffer_pools_enabled
    grpc_server_read_buffer_size grpc_server_write_buffer_size log_source_ips_enabled log_source_ips_full
    log_source_ips_header log_source_ips_regex log_request_headers log_request_at_info_level_enabled
    log_request_exclude_headers_list trace_request_headers trace_request_exclude_headers_list http_path_prefix
    cluster_validation create_new_traces`,
  distributor: `ring override_ring_key forwarders usage kafka_config log_received_spans log_discarded_spans
    metric_received_spans artificial_delay`,
  'distributor.receivers': 'jaeger zipkin kafka',
  'distributor.receivers.otlp.protocols.grpc': `tls transport keepalive read_buffer_size write_buffer_size auth
    max_concurrent_streams include_metadata middlewares`,
  'distributor.receivers.otlp.protocols.http': `tls cors auth max_request_body_size include_metadata
    response_headers compression_algorithms read_timeout read_header_timeout write_timeout idle_timeout
    keep_alives_enabled traces_url_path metrics_url_path logs_url_path middlewares`,
  querier: `trace_by_id metrics partition_ring frontend_worker extra_query_delay secondary_ingester_ring
    shuffle_sharding_ingesters_enabled shuffle_sharding_ingesters_lookback_period query_relevant_ingesters`,
  query_frontend: `max_outstanding_per_tenant max_batch_size log_query_request_headers trace_by_id
    multi_tenant_queries_enabled response_consumers weights mcp_server max_grpc_streaming_packet_size
    url_deny_list allowed_headers rf1_after skip_ast_transformations`,
  'query_frontend.search': `concurrent_jobs target_bytes_per_job query_backend_after ingester_shards
    most_recent_shards metadata_slo duration_slo throughput_bytes_slo timeout`,
  'query_frontend.metrics': `concurrent_jobs target_bytes_per_job query_backend_after interval max_exemplars
    max_response_series streaming_shards max_intervals duration_slo throughput_bytes_slo timeout`,
  live_store: `ring partition_ring metrics commit_interval query_block_concurrency block_reclaim_grace
    shutdown_marker_dir max_trace_live max_live_traces_bytes readiness_target_lag readiness_max_wait fail_on_high_lag
    remove_owner_on_shutdown`,
  'live_store.wal': 'ingestion_time_range_slack',
  'storage.trace': `pool wal search blocklist_poll_concurrency blocklist_poll_tenant_concurrency
    blocklist_poll_jitter_ms blocklist_poll_tolerate_consecutive_errors blocklist_poll_tolerate_tenant_failures
    empty_tenant_deletion_enabled empty_tenant_deletion_age gcs azure cache background_cache memcached redis
    cache_min_compaction_level cache_max_block_age`,
  'storage.trace.block': `bloom_filter_false_positive bloom_filter_shard_size_bytes parquet_row_group_size_bytes`,
  'storage.trace.s3': `tls_cert_path tls_key_path tls_ca_path tls_server_name tls_insecure_skip_verify
    tls_cipher_suites tls_min_version session_token part_size
    retry_max_attempts retry_backoff_initial retry_backoff_max signature_v2 enable_dual_stack bucket_lookup_type tags
    storage_class metadata native_aws_auth_enabled list_blocks_concurrency sse`,
  backend_scheduler: 'work maintenance_interval backend_flush_interval job_timeout local_work_path',
  'backend_scheduler.provider': 'redaction',
  'backend_scheduler.provider.compaction':
    'measure_interval max_jobs_per_tenant min_cycle_interval',
  'backend_scheduler.provider.compaction.compaction': `block_retention compacted_block_retention retention_concurrency
    max_time_per_tenant compaction_cycle`,
  backend_worker:
    'backend_scheduler_addr backoff override_ring_key ring finish_on_shutdown_timeout',
  'backend_worker.compaction': 'compaction_window max_compaction_objects max_block_bytes',
  overrides: 'user_configurable_overrides enable_legacy_overrides',
  'overrides.defaults': 'metrics_generator forwarders cost_attribution',
  'overrides.defaults.ingestion': `rate_strategy max_global_traces_per_user tenant_shard_size artificial_delay`,
  'overrides.defaults.read': `max_blocks_per_tag_values_query max_condition_groups_per_tag_query
    unsafe_query_hints left_pad_trace_ids metrics_spanonly_fetch
    span_pruning_awareness engine_bytes_tracking span_pruning_enabled`,
}

/** Tempo has these keys in two sections each, and reads one. */
function inOther(section: string, other: string): Record<string, string> {
  const keys = UNSUPPORTED[section]!.split(/\s+/)
  return Object.fromEntries(
    keys.map((key) => [`${section}.${key}`, `as in Tempo it is ${other}.${key} that counts`]),
  )
}

/** Where the meaning of such a key is, when it is somewhere. */
const INSTEAD: Readonly<Record<string, string>> = {
  'storage.trace.wal': 'the write-ahead log is in live_store.wal.path',
  'server.grpc_server_max_recv_msg_size':
    'it is distributor.receivers.otlp.protocols.grpc.max_recv_msg_size_mib',
  'server.grpc_listen_port': 'there is no gRPC besides OTLP yet',
  'distributor.receivers.jaeger': 'only OTLP is received',
  'distributor.receivers.zipkin': 'only OTLP is received',
  'distributor.receivers.kafka': 'only OTLP is received',
  stream_over_http_enabled: 'search is not streamed yet',
  metrics_generator: 'no metrics are generated from spans yet',
  usage_report: 'nothing is ever reported',
  memberlist: 'one process needs no ring',
  ingest: 'the topics are in shared memory, see actors.bus',
  ...inOther('backend_scheduler.provider.compaction.compaction', 'backend_worker.compaction'),
  ...inOther('backend_worker.compaction', 'backend_scheduler.provider.compaction.compaction'),
  live_store_client: 'actors ask each other within the process',
}

const unsupported = new Map(
  Object.entries(UNSUPPORTED).map(([section, keys]) => [section, keys.split(/\s+/)]),
)

/** Tempo's keys in a section that we do not read. */
export function unsupportedKeys(section: string): readonly string[] {
  return unsupported.get(section) ?? []
}

/** True when Tempo knows the path, or a section above it, and we do not read it. */
export function isUnsupported(path: string): boolean {
  const keys = path.split('.')
  return keys.some((key, i) => unsupportedKeys(keys.slice(0, i).join('.')).includes(key))
}

/** What to look at instead of a key that is not read. */
export function insteadOf(path: string): string | undefined {
  return Object.hasOwn(INSTEAD, path) ? INSTEAD[path] : undefined
}
