/** Owns the wait for memory of live heads: whoever waits is woken by any build that ends, of whichever partition. */
import type { Clock } from '../../lib/time.js'

/** Thread contract: one a livestore, shared by its partitions. */
export class Room {
  readonly #waiting = new Set<() => void>()
  #freed = 0

  /** Grows whenever memory may have come back: to be read before it is looked for, and given to `wait`. */
  get freed(): number {
    return this.#freed
  }

  wake(): void {
    this.#freed++
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const waiter of waiting) waiter()
  }

  /** Resolves with true when memory has come back since `freed` was so much, with false after the time. */
  async wait(clock: Clock, timeout_ms: number, freed = this.#freed): Promise<boolean> {
    if (freed !== this.#freed) return true
    const timer = new AbortController()
    let waiter: (() => void) | undefined
    const woken = new Promise<boolean>((resolve) => {
      waiter = () => resolve(true)
      this.#waiting.add(waiter)
    })
    const late = clock.sleep(timeout_ms, timer.signal).then(() => false)
    const isWoken = await Promise.race([woken, late])
    timer.abort()
    if (waiter) this.#waiting.delete(waiter)
    return isWoken
  }

  /** Who waits now. */
  get waiting(): number {
    return this.#waiting.size
  }
}
