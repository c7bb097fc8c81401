/**
 * Owns hedged reads: where a request has not been answered for a while, the same is asked once more, and the first good answer counts.
 * Of requests to an object store a few take many times as long as the rest; a second one seldom does, too.
 */
import type { Clock } from '../../lib/time.js'
import { BackendError, type BackendReader, type ReadWatch } from './backend.js'

/** Further requests under way at once, over all reads: where everything is slow, asking twice makes it slower. Half of a thread's sockets. */
export const FURTHER_MAX = 16

export interface HedgeOptions {
  readonly clock: Clock
  /** A request that is not answered by then is followed by another, as is that one after as long. */
  readonly after_ms: number
  /** Requests of one read in all. */
  readonly upTo: number
  /** Told of each request but a read's first. */
  readonly onFurther?: () => void
}

/** The reader itself where that asks for nothing more. */
export function hedged(reader: BackendReader, options: HedgeOptions): BackendReader {
  return options.after_ms > 0 && options.upTo > 1 ? new HedgedReader(reader, options) : reader
}

class HedgedReader implements BackendReader {
  readonly mergesRanges: boolean
  readonly #reader: BackendReader
  readonly #options: HedgeOptions
  /** Further requests under way. */
  #further = 0

  constructor(reader: BackendReader, options: HedgeOptions) {
    this.#reader = reader
    this.#options = options
    this.mergesRanges = reader.mergesRanges === true
  }

  get(path: string, max_bytes?: number, watch?: ReadWatch): Promise<Uint8Array> {
    return this.#race((own) => this.#reader.get(path, max_bytes, own), watch)
  }

  getRange(path: string, offset: number, length: number, watch?: ReadWatch): Promise<Uint8Array> {
    return this.#race((own) => this.#reader.getRange(path, offset, length, own), watch)
  }

  async #race(request: Request, watch: ReadWatch = {}): Promise<Uint8Array> {
    const race = new Race(request, watch)
    void race.send()
    void this.#follow(race)
    try {
      return await race.result
    } finally {
      race.leave()
    }
  }

  /** Sends further requests for as long as the race is open. */
  async #follow(race: Race): Promise<void> {
    const { clock, after_ms, upTo, onFurther } = this.#options
    for (let sent = 1; sent < upTo;) {
      await clock.sleep(after_ms, race.closed)
      if (race.closed.aborted) return
      if (this.#further >= FURTHER_MAX) continue
      sent++
      this.#further++
      onFurther?.()
      void race.send().then(() => this.#further--)
    }
  }
}

type Request = (watch: ReadWatch) => Promise<Uint8Array>

/** The requests of one read. */
class Race {
  readonly result: Promise<Uint8Array>
  /** Aborted once no further request is of use. */
  readonly closed: AbortSignal
  readonly #request: Request
  readonly #watch: ReadWatch
  readonly #closing = new AbortController()
  readonly #underWay = new Set<AbortController>()
  /** The request whose outcome is the read's, once that is known. */
  #decisive: AbortController | undefined
  #resolve!: (bytes: Uint8Array) => void
  #reject!: (error: unknown) => void

  constructor(request: Request, watch: ReadWatch) {
    this.#request = request
    this.#watch = watch
    this.closed = this.#closing.signal
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    watch.signal?.addEventListener('abort', this.#giveUp)
  }

  /** One request, to its end; never rejects. */
  async send(): Promise<void> {
    const own = new AbortController()
    this.#underWay.add(own)
    if (this.#watch.signal?.aborted) this.#giveUp()
    try {
      const onAnswer = () => this.#answered(own)
      const bytes = await this.#request({ signal: own.signal, onAnswer })
      this.#answered(own)
      this.#resolve(bytes)
    } catch (error) {
      this.#underWay.delete(own)
      const isOnly = this.#underWay.size === 0
      // Another may have more luck, unless the store has said for certain that there is nothing to be had.
      if (!this.#decisive && (isOnly || isFinal(error))) this.#decide(own)
      if (this.#decisive === own) this.#reject(error)
    }
  }

  leave(): void {
    this.#watch.signal?.removeEventListener('abort', this.#giveUp)
  }

  /** From the first byte on a request is as good as any other: so only one body is ever in memory. */
  #decide(own: AbortController): void {
    if (this.#decisive) return
    this.#decisive = own
    this.#closing.abort()
    for (const other of this.#underWay) if (other !== own) other.abort()
  }

  #answered(own: AbortController): void {
    if (this.#decisive) return
    this.#decide(own)
    this.#watch.onAnswer?.()
  }

  readonly #giveUp = (): void => {
    this.#closing.abort()
    for (const request of this.#underWay) request.abort()
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof BackendError && !error.retryable
}
