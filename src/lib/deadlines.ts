/** Owns many deadlines on one sleep: an AbortController and a timer for each of many short calls would cost more than the calls. */
import type { Clock } from './time.js'

/** A reason made once: without one, every abort would make an error with a stack. */
const CLEARED = new Error('all deadlines were cleared')

/** A deadline that is set; hand it back to `clear`. */
export interface Deadline {
  readonly due_ms: number
  readonly expire: () => void
}

export class Deadlines {
  readonly #set = new Set<Deadline>()
  #sleep: { due_ms: number; controller: AbortController } | undefined

  constructor(private readonly clock: Clock) {}

  /** Calls `expire` after `delay_ms`, unless it is cleared before. */
  after(delay_ms: number, expire: () => void): Deadline {
    const deadline = { due_ms: this.clock.monotonic() + delay_ms, expire }
    this.#set.add(deadline)
    this.#wakeBy(deadline.due_ms)
    return deadline
  }

  clear(deadline: Deadline): void {
    // The last one out ends the sleep, or its timer would keep an idle thread alive.
    if (this.#set.delete(deadline) && this.#set.size === 0) this.#wake()
  }

  #wakeBy(due_ms: number): void {
    if (this.#sleep && this.#sleep.due_ms <= due_ms) return
    this.#wake()
    const controller = new AbortController()
    this.#sleep = { due_ms, controller }
    void this.clock.sleep(due_ms - this.clock.monotonic(), controller.signal).then(() => {
      if (!controller.signal.aborted) this.#expireDue()
    })
  }

  #wake(): void {
    this.#sleep?.controller.abort(CLEARED)
    this.#sleep = undefined
  }

  #expireDue(): void {
    this.#sleep = undefined
    const now_ms = this.clock.monotonic()
    const due = [...this.#set].filter((deadline) => deadline.due_ms <= now_ms)
    for (const deadline of due) {
      // One that expires may clear another.
      if (this.#set.delete(deadline)) deadline.expire()
    }
    let earliest_ms = Infinity
    for (const { due_ms } of this.#set) earliest_ms = Math.min(earliest_ms, due_ms)
    if (earliest_ms < Infinity) this.#wakeBy(earliest_ms)
  }
}
