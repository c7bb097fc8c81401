/** Owns a real Tempo for tests: one process over a local folder of blocks, on free ports, with its own state; stopped by its pid. */
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

export class Tempo {
  #child: ChildProcess | undefined
  #output = ''

  private constructor(
    readonly folder: string,
    readonly port: number,
  ) {}

  /** Where its blocks are to be put, before `run`. */
  get blocks(): string {
    return join(this.folder, 'blocks')
  }

  /** A folder for one; it runs only when `run` is called. */
  static async prepare(): Promise<Tempo> {
    const folder = await mkdtemp(join(tmpdir(), 'tempo-'))
    const tempo = new Tempo(folder, await freePort())
    await mkdir(tempo.blocks)
    return tempo
  }

  async run(): Promise<void> {
    const program = peerPath('tempo')
    if (program === undefined) throw new Error('there is no tempo to run')
    const file = join(this.folder, 'tempo.yaml')
    await writeFile(file, await this.#config())
    const child = spawn(program, [`-config.file=${file}`], { stdio: ['ignore', 'pipe', 'pipe'] })
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

  /** What tempo-cli prints about the blocks; throws when it fails. */
  async cli(command: readonly string[], args: readonly string[]): Promise<string> {
    const program = peerPath('tempo-cli')
    if (program === undefined) throw new Error('there is no tempo-cli to run')
    const all = [...command, '--backend=local', '--bucket', this.blocks, ...args]
    const { stdout, stderr } = await promisify(execFile)(program, all, { maxBuffer: 1 << 26 })
    return stdout + stderr
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

  async #isReady(): Promise<boolean> {
    try {
      await this.get('/ready')
      return true
    } catch {
      return false
    }
  }

  /** Everything below its folder and on 127.0.0.1; blocks are neither compacted nor dropped for their age. */
  async #config(): Promise<string> {
    const [grpc, gossip, otlp] = await Promise.all([freePort(), freePort(), freePort()])
    const at = (name: string) => JSON.stringify(join(this.folder, name))
    return `target: all
server: { http_listen_address: 127.0.0.1, http_listen_port: ${this.port}, grpc_listen_address: 127.0.0.1, grpc_listen_port: ${grpc}, log_level: warn }
memberlist: { bind_addr: [127.0.0.1], bind_port: ${gossip}, advertise_addr: 127.0.0.1 }
distributor: { receivers: { otlp: { protocols: { grpc: { endpoint: "127.0.0.1:${otlp}" } } } } }
live_store: { wal: { path: ${at('live')} }, shutdown_marker_dir: ${at('marker')}, ring: { instance_addr: 127.0.0.1, instance_interface_names: [lo] } }
block_builder: { wal: { path: ${at('builder')} } }
backend_scheduler: { local_work_path: ${at('work')} }
query_frontend: { search: { query_backend_after: 31s }, metrics: { query_backend_after: 31s } }
usage_report: { reporting_enabled: false }
storage: { trace: { backend: local, local: { path: ${at('blocks')} }, wal: { path: ${at('wal')} }, blocklist_poll: 2s } }
overrides: { defaults: { compaction: { compaction_disabled: true, block_retention: 1000000h } } }
`
  }
}
