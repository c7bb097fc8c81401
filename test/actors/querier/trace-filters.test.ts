import { expect, test } from 'vitest'
import { TraceFilters } from '../../../src/actors/querier/trace-filters.js'

const ID = new Uint8Array(16)
const filter = (retained_bytes: number, has: boolean) => ({ retained_bytes, mayHave: () => has })

test('a block nothing is known of is not ruled out', () => {
  expect(new TraceFilters(100).rulesOut('a', ID)).toBe(false)
})

test('a block is ruled out by its own filter alone', () => {
  const filters = new TraceFilters(100)
  filters.keep('a', filter(10, false))
  filters.keep('b', filter(10, true))
  expect([filters.rulesOut('a', ID), filters.rulesOut('b', ID)]).toEqual([true, false])
})

test('the filter asked for least of late goes first when they are too large together', () => {
  const filters = new TraceFilters(100)
  filters.keep('a', filter(40, false))
  filters.keep('b', filter(40, false))
  filters.rulesOut('a', ID)
  filters.keep('c', filter(40, false))
  expect(['a', 'b', 'c'].filter((id) => filters.has(id))).toEqual(['a', 'c'])
  expect(filters.retained_bytes).toBe(80)
})

test('a filter larger than all may be is not kept, and takes no other away', () => {
  const filters = new TraceFilters(100)
  filters.keep('a', filter(40, false))
  filters.keep('b', filter(101, false))
  expect([filters.has('a'), filters.has('b')]).toEqual([true, false])
})

test('a filter is a miss once and then hits, whatever it says', () => {
  const counts = { hits: 0, misses: 0, evictions: 0, bytes: -1 }
  const tally = (name: 'hits' | 'misses' | 'evictions') => ({ inc: () => (counts[name] += 1) })
  const filters = new TraceFilters(100, {
    hits: tally('hits'),
    misses: tally('misses'),
    evictions: tally('evictions'),
    bytes: { set: (value) => (counts.bytes = value) },
  })
  filters.rulesOut('a', ID)
  expect(counts).toEqual({ hits: 0, misses: 0, evictions: 0, bytes: 0 })
  filters.keep('a', filter(60, true))
  filters.rulesOut('a', ID)
  filters.keep('b', filter(60, false))
  filters.rulesOut('b', ID)
  expect(counts).toEqual({ hits: 2, misses: 2, evictions: 1, bytes: 60 })
})

test('a filter that is kept twice counts once', () => {
  const filters = new TraceFilters(100)
  filters.keep('a', filter(40, false))
  filters.keep('a', filter(40, false))
  expect(filters.retained_bytes).toBe(40)
})
