import { describe, expect, it } from 'vitest'
import { BlockRegistry } from '../../../src/actors/backend-worker/block-registry.js'
import {
  FRONTEND_STALE_MS,
  type BlocklistQuery,
} from '../../../src/actors/backend-worker/contract.js'
import { BlocklistCache } from '../../../src/actors/frontend/blocklist-cache.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { silentLog } from '../../../src/lib/log.js'
import { meta } from './metas.js'

function made() {
  const clock = new FakeClock()
  const registry = new BlockRegistry(clock, 100)
  const asked: BlocklistQuery[] = []
  const link = { isDown: false, registry }
  const worker = {
    blocklist: (query: BlocklistQuery) => {
      asked.push(query)
      return link.isDown
        ? Promise.reject(new Error('backend-worker-0 is down'))
        : Promise.resolve(link.registry.answer(query))
    },
    flushed: () => Promise.resolve(),
    listedEverywhere: () => Promise.resolve([]),
  }
  const cache = new BlocklistCache('frontend-0', worker, clock, silentLog)
  return { clock, registry, asked, link, cache }
}

describe('the copy of the blocklist', () => {
  it('follows the registry within a second, and says each time which version it holds', async () => {
    const { clock, registry, asked, cache } = made()
    await cache.start()
    registry.add(meta('a', 1))
    await clock.advance(1000)
    expect(cache.tenants.a).toHaveLength(1)
    await clock.advance(1000)
    expect(asked.map((query) => query.version)).toEqual([0, 100, 101])
    cache.stop()
  })

  it('is asked for anew before an answer when it is too old, once for all who wait', async () => {
    const { clock, registry, asked, link, cache } = made()
    await cache.start()
    link.isDown = true
    await clock.advance(FRONTEND_STALE_MS + 1)
    link.isDown = false
    registry.add(meta('a', 1))
    const before = asked.length
    await Promise.all([cache.fresh(), cache.fresh(), cache.fresh()])
    expect(asked).toHaveLength(before + 1)
    expect(cache.tenants.a).toHaveLength(1)
    cache.stop()
  })

  it('refuses to be used when it is too old and nobody can tell better: a block could be missed', async () => {
    const { clock, link, cache } = made()
    await cache.start()
    link.isDown = true
    await clock.advance(FRONTEND_STALE_MS)
    await cache.fresh()
    await clock.advance(1)
    await expect(cache.fresh()).rejects.toThrow('backend-worker-0 is down')
    cache.stop()
  })

  it('does not keep the frontend from starting when the backend cannot be read yet', async () => {
    const { clock, link, cache } = made()
    link.isDown = true
    await cache.start()
    await expect(cache.fresh()).rejects.toThrow()
    link.isDown = false
    await clock.advance(1000)
    await cache.fresh()
    cache.stop()
  })

  it('takes what is known while the backend cannot be read, says so, and takes the whole list when it comes', async () => {
    const { clock, registry, cache } = made()
    registry.add(meta('a', 1))
    await cache.start()
    await cache.fresh()
    expect([cache.isWhole, cache.tenants.a?.length]).toEqual([false, 1])
    registry.replace({ a: [meta('a', 1), meta('a', 2)] })
    await clock.advance(1000)
    expect([cache.isWhole, cache.tenants.a?.length]).toEqual([true, 2])
    cache.stop()
  })

  it('keeps a whole list when the backend-worker is replaced by one that cannot read the backend', async () => {
    const { clock, registry, link, asked, cache } = made()
    registry.replace({ a: [meta('a', 1), meta('a', 2)] })
    await cache.start()
    const { version } = registry
    link.registry = new BlockRegistry(clock, 500)
    link.registry.add(meta('a', 3))
    await clock.advance(FRONTEND_STALE_MS + 1000)
    await cache.fresh()
    expect([cache.isWhole, cache.tenants.a?.length]).toEqual([true, 2])
    // It goes on to say what it holds, so that no local copy of a block that it does not list may go.
    expect(asked.at(-1)?.version).toBe(version)
    const third = { tenant: 'a', blockId: meta('a', 3).blockID }
    expect(link.registry.listedEverywhere([third])).toEqual([])
    link.registry.replace({ a: [meta('a', 1), meta('a', 2), meta('a', 3)] })
    await clock.advance(1000)
    expect(cache.tenants.a).toHaveLength(3)
    cache.stop()
  })

  it('says of whom blocks are missing, until they could be listed', async () => {
    const { clock, registry, cache } = made()
    await cache.start()
    expect(cache.missing('b')).toContain('could not be read yet')
    registry.replace({ a: [meta('a', 1)] }, registry.version, false, [], new Set(['b']))
    await clock.advance(1000)
    expect([cache.isWhole, cache.missing('a')]).toEqual([false, undefined])
    expect(cache.missing('b')).toContain('not all blocks')
    // The same list, but now it is sure that there is nothing else.
    registry.replace({ a: [meta('a', 1)] })
    await clock.advance(1000)
    expect([cache.isWhole, cache.missing('b')]).toEqual([true, undefined])
    cache.stop()
  })

  it('keeps the last list of a tenant that a new backend-worker could not list, and takes the others’', async () => {
    const { clock, registry, link, cache } = made()
    registry.replace({ a: [meta('a', 1), meta('a', 2)], b: [meta('b', 3)] })
    await cache.start()
    const anew = (link.registry = new BlockRegistry(clock, 500))
    for (let poll = 0; poll < 3; poll++) {
      anew.add(meta('a', 10 + poll))
      anew.replace({ b: [meta('b', 4 + poll)] }, anew.version, false, [], new Set(['a']))
      await clock.advance(1000)
      expect(cache.tenants.a?.map((one) => one.blockID).slice(0, 2)).toEqual(
        [meta('a', 1), meta('a', 2)].map((one) => one.blockID),
      )
      expect(cache.tenants.a).toHaveLength(3 + poll)
      expect(cache.tenants.b).toHaveLength(1)
      expect(cache.missing('a')).toBeUndefined()
    }
    anew.replace({ a: [meta('a', 2)] })
    await clock.advance(1000)
    expect(cache.tenants.a).toHaveLength(1)
    cache.stop()
  })

  it('stops asking when it is told to', async () => {
    const { clock, asked, cache } = made()
    await cache.start()
    cache.stop()
    await clock.advance(60_000)
    expect(asked).toHaveLength(1)
    expect(clock.sleeping).toBe(0)
  })
})
