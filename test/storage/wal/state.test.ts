/** Owns the tests of the livestore's durable state: the flush queue and the notes survive, in the order they were made. */
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { LmdbEnv } from '../../../src/storage/wal/lmdb.js'
import { LivestoreState, type BlockState } from '../../../src/storage/wal/state.js'
import { blockOne, blockTwo, temporaryFolder } from './support.js'

const open = (path: string) =>
  LivestoreState.open({ path, partition: 3, clock: systemClock, log: silentLog })

const block = (blockId: string, completedAt_ms: number): BlockState => ({
  blockId,
  tenant: 'single-tenant',
  segment: 4,
  spans: 10,
  size_bytes: 2000,
  state: 'completed',
  attempts: 0,
  completedAt_ms,
  flushedAt_ms: undefined,
  meta: { format: 'blockpack', nested: { totalObjects: 3 } },
})

describe('LivestoreState', () => {
  it('finds the queue again after a restart: completed, flushed, removed', async () => {
    const path = temporaryFolder()
    const state = await open(path)
    await state.putBlock(block(blockTwo, 2000))
    await state.putBlock(block(blockOne, 1000))
    await state.addAttempt(blockOne)
    await state.markFlushed(blockOne, 3000)
    await state.close()

    const again = await open(path)
    const flushed = { ...block(blockOne, 1000), state: 'flushed', attempts: 1, flushedAt_ms: 3000 }
    expect(again.blocks()).toEqual([flushed, block(blockTwo, 2000)])
    await again.removeBlock(blockOne)
    await again.close()

    const third = await open(path)
    expect(third.blocks()).toEqual([block(blockTwo, 2000)])
    await third.close()
  })

  it('makes changes that overtake each other one after the other, so that no attempt is lost', async () => {
    const state = await open(temporaryFolder())
    void state.putBlock(block(blockOne, 1000))
    const attempts = Array.from({ length: 10 }, () => state.addAttempt(blockOne))
    await Promise.all([...attempts, state.markFlushed(blockOne, 5)])
    expect(state.block(blockOne)).toMatchObject({ attempts: 10, state: 'flushed' })
    await state.close()
  })

  it('shows a change only when it is on disk', async () => {
    const state = await open(temporaryFolder())
    const done = state.putBlock(block(blockOne, 1000))
    expect(state.blocks()).toEqual([])
    await done
    expect(state.blocks().length).toBe(1)
    await state.close()
  })

  it('goes on after a change that could not be made', async () => {
    const state = await open(temporaryFolder())
    await expect(state.markFlushed(blockOne, 1)).rejects.toThrow(/block 1111.* is not in/)
    await state.putBlock(block(blockOne, 1000))
    expect(state.blocks().length).toBe(1)
    await state.close()
  })

  it('keeps notes', async () => {
    const path = temporaryFolder()
    const state = await open(path)
    await state.setNote('try/a', { tries: 2 })
    await state.setNote('other', 0)
    await state.setNote('gone', 1)
    await state.setNote('gone', undefined)
    await state.close()
    const again = await open(path)
    expect(again.notes('try/')).toEqual([['try/a', { tries: 2 }]])
    expect(again.note('gone')).toBeUndefined()
    await again.close()
  })

  it('refuses the state of a newer program', async () => {
    const path = temporaryFolder()
    await (await open(path)).close()
    const env = LmdbEnv.open({
      path: `${path}/state/p3`,
      fsync: true,
      clock: systemClock,
      log: silentLog,
    })
    await env.commit([{ key: Uint8Array.of(1), value: new TextEncoder().encode('9') }])
    await env.close()
    await expect(open(path)).rejects.toThrow(/state\/p3 has format version 9, .* up to 1/)
  })
})
