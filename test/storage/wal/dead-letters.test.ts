import { describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import {
  deadLetterId,
  MAX_DEAD_LETTER_BYTES,
  MAX_DEAD_LETTERS,
  DeadLetters,
  type DeadLetter,
} from '../../../src/storage/wal/dead-letters.js'
import { LivestoreState } from '../../../src/storage/wal/state.js'
import { temporaryFolder } from './support.js'

const open = (path: string) =>
  LivestoreState.open({ path, partition: 3, clock: systemClock, log: silentLog })

const letter = (n: number, length_bytes = 3): DeadLetter => {
  const identity = n.toString(16).padStart(32, '0')
  return {
    id: deadLetterId('traces', 3, identity.split('').reverse().join('')),
    identity,
    topic: 'traces',
    partition: 3,
    offset: n * 32,
    tenant: 'a',
    timestamp_ms: 1000,
    spans: 2,
    length_bytes,
    tries: 3,
    reason: 'threw',
    why: 'livestore-0 threw',
    wasAcknowledged: false,
    quarantinedAt_ms: 10_000 - n,
  }
}

describe('dead letters of a partition', () => {
  it('are found again after a restart, bytes and all, oldest first', async () => {
    const path = temporaryFolder()
    const state = await open(path)
    await state.putDeadLetter(letter(1), Uint8Array.of(1, 2, 3))
    await state.putDeadLetter(letter(2, 0), new Uint8Array(0))
    await state.putDeadLetter(letter(3), Uint8Array.of(7, 8, 9))
    await state.removeDeadLetter(letter(3).id)
    await state.close()
    const again = await open(path)
    expect(again.deadLetters.list()).toEqual([letter(2, 0), letter(1)])
    expect(again.deadLetterBytes(letter(1).id)).toEqual(Uint8Array.of(1, 2, 3))
    expect(again.deadLetterBytes(letter(3).id)).toBeUndefined()
    expect(again.deadLetters.size_bytes).toBe(3)
    await again.close()
  })

  it('are one letter for the same bytes: what replaces itself takes no room', async () => {
    const state = await open(temporaryFolder())
    await state.putDeadLetter(letter(1), Uint8Array.of(1, 2, 3))
    await state.putDeadLetter({ ...letter(1), tries: 6 }, Uint8Array.of(1, 2, 3))
    expect(state.deadLetters.list()).toEqual([{ ...letter(1), tries: 6 }])
    expect(state.deadLetters.size_bytes).toBe(3)
    await state.close()
  })

  it('have a bound in count and in bytes, and never give way to a newer one', () => {
    const letters = new DeadLetters()
    letters.set(letter(1, MAX_DEAD_LETTER_BYTES - 10))
    expect(letters.hasRoom('new', 10)).toBe(true)
    expect(letters.hasRoom('new', 11)).toBe(false)
    expect(letters.hasRoom(letter(1).id, 11)).toBe(true)
    letters.delete(letter(1).id)
    for (let n = 0; n < MAX_DEAD_LETTERS; n++) letters.set(letter(n))
    expect(letters.count).toBe(MAX_DEAD_LETTERS)
    expect(letters.hasRoom('new', 1)).toBe(false)
    letters.delete(letter(5).id)
    expect(letters.hasRoom('new', 1)).toBe(true)
  })
})
