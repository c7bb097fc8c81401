/** Owns a whole tempo-actors process for tests: started from dist on free ports in a folder of its own, stopped or killed by its pid. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../src/bench/free-port.js'

/** TEMPO_ACTORS_DIST: another build, for a machine on which several are tried at once. */
const DIST = process.env.TEMPO_ACTORS_DIST ?? new URL('../../dist', import.meta.url).pathname
const MAIN = join(DIST, 'main.js')
const READY_TIMEOUT_MS = 60_000
/** What tests end a process by; a failpoint kills its own. */
const OUR_SIGNALS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGINT', 'SIGTERM']

export interface ServerOptions {
  /** Extra flags, such as '--actors.chaos=true'. */
  readonly flags?: readonly string[]
  /** Keeps the data of an earlier server. */
  readonly folder?: string
  readonly ports?: Ports
  /** Beside our own environment. */
  readonly env?: Readonly<Record<string, string>>
  /** A program and its arguments that run the server, such as strace. */
  readonly under?: readonly string[]
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Ports {
  readonly grpc: number
  readonly http: number
  readonly api: number
}

export class TestServer {
  log = ''
  /** Deaths of the process that no test asked for: an exit code other than 0, or a signal that none of us sends. */
  crashes = 0
  /** Heeded at the next start. */
  env: Readonly<Record<string, string>>
  readonly #under: readonly string[]
  #child: ChildProcess | undefined

  private constructor(
    readonly folder: string,
    readonly ports: Ports,
    private readonly flags: readonly string[],
    { env = {}, under = [] }: ServerOptions,
  ) {
    this.env = env
    this.#under = under
  }

  /** Starts nothing yet. */
  static async at(options: ServerOptions = {}): Promise<TestServer> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tempo-actors-'))
    const ports = options.ports ?? (await freePorts())
    return new TestServer(folder, ports, options.flags ?? [], options)
  }

  /** Starts a server and waits until it is ready. */
  static async start(options: ServerOptions = {}): Promise<TestServer> {
    const server = await TestServer.at(options)
    await server.up()
    return server
  }

  get base(): string {
    return `http://127.0.0.1:${this.ports.api}`
  }

  get grpc(): string {
    return `127.0.0.1:${this.ports.grpc}`
  }

  get http(): string {
    return `127.0.0.1:${this.ports.http}`
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Starts the process (again) and waits until it is ready. */
  async up(): Promise<void> {
    this.launch()
    await this.ready()
  }

  /** Starts the process and does not wait for it. */
  launch(): void {
    const { grpc, http, api } = this.ports
    const args = [
      MAIN,
      '--server.http_listen_address=127.0.0.1',
      `--server.http_listen_port=${api}`,
      `--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
      `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
      ...this.flags,
    ]
    const [program, ...rest] = [...this.#under, process.execPath, ...args] as [string, ...string[]]
    const child = spawn(program, rest, {
      cwd: this.folder,
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.once('exit', (code, signal) => {
      const isOurs = signal !== null && OUR_SIGNALS.includes(signal)
      if (code !== 0 && !isOurs) this.crashes++
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => (this.log += text.toString()))
    }
  }

  /** How the process ended, when it does within the time; undefined when it lives on. */
  async ended(timeout_ms: number): Promise<Exit | undefined> {
    const child = this.#child
    if (!child) return { code: null, signal: null }
    const exit = () =>
      child.exitCode === null && child.signalCode === null
        ? undefined
        : { code: child.exitCode, signal: child.signalCode }
    const deadline = Date.now() + timeout_ms
    while (exit() === undefined && Date.now() < deadline) await sleep(20)
    return exit()
  }

  /** Sends a signal and does not wait for what it does. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Resolves when /ready answers 200; rejects with the log when it does not in time. */
  async ready(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS
    while (Date.now() < deadline) {
      if (this.#child?.exitCode !== null || this.#child.signalCode !== null) break
      const reply = await fetch(`${this.base}/ready`).catch(() => undefined)
      if (reply?.status === 200) return
      await sleep(50)
    }
    throw new Error(
      `server not ready (exit code ${this.#child?.exitCode}):\n${this.log.slice(-4000)}`,
    )
  }

  /** kill -9, at once. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Drains; resolves with the exit code. */
  async stop(): Promise<number | null> {
    return this.#end('SIGINT')
  }

  /** Stops the process if it runs and deletes its folder. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async get(path: string): Promise<unknown> {
    const reply = await fetch(this.base + path)
    if (!reply.ok) throw new Error(`${path} answered ${reply.status}: ${await reply.text()}`)
    return reply.json()
  }

  /** The status; 0 when the connection broke before the answer (what was asked for may have been done). */
  async post(path: string): Promise<number> {
    const reply = await fetch(this.base + path, { method: 'POST' }).catch(() => undefined)
    await reply?.text().catch(() => undefined)
    return reply?.status ?? 0
  }

  /** The value of a metric summed over its series; 0 when it is absent. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.base}/metrics`)).text()
    let sum = 0
    for (const line of text.split('\n')) {
      if (line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        sum += Number(line.slice(line.lastIndexOf(' ')))
    }
    return sum
  }

  #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) {
      return Promise.resolve(child?.exitCode ?? null)
    }
    return new Promise((resolve) => {
      child.once('exit', (code) => resolve(code))
      child.kill(signal)
    })
  }
}

export function sleep(delay_ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delay_ms))
}

/** Polls until the condition holds; rejects with the words after the time. */
export async function eventually(
  what: string,
  timeout_ms: number,
  holds: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadline = Date.now() + timeout_ms
  while (Date.now() < deadline) {
    if (await holds()) return
    await sleep(100)
  }
  throw new Error(`not within ${timeout_ms} ms: ${what}`)
}

export async function freePorts(): Promise<Ports> {
  const [grpc, http, api] = await Promise.all([freePort(), freePort(), freePort()])
  return { grpc, http, api }
}
