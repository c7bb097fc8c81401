/** Owns what became of the keys of Tempo 2: where each is now, or why it is gone. They fail with these words; `config migrate` moves them. */

export type Move = { readonly to: string } | { readonly gone: string }

/** By section of Tempo 2: where its keys are in Tempo 3, "old=new" where the name changed too. */
const SECTIONS: readonly [from: string, to: string, keys: string][] = [
  ['', '', 'auth_enabled=multitenancy_enabled'],
  [
    'ingester',
    'live_store',
    `trace_idle_period=max_trace_idle trace_live_period=max_trace_live max_block_duration max_block_bytes
     complete_block_timeout concurrent_flushes=complete_block_concurrency flush_check_period flush_op_timeout`,
  ],
  [
    'compactor.compaction',
    'backend_worker.compaction',
    'block_retention compacted_block_retention retention_concurrency max_time_per_tenant compaction_cycle',
  ],
  [
    'compactor.compaction',
    'backend_scheduler.provider.compaction.compaction',
    'compaction_window max_compaction_objects max_block_bytes',
  ],
  [
    'live_store.block_config',
    'storage.trace.block',
    `version bloom_filter_false_positive bloom_filter_shard_size_bytes parquet_row_group_size_bytes
     parquet_dedicated_columns`,
  ],
  [
    'block_builder.block',
    'storage.trace.block',
    `version bloom_filter_false_positive bloom_filter_shard_size_bytes parquet_row_group_size_bytes
     parquet_dedicated_columns`,
  ],
  ['query_frontend', 'query_frontend.trace_by_id', 'query_shards'],
  ['distributor', 'distributor', 'log_received_traces=log_received_spans'],
  [
    'overrides',
    'overrides.defaults.ingestion',
    `ingestion_rate_strategy=rate_strategy ingestion_rate_limit_bytes=rate_limit_bytes
     ingestion_burst_size_bytes=burst_size_bytes ingestion_tenant_shard_size=tenant_shard_size
     ingestion_max_attribute_bytes=max_attribute_bytes ingestion_artificial_delay=artificial_delay
     ingestion_retry_info_enabled=retry_info_enabled max_traces_per_user max_global_traces_per_user`,
  ],
  ['overrides', 'overrides.defaults.global', 'max_bytes_per_trace'],
  [
    'overrides',
    'overrides.defaults.read',
    `max_bytes_per_tag_values_query max_blocks_per_tag_values_query max_condition_groups_per_tag_query
     max_search_duration max_metrics_duration unsafe_query_hints left_pad_trace_ids metrics_spanonly_fetch`,
  ],
  [
    'overrides',
    'overrides.defaults.compaction',
    'block_retention compaction_window compaction_disabled',
  ],
  ['overrides', 'overrides.defaults.storage', 'parquet_dedicated_columns'],
  ['overrides', 'overrides.defaults', 'forwarders cost_attribution'],
]

/** Legacy overrides of the generator: the rest of the name is a path, of these parts. */
const GENERATOR = 'overrides.metrics_generator_'
const GENERATOR_PARTS: readonly [flat: string, nested: string][] = [
  ['forwarder_', 'forwarder.'],
  ['processor_service_graphs_', 'processor.service_graphs.'],
  ['processor_span_metrics_', 'processor.span_metrics.'],
  ['processor_host_info_', 'processor.host_info.'],
]

const GENERATOR_LOCAL_BLOCKS = 'overrides.metrics_generator_processor_local_blocks_'

const V2_FORMAT = 'it belonged to the block format v2, which is gone'
const LOCAL_BLOCKS =
  'recent spans are found in the live store, without local blocks of the generator'
const SERVERLESS = 'queries are not sent to serverless functions any more'
const NO_INGESTERS = 'there are no ingesters any more'

/** Exact paths, and whole sections. */
const GONE: Readonly<Record<string, string>> = {
  search_enabled: 'search is always on',
  metrics_generator_enabled: 'the generator runs when it is configured',
  partition_ring_live_store: 'the live store always has its partitions',
  ingester: NO_INGESTERS,
  ingester_client: NO_INGESTERS,
  'ingester.lifecycler': 'the live store of one process needs no ring',
  'ingester.partition_ring': 'the live store of one process needs no ring',
  'ingester.override_ring_key': 'the live store of one process needs no ring',
  'ingester.flush_all_on_shutdown':
    'nothing is lost at a stop: the write-ahead log is read at the next start',
  'ingester.flush_object_storage': 'blocks always go to the backend',
  compactor: 'it became backend_scheduler and backend_worker',
  'compactor.ring': 'one process needs no ring',
  'compactor.override_ring_key': 'one process needs no ring',
  'compactor.disabled': 'set overrides.defaults.compaction.compaction_disabled',
  'distributor.ingester_write_path_enabled': NO_INGESTERS,
  'distributor.kafka_write_path_enabled': NO_INGESTERS,
  'distributor.extend_writes': NO_INGESTERS,
  'distributor.search_tags_deny_list': 'search reads blocks, and needs no list',
  'distributor.receivers.opencensus': 'Tempo 3 has no such receiver',
  'querier.search.prefer_self': SERVERLESS,
  'querier.search.external_backend': SERVERLESS,
  'querier.search.external_endpoints': SERVERLESS,
  'querier.search.external_hedge_requests_at': SERVERLESS,
  'querier.search.external_hedge_requests_up_to': SERVERLESS,
  'querier.search.google_cloud_run': SERVERLESS,
  'query_frontend.querier_forget_delay': 'queriers are actors of this process, and watched',
  'query_frontend.tolerate_failed_blocks':
    'a damaged block is left out of answers, which say so; one that cannot be reached fails the query',
  'query_frontend.search.query_ingesters_until': NO_INGESTERS,
  'storage.trace.wal.version': V2_FORMAT,
  'live_store.wal.version': V2_FORMAT,
  'block_builder.wal.version': V2_FORMAT,
  'ingest.enabled': 'it is on where ingest.kafka is set',
  'metrics_generator.disable_grpc': 'the generator takes no gRPC any more',
  'metrics_generator.disable_local_blocks': LOCAL_BLOCKS,
  'metrics_generator.query_timeout': LOCAL_BLOCKS,
  'metrics_generator.traces_storage': LOCAL_BLOCKS,
  'metrics_generator.traces_query_storage': LOCAL_BLOCKS,
  'metrics_generator.processor.local_blocks': LOCAL_BLOCKS,
  'overrides.defaults.metrics_generator.processor.local_blocks': LOCAL_BLOCKS,
  'overrides.max_search_bytes_per_trace': 'search reads blocks, and keeps no data of its own',
}

/** Sections in which the keys of the block format v2 may stand. */
const V2_SECTIONS =
  `storage.trace.block storage.trace.wal live_store.wal live_store.block_config block_builder.block
  block_builder.wal compactor.compaction backend_worker.compaction
  backend_scheduler.provider.compaction.compaction`.split(/\s+/)
const V2_KEY =
  /^(?:v2_\w+|search_encoding|search_page_size_bytes|encoding|index_downsample_bytes|index_page_size_bytes)$/

const moved = new Map<string, string>(
  SECTIONS.flatMap(([from, to, keys]) =>
    keys.split(/\s+/).map((pair): [string, string] => {
      const [old, now = old] = pair.split('=')
      return [dotted(from, old!), dotted(to, now!)]
    }),
  ),
)

/** What became of a key; undefined when Tempo 2 has none there, or Tempo 3 has it still. */
export function moveOf(path: string): Move | undefined {
  const to = moved.get(path) ?? generatorMove(path)
  if (to !== undefined) return { to }
  if (Object.hasOwn(GONE, path)) return { gone: GONE[path]! }
  const dot = path.lastIndexOf('.')
  if (path.startsWith(GENERATOR_LOCAL_BLOCKS)) return { gone: LOCAL_BLOCKS }
  const isV2 = V2_SECTIONS.includes(path.slice(0, dot)) && V2_KEY.test(path.slice(dot + 1))
  if (isV2) return { gone: V2_FORMAT }
  // "compactor" as a whole says nothing of a key in it, but a key nobody lists is gone with its section.
  const parent = dot < 0 ? undefined : moveOf(path.slice(0, dot))
  return parent && 'gone' in parent ? parent : undefined
}

/** True when keys below have places of their own to go to. */
export function hasMovesBelow(path: string): boolean {
  const below = [...moved.keys(), ...Object.keys(GONE), ...V2_SECTIONS.map((at) => `${at}.`)]
  return below.some((key) => key.startsWith(`${path}.`))
}

/** In the words of an error: "it is live_store.max_trace_idle now". */
export function moveText(move: Move): string {
  return 'to' in move ? `it is ${move.to} now` : move.gone
}

function generatorMove(path: string): string | undefined {
  if (!path.startsWith(GENERATOR) || path.startsWith(GENERATOR_LOCAL_BLOCKS)) return undefined
  const rest = path.slice(GENERATOR.length)
  const part = GENERATOR_PARTS.find(([flat]) => rest.startsWith(flat))
  const nested = part ? part[1] + rest.slice(part[0].length) : rest
  return `overrides.defaults.metrics_generator.${nested}`
}

function dotted(section: string, key: string): string {
  return section === '' ? key : `${section}.${key}`
}
