/** Owns the proof that merges take only memory that spans did not just need. */
import { expect, it } from 'vitest'
import { MergeRoom } from '../../../src/actors/backend-worker/merge-room.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'

function room() {
  const state = { resident_bytes: 300, isMerging: false }
  const made = new MergeRoom({
    mark_bytes: 440,
    resident_bytes: () => state.resident_bytes,
    isMerging: () => state.isMerging,
    clock: new FakeClock(),
  })
  return { state, made }
}

it('takes the busiest of the last moments for what spans need, and forgets it after a quarter of a minute', () => {
  const { state, made } = room()
  state.resident_bytes = 420
  made.look()
  state.resident_bytes = 330
  for (let look = 0; look < 14; look++) made.look()
  expect(made.free_bytes).toBe(20)
  made.look()
  expect(made.free_bytes).toBe(110)
  state.resident_bytes = 450
  expect(made.free_bytes).toBe(-10)
})

it('does not take what a merge takes itself for what spans need', () => {
  const { state, made } = room()
  made.look()
  state.isMerging = true
  state.resident_bytes = 430
  made.look()
  expect(made.isOver).toBe(false)
  state.resident_bytes = 441
  expect(made.isOver).toBe(true)
  state.isMerging = false
  state.resident_bytes = 310
  expect(made.free_bytes).toBe(130)
})
