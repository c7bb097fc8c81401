/** Owns running other programs in tests: their output, a bound on their time, and their end by pid. */
import { spawn, type ChildProcess } from 'node:child_process'

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
}

const RUN_MS = 120_000
const OUTPUT_CHARS = 1 << 20

export class Program {
  /** stdout and stderr as they came. */
  output = ''
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  #hasEnded = false

  constructor(
    private readonly command: string,
    args: readonly string[],
    { cwd, env = {} }: ProgramOptions = {},
  ) {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => {
        this.output = (this.output + text.toString()).slice(-OUTPUT_CHARS)
      })
    }
    const killWithUs = () => child.kill('SIGKILL')
    process.once('exit', killWithUs)
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        process.off('exit', killWithUs)
        this.#hasEnded = true
        resolve({ code, signal, output: this.output })
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves when it has ended; kills it and rejects with its output after the time. */
  async end(timeout_ms = RUN_MS): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.signal('SIGKILL')
        reject(new Error(`${this.command} did not end in ${timeout_ms} ms:\n${this.tail()}`))
      }, timeout_ms)
    })
    try {
      return await Promise.race([this.ended, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Resolves with the first match in the output; rejects when it ends or the time is over before. */
  async says(pattern: RegExp, timeout_ms = RUN_MS): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeout_ms
    for (;;) {
      const isLast = this.#hasEnded || Date.now() > deadline
      const match = pattern.exec(this.output)
      if (match) return match
      if (isLast) throw new Error(`${this.command} did not say ${pattern}:\n${this.tail()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  private tail(): string {
    return this.output.slice(-4000)
  }
}

/** Runs a program to its end; rejects unless it exits with 0. */
export async function run(
  command: string,
  args: readonly string[],
  options: ProgramOptions & { timeout_ms?: number } = {},
): Promise<string> {
  const { code, signal, output } = await new Program(command, args, options).end(options.timeout_ms)
  if (code === 0) return output
  throw new Error(`${command} ended with ${code ?? signal ?? '?'}:\n${output.slice(-4000)}`)
}
