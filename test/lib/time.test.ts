import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/lib/time.js'

describe('the system clock', () => {
  it('sleeps no shorter than it is told', async () => {
    const before = systemClock.monotonic()
    await systemClock.sleep(20)
    expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(18)
  })

  it('wakes at once when told to, and does not sleep at all when it was told before', async () => {
    const abort = new AbortController()
    const before = systemClock.monotonic()
    const sleep = systemClock.sleep(60_000, abort.signal)
    abort.abort()
    await sleep
    await systemClock.sleep(60_000, abort.signal)
    expect(systemClock.monotonic() - before).toBeLessThan(5000)
  })

  it('sleeps longer than one timer can', async () => {
    const abort = new AbortController()
    let isAwake = false
    const year = systemClock.sleep(365 * 86_400_000, abort.signal).then(() => (isAwake = true))
    await systemClock.sleep(50)
    expect(isAwake).toBe(false)
    abort.abort()
    await year
  })

  it('tells wall time in ms', () => {
    expect(Math.abs(systemClock.now() - new Date().getTime())).toBeLessThan(1000)
  })
})
