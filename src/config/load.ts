/** Owns the way from files, environment and flags to the frozen configuration. */
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { availableMemory, type AvailableMemory } from '../memory/available.js'
import type { MemoryPlan } from '../memory/plan.js'
import { checkTree } from './check.js'
import { expandEnv } from './env.js'
import { ConfigError } from './error.js'
import { readSettings } from './fields.js'
import type { FlagSetting } from './flags.js'
import { toMemory } from './memory.js'
import { toLimits } from './overrides.js'
import { readConfigText } from './read-text.js'
import { cautions, contradictions, type Finding } from './rules.js'
import {
  DEFAULT_GRPC_ENDPOINT,
  DEFAULT_HTTP_ENDPOINT,
  DEFAULT_RECV_MIB,
  schema,
  type Settings,
} from './schema.js'
import {
  emptyTree,
  flagTree,
  mergeTrees,
  nearestTree,
  parseTree,
  settingAt,
  type MapTree,
} from './tree.js'
import type { Config } from './types.js'
import { writtenSettings } from './written.js'

export interface LoadOptions {
  /** Merged left to right; none = the built-in defaults. */
  files?: readonly string[]
  expandEnv?: boolean
  settings?: readonly FlagSetting[]
  env?: Readonly<Record<string, string | undefined>>
  /** Relative paths (files, data folders) start here. */
  cwd?: string
  /** What there is for this process; default: what the machine and its control groups say. */
  memory?: AvailableMemory
  /** Where the configurations of the package are. */
  packagedFolder?: string
}

export interface ConfigFile {
  /** As it was asked for. */
  readonly name: string
  readonly path: string
  /** True when the name was not found in the working directory and is the package's own. */
  readonly isPackaged: boolean
}

export interface LoadedConfig {
  readonly config: Config
  readonly files: readonly ConfigFile[]
  readonly warnings: readonly string[]
}

/** `config/` stands next to `dist/` in the package and next to `src/` in the repository. */
const PACKAGED_FOLDER = fileURLToPath(new URL('../../config/', import.meta.url))
const MIB = 1 << 20
const LOOPBACK = /^(?:127\.|localhost\b|\[?::1\]?)/
const MIGRATE =
  'the configuration is one of Tempo 2: "tempo-actors config migrate FILE" prints it with its keys moved'

/** Throws `ConfigError`: a plain sentence for each problem, with file, line and column. */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const cwd = options.cwd ?? process.cwd()
  const warnings: string[] = []
  const files = (options.files ?? []).map((name) =>
    findFile(name, cwd, options.packagedFolder ?? PACKAGED_FOLDER),
  )
  let tree: MapTree = emptyTree('the built-in defaults')
  for (const file of files) {
    let content = readConfigText(file.path, `the configuration file ${file.name}`)
    if (options.expandEnv) {
      const expanded = expandEnv(file.name, content, options.env ?? process.env)
      content = expanded.content
      warnings.push(...expanded.warnings)
    }
    tree = mergeTrees(tree, parseTree(file.name, content))
  }
  for (const { flag, path, value } of options.settings ?? []) {
    tree = mergeTrees(tree, flagTree(path, value, flag))
  }
  const { settings, ...checked } = readTree(tree)
  const memory = toMemory(settings, options.memory ?? availableMemory(), options.env ?? process.env)
  if ('text' in memory) throw new ConfigError([sentence(tree, memory)])
  const config = toConfig(settings, memory, cwd)
  const refused = contradictions(config)
  if (refused.length > 0) throw new ConfigError(refused.map((one) => sentence(tree, one)))
  const found = [...cautions(config), ...apiForThisMachineOnly(tree, config)].map((one) =>
    sentence(tree, one),
  )
  return { config: freeze(config), files, warnings: [...warnings, ...checked.warnings, ...found] }
}

function findFile(name: string, cwd: string, packagedFolder: string): ConfigFile {
  const path = resolve(cwd, name)
  if (existsSync(path)) return { name, path, isPackaged: false }
  const packaged = join(packagedFolder, name)
  const isBare = name === basename(name)
  if (isBare && existsSync(packaged)) return { name, path: packaged, isPackaged: true }
  const also = isBare ? ', and no configuration of the package has that name' : ''
  throw new ConfigError([`the configuration file ${name} does not exist (${path})${also}`])
}

function readTree(tree: MapTree): { settings: Settings; warnings: readonly string[] } {
  const checked = checkTree(tree, schema)
  const read = readSettings(schema, checked.values)
  const problems = [...checked.problems]
  if (checked.isTempo2) problems.push(MIGRATE)
  if ('problems' in read) {
    for (const { path, text } of read.problems) {
      problems.push(sentence(tree, { path: path.join('.'), text }))
    }
  } else if (problems.length === 0) {
    const noReceiver = receiversWithoutOtlp(tree, read.settings)
    if (noReceiver === undefined) return { settings: read.settings, warnings: checked.warnings }
    problems.push(noReceiver)
  }
  throw new ConfigError(problems)
}

/** "single.yaml:3:5: server.http_listen_port must be ..." */
function sentence(tree: MapTree, { path, text }: Finding): string {
  return `${nearestTree(tree, path.split('.')).place}: ${path} ${text}`
}

/** None configured means the default ones; but if only others than OTLP are, nothing could be received. */
function receiversWithoutOtlp(tree: MapTree, settings: Settings): string | undefined {
  const { grpc, http } = settings.distributor.receivers.otlp.protocols
  const receivers = nearestTree(tree, ['distributor', 'receivers'])
  const isAsked = tree !== receivers && receivers.kind === 'map' && receivers.entries.size > 0
  const parent = nearestTree(tree, ['distributor'])
  if (grpc || http || !isAsked || receivers === parent) return undefined
  return `${receivers.place}: distributor.receivers has no otlp.protocols.grpc or http: nothing would be received`
}

/** Tempo's API listens on every address by default: who takes spans from others and says nothing of the API may count on it. */
function apiForThisMachineOnly(tree: MapTree, { server, distributor }: Config): Finding[] {
  const isSet = settingAt(tree, ['server', 'http_listen_address']) !== undefined
  if (isSet || !LOOPBACK.test(server.http_listen_address)) return []
  const { otlp } = distributor.receivers
  for (const protocol of ['grpc', 'http'] as const) {
    const endpoint = otlp[protocol]?.endpoint
    if (endpoint === undefined || LOOPBACK.test(endpoint)) continue
    const path = `distributor.receivers.otlp.protocols.${protocol}.endpoint`
    const text = `is ${endpoint}, while server.http_listen_address is 127.0.0.1 by default: set that to 0.0.0.0 for Grafana on another machine or in another container`
    return [{ path, text }]
  }
  return []
}

/** From Tempo's nesting and spelling to ours: flat sections, units in the names, absolute paths. */
function toConfig(settings: Settings, memory: MemoryPlan, cwd: string): Config {
  const { trace } = settings.storage
  return {
    settings: writtenSettings(settings),
    target: settings.target,
    server: settings.server,
    multitenancy_enabled: settings.multitenancy_enabled || settings.auth_enabled,
    distributor: toDistributor(settings),
    live_store: toLiveStore(settings, cwd),
    querier: {
      query_timeout_ms: settings.querier.search.query_timeout,
      max_concurrent_queries: settings.querier.max_concurrent_queries,
    },
    query_frontend: toQueryFrontend(settings),
    storage: {
      backend: trace.backend,
      local_path: resolve(cwd, trace.local.path),
      s3: toS3(trace.s3),
      blocklist_poll_ms: trace.blocklist_poll,
      tenant_index: {
        isBuilder: trace.blocklist_poll_tenant_index_builders > 0,
        stale_ms: trace.blocklist_poll_stale_tenant_index,
        hasFallback: trace.blocklist_poll_fallback,
      },
      block_version: trace.block.version,
      dedicated_columns: trace.block.parquet_dedicated_columns,
    },
    compaction: toCompaction(settings),
    retention: toRetention(settings),
    overrides: toOverrides(settings, cwd),
    memory,
    actors: toActors(settings, memory),
  }
}

function toS3({ hedge_requests_at, ...s3 }: Settings['storage']['trace']['s3']) {
  return { ...s3, hedge_requests_at_ms: hedge_requests_at }
}

function toDistributor({ distributor }: Settings): Config['distributor'] {
  const { grpc, http } = distributor.receivers.otlp.protocols
  const isDefault = !grpc && !http
  const receivers: Config['distributor']['receivers'] = { otlp: {} }
  if (grpc || isDefault) receivers.otlp.grpc = { endpoint: grpc?.endpoint ?? DEFAULT_GRPC_ENDPOINT }
  if (http || isDefault) receivers.otlp.http = { endpoint: http?.endpoint ?? DEFAULT_HTTP_ENDPOINT }
  return {
    receivers,
    max_attribute_bytes: distributor.max_attribute_bytes,
    retry_after_on_resource_exhausted_ms: distributor.retry_after_on_resource_exhausted,
    max_recv_msg_size_bytes: (grpc?.max_recv_msg_size_mib ?? DEFAULT_RECV_MIB) * MIB,
  }
}

function toLiveStore({ live_store }: Settings, cwd: string): Config['live_store'] {
  return {
    wal_path: resolve(cwd, live_store.wal.path),
    max_trace_idle_ms: live_store.max_trace_idle,
    max_block_duration_ms: live_store.max_block_duration,
    max_block_bytes: live_store.max_block_bytes,
    complete_block_timeout_ms: live_store.complete_block_timeout,
    complete_block_concurrency: live_store.complete_block_concurrency,
    flush_check_period_ms: live_store.flush_check_period,
    flush_op_timeout_ms: live_store.flush_op_timeout,
  }
}

function toQueryFrontend({ query_frontend }: Settings): Config['query_frontend'] {
  const { search, metrics } = query_frontend
  return {
    default_result_limit: search.default_result_limit,
    max_result_limit: search.max_result_limit,
    default_spans_per_span_set: search.default_spans_per_span_set,
    max_spans_per_span_set: search.max_spans_per_span_set,
    max_search_duration_ms: search.max_duration,
    max_metrics_duration_ms: metrics.max_duration,
    max_query_expression_size_bytes: query_frontend.max_query_expression_size_bytes,
    query_end_cutoff_ms: query_frontend.query_end_cutoff,
    max_retries: query_frontend.max_retries,
    api_timeout_ms: query_frontend.api_timeout,
  }
}

function toCompaction({ backend_scheduler, backend_worker }: Settings): Config['compaction'] {
  const { compaction, ...inputs } = backend_scheduler.provider.compaction
  return {
    window_ms: compaction.compaction_window,
    max_objects: compaction.max_compaction_objects,
    max_block_bytes: compaction.max_block_bytes,
    min_input_blocks: inputs.min_input_blocks,
    max_input_blocks: inputs.max_input_blocks,
    max_level: inputs.max_compaction_level,
    cycle_ms: backend_worker.compaction.compaction_cycle,
    max_time_per_tenant_ms: backend_worker.compaction.max_time_per_tenant,
  }
}

function toRetention({ backend_scheduler, backend_worker, actors }: Settings): Config['retention'] {
  const { max_bytes, low_watermark } = actors.retention
  return {
    interval_ms: backend_scheduler.provider.retention.interval,
    block_retention_ms: backend_worker.compaction.block_retention,
    compacted_block_retention_ms: backend_worker.compaction.compacted_block_retention,
    concurrency: backend_worker.compaction.retention_concurrency,
    max_bytes,
    low_bytes: Math.floor((max_bytes * low_watermark) / 100),
  }
}

function toOverrides({ overrides }: Settings, cwd: string): Config['overrides'] {
  const { defaults, per_tenant_override_config: file } = overrides
  return {
    ...toLimits(defaults),
    per_tenant_override_config: file === '' ? '' : resolve(cwd, file),
    per_tenant_override_period_ms: overrides.per_tenant_override_period,
  }
}

function toActors({ actors }: Settings, memory: MemoryPlan): Config['actors'] {
  const { supervisor } = actors
  return {
    chaos: actors.chaos,
    wal_sync: actors.wal_sync,
    bus: {
      partitions: actors.bus.partitions,
      ring_bytes: memory.ring_bytes,
      ingress_bytes: memory.ingress_bytes,
    },
    head_bytes: memory.head_bytes,
    max_head_idle_ms: actors.max_head_idle,
    supervisor: {
      intensity: supervisor.intensity,
      period_ms: supervisor.period,
      backoff_min_ms: supervisor.backoff_min,
      backoff_max_ms: supervisor.backoff_max,
      heartbeat_timeout_ms: supervisor.heartbeat_timeout,
      drain_timeout_ms: supervisor.drain_timeout,
    },
    ack_timeout_ms: actors.ack_timeout,
  }
}

function freeze<T extends object>(value: T): T {
  for (const below of Object.values(value)) {
    if (typeof below === 'object' && below !== null) freeze(below as object)
  }
  return Object.freeze(value)
}
