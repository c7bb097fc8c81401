/**
 * Owns the reading of the file of `per_tenant_override_config`: once before the actors start, when a fault in it is a
 * reason not to start, and then every `per_tenant_override_period`, when the last good limits stay.
 *
 * One place reads and publishes, on the main thread: all actors change over at once, a fault is told once, and an actor
 * that is replaced while the file is bad has the last good limits like the others.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { ConfigError } from '../config/error.js'
import { parseOverrides } from '../config/overrides-file.js'
import { errorText, type Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { LimitsPage } from './page.js'
import { encodeTenants } from './view.js'

export const FILE_BYTES_MAX = 1024 * 1024
const KEY = 'overrides.per_tenant_override_config'

export interface ReloaderOptions {
  /** Absolute; empty = there is no file, and nothing is done. */
  readonly path: string
  readonly period_ms: number
  readonly expandEnv: boolean
  readonly clock: Clock
}

interface Loaded {
  /** Of the file: the same again is no news. */
  readonly content: string
  readonly encoded: string
}

export class OverridesReloader {
  readonly #options: ReloaderOptions
  readonly #stopping = new AbortController()
  #page: LimitsPage | undefined
  #log: Log | undefined
  #loaded: Loaded | undefined
  #lastFault = ''
  #running: Promise<void> = Promise.resolve()

  constructor(options: ReloaderOptions) {
    this.#options = options
  }

  /** Reads the file for the first time; throws `ConfigError`. Returns warnings about it. */
  async load(): Promise<readonly string[]> {
    if (this.#options.path === '') return []
    const content = await this.#read()
    const { warnings, encoded } = this.#parse(content)
    this.#loaded = { content, encoded }
    return warnings
  }

  /** Publishes what was read, and goes on reading. */
  start(page: LimitsPage, log: Log): void {
    this.#page = page
    this.#log = log
    if (!this.#loaded) return
    this.#publish(this.#loaded)
    this.#running = this.#run(this.#stopping.signal)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  /** Reads the file again; a bad one changes nothing but is told, once. */
  async reload(): Promise<void> {
    const { path, clock } = this.#options
    try {
      const content = await this.#read()
      if (content !== this.#loaded?.content) {
        const { warnings, encoded } = this.#parse(content)
        this.#publish({ content, encoded })
        for (const warning of warnings) this.#log?.warn(warning)
        this.#log?.info('limits of tenants read anew', { file: path })
      } else {
        this.#page?.note('good', clock.now())
        if (this.#lastFault !== '') this.#log?.info('limits of tenants are good again')
      }
      this.#lastFault = ''
    } catch (error) {
      this.#page?.note('bad', clock.now())
      const fault = error instanceof ConfigError ? error.problems.join('; ') : errorText(error)
      if (fault !== this.#lastFault) {
        this.#log?.error('limits of tenants not read: the last good ones stay', { error: fault })
      }
      this.#lastFault = fault
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, period_ms } = this.#options
    for (;;) {
      await clock.sleep(period_ms, signal)
      if (signal.aborted) return
      await this.reload()
    }
  }

  #parse(content: string): { encoded: string; warnings: readonly string[] } {
    const { path, expandEnv } = this.#options
    const { tenants, warnings } = parseOverrides(content, { name: path, expandEnv })
    return { encoded: encodeTenants(tenants), warnings }
  }

  #publish(loaded: Loaded): void {
    const { path, clock } = this.#options
    if (!this.#page?.publish(loaded.encoded)) {
      const size = loaded.encoded.length
      throw new ConfigError([`${path} (${KEY}): ${size} bytes of limits are more than can be held`])
    }
    this.#page.note('good', clock.now())
    this.#loaded = loaded
  }

  /** Only a file, and no more than its bound: a pipe would be waited for, a device read for ever. */
  async #read(): Promise<string> {
    const { path } = this.#options
    try {
      // What is looked at is what is read, whatever comes to stand under the name meanwhile.
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
      try {
        const facts = await file.stat()
        if (!facts.isFile()) throw new ConfigError([`${path} (${KEY}) is not a file`])
        if (facts.size > FILE_BYTES_MAX) {
          const most = `at most ${FILE_BYTES_MAX} are read`
          throw new ConfigError([`${path} (${KEY}) has ${facts.size} bytes, ${most}`])
        }
        const bytes = Buffer.alloc(facts.size)
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
        return textOf(bytes.subarray(0, bytesRead), path)
      } finally {
        await file.close()
      }
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw new ConfigError([`${path} (${KEY}) cannot be read: ${reasonOf(error)}`])
    }
  }
}

function textOf(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigError([`${path} (${KEY}) is no text: its bytes are not UTF-8`])
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words: Record<string, string> = {
    ENOENT: 'it does not exist',
    EACCES: 'permission denied',
  }
  return words[code] ?? errorText(error)
}
