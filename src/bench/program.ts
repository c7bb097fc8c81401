/** Owns a server under measurement as a process: spawned in a folder of its own, waited for until ready, ended by pid, its folder removed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../lib/time.js'

const POLL_MS = 50
const STOP_TIMEOUT_MS = 20_000
const LOG_CHARS = 4000

export interface ProgramOptions {
  readonly command: string
  readonly args: readonly string[]
  /** Its working directory, which `stop` removes. */
  readonly folder: string
  /** Answers 200 once it is ready. */
  readonly readyUrl: string
  readonly readyTimeout_ms: number
  readonly stopSignal: NodeJS.Signals
}

export class Program {
  #log = ''

  private constructor(
    private readonly options: ProgramOptions,
    private readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#log = (this.#log + text.toString()).slice(-LOG_CHARS)
      })
    }
  }

  /** The program, and how long it took to be ready. */
  static async start(options: ProgramOptions): Promise<{ program: Program; ready_ms: number }> {
    const started = systemClock.monotonic()
    const { command, args, folder, readyUrl, readyTimeout_ms } = options
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    const failed = new Promise<never>((_, reject) => child.once('error', reject))
    const program = new Program(options, child)
    try {
      await Promise.race([failed, program.#ready(readyUrl, started + readyTimeout_ms)])
    } catch (error) {
      await program.stop()
      throw error
    }
    return { program, ready_ms: systemClock.monotonic() - started }
  }

  get pid(): number {
    return this.child.pid!
  }

  async stop(): Promise<void> {
    const { child } = this
    if (child.pid !== undefined && this.#isAlive) {
      const over = new AbortController()
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      void systemClock.sleep(STOP_TIMEOUT_MS, over.signal).then(() => {
        if (!over.signal.aborted) child.kill('SIGKILL')
      })
      child.kill(this.options.stopSignal)
      await gone
      over.abort()
    }
    rmSync(this.options.folder, { recursive: true, force: true })
  }

  get #isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  async #ready(url: string, deadline_ms: number): Promise<void> {
    while ((await statusOf(url)) !== 200) {
      if (systemClock.monotonic() > deadline_ms || !this.#isAlive) {
        throw new Error(`${this.options.command} did not become ready:\n${this.#log}`)
      }
      await systemClock.sleep(POLL_MS)
    }
  }
}

async function statusOf(url: string): Promise<number> {
  return fetch(url).then(
    async (reply) => {
      await reply.arrayBuffer()
      return reply.status
    },
    () => 0,
  )
}

export function folderBytes(folder: string): number {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size
  }
  return bytes
}
