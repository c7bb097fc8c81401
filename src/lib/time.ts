/** Owns the clock: nothing else reads the wall clock or sets a timer directly, so that tests can run on a fake one. */
import { clockStep_ms } from './clock-step.js'

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Monotonic milliseconds. */
  monotonic(): number
  /** Resolves after `delay_ms`; `signal` ends the wait early (it resolves, it does not throw). */
  sleep(delay_ms: number, signal?: AbortSignal): Promise<void>
}

/** A timer that is set longer goes off at once. */
const TIMER_MAX_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now() + clockStep_ms(),
  monotonic: () => performance.now(),
  sleep: (delay_ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve()
        return
      }
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      let timer: NodeJS.Timeout
      const wait = (left_ms: number) => {
        const next = left_ms > TIMER_MAX_MS ? () => wait(left_ms - TIMER_MAX_MS) : done
        timer = setTimeout(next, Math.min(left_ms, TIMER_MAX_MS))
      }
      wait(delay_ms)
      signal?.addEventListener('abort', done)
    }),
}
