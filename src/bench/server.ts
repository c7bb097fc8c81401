/** Owns the store of the bench and its load client: real processes on free ports. */
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadReport } from '../load/load.js'
import { freePort } from './free-port.js'
import { folderBytes, Program } from './program.js'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const READY_TIMEOUT_MS = 30_000

export class BenchServer {
  private constructor(
    private readonly program: Program,
    private readonly folder: string,
    readonly ready_ms: number,
    readonly grpc: number,
    readonly api: number,
  ) {}

  /** `nodeFlags` go to node itself, to try what a flag of V8 does before it becomes a default. */
  static async start(
    flags: readonly string[] = [],
    nodeFlags: readonly string[] = [],
  ): Promise<BenchServer> {
    const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-bench-'))
    const [grpc, http, api] = [await freePort(), await freePort(), await freePort()]
    const { program, ready_ms } = await Program.start({
      command: process.execPath,
      args: [
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
      folder,
      readyUrl: `http://127.0.0.1:${api}/ready`,
      readyTimeout_ms: READY_TIMEOUT_MS,
      stopSignal: 'SIGINT',
    })
    return new BenchServer(program, folder, ready_ms, grpc, api)
  }

  get base(): string {
    return `http://127.0.0.1:${this.api}`
  }

  get pid(): number {
    return this.program.pid
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

  stop(): Promise<void> {
    return this.program.stop()
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
