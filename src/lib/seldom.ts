/** Owns saying the same thing seldom: a fact that every query meets again is news once in a while. */
import type { Clock } from './time.js'

/** Facts remembered; past it all are news once more. */
const KNOWN_MAX = 4096

export class Seldom {
  readonly #clock: Clock
  readonly #again_ms: number
  readonly #until_ms = new Map<string, number>()

  constructor(clock: Clock, again_ms: number) {
    this.#clock = clock
    this.#again_ms = again_ms
  }

  /** True the first time, and again when the time is over since it was last true. */
  isNews(fact: string): boolean {
    const now_ms = this.#clock.monotonic()
    const until_ms = this.#until_ms.get(fact)
    if (until_ms !== undefined && now_ms < until_ms) return false
    if (this.#until_ms.size >= KNOWN_MAX) this.#until_ms.clear()
    this.#until_ms.set(fact, now_ms + this.#again_ms)
    return true
  }
}
