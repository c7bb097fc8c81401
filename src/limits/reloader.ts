/**
 * Owns the reading of the file of `per_tenant_override_config`: once before the actors start, when a fault in it is a
 * reason not to start, and then every `per_tenant_override_period`, when the last good limits stay.
 *
 * One place reads and publishes, on the main thread: all actors change over at once, a fault is told once, and an actor
 * that is replaced while the file is bad has the last good limits like the others.
 */
import { readFile, stat } from 'node:fs/promises'
import { ConfigError } from '../config/error.js'
import { parseOverrides } from '../config/overrides-file.js'
import { errorText, type Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { LimitsPage } from './page.js'
import { encodeTenants } from './view.js'

export const FILE_BYTES_MAX = 1024 * 1024

export interface ReloaderOptions {
  /** Absolute. */
  readonly path: string
  readonly period_ms: number
  readonly expandEnv: boolean
  readonly page: LimitsPage
  readonly clock: Clock
  readonly log: Log
}

export class OverridesReloader {
  readonly #options: ReloaderOptions
  readonly #stopping = new AbortController()
  /** What was read last, good or bad: the same again is no news. */
  #lastText: string | undefined
  #lastFault = ''
  #running: Promise<void> = Promise.resolve()

  constructor(options: ReloaderOptions) {
    this.#options = options
  }

  /** Reads the file for the first time and publishes it; throws `ConfigError`. Returns warnings about it. */
  async load(): Promise<readonly string[]> {
    return this.#publish(await this.#read())
  }

  start(): void {
    this.#running = this.#run(this.#stopping.signal)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, period_ms } = this.#options
    for (;;) {
      await clock.sleep(period_ms, signal)
      if (signal.aborted) return
      await this.reload()
    }
  }

  /** Reads the file again; a bad one changes nothing but is told, once. */
  async reload(): Promise<void> {
    const { log, path, page, clock } = this.#options
    try {
      const text = await this.#read()
      if (text !== this.#lastText || this.#lastFault !== '') {
        const warnings = this.#publish(text)
        for (const warning of warnings) log.warn(warning)
        log.info('limits of tenants read anew', { file: path })
      } else page.note('good', clock.now())
      this.#lastFault = ''
    } catch (error) {
      page.note('bad', clock.now())
      const fault = error instanceof ConfigError ? error.problems.join('; ') : errorText(error)
      if (fault !== this.#lastFault)
        log.error('limits of tenants not read: the last good ones stay', { error: fault })
      this.#lastFault = fault
    }
  }

  #publish(text: string): readonly string[] {
    const { path, page, clock, expandEnv } = this.#options
    const { tenants, warnings } = parseOverrides(text, { name: path, expandEnv })
    if (!page.publish(encodeTenants(tenants))) {
      throw new ConfigError([`${path}: limits of ${tenants.size} tenants are too many to be held`])
    }
    page.note('good', clock.now())
    this.#lastText = text
    return warnings
  }

  /** Only a file, and no more than its bound: a pipe would be waited for, a device read for ever. */
  async #read(): Promise<string> {
    const { path } = this.#options
    const key = 'overrides.per_tenant_override_config'
    try {
      const { size, isFile } = await statOf(path)
      if (!isFile) throw new ConfigError([`${path} (${key}) is not a file`])
      if (size > FILE_BYTES_MAX)
        throw new ConfigError([`${path} (${key}) has ${size} bytes, at most ${FILE_BYTES_MAX}`])
      return await readFile(path, 'utf8')
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw new ConfigError([`${path} (${key}) cannot be read: ${reasonOf(error)}`])
    }
  }
}

async function statOf(path: string): Promise<{ size: number; isFile: boolean }> {
  const facts = await stat(path)
  return { size: facts.size, isFile: facts.isFile() }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words: Record<string, string> = {
    ENOENT: 'it does not exist',
    EACCES: 'permission denied',
  }
  return words[code] ?? errorText(error)
}
