import { describe, expect, it } from 'vitest'
import { bestOf, summary } from '../../src/bench/stopwatch.js'

describe('laps', () => {
  it('are summed up by the middle time whatever their order, and by the mean of their CPU', () => {
    expect(summary([9, 1, 5], 0.006)).toEqual({ runs: 3, p50_ms: 5, p99_ms: 9, cpu_ms: 2 })
  })

  it('of nothing are nothing, not a division by zero', () => {
    expect(summary([], 0)).toEqual({ runs: 0, p50_ms: 0, p99_ms: 0, cpu_ms: 0 })
  })

  it('count by their cheapest, not by the last, and all are run', async () => {
    let run = 0
    const lap = await bestOf(3, () => {
      const isSlow = ++run !== 2
      let x = 1
      for (let i = 0; i < (isSlow ? 3e6 : 10); i++) x = Math.imul(x, 31) + i
      return Promise.resolve(`${run} ${x === 0}`)
    })
    expect(run).toBe(3)
    expect(lap.result).toMatch(/^2 /)
  })
})
