import { describe, expect, it } from 'vitest'
import { backoffDelay_ms } from '../../src/lib/backoff.js'

const options = { base_ms: 100, max_ms: 10_000 }

describe('backoff', () => {
  it('doubles from the base to the ceiling', () => {
    const delays = [0, 1, 2, 3, 6, 7, 8, 1000].map((n) => backoffDelay_ms(n, options, () => 1))
    expect(delays).toEqual([100, 200, 400, 800, 6400, 10_000, 10_000, 10_000])
  })

  it('jitters over the upper half, never to zero', () => {
    expect(backoffDelay_ms(0, options, () => 0)).toBe(50)
    expect(backoffDelay_ms(20, options, () => 0)).toBe(5000)
  })
})
