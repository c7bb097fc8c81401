import { describe, expect, it } from 'vitest'
import { Deadlines } from '../../src/lib/deadlines.js'
import { FakeClock } from '../../src/lib/fake-clock.js'

function world() {
  const clock = new FakeClock()
  const deadlines = new Deadlines(clock)
  const fired: string[] = []
  const set = (name: string, delay_ms: number) =>
    deadlines.after(delay_ms, () => fired.push(`${name}@${clock.monotonic()}`))
  return { clock, deadlines, fired, set }
}

describe('deadlines', () => {
  it('expire each at its time, in whatever order they were set', async () => {
    const { clock, fired, set } = world()
    set('b', 200)
    set('a', 100)
    set('c', 300)
    await clock.advance(1000)
    expect(fired).toEqual(['a@100', 'b@200', 'c@300'])
    expect(clock.sleeping).toBe(0)
  })

  it('sleep once for all of them, and not at all once the last is cleared', async () => {
    const { clock, deadlines, fired, set } = world()
    const all = [1, 2, 3].map((n) => set(`${n}`, 100 + n))
    expect(clock.sleeping).toBe(1)
    for (const deadline of all) deadlines.clear(deadline)
    expect(clock.sleeping).toBe(0)
    await clock.advance(1000)
    expect(fired).toEqual([])
  })

  it('go on after one was cleared that the sleep was for', async () => {
    const { clock, deadlines, fired, set } = world()
    const first = set('a', 100)
    set('b', 200)
    deadlines.clear(first)
    await clock.advance(1000)
    expect(fired).toEqual(['b@200'])
  })

  it('may clear one another and set new ones when they expire', async () => {
    const { clock, deadlines, fired, set } = world()
    deadlines.after(100, () => {
      deadlines.clear(other)
      set('new', 50)
      set('later', 500)
    })
    const other = set('other', 100)
    await clock.advance(1000)
    expect(fired).toEqual(['new@150', 'later@600'])
    expect(clock.sleeping).toBe(0)
  })
})
