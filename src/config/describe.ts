/** Owns the words of the start-up banner about the configuration: what listens where, where data lives, how memory is divided. */
import { formatBytes } from '../lib/units.js'
import type { LoadedConfig } from './load.js'
import type { Config } from './types.js'

/** One line a fact; the first word of a line is its subject. */
export function describeConfig(config: Config): string[] {
  return [
    ...listeners(config),
    ...data(config),
    ...describeMemory(config).map((line) => `memory    ${line}`),
  ]
}

/** Where the configuration came from. */
export function describeSources(loaded: LoadedConfig): string[] {
  if (loaded.files.length === 0) return ['config    built-in defaults (no --config was given)']
  return loaded.files.map(({ name, path, isPackaged }) =>
    isPackaged
      ? `config    ${name}: the packaged configuration of that name (${path})`
      : `config    ${path}`,
  )
}

function listeners({ server, distributor }: Config): string[] {
  const { grpc, http } = distributor.receivers.otlp
  const lines: string[] = []
  if (grpc) lines.push(`listen    OTLP gRPC   ${everyAddress(grpc.endpoint)}`)
  if (http) lines.push(`listen    OTLP HTTP   ${everyAddress(http.endpoint)}`)
  const api = everyAddress(`${server.http_listen_address}:${server.http_listen_port}`)
  lines.push(`listen    Tempo API   ${api}`)
  return lines
}

function everyAddress(endpoint: string): string {
  return endpoint.startsWith(':') ? `0.0.0.0${endpoint}` : endpoint
}

function data({ live_store, storage, actors }: Config): string[] {
  const survives = actors.wal_sync === 'flushed' ? 'power loss' : 'kill -9'
  return [
    `data      WAL and local blocks in ${live_store.wal_path}; an acknowledged span survives ${survives}`,
    `data      ${storage.block_version} blocks in ${backend(storage)}`,
  ]
}

function backend({ backend, local_path, s3 }: Config['storage']): string {
  if (backend === 'local') return local_path
  const prefix = s3.prefix === '' ? '' : `, prefix ${s3.prefix}`
  return `the bucket ${s3.bucket} at ${s3.endpoint === '' ? 'AWS S3' : s3.endpoint}${prefix}`
}

/** How memory is divided: a table that adds up to its first line. */
export function describeMemory({ memory }: Config): string[] {
  const refused = `requests are refused above ${formatBytes(memory.refuseAbove_bytes)}`
  const rows: [string, string][] = memory.parts.map(({ bytes, about }) => [mib(bytes), about])
  const width = Math.max(...rows.map(([size]) => size.length))
  return [
    `limit ${mib(memory.limit_bytes)} (${memory.origin}); ${refused}`,
    ...rows.map(([size, about]) => `${size.padStart(width)}  ${about}`),
  ]
}

/** In one unit, so that a reader can add. */
function mib(bytes: number): string {
  return `${Number((bytes / 2 ** 20).toFixed(1))} MiB`
}
