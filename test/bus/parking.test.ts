/** Owns the proof of waiting: no lost wake, one outstanding park, a bound on every park, an end by signal. */
import { describe, expect, it } from 'vitest'
import { type ParkingSpot, RECHECK_MS, Waiter, wake, watch } from '../../src/bus/parking.js'
import { makeConsumer, makeRing, append } from './support.js'

const makeSpot = (): ParkingSpot => ({
  words: new Int32Array(new SharedArrayBuffer(64)),
  word: 0,
  waiters: 1,
})
const waitersOf = (spot: ParkingSpot) => Atomics.load(spot.words, spot.waiters)
const soon = () => new Promise((resolve) => setTimeout(resolve, 5))

describe('Waiter', () => {
  it('does not park when the condition holds already, nor count itself', async () => {
    const spot = makeSpot()
    expect(await new Waiter(spot).until(() => true)).toBe(true)
    expect(waitersOf(spot)).toBe(0)
  })

  it('wakes on a publish, and ignores one that was for another', async () => {
    const spot = makeSpot()
    let position = 0
    const done = new Waiter(spot).until(() => position >= 10)
    await soon()
    expect(waitersOf(spot)).toBe(1)
    position = 9
    wake(spot)
    await soon()
    expect(waitersOf(spot)).toBe(1)
    position = 17 // past it, never at it
    wake(spot)
    expect(await done).toBe(true)
    expect(waitersOf(spot)).toBe(0)
  })

  it('does not sleep over a publish that comes between its look and its park', async () => {
    const spot = makeSpot()
    let looks = 0
    const start = performance.now()
    const isReady = () => {
      if (++looks === 1) wake(spot) // nobody is parked yet: this notify is for nobody
      return looks > 1
    }
    expect(await new Waiter(spot).until(isReady)).toBe(true)
    expect(performance.now() - start).toBeLessThan(RECHECK_MS / 2)
  })

  it('looks again by itself when a wake was lost with its thread', async () => {
    const spot = makeSpot()
    let position = 0
    const start = performance.now()
    setTimeout(() => (position = 1), 20) // published, but the notify never came
    expect(await new Waiter(spot).until(() => position > 0)).toBe(true)
    const took_ms = performance.now() - start
    expect(took_ms).toBeGreaterThan(RECHECK_MS / 2)
    expect(took_ms).toBeLessThan(RECHECK_MS * 2)
  })

  it('ends by its time and by its signal, and leaves no second park behind', async () => {
    const spot = makeSpot()
    const waiter = new Waiter(spot)
    expect(await waiter.until(() => false, { timeout_ms: 10 })).toBe(false)
    const stop = new AbortController()
    const waits = [1, 2, 3].map(() => waiter.until(() => false, { signal: stop.signal }))
    await soon()
    expect(waitersOf(spot)).toBe(1) // all four share one
    stop.abort()
    expect(await Promise.all(waits)).toEqual([false, false, false])
    wake(spot)
    await soon()
    expect(waitersOf(spot)).toBe(0)
    expect(await waiter.until(() => false, { signal: stop.signal })).toBe(false)
    expect(waitersOf(spot)).toBe(0)
  })

  it('that reuses a park it left behind is still woken', async () => {
    const spot = makeSpot()
    const waiter = new Waiter(spot)
    await waiter.until(() => false, { timeout_ms: 1 })
    let position = 0
    const start = performance.now()
    const done = waiter.until(() => position > 0)
    await soon()
    position = 1
    wake(spot)
    expect(await done).toBe(true)
    expect(performance.now() - start).toBeLessThan(RECHECK_MS / 2)
  })
})

describe('watch', () => {
  it('calls at once and after each change, one at a time, until the signal', async () => {
    const spot = makeSpot()
    const stop = new AbortController()
    let calls = 0
    let inside = 0
    const onChange = async () => {
      expect(++inside).toBe(1)
      calls++
      await soon()
      inside--
    }
    const done = watch(spot, onChange, stop.signal)
    wake(spot)
    wake(spot) // both during the first call: one more call sees them
    await soon()
    await soon()
    await soon()
    expect(calls).toBe(2)
    stop.abort()
    await done
    wake(spot)
    await soon()
    expect(calls).toBe(2)
  })

  it('rejects with what its callback throws', async () => {
    const onChange = () => {
      throw new Error('broken')
    }
    await expect(watch(makeSpot(), onChange, new AbortController().signal)).rejects.toThrow(
      'broken',
    )
  })
})

describe('on a ring', () => {
  it('a consumer wakes by an append, an appender by a commit, neither by its re-check', async () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    const start = performance.now()
    const hasMore = consumer.wait({ timeout_ms: 5000 })
    await soon()
    for (let n = 0; n < 8; n++) append(ring, n, 480)
    expect(await hasMore).toBe(true)
    const hasSpace = ring.waitForSpace(0, 480, { timeout_ms: 5000 })
    await soon()
    consumer.commit(consumer.poll()!.end)
    expect(await hasSpace).toBe(true)
    expect(performance.now() - start).toBeLessThan(RECHECK_MS / 2)
    expect(await consumer.wait({ timeout_ms: 1 })).toBe(false)
  })

  it('a parked consumer wakes to find that it is fenced', async () => {
    const ring = makeRing()
    const old = makeConsumer(ring)
    const isDue = old.wait({ timeout_ms: 5000 })
    await soon()
    const start = performance.now()
    makeConsumer(ring)
    expect(await isDue).toBe(true)
    expect(performance.now() - start).toBeLessThan(RECHECK_MS / 2)
    expect(() => old.poll()).toThrow('fenced')
  })
})
