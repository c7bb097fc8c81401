import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { retry, RetryAborted } from '../../src/lib/retry.js'

const options = (clock: FakeClock) => ({
  clock,
  min_delay_ms: 100,
  max_delay_ms: 1_000,
  attempts: Infinity,
  random: () => 1,
})

/** Fails the first `failures` times, then gives the number of the attempt. */
function flaky(failures: number) {
  return (attempt: number) =>
    attempt <= failures ? Promise.reject(new Error(`failure ${attempt}`)) : Promise.resolve(attempt)
}

describe('retry', () => {
  it('pauses twice as long after each failure, up to the ceiling', async () => {
    const clock = new FakeClock()
    const delays: number[] = []
    const result = retry(flaky(6), {
      ...options(clock),
      onRetry: (_error, _attempt, delay_ms) => delays.push(delay_ms),
    })
    await clock.advance(60_000)
    expect(await result).toBe(7)
    expect(delays).toEqual([100, 200, 400, 800, 1_000, 1_000])
  })

  it('does not overflow into an endless or missing pause after thousands of failures', async () => {
    const clock = new FakeClock()
    const delays: number[] = []
    const result = retry(flaky(1_200), {
      ...options(clock),
      max_delay_ms: 1,
      onRetry: (_error, _attempt, delay_ms) => delays.push(delay_ms),
    })
    await clock.advance(2_000)
    expect(await result).toBe(1_201)
    expect(delays.every((delay_ms) => delay_ms === 1)).toBe(true)
  })

  it('throws the last error when the attempts are used up', async () => {
    const clock = new FakeClock()
    const result = retry(flaky(9), { ...options(clock), attempts: 3 })
    const failed = expect(result).rejects.toThrow('failure 3')
    await clock.advance(60_000)
    await failed
  })

  it('does not try again what will not get better', async () => {
    const clock = new FakeClock()
    const result = retry(flaky(9), { ...options(clock), retryable: () => false })
    await expect(result).rejects.toThrow('failure 1')
  })

  it('ends the pause at once when it is aborted, and leaves no timer behind', async () => {
    const clock = new FakeClock()
    const stop = new AbortController()
    const result = retry(flaky(9), { ...options(clock), signal: stop.signal })
    const failed = expect(result).rejects.toThrow('failure 1')
    await clock.settle()
    expect(clock.sleeping).toBe(1)
    stop.abort()
    await failed
    expect(clock.sleeping).toBe(0)
  })

  it('does not begin when it is aborted before', async () => {
    const signal = AbortSignal.abort()
    const result = retry(flaky(0), { ...options(new FakeClock()), signal })
    await expect(result).rejects.toThrow(RetryAborted)
  })
})
