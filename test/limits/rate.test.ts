import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../src/limits/rate.js'
import { noLimits } from './no-limits.js'

const limits = noLimits({ rate_limit_bytes: 1000, burst_size_bytes: 2000 }).of('a')

describe('the rate of a tenant', () => {
  it('lets the burst pass at once, and then what the rate fills', () => {
    const rates = new RateLimiter()
    expect(rates.take('a', limits, 2000, 0)).toBe(0)
    expect(rates.take('a', limits, 500, 0)).toBe(500)
    expect(rates.take('a', limits, 500, 499)).toBe(1)
    expect(rates.take('a', limits, 500, 500)).toBe(0)
    expect(rates.take('a', limits, 1, 500)).toBe(1)
  })

  it('never fills over the burst, and takes nothing for what it refuses', () => {
    const rates = new RateLimiter()
    expect(rates.take('a', limits, 1500, 3_600_000)).toBe(0)
    expect(rates.take('a', limits, 2000, 3_600_000)).toBe(1500)
    expect(rates.take('a', limits, 500, 3_600_000)).toBe(0)
    expect(rates.take('a', limits, 2000, 7_200_000)).toBe(0)
  })

  it('says of a request that is over the burst that it will never pass', () => {
    const rates = new RateLimiter()
    expect(rates.take('a', limits, 2001, 0)).toBe(Infinity)
    expect(rates.take('a', limits, 2000, 0)).toBe(0)
  })

  it('blocks a tenant whose rate is 0 after its burst, as in Tempo', () => {
    const rates = new RateLimiter()
    const blocked = { ...limits, rate_limit_bytes: 0, burst_size_bytes: 10 }
    expect(rates.take('a', blocked, 10, 0)).toBe(0)
    expect(rates.take('a', blocked, 1, 1e9)).toBe(Infinity)
    expect(rates.take('b', { ...blocked, burst_size_bytes: 0 }, 1, 0)).toBe(Infinity)
  })

  it('gives back what the store had no room for, and no more than the burst', () => {
    const rates = new RateLimiter()
    rates.take('a', limits, 2000, 0)
    rates.giveBack('a', 2000)
    rates.giveBack('a', 2000)
    expect(rates.take('a', limits, 2000, 0)).toBe(0)
    expect(rates.take('a', limits, 1, 0)).toBe(1)
  })

  it('follows limits that change while it runs, without a new burst', () => {
    const rates = new RateLimiter()
    rates.take('a', limits, 2000, 0)
    const wider = { ...limits, rate_limit_bytes: 10_000, burst_size_bytes: 50_000 }
    expect(rates.take('a', wider, 10_000, 0)).toBe(1000)
    expect(rates.take('a', wider, 10_000, 1000)).toBe(0)
  })

  it('does not go backwards with a clock that does', () => {
    const rates = new RateLimiter()
    rates.take('a', limits, 2000, 1000)
    expect(rates.take('a', limits, 1, 0)).toBe(1)
  })

  it('keeps tenants apart, and forgets those whose bucket is full before any other', () => {
    const rates = new RateLimiter(3)
    expect(rates.take('busy', limits, 2000, 0)).toBe(0)
    for (let i = 0; i < 100; i++) {
      expect(rates.take(`t${i}`, limits, 1, i * 1100)).toBe(0)
      expect(rates.take('busy', limits, Math.min(2000, i * 1100), i * 1100)).toBeLessThanOrEqual(
        900,
      )
      expect(rates.size).toBeLessThanOrEqual(3)
    }
  })

  it('stays within its bound when all tenants send at once', () => {
    const rates = new RateLimiter(10)
    for (let i = 0; i < 1000; i++) rates.take(`t${i}`, limits, 2000, 0)
    expect(rates.size).toBe(10)
  })
})
