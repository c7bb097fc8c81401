/** Owns the servers and load clients of the bench: real processes on free ports, in folders of their own, ended by pid. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadReport } from '../load/load.js'
import { systemClock } from '../lib/time.js'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const READY_TIMEOUT_MS = 30_000
const POLL_MS = 50

export class BenchServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'tempo-actors-bench-'))
  readyAfter_ms = 0
  #child!: ChildProcess
  #log = ''

  private constructor(
    readonly grpc: number,
    readonly api: number,
  ) {}

  /** `nodeFlags` go to node itself, to try what a flag of V8 does before it becomes a default. */
  static async start(
    flags: readonly string[] = [],
    nodeFlags: readonly string[] = [],
  ): Promise<BenchServer> {
    const [grpc, http, api] = [await freePort(), await freePort(), await freePort()]
    const server = new BenchServer(grpc, api)
    const started = systemClock.monotonic()
    const child = spawn(
      process.execPath,
      [
        ...nodeFlags,
        MAIN,
        `--server.http_listen_port=${api}`,
        `--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
        `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
        // The store is measured, not the limit of a tenant.
        '--overrides.defaults.ingestion.rate_limit_bytes=1GB',
        '--overrides.defaults.ingestion.burst_size_bytes=1GB',
        ...flags,
      ],
      { cwd: server.folder, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    server.#child = child
    child.stderr.on(
      'data',
      (text: Buffer) => (server.#log = (server.#log + text.toString()).slice(-4000)),
    )
    const deadline = started + READY_TIMEOUT_MS
    while ((await status(`${server.base}/ready`)) !== 200) {
      if (systemClock.monotonic() > deadline || child.exitCode !== null) {
        throw new Error(`the server did not become ready:\n${server.#log}`)
      }
      await systemClock.sleep(POLL_MS)
    }
    server.readyAfter_ms = systemClock.monotonic() - started
    return server
  }

  get base(): string {
    return `http://127.0.0.1:${this.api}`
  }

  get pid(): number {
    return this.#child.pid!
  }

  async get<T>(path: string): Promise<T> {
    const reply = await fetch(this.base + path)
    if (!reply.ok) throw new Error(`${path} answered ${reply.status}: ${await reply.text()}`)
    return (await reply.json()) as T
  }

  /** The sums of some metrics' series, from one reading. */
  async metrics<Names extends readonly string[]>(
    names: Names,
  ): Promise<{ [Index in keyof Names]: number }> {
    const lines = (await (await fetch(`${this.base}/metrics`)).text()).split('\n')
    const sums = names.map((name) =>
      lines
        .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0),
    )
    return sums as { [Index in keyof Names]: number }
  }

  /** Bytes of the blocks in the backend. */
  blockBytes(): number {
    return folderBytes(join(this.folder, 'tempo-data', 'blocks'))
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      await new Promise<void>((resolve) => {
        this.#child.once('exit', () => resolve())
        this.#child.kill('SIGINT')
      })
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Runs `tempo-actors load` as a process of its own, so that its CPU is not the server's. */
export function runLoad(args: readonly string[]): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, 'load', '--json', '--quiet', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0) resolve(JSON.parse(output) as LoadReport)
      else reject(new Error(`load exited with ${code}: ${output}`))
    })
  })
}

async function status(url: string): Promise<number> {
  return fetch(url).then(
    async (reply) => {
      await reply.arrayBuffer()
      return reply.status
    },
    () => 0,
  )
}

function folderBytes(folder: string): number {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size
  }
  return bytes
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
