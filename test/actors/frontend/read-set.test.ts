import { describe, expect, it } from 'vitest'
import { listSources } from '../../../src/actors/frontend/read-set.js'
import { Catalog } from '../../../src/storage/catalog.js'
import { House, Life } from '../livestore/house.js'
import { Mortal } from '../livestore/mortal.js'
import { record } from '../livestore/records.js'
import { blockId, meta } from './metas.js'

const FACTS = { spans: 10, minStart_ns: 1000n, maxEnd_ns: 2000n, size_bytes: 500 }

function catalog() {
  return new Catalog(Catalog.create(0, 8))
}

const ids = (sources: readonly { blockId: string }[]) => sources.map((source) => source.blockId)

describe('the read set', () => {
  it('lists a block once at every step of its way: head, cut, local, flushed, deleted', () => {
    const one = catalog()
    let blocklist = {}
    const listed = () => ids(listSources([one], blocklist, 'a', {}))
    const entry = one.addHead(blockId(1), 'a', 7, 1)
    expect(listed()).toEqual([blockId(1)])
    one.markCut(entry)
    expect(listed()).toEqual([blockId(1)])
    one.markLocal(entry, FACTS)
    expect(listed()).toEqual([blockId(1)])
    blocklist = { a: [meta('a', 1)] }
    one.markFlushed(entry)
    expect(listed()).toEqual([blockId(1)])
    one.remove(entry)
    expect(listed()).toEqual([blockId(1)])
  })

  it('lists nothing of other tenants, also of those with the names of things that every object has', () => {
    const one = catalog()
    one.addHead(blockId(1), 'b', 7, 1)
    const blocklist = { b: [meta('b', 2)] }
    for (const tenant of ['a', 'constructor', '__proto__', 'hasOwnProperty'])
      expect(listSources([one], blocklist, tenant, {})).toEqual([])
  })

  it('prunes what cannot overlap the range, and never a live head: it may grow', () => {
    const one = catalog()
    one.addHead(blockId(1), 'a', 7, 1)
    one.addLocal(blockId(2), 'a', FACTS, false)
    const blocklist = { a: [meta('a', 3)] }
    const range = (start_ns: bigint, end_ns: bigint) =>
      ids(listSources([one], blocklist, 'a', { start_ns, end_ns }))
    expect(range(2000n, 3000n)).toEqual([blockId(1), blockId(2)])
    expect(range(2001n, 3000n)).toEqual([blockId(1)])
    expect(range(0n, 999n)).toEqual([blockId(1)])
    expect(range(0n, 1000n)).toEqual([blockId(1), blockId(2)])
    // meta.json may hold whole seconds only: the last second belongs to the block.
    const end_ns = 1_700_000_010_000_000_000n
    expect(range(end_ns + 999_999_999n, end_ns * 2n)).toEqual([blockId(1), blockId(3)])
    expect(range(end_ns + 1_000_000_001n, end_ns * 2n)).toEqual([blockId(1)])
  })

  it('is in order of age, newest first, live heads before all', () => {
    const one = catalog()
    one.addLocal(blockId(1), 'a', FACTS, false)
    one.addHead(blockId(2), 'a', 7, 1)
    const blocklist = {
      a: [meta('a', 4, { endTime: '2023-11-14T22:13:40Z' }), meta('a', 3), meta('a', 5)],
    }
    expect(ids(listSources([one], blocklist, 'a', {}))).toEqual([2, 4, 3, 5, 1].map(blockId))
  })
})

describe('a query at every moment of a partition’s life', () => {
  it('finds the blocks of all acknowledged spans, each once', async () => {
    const house = new House()
    const mortal = new Mortal()
    const life = await Life.begin(house, mortal)
    /** Blocks that held an acknowledged span at some moment. */
    const known = new Set<string>()
    const faults: string[] = []
    mortal.watch(() => {
      house.refreshFrontend()
      const listed = ids(house.listed('a'))
      if (new Set(listed).size !== listed.length) faults.push(`twice: ${listed.join(' ')}`)
      for (const id of known) if (!listed.includes(id)) faults.push(`missing: ${id}`)
    })
    for (let n = 0; n < 6; n++) {
      const sent = house.send(record('a', n))
      await life.until(() => house.isAcknowledged(sent))
      for (const found of (await house.found('a')).values()) known.add(found[0]!)
    }
    await life.settled()
    await house.clock.advance(60_001)
    house.refreshFrontend()
    house.refreshFrontend()
    await life.clearLocal()
    expect(mortal.steps).toContain('catalog.remove')
    expect(house.catalog.list()).toEqual([])
    await house.expectExactlyOnce(new Set(house.sent), 'in the backend alone')
    expect(faults).toEqual([])
    expect(known.size).toBe(6)
    await life.end()
  })
})
