/** Owns every key that tempo-actors reads: Tempo's under Tempo's names, ours under `actors`; with type, default and meaning. */
import {
  bytes,
  choice,
  columns,
  duration,
  endpoint,
  flag,
  int,
  optionalSection,
  secret,
  section,
  text,
  type SettingsOf,
} from './fields.js'
import { backend_scheduler, backend_worker, retention } from './backend-sections.js'
import { limitsSection } from './overrides.js'

export const DEFAULT_GRPC_ENDPOINT = '127.0.0.1:4317'
export const DEFAULT_HTTP_ENDPOINT = '127.0.0.1:4318'
export const DEFAULT_RECV_MIB = 16

const MAX_COUNT = 1_000_000_000
/** The ring's layout masks positions. */
const RING_LIMITS = { min: '1MiB', max: '256MiB', isPowerOfTwo: true, hasAuto: true }
const NOT_YET = 'is a part of Tempo that tempo-actors does not run alone: use target: all'

const target = choice('all', ['all'], 'Which actors run in this process.', {
  distributor: `distributor ${NOT_YET}`,
  querier: `querier ${NOT_YET}`,
  'query-frontend': `query-frontend ${NOT_YET}`,
  'live-store': `live-store ${NOT_YET}`,
  'block-builder': `block-builder ${NOT_YET}`,
  'metrics-generator': `metrics-generator ${NOT_YET}`,
  'backend-scheduler': `backend-scheduler ${NOT_YET}`,
  'backend-worker': `backend-worker ${NOT_YET}`,
  'scalable-single-binary': 'scalable-single-binary is gone since Tempo 3: use target: all',
})

const server = section('The HTTP API and the log.', {
  http_listen_address: text(
    '127.0.0.1',
    'The address of the API. "0.0.0.0" or "" answers other machines too (Tempo\'s default).',
  ),
  http_listen_port: int(3200, 0, 65_535, "The port of Tempo's API; 0 takes a free one."),
  log_level: choice('info', ['debug', 'info', 'warn', 'error'], 'The least severe line written.'),
  log_format: choice(
    'auto',
    ['auto', 'logfmt', 'json', 'pretty'],
    'auto is pretty on a terminal and logfmt elsewhere.',
  ),
})

const distributor = section('What is received, and in which form.', {
  receivers: section({
    otlp: section({
      protocols: section({
        grpc: optionalSection({
          endpoint: endpoint(DEFAULT_GRPC_ENDPOINT, 'Where OTLP over gRPC is taken.'),
          max_recv_msg_size_mib: int(
            DEFAULT_RECV_MIB,
            1,
            64,
            'The largest request, in MiB, over gRPC and HTTP.',
          ),
        }),
        http: optionalSection({
          endpoint: endpoint(DEFAULT_HTTP_ENDPOINT, 'Where OTLP over HTTP is taken.'),
        }),
      }),
    }),
  }),
  max_attribute_bytes: int(
    2048,
    0,
    MAX_COUNT,
    'Longer attribute names and values are cut; 0 keeps them whole.',
  ),
  retry_after_on_resource_exhausted: duration(
    '5s',
    'What a refused client is told to wait; 0 tells it nothing.',
  ),
})

const live_store = section(
  'Recent spans: the write-ahead log, live heads, and blocks on their way to the backend.',
  {
    wal: section({
      path: text('./tempo-data/live-store', 'The folder of the WAL, its state and local blocks.'),
    }),
    max_trace_idle: duration('5s', 'A trace that got no span for this long may be cut.'),
    max_block_duration: duration('30s', 'A block is cut when its head is this old.', { min: '1s' }),
    max_block_bytes: bytes('32MiB', 'A block is cut when its head is this large.', {
      min: '64KiB',
      max: '1GiB',
    }),
    complete_block_timeout: duration(
      '20m',
      'A flushed block is kept on local disk for this long after its end.',
    ),
    complete_block_concurrency: int(
      1,
      1,
      64,
      'Blocks that are built at once; each builder takes a thread and its memory.',
    ),
    flush_check_period: duration('5s', 'How often heads are looked at for a cut.', { min: '10ms' }),
    flush_op_timeout: duration('5m', 'One try to flush a block takes no longer.', { min: '1s' }),
  },
)

const querier = section('The work on one job of a query.', {
  search: section({
    query_timeout: duration('30s', 'One job of a query takes no longer.', { min: '10ms' }),
  }),
  max_concurrent_queries: int(20, 1, 10_000, 'Jobs that a querier works on at once.'),
})

const query_frontend = section(
  'Queries as a whole: their bounds, and how they are divided into jobs.',
  {
    search: section({
      default_result_limit: int(20, 1, MAX_COUNT, 'Traces in an answer when none is asked for.'),
      max_result_limit: int(262_144, 0, MAX_COUNT, 'Traces that can be asked for; 0 = any number.'),
      max_duration: duration('168h', 'The longest time range of a search; 0 = any.'),
      default_spans_per_span_set: int(3, 0, MAX_COUNT, 'Spans a trace when none is asked for.'),
      max_spans_per_span_set: int(
        100,
        0,
        MAX_COUNT,
        'Spans a trace that can be asked for; 0 = any.',
      ),
    }),
    metrics: section({
      max_duration: duration('24h', 'The longest time range of a metrics query; 0 = any.'),
    }),
    max_query_expression_size_bytes: bytes('128KiB', 'The longest TraceQL text.', { min: '1' }),
    query_end_cutoff: duration(
      '0',
      "Hides the newest spans from search. Tempo needs 30s here; ours are searchable when they're acknowledged.",
    ),
    max_retries: int(2, 0, 100, 'How often a job is given to another querier.'),
    api_timeout: duration('0', 'A whole query takes no longer; 0 = as long as its jobs.'),
  },
)

const storage = section('Where blocks are kept for good.', {
  trace: section({
    backend: choice('local', ['local', 's3'], 'Where blocks are kept for good.', {
      gcs: 'gcs is not supported: use s3 with its S3-compatible endpoint, or local',
      azure: 'azure is not supported: use s3 or local',
    }),
    local: section({ path: text('./tempo-data/blocks', 'The folder of the local backend.') }),
    s3: section({
      bucket: text('', 'The bucket; it must exist.'),
      endpoint: text('', 'host:port of a store that is not AWS, e.g. minio:9000; none = AWS.'),
      region: text('', 'The region; none = from the endpoint, or us-east-1.'),
      prefix: text('', 'A folder in the bucket.'),
      access_key: secret("The access key; none = AWS's usual places (environment, files, roles)."),
      secret_key: secret('The secret key.'),
      insecure: flag(false, 'HTTP instead of HTTPS for an endpoint without a scheme.'),
      forcepathstyle: flag(false, "The bucket in the path instead of in AWS's host name."),
      hedge_requests_at: duration(
        '0',
        'A read of a query that is not answered by then is asked for once more, and the first answer counts; what 99 of 100 reads take is a good time. 0 = never.',
      ),
      hedge_requests_up_to: int(
        2,
        0,
        10,
        'Requests of such a read in all, the first included; each is sent hedge_requests_at after the one before.',
      ),
    }),
    block: section({
      version: choice(
        'blockpack1',
        ['blockpack1', 'vParquet4', 'vParquet5'],
        "The encoding of new blocks: our own, or Tempo's parquet, which a real Tempo reads.",
        { vParquet3: 'vParquet3 is not written: use vParquet4, vParquet5 or blockpack1' },
      ),
      parquet_dedicated_columns: columns(
        "Attributes with columns of their own in parquet blocks; auto = Tempo's default ones, [] = none.",
      ),
    }),
    blocklist_poll: duration('5m', "How often the backend's blocks are listed.", { min: '100ms' }),
    blocklist_poll_tenant_index_builders: int(
      2,
      0,
      1000,
      "0 = the lists of blocks (index.pb.zst, index.json.gz) are another program's, and read; else they are written here.",
    ),
    blocklist_poll_stale_tenant_index: duration(
      '0',
      'A list that is older is not believed; 0 = of any age.',
    ),
    blocklist_poll_fallback: flag(
      true,
      'Without a list to believe, blocks are listed one by one; off = the poll fails.',
    ),
  }),
})

const overrides = section('Limits: those of all tenants, and where those of single ones are.', {
  defaults: limitsSection,
  per_tenant_override_config: text('', 'A file of limits by tenant, read again while we run.'),
  per_tenant_override_period: duration('10s', 'How often that file is read.', { min: '100ms' }),
})

const memory = section('One limit, from which rings, live heads, caches and heaps are derived.', {
  limit: bytes(
    'auto',
    'Resident memory of the whole process; what else is auto is derived from it. auto = 92 % of the container or a quarter of the machine, at most 512MiB.',
    { min: '128MiB', hasAuto: true },
  ),
})

const actors = section('What Tempo has no key for.', {
  chaos: flag(
    false,
    'Lets tests crash actors: POST /api/actors/{name}/crash. Never in production.',
  ),
  wal_sync: choice(
    'committed',
    ['committed', 'flushed'],
    'What an acknowledged span survives: committed = kill -9; flushed = power loss too (fsync).',
  ),
  bus: section({
    partitions: int(
      1,
      1,
      64,
      'Partitions of the topic traces; each has one livestore owner, so no fewer than livestores.',
    ),
    ring_bytes: bytes('auto', 'Shared memory of one traces partition.', RING_LIMITS),
    ingress_bytes: bytes('auto', 'Shared memory of one ingress partition.', RING_LIMITS),
  }),
  head_bytes: bytes('auto', 'Shared memory of all live heads together.', {
    min: '16MiB',
    max: '2047MiB',
    hasAuto: true,
  }),
  max_head_idle: duration('10s', 'A head that got no span for this long is cut.', { min: '100ms' }),
  supervisor: section({
    intensity: int(5, 0, 1000, 'Restarts of one actor within the period before all is stopped.'),
    period: duration('60s', 'The period of intensity.', { min: '1s' }),
    backoff_min: duration('100ms', 'The pause before the first restart; it doubles.', {
      min: '1ms',
    }),
    backoff_max: duration('10s', 'No pause before a restart is longer.', { min: '1ms' }),
    heartbeat_timeout: duration('30s', 'An actor that is silent for this long is replaced.', {
      min: '1s',
    }),
    drain_timeout: duration('4s', 'An ordered stop takes no longer.', { min: '100ms' }),
  }),
  retention,
  ack_timeout: duration('10s', 'A request that is not durable by then is refused, retryably.', {
    min: '100ms',
  }),
})

export const schema = section({
  target,
  multitenancy_enabled: flag(
    false,
    'Tenants by the header X-Scope-OrgID; off = all is the tenant single-tenant.',
  ),
  auth_enabled: flag(
    false,
    "Tempo's older name of multitenancy_enabled; either of them is enough.",
  ),
  server,
  distributor,
  live_store,
  querier,
  query_frontend,
  storage,
  backend_scheduler,
  backend_worker,
  overrides,
  memory,
  actors,
})

export type Settings = SettingsOf<typeof schema>
