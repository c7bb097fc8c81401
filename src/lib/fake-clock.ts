/** Owns a clock that stands still until a test moves it, so that an hour of restarts runs in a millisecond. */
import type { Clock } from './time.js'

interface Sleeper {
  due_ms: number
  order: number
  wake: () => void
}

/** Macrotask turns between two sleepers: enough for what one woke to post, answer and sleep again. */
const SETTLE_TURNS = 4

/** `advance` wakes sleepers in the order of their due time and lets what they started settle in between. */
export class FakeClock implements Clock {
  #elapsed_ms = 0
  #order = 0
  readonly #sleepers = new Set<Sleeper>()

  constructor(private readonly epoch_ms = 1_700_000_000_000) {}

  now(): number {
    return this.epoch_ms + this.#elapsed_ms
  }

  monotonic(): number {
    return this.#elapsed_ms
  }

  sleep(delay_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve()
        return
      }
      const wake = () => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const due_ms = this.#elapsed_ms + Math.max(0, delay_ms)
      const sleeper: Sleeper = { due_ms, order: this.#order++, wake }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', wake)
    })
  }

  /** How many sleeps are pending: a test's proof that none leaked. */
  get sleeping(): number {
    return this.#sleepers.size
  }

  /** Moves the time forward by `delta_ms`, waking on the way whoever is due. */
  async advance(delta_ms: number): Promise<void> {
    const until_ms = this.#elapsed_ms + delta_ms
    await this.settle()
    for (;;) {
      const next = this.#earliest(until_ms)
      if (!next) break
      this.#elapsed_ms = Math.max(this.#elapsed_ms, next.due_ms)
      next.wake()
      await this.settle()
    }
    this.#elapsed_ms = until_ms
  }

  /** Lets promises and messages that are already under way finish, without moving the time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < SETTLE_TURNS; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  #earliest(until_ms: number): Sleeper | undefined {
    let first: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.due_ms > until_ms) continue
      const isEarlier =
        !first ||
        sleeper.due_ms < first.due_ms ||
        (sleeper.due_ms === first.due_ms && sleeper.order < first.order)
      if (isEarlier) first = sleeper
    }
    return first
  }
}
