import { describe, expect, it } from 'vitest'
import type { PressureLevel } from '../../../src/lib/pressure.js'
import { Budget, budgetOf, type Fullness } from '../../../src/actors/receiver/budget.js'

function budget(pressure: () => PressureLevel = () => 'none') {
  const refused: Fullness[] = []
  const made = new Budget({
    max_bytes: 1000,
    max_requests: 4,
    pressure,
    onRefused: (why) => refused.push(why),
  })
  return { made, refused }
}

describe('the budget of the doors', () => {
  it('keeps half of its bytes for requests that are in already and grow', () => {
    const { made } = budget()
    made.enter(0)
    made.grow(499)
    expect(made.isFull).toBe(false)
    made.grow(1)
    expect([made.isFull, made.isOver]).toEqual([true, false])
    made.grow(501)
    expect(made.isOver).toBe(true)
    made.leave(1001)
    expect([made.isFull, made.isOver, made.bytes, made.requests]).toEqual([false, false, 0, 0])
  })

  it('takes a request as long as all of it, when it is alone', () => {
    const { made } = budget()
    expect(made.isFull).toBe(false)
    made.enter(1000)
    expect(made.isOver).toBe(false)
  })

  it('bounds requests without bytes too', () => {
    const { made, refused } = budget()
    for (let i = 0; i < 4; i++) made.enter(0)
    expect(made.isFull).toBe(true)
    expect(made.refuse()).toContain('4 requests (of 4) with 0 bytes (of 1000)')
    expect(refused).toEqual(['requests'])
  })

  it('lets nothing in while memory is near its limit, whatever room there is, and says why', () => {
    let level: PressureLevel = 'closed'
    const { made, refused } = budget(() => level)
    expect(made.isFull).toBe(true)
    expect(made.refuse()).toBe('the store is near its memory limit')
    level = 'none'
    expect(made.isFull).toBe(false)
    expect(refused).toEqual(['memory'])
  })

  it('lets little in while memory is tight: a long request alone, no second one', () => {
    const { made } = budget(() => 'tight')
    expect(made.isFull).toBe(false)
    made.enter(1000)
    expect([made.isFull, made.isOver]).toEqual([true, false])
    made.leave(1000)
    for (let i = 0; i < 3; i++) made.enter(80)
    expect(made.isFull).toBe(false)
    made.grow(10)
    expect(made.isFull).toBe(true)
  })

  it('counts a request that grew too large as one of bytes', () => {
    const { made, refused } = budget()
    made.enter(1001)
    made.refuse()
    expect(refused).toEqual(['bytes'])
  })

  it('can be a door of its own', () => {
    const made = budgetOf({ max_inflight_bytes: 10, max_inflight_requests: 1 })
    made.enter(5)
    expect(made.isFull).toBe(true)
  })
})
