/** Owns the keys of Tempo 3 that we know and do not read (they warn), and those of Tempo 2 that moved (they fail, with the new place). */

/** By section ('' = top level); what is below a listed key is not looked at. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  '': `http_api_prefix stream_over_http_enabled shutdown_delay memory internal_server memberlist usage_report cache
    enable_go_runtime_metrics metrics_generator metrics_generator_client ingest block_builder live_store_client
    backend_scheduler backend_scheduler_client backend_worker`,
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
    metric_received_spans extend_writes artificial_delay`,
  'distributor.receivers': 'jaeger zipkin kafka opencensus',
  'distributor.receivers.otlp.protocols.grpc': `tls transport keepalive read_buffer_size write_buffer_size auth
    max_concurrent_streams include_metadata middlewares`,
  'distributor.receivers.otlp.protocols.http': `tls cors auth max_request_body_size include_metadata
    response_headers compression_algorithms read_timeout read_header_timeout write_timeout idle_timeout
    traces_url_path metrics_url_path logs_url_path middlewares`,
  querier: `trace_by_id metrics partition_ring frontend_worker shuffle_sharding_ingesters_enabled
    shuffle_sharding_ingesters_lookback_period query_relevant_ingesters`,
  'querier.search': 'external_endpoints prefer_self external_backend external_hedge_requests_at',
  query_frontend: `max_outstanding_per_tenant max_batch_size log_query_request_headers trace_by_id
    multi_tenant_queries_enabled response_consumers weights mcp_server max_grpc_streaming_packet_size
    url_deny_list allowed_headers`,
  'query_frontend.search': `concurrent_jobs target_bytes_per_job query_backend_after ingester_shards
    most_recent_shards duration_slo throughput_bytes_slo`,
  'query_frontend.metrics': `concurrent_jobs target_bytes_per_job query_backend_after interval max_exemplars
    max_response_series streaming_shards max_intervals duration_slo throughput_bytes_slo`,
  live_store: `ring partition_ring metrics commit_interval query_block_concurrency block_reclaim_grace
    shutdown_marker_dir max_trace_live max_live_traces_bytes readiness_target_lag readiness_max_wait fail_on_high_lag
    remove_owner_on_shutdown override_ring_key`,
  'live_store.wal': 'ingestion_time_range_slack version',
  'storage.trace': `pool wal search blocklist_poll_concurrency blocklist_poll_tenant_concurrency
    blocklist_poll_fallback blocklist_poll_tenant_index_builders blocklist_poll_stale_tenant_index
    blocklist_poll_jitter_ms blocklist_poll_tolerate_consecutive_errors blocklist_poll_tolerate_tenant_failures
    empty_tenant_deletion_enabled empty_tenant_deletion_age gcs azure cache background_cache memcached redis
    cache_min_compaction_level cache_max_block_age`,
  'storage.trace.block': `bloom_filter_false_positive bloom_filter_shard_size_bytes parquet_row_group_size_bytes
    parquet_dedicated_columns`,
  'storage.trace.s3': `tls_cert_path tls_key_path tls_ca_path tls_server_name tls_insecure_skip_verify
    tls_cipher_suites tls_min_version session_token part_size hedge_requests_at hedge_requests_up_to
    retry_max_attempts retry_backoff_initial retry_backoff_max signature_v2 enable_dual_stack bucket_lookup_type tags
    storage_class metadata native_aws_auth_enabled list_blocks_concurrency sse`,
  overrides: 'user_configurable_overrides enable_legacy_overrides',
  'overrides.defaults': 'metrics_generator compaction forwarders storage cost_attribution',
  'overrides.defaults.ingestion': `rate_strategy max_global_traces_per_user tenant_shard_size artificial_delay`,
  'overrides.defaults.read': `max_blocks_per_tag_values_query max_condition_groups_per_tag_query
    max_search_duration max_metrics_duration unsafe_query_hints left_pad_trace_ids metrics_spanonly_fetch`,
}

/** Keys of Tempo 2 (and near ones), with where their meaning is now. */
const MOVED: Readonly<Record<string, string>> = {
  auth_enabled: 'it is multitenancy_enabled',
  search_enabled: 'search is always on',
  metrics_generator_enabled: 'it is gone',
  ingester: 'the section of Tempo 2 became live_store',
  ingester_client: 'Tempo 3 has no ingesters; remove it',
  compactor: 'the section of Tempo 2 became backend_scheduler and backend_worker',
  'storage.trace.block.encoding': 'it belonged to the v2 block format, which is gone',
  'storage.trace.block.index_downsample_bytes': 'it belonged to the v2 block format, which is gone',
  'overrides.max_bytes_per_trace': 'it is overrides.defaults.global.max_bytes_per_trace',
  'overrides.ingestion_rate_limit_bytes': 'it is overrides.defaults.ingestion.rate_limit_bytes',
  'overrides.ingestion_burst_size_bytes': 'it is overrides.defaults.ingestion.burst_size_bytes',
  'overrides.max_traces_per_user': 'it is overrides.defaults.ingestion.max_traces_per_user',
}

const unsupported = new Map(
  Object.entries(UNSUPPORTED).map(([section, keys]) => [section, keys.split(/\s+/)]),
)

/** Tempo's keys in a section that we do not read. */
export function unsupportedKeys(section: string): readonly string[] {
  return unsupported.get(section) ?? []
}

/** Where a key of an older Tempo went. */
export function movedKey(path: string): string | undefined {
  return Object.hasOwn(MOVED, path) ? MOVED[path] : undefined
}
