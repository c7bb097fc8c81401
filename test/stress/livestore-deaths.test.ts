import { describe, expect, it } from 'vitest'
import { dieAndLiveOn } from '../actors/livestore/deaths.js'

/** More than a life without a death has. */
const STEPS_MAX = 200

describe.each(['actor', 'process'] as const)('the death of the %s', (death) => {
  it('before each step of a life in turn loses no acknowledged span and counts none twice', async () => {
    let steps = 0
    while (steps < STEPS_MAX && (await dieAndLiveOn(steps, death)) !== undefined) steps++
    expect(steps).toBeGreaterThan(60)
    expect(steps).toBeLessThan(STEPS_MAX)
  })
})
