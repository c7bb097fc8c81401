/**
 * Owns the count of a child's crashes: how many there may be within a period, and which do not count any more.
 *
 * A crash whose cause has been put aside is forgiven, or two poisonous records within a minute would end the process. Not without
 * bound: an actor that dies of every record would have each of them put aside, and never be given up.
 */

/** Causes that may be put aside within the period below; crashes of more than these count. */
export const PARDONS_MAX = 4
export const PARDONS_PERIOD_MS = 10 * 60_000

export interface CrashesOptions {
  /** Crashes within `period_ms` that are healed. */
  readonly intensity: number
  readonly period_ms: number
}

export class Crashes {
  readonly #options: CrashesOptions
  #at_ms: number[] = []
  #pardons_ms: number[] = []

  constructor(options: CrashesOptions) {
    this.#options = options
  }

  /** Counts a crash; true when it is one too many. */
  add(now_ms: number): boolean {
    const { intensity, period_ms } = this.#options
    this.#at_ms = this.#at_ms.filter((at_ms) => now_ms - at_ms < period_ms)
    this.#at_ms.push(now_ms)
    return this.#at_ms.length > intensity
  }

  /** The cause of the latest so many crashes is put aside. False when that has been said too often. */
  forgive(count: number, now_ms: number): boolean {
    this.#pardons_ms = this.#pardons_ms.filter((at_ms) => now_ms - at_ms < PARDONS_PERIOD_MS)
    if (this.#pardons_ms.length >= PARDONS_MAX) return false
    this.#pardons_ms.push(now_ms)
    this.#at_ms.splice(Math.max(0, this.#at_ms.length - count))
    return true
  }
}
