import { describe, expect, it } from 'vitest'
import { Room } from '../../../src/actors/livestore/room.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'

describe('the wait for room', () => {
  it('ends for all who wait when memory comes back', async () => {
    const [room, clock] = [new Room(), new FakeClock()]
    const waits = [room.wait(clock, 1000), room.wait(clock, 1000)]
    room.wake()
    expect(await Promise.all(waits)).toEqual([true, true])
    expect(clock.sleeping).toBe(0)
  })

  it('does not begin when memory has come back since it was looked for', async () => {
    const [room, clock] = [new Room(), new FakeClock()]
    const { freed } = room
    room.wake()
    expect(await room.wait(clock, 1000, freed)).toBe(true)
  })

  it('ends by itself, and leaves nobody behind: nothing may ever be built', async () => {
    const [room, clock] = [new Room(), new FakeClock()]
    for (let n = 0; n < 100; n++) {
      const wait = room.wait(clock, 1000)
      await clock.advance(1000)
      expect(await wait).toBe(false)
    }
    expect(room.waiting).toBe(0)
  })
})
