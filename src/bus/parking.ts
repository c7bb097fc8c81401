/**
 * Owns waiting: no other file knows Atomics.wait, waitAsync or notify.
 *
 * A parking spot is a word that only ever counts up and a number of parked waiters. Three rules, each
 * paid for by somebody's hang:
 * - Wait for a condition over monotone positions (`>=`), re-read after every wake; never for a value
 *   of the word itself, which may have jumped past it.
 * - The waiter reads the word, then checks its condition, then parks on what it read: whoever
 *   publishes in between has changed the word, and the compare inside waitAsync refuses to park.
 * - Each park ends after RECHECK_MS: the thread that should have woken us may have died between its
 *   store and its notify.
 *
 * A pending waitAsync does not keep a thread alive (it does not ref the event loop), the re-check's timer does for as long as
 * that runs: an actor must hold its parentPort's message listener, or it exits while parked. The number of waiters is not lowered by
 * a waiter that is terminated; too high a number costs wakers a needless notify (40 ns), nothing else.
 */
import { systemClock, type Clock } from '../lib/time.js'

/** A park never lasts longer, whatever was lost. */
export const RECHECK_MS = 1000
/** A blocking wait never lasts longer: only the append lock blocks, and its holder is in a memcpy. */
export const BLOCKING_WAIT_MS_MAX = 1

/** A counting word in shared memory to park on, and the word beside it that says how many do. */
export interface ParkingSpot {
  readonly words: Int32Array<SharedArrayBuffer>
  readonly word: number // index into words
  readonly waiters: number // index into words
}

/** Says that something was published; wakes all that park here. Cheap when nobody does. */
export function wake(spot: ParkingSpot): void {
  Atomics.add(spot.words, spot.word, 1)
  // All, never one: a single wake may be spent on the waiter of a thread that has died.
  if (Atomics.load(spot.words, spot.waiters) > 0) Atomics.notify(spot.words, spot.word)
}

/** Wakes one thread that blocks on a word, when there is one. */
export function wakeBlocked(
  words: Int32Array<SharedArrayBuffer>,
  word: number,
  waiters: number,
): void {
  if (Atomics.load(words, waiters) > 0) Atomics.notify(words, word, 1)
}

/** Blocks this thread for at most a millisecond, or until the word is no longer `seen`. For lock.ts alone. */
export function blockBriefly(
  words: Int32Array<SharedArrayBuffer>,
  word: number,
  waiters: number,
  seen: number,
): void {
  Atomics.add(words, waiters, 1)
  Atomics.wait(words, word, seen, BLOCKING_WAIT_MS_MAX)
  Atomics.sub(words, waiters, 1)
}

export interface WaitOptions {
  timeout_ms?: number // default: none; the wait is bounded by its signal then
  signal?: AbortSignal
}

/**
 * One actor's waiting at one spot. However many wait here at once, one waitAsync and one timer are outstanding.
 *
 * The waitAsync has no time limit of its own: V8 would make a timer for each, which goes off a second later whether it was
 * woken or not, and wake the thread's own loop to set it (three of five turns of the receiver's loop under load).
 */
export class Waiter {
  readonly #spot: ParkingSpot
  readonly #clock: Clock
  #isParked = false
  /** What all that pause here wait for, until the next release. */
  #pausing: Promise<void> | undefined
  #resolve: (() => void) | undefined
  #isRechecking = false
  readonly #heeded = new WeakSet<AbortSignal>()

  constructor(spot: ParkingSpot, clock: Clock = systemClock) {
    this.#spot = spot
    this.#clock = clock
  }

  /** What `pause` has to be told; to be read before the condition is checked. */
  get seen(): number {
    return Atomics.load(this.#spot.words, this.#spot.word)
  }

  /** True as soon as `isReady` says so; false when the time is over or the signal was given first. */
  async until(isReady: () => boolean, options: WaitOptions = {}): Promise<boolean> {
    const { timeout_ms = Infinity, signal } = options
    const deadline = this.#clock.monotonic() + timeout_ms
    for (;;) {
      const seen = this.seen
      if (isReady()) return true
      const left_ms = deadline - this.#clock.monotonic()
      if (signal?.aborted === true || left_ms <= 0) return false
      await this.pause(seen, left_ms, signal)
    }
  }

  /**
   * Parks once, unless the word has moved on from `seen`: until a wake, the re-check, the time or the signal. It may end
   * for another's sake too; whoever pauses looks again.
   */
  async pause(seen: number, left_ms = Infinity, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true || !this.#park(seen)) return
    if (signal !== undefined) this.#heed(signal)
    this.#pausing ??= new Promise((resolve) => (this.#resolve = resolve))
    if (left_ms >= RECHECK_MS) {
      if (!this.#isRechecking) void this.#recheck(signal)
      return this.#pausing
    }
    const over = new AbortController()
    await Promise.race([this.#pausing, this.#clock.sleep(left_ms, over.signal)])
    over.abort()
  }

  #release(): void {
    this.#pausing = undefined
    this.#resolve?.()
  }

  /** waitAsync cannot be cancelled: one that outlives its pause serves the next, since any wake ends it. */
  #park(seen: number): boolean {
    if (this.#isParked) return true
    const { words, word, waiters } = this.#spot
    Atomics.add(words, waiters, 1)
    const wait = Atomics.waitAsync(words, word, seen)
    if (!wait.async) {
      Atomics.sub(words, waiters, 1)
      return false
    }
    this.#isParked = true
    void wait.value.then(() => {
      Atomics.sub(words, waiters, 1)
      this.#isParked = false
      this.#release()
    })
    return true
  }

  #heed(signal: AbortSignal): void {
    if (this.#heeded.has(signal)) return
    this.#heeded.add(signal)
    signal.addEventListener('abort', () => this.#release(), { once: true })
  }

  /** Whoever pauses when it goes off has paused for RECHECK_MS at most. With the signal, so that no timer outlives the actor. */
  async #recheck(signal?: AbortSignal): Promise<void> {
    this.#isRechecking = true
    await this.#clock.sleep(RECHECK_MS, signal)
    this.#isRechecking = false
    this.#release()
  }
}

/**
 * Calls `onChange` at once, after every change at the spot (several may share a call) and at least every
 * RECHECK_MS, one call at a time, until the signal. Rejects with what `onChange` throws.
 */
export async function watch(
  spot: ParkingSpot,
  onChange: () => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const waiter = new Waiter(spot)
  while (!signal.aborted) {
    const seen = waiter.seen
    await onChange()
    await waiter.pause(seen, Infinity, signal)
  }
}
