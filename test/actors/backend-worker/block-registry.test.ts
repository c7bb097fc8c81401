import { describe, expect, it } from 'vitest'
import { BlockRegistry } from '../../../src/actors/backend-worker/block-registry.js'
import {
  FRONTEND_FORGOTTEN_MS,
  FRONTEND_STALE_MS,
} from '../../../src/actors/backend-worker/contract.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { meta } from '../frontend/metas.js'

function registry() {
  const clock = new FakeClock()
  const made = new BlockRegistry(clock, 100)
  const listed = (...numbers: number[]) =>
    made.listedEverywhere(numbers.map((n) => ({ tenant: 'a', blockId: meta('a', n).blockID })))
  /** A frontend asks, as it does once a second, and returns what it holds afterwards. */
  const ask = (frontend: string, version: number) => made.answer({ frontend, version })
  return { clock, made, listed, ask }
}

describe('what every frontend lists', () => {
  it('is nothing while no frontend has come: nobody could read the block in the backend', () => {
    const { made, listed } = registry()
    made.add(meta('a', 1))
    expect(listed(1)).toEqual([])
  })

  it('holds a block only once the frontend says that it has the version with it', () => {
    const { made, listed, ask } = registry()
    const old = ask('f0', 0).version
    made.add(meta('a', 1))
    const reply = ask('f0', old)
    expect(reply.tenants?.a).toHaveLength(1)
    // The answer may be lost on the way: only its next question proves that it came.
    expect(listed(1)).toEqual([])
    ask('f0', reply.version)
    expect(listed(1)).toEqual([meta('a', 1).blockID])
  })

  it('waits for the slowest of the frontends', () => {
    const { made, listed, ask } = registry()
    const old = ask('f0', 0).version
    ask('f1', old)
    made.add(meta('a', 1))
    ask('f0', made.version)
    expect(listed(1)).toEqual([])
    ask('f1', made.version)
    expect(listed(1)).toHaveLength(1)
  })

  it('forgets a frontend that is gone, and not before it can no longer answer from its old list', async () => {
    const { clock, made, listed, ask } = registry()
    ask('gone', made.version)
    made.add(meta('a', 1))
    await clock.advance(FRONTEND_FORGOTTEN_MS)
    ask('f0', made.version)
    expect(listed(1)).toEqual([])
    await clock.advance(1)
    expect(listed(1)).toHaveLength(1)
    expect(FRONTEND_STALE_MS).toBeLessThan(FRONTEND_FORGOTTEN_MS)
  })

  it('a restarted frontend begins with nothing, whatever its predecessor held', () => {
    const { made, listed, ask } = registry()
    made.add(meta('a', 1))
    ask('f0', made.version)
    ask('f0', 0)
    expect(listed(1)).toEqual([])
  })

  it('knows tenants apart, and no block that it was never told of', () => {
    const { made, listed, ask } = registry()
    made.add(meta('b', 1))
    ask('f0', made.version)
    expect(listed(1)).toEqual([])
  })
})

describe('the list', () => {
  it('keeps a block that was flushed while a poll was under way, though the poll did not see it', () => {
    const { made, ask } = registry()
    made.replace({ a: [meta('a', 1)] })
    const polledAt = made.version
    made.add(meta('a', 2))
    made.replace({ a: [meta('a', 1), meta('a', 3)] }, polledAt)
    const ids = ask('f0', 0).tenants?.a?.map((found) => found.blockID)
    expect(ids?.sort()).toEqual([1, 2, 3].map((n) => meta('a', n).blockID))
  })

  it('lets go of a block that the next poll does not find either: it was deleted', () => {
    const { made, ask } = registry()
    made.add(meta('a', 1))
    made.replace({}, made.version)
    expect(ask('f0', 0).tenants).toEqual({})
  })

  it('is sent only to those who have not got it, and changes its version only when it changes', () => {
    const { made, ask } = registry()
    made.replace({ a: [meta('a', 1)] })
    const { version } = made
    made.replace({ a: [meta('a', 1)] })
    made.add(meta('a', 1))
    expect(made.version).toBe(version)
    expect(ask('f0', version)).toEqual({ version, isWhole: true })
    expect(ask('f0', version - 1).tenants).toBeDefined()
  })

  it('has the blocks that had to be left out, and changes its version when they change', () => {
    const { made, ask } = registry()
    const rejected = (reason: string) =>
      new Map([['a/one', reason], ['constructor/two', 'x']]) // prettier-ignore
    made.leaveOut(rejected('is empty'))
    const { version } = made
    made.leaveOut(rejected('is empty'))
    expect(made.version).toBe(version)
    expect(ask('f0', 0).unusable).toEqual({
      a: [{ blockId: 'one', reason: 'is empty' }],
      constructor: [{ blockId: 'two', reason: 'x' }],
    })
    made.leaveOut(rejected('is no JSON object'))
    expect(made.version).toBe(version + 1)
    made.leaveOut(new Map())
    expect(ask('f0', 0).unusable).toEqual({})
    made.leaveOut(new Map(Array.from({ length: 500 }, (_, n) => [`a/${n}`, 'x'])))
    expect(ask('f0', 0).unusable?.a).toHaveLength(100)
  })

  it('bears tenants with the names of things that every object has', () => {
    const { made, ask } = registry()
    for (const tenant of ['__proto__', 'constructor', 'toString']) made.add(meta(tenant, 1))
    made.replace({ a: [meta('a', 1)] }, 0)
    const tenants = ask('f0', 0).tenants!
    expect(Object.keys(tenants).sort()).toEqual(['__proto__', 'a', 'constructor', 'toString'])
  })
})
