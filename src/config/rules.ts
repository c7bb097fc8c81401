/** Owns what no single key can tell: settings that contradict each other (refused) or hurt each other (warned of). */
import { relative, isAbsolute } from 'node:path'
import { columnExcess } from './dedicated-columns.js'
import type { Config } from './types.js'

export interface Finding {
  /** The key it is about, to show its line. */
  readonly path: string
  readonly text: string
}

export function contradictions(config: Config): Finding[] {
  const found: Finding[] = []
  const refuse = (path: string, text: string) => found.push({ path, text })
  const { storage, live_store, actors, query_frontend } = config
  if (storage.backend === 's3') {
    const { bucket, access_key, secret_key } = storage.s3
    if (bucket === '') refuse('storage.trace.s3.bucket', 'is needed for backend: s3')
    if (access_key !== '' && secret_key === '') {
      refuse('storage.trace.s3.secret_key', 'is needed with access_key')
    }
    if (access_key === '' && secret_key !== '') {
      refuse('storage.trace.s3.access_key', 'is needed with secret_key')
    }
  } else if (isInside(live_store.wal_path, storage.local_path)) {
    const text = `(${live_store.wal_path}) must not be in storage.trace.local.path (${storage.local_path})`
    refuse('live_store.wal.path', text)
  } else if (isInside(storage.local_path, live_store.wal_path)) {
    const text = `(${storage.local_path}) must not be in live_store.wal.path (${live_store.wal_path})`
    refuse('storage.trace.local.path', text)
  }
  for (const [path, a, b] of sharedPorts(config)) refuse(path, `has the port of ${b}: ${a}`)
  if (actors.supervisor.backoff_min_ms > actors.supervisor.backoff_max_ms) {
    refuse('actors.supervisor.backoff_min', 'must not be longer than backoff_max')
  }
  const { default_result_limit, max_result_limit } = query_frontend
  if (max_result_limit > 0 && default_result_limit > max_result_limit) {
    refuse('query_frontend.search.default_result_limit', 'must not be more than max_result_limit')
  }
  return found
}

export function cautions(config: Config): Finding[] {
  const found: Finding[] = []
  const { storage, live_store, actors } = config
  if (live_store.complete_block_timeout_ms < storage.blocklist_poll_ms) {
    found.push({
      path: 'live_store.complete_block_timeout',
      text: 'is shorter than storage.trace.blocklist_poll: local blocks may be kept longer than it says',
    })
  }
  const areHeadsSmall = live_store.max_block_bytes * actors.bus.partitions > actors.head_bytes
  if (config.memory.areHeadsSet && areHeadsSmall) {
    found.push({
      path: 'live_store.max_block_bytes',
      text: 'times actors.bus.partitions is more than actors.head_bytes: heads are cut before they are that large',
    })
  }
  for (const [path, columns] of [
    ['storage.trace.block.parquet_dedicated_columns', storage.dedicated_columns],
    ['overrides.defaults.storage.parquet_dedicated_columns', config.overrides.dedicated_columns],
  ] as const) {
    const text = columnExcess(columns)
    if (text !== undefined) found.push({ path, text })
  }
  if (actors.chaos) {
    found.push({ path: 'actors.chaos', text: 'lets anyone who reaches the API crash actors' })
  }
  return found
}

function isInside(child: string, parent: string): boolean {
  const way = relative(parent, child)
  return way === '' || (!way.startsWith('..') && !isAbsolute(way))
}

/** Listeners that cannot both be opened: the same port on the same or on every address. */
function sharedPorts(config: Config): [path: string, address: string, other: string][] {
  const { grpc, http } = config.distributor.receivers.otlp
  const { http_listen_address, http_listen_port } = config.server
  const listeners: [string, string][] = [
    ['server.http_listen_port', `${http_listen_address}:${http_listen_port}`],
  ]
  if (grpc) listeners.push(['distributor.receivers.otlp.protocols.grpc.endpoint', grpc.endpoint])
  if (http) listeners.push(['distributor.receivers.otlp.protocols.http.endpoint', http.endpoint])
  const clashes: [string, string, string][] = []
  for (const [i, [path, address]] of listeners.entries()) {
    const [host, port] = hostAndPort(address)
    const other = listeners.slice(0, i).find(([, otherAddress]) => {
      const [otherHost, otherPort] = hostAndPort(otherAddress)
      const isSameHost = host === otherHost || host === ANY || otherHost === ANY
      return port !== '0' && port === otherPort && isSameHost
    })
    if (other) clashes.push([path, address, other[0]])
  }
  return clashes
}

const ANY = 'any'

function hostAndPort(address: string): [host: string, port: string] {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon)
  const isAny = host === '' || host === '0.0.0.0' || host === '[::]' || host === '::'
  return [isAny ? ANY : host === 'localhost' ? '127.0.0.1' : host, address.slice(colon + 1)]
}
