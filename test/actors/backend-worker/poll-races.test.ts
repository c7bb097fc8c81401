import { describe, expect, it } from 'vitest'
import { BlockRegistry } from '../../../src/actors/backend-worker/block-registry.js'
import { listSources } from '../../../src/actors/frontend/read-set.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'

function meta(n: number, tenant = 'acme'): BlockMeta {
  return {
    blockID: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    tenantID: tenant,
    startTime: '2026-01-01T00:00:00Z',
    endTime: '2026-01-01T00:01:00Z',
    size: 100,
  } as BlockMeta
}

function idsOf(registry: BlockRegistry, tenant = 'acme'): string[] {
  const { tenants = {} } = registry.answer({ frontend: 'frontend-0', version: 0 })
  return (Object.hasOwn(tenants, tenant) ? tenants[tenant]! : []).map(({ blockID }) => blockID)
}

describe('a block that is flushed while the backend is polled', () => {
  it('stays listed when the poll had begun before it was there', () => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    const begunAt = registry.version
    registry.add(meta(1))
    registry.replace({}, begunAt)
    expect(idsOf(registry)).toEqual([meta(1).blockID])
  })

  it('stays listed while polls cannot read all of the backend', () => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    registry.add(meta(1))
    registry.replace({ acme: [meta(2)] }, registry.version, false)
    expect(idsOf(registry)).toEqual([meta(2).blockID, meta(1).blockID])
  })

  it('is listed once when the poll has it, and goes when a later poll has not', () => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    registry.add(meta(1))
    registry.replace({ acme: [meta(1)] }, registry.version)
    expect(idsOf(registry)).toEqual([meta(1).blockID])
    registry.replace({}, registry.version)
    expect(idsOf(registry)).toEqual([])
  })

  it('goes when a whole poll that began after it does not find it', () => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    registry.add(meta(1))
    registry.replace({}, registry.version)
    expect(idsOf(registry)).toEqual([])
  })
})

describe('a listing that lags behind what is in the store', () => {
  it('does not hide a flushed block that was looked for and is there, over any number of polls', () => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    registry.add(meta(1))
    for (let poll = 0; poll < 3; poll++) {
      const unfound = registry.unfound({ acme: [meta(2)] })
      expect(unfound).toEqual([meta(1)])
      registry.replace({ acme: [meta(2)] }, registry.version, true, unfound)
      expect(idsOf(registry)).toEqual([meta(2).blockID, meta(1).blockID])
    }
    registry.replace({ acme: [meta(2)] }, registry.version, true, [])
    expect(idsOf(registry)).toEqual([meta(2).blockID])
  })
})

describe('tenants with the names of what every object has', () => {
  it.each(['constructor', '__proto__', 'toString'])('lists and reads blocks of %s', (tenant) => {
    const registry = new BlockRegistry(new FakeClock(), 1)
    registry.add(meta(1, tenant))
    registry.replace(Object.fromEntries([[tenant, [meta(1, tenant), meta(2, tenant)]]]))
    expect(idsOf(registry, tenant)).toHaveLength(2)
    const { tenants } = registry.answer({ frontend: 'frontend-0', version: 0 })
    expect(listSources([], tenants!, tenant, {})).toHaveLength(2)
    expect(listSources([], {}, tenant, {})).toEqual([])
  })
})

it('takes no version of another time for a copy of its list', () => {
  const registry = new BlockRegistry(new FakeClock(), 1000)
  registry.add(meta(1))
  const blocks = [{ tenant: 'acme', blockId: meta(1).blockID }]
  registry.answer({ frontend: 'frontend-0', version: 5000 })
  expect(registry.listedEverywhere(blocks)).toEqual([])
  registry.answer({ frontend: 'frontend-0', version: registry.version })
  expect(registry.listedEverywhere(blocks)).toHaveLength(1)
})
