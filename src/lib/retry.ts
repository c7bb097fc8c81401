/** Owns trying again: exponential backoff with jitter on a clock, a bounded number of times or for ever, ended by an abort. */
import { backoffDelay_ms } from './backoff.js'
import type { Clock } from './time.js'

export interface RetryOptions {
  clock: Clock
  /** The first pause, which doubles with each failure; half of a pause is fixed and half is chance. */
  min_delay_ms: number
  /** No pause is longer. */
  max_delay_ms: number
  /** Tries in all, the first included; Infinity = for ever. */
  attempts: number
  /** False ends it at once with this error. Default: every error is tried again. */
  retryable?: (error: unknown) => boolean
  /** Told of each failure that will be tried again, before the pause. */
  onRetry?: (error: unknown, attempt: number, delay_ms: number) => void
  /** Ends the waiting; the last error (or `RetryAborted` when there was none) is thrown. */
  signal?: AbortSignal
  /** In [0, 1); a parameter so that tests and the simulator are repeatable. */
  random?: () => number
}

export class RetryAborted extends Error {
  readonly code = 'RETRY_ABORTED'
  constructor() {
    super('stopped before the first try')
  }
}

/** Runs `task` until it succeeds, its error is final, the attempts are used up, or the signal fires. */
export async function retry<T>(
  task: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { clock, attempts, signal, random = Math.random, retryable = () => true } = options
  const backoff = { base_ms: options.min_delay_ms, max_ms: options.max_delay_ms }
  if (signal?.aborted) throw new RetryAborted()
  for (let attempt = 1; ; attempt++) {
    try {
      return await task(attempt)
    } catch (error) {
      if (attempt >= attempts || signal?.aborted || !retryable(error)) throw error
      const delay_ms = backoffDelay_ms(attempt - 1, backoff, random)
      options.onRetry?.(error, attempt, delay_ms)
      await clock.sleep(delay_ms, signal)
      if (isAborted(signal)) throw error
    }
  }
}

/** A call, so that the compiler does not carry "not aborted" over the await before it. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
