/** Owns a real Tempo for tests: one process over a folder of blocks or a bucket, on free ports, with its own state; stopped by its pid. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../../src/bench/free-port.js'
import { peerPath } from './peers.js'

const READY_MS = 120_000
const STOP_MS = 20_000
const POLL_MS = 250
const OUTPUT_CHARS = 4000
const REQUEST_MS = 60_000

export interface TempoOptions {
  /** Blocks are in this bucket, not in the folder `blocks`. */
  readonly s3?: { bucket: string; endpoint: string; access_key: string; secret_key: string }
  /** The encoding of the blocks that it makes of what it is sent. */
  readonly version?: string // default Tempo's
  /** No columns of their own for single attributes. */
  readonly isWithoutDedicated?: boolean // default false, then Tempo's own
  /** A block is closed after this. */
  readonly maxBlockDuration_s?: number // default 3
  /** Merges blocks, as soon as it has two. */
  readonly isCompacting?: boolean
}

export class Tempo {
  #child: ChildProcess | undefined
  #output = ''

  private constructor(
    readonly folder: string,
    readonly port: number,
    /** Takes OTLP over HTTP. */
    readonly otlp: number,
    private readonly options: TempoOptions,
  ) {}

  /** Where its blocks are to be put, before `run`. */
  get blocks(): string {
    return join(this.folder, 'blocks')
  }

  /** A folder for one; it runs only when `run` is called. */
  static async prepare(options: TempoOptions = {}): Promise<Tempo> {
    const folder = await mkdtemp(join(tmpdir(), 'tempo-'))
    const tempo = new Tempo(folder, await freePort(), await freePort(), options)
    await mkdir(tempo.blocks)
    return tempo
  }

  async run(): Promise<void> {
    const program = peerPath('tempo')
    if (program === undefined) throw new Error('there is no tempo to run')
    await writeFile(this.#file, await this.#config())
    const child = spawn(program, [`-config.file=${this.#file}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    const note = (text: string) => {
      this.#output = (this.#output + text).slice(-OUTPUT_CHARS)
    }
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', note)
    const until = Date.now() + READY_MS
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || Date.now() > until) {
        throw new Error(`tempo did not get ready: ${this.#output}`)
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  async get(path: string, parameters: Record<string, string> = {}, accept = 'application/json') {
    const query = new URLSearchParams(parameters).toString()
    const url = `http://127.0.0.1:${this.port}${path}?${query}`
    const signal = AbortSignal.timeout(REQUEST_MS)
    const reply = await fetch(url, { headers: { accept }, signal })
    if (!reply.ok) throw new Error(`${url}: ${reply.status} ${await reply.text()}`)
    return new Uint8Array(await reply.arrayBuffer())
  }

  async json(path: string, parameters: Record<string, string> = {}): Promise<unknown> {
    return JSON.parse(Buffer.from(await this.get(path, parameters)).toString()) as unknown
  }

  /** What tempo-cli prints about the blocks; throws when it fails. For those in a bucket `run` has to be called before. */
  async cli(command: readonly string[], args: readonly string[]): Promise<string> {
    const program = peerPath('tempo-cli')
    if (program === undefined) throw new Error('there is no tempo-cli to run')
    const place = this.options.s3
      ? ['--config-file', this.#file]
      : ['--backend=local', '--bucket', this.blocks]
    const all = [...command, ...place, ...args]
    const { stdout, stderr } = await promisify(execFile)(program, all, { maxBuffer: 1 << 26 })
    return stdout + stderr
  }

  /** Sends an ExportTraceServiceRequest; throws when it is not taken. */
  async push(request: Uint8Array): Promise<void> {
    const reply = await fetch(`http://127.0.0.1:${this.otlp}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: Buffer.from(request),
      signal: AbortSignal.timeout(REQUEST_MS),
    })
    if (!reply.ok) throw new Error(`tempo took no spans: ${reply.status} ${await reply.text()}`)
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child && child.exitCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await gone
      clearTimeout(timer)
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  get #file(): string {
    return join(this.folder, 'tempo.yaml')
  }

  async #isReady(): Promise<boolean> {
    try {
      await this.get('/ready')
      return true
    } catch {
      return false
    }
  }

  /** Everything below its folder and on 127.0.0.1; what it is sent becomes blocks within seconds, and none are dropped for their age. */
  async #config(): Promise<string> {
    const [grpc, gossip] = await Promise.all([freePort(), freePort()])
    const at = (name: string) => JSON.stringify(join(this.folder, name))
    const { s3, version, isCompacting = false, maxBlockDuration_s = 3 } = this.options
    const place = s3
      ? `backend: s3, s3: ${JSON.stringify({ ...s3, insecure: true, forcepathstyle: true })}`
      : `backend: local, local: { path: ${at('blocks')} }`
    const dedicated = this.options.isWithoutDedicated ? ', parquet_dedicated_columns: []' : ''
    const block = version === undefined ? '' : `block: { version: ${version}${dedicated} }, `
    return `target: all
server: { http_listen_address: 127.0.0.1, http_listen_port: ${this.port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: ${grpc}, log_level: warn }
memberlist: { bind_addr: [127.0.0.1], bind_port: ${gossip}, advertise_addr: 127.0.0.1 }
distributor: { max_attribute_bytes: 1048576, receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:${this.otlp}" } } } } }
live_store: { wal: { path: ${at('live')} }, shutdown_marker_dir: ${at('marker')}, ring: { instance_addr: 127.0.0.1, instance_interface_names: [lo] }, flush_check_period: 1s, max_trace_idle: 1s, max_trace_live: 2s, max_block_duration: ${maxBlockDuration_s}s }
block_builder: { wal: { path: ${at('builder')} } }
backend_scheduler: { local_work_path: ${at('work')}, maintenance_interval: 2s, provider: { compaction: { measure_interval: 1s, min_cycle_interval: 1s } } }
backend_worker: { backoff: { max_period: 1s } }
query_frontend: { search: { query_backend_after: 31s }, metrics: { query_backend_after: 31s } }
usage_report: { reporting_enabled: false }
storage: { trace: { ${place}, ${block}wal: { path: ${at('wal')} }, blocklist_poll: 2s } }
overrides: { defaults: { compaction: { compaction_disabled: ${String(!isCompacting)}, block_retention: 1000000h } } }
`
  }
}
