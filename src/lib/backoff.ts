/** Owns the delay before a retry: doubling from a base to a ceiling, with jitter so that what failed together does not return together. */
export interface BackoffOptions {
  base_ms: number
  max_ms: number
}

/** Beyond this many doublings any base has passed any ceiling; it keeps 2^n a finite number. */
const MAX_DOUBLINGS = 30

/**
 * Milliseconds to wait before retry number `attempt` (0 is the first): half of it fixed, half of it
 * by `random` in [0, 1). So the first delay is never longer than the base, and never zero.
 */
export function backoffDelay_ms(
  attempt: number,
  options: BackoffOptions,
  random: () => number,
): number {
  const doublings = Math.min(Math.max(attempt, 0), MAX_DOUBLINGS)
  const ceiling = Math.min(options.max_ms, options.base_ms * 2 ** doublings)
  return ceiling * (0.5 + 0.5 * random())
}
