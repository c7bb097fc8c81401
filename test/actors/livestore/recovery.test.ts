import { describe, expect, it } from 'vitest'
import { dieAndLiveOn } from './deaths.js'

/** Every kind of step that changes something; test/stress goes through each step of a life in turn. */
const STEPS = [
  'arena.takeHeader',
  'arena.open',
  'catalog.addHead',
  'wal.append',
  'head.publish',
  'consumer.commit',
  'wal.rotate',
  'catalog.markCut',
  'build.begin',
  'build.complete',
  'build.answer',
  'state.putBlock',
  'catalog.markLocal',
  'arena.retire',
  'arena.reclaim',
  'wal.drop',
  'backend.putFile',
  'backend.put',
  'state.markFlushed',
  'catalog.markFlushed',
  'announce',
  'catalog.remove',
  'blocks.delete',
  'backend.delete',
  'state.removeBlock',
]

describe.each(['actor', 'process'] as const)('the death of the %s', (death) => {
  it.each(STEPS)(
    'before %s loses no acknowledged span, counts none twice and leaves nothing over',
    async (step) => {
      expect(await dieAndLiveOn(step, death)).toBe(step)
    },
  )
})
