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
      const timer = setTimeout(done, delay_ms)
      signal?.addEventListener('abort', done)
    }),
}
