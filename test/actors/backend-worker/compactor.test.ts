import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LATE_WRITE_MS } from '../../../src/actors/backend-worker/compactor.js'
import { listSources } from '../../../src/actors/frontend/read-set.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { BackendError } from '../../../src/storage/backend/backend.js'
import { formatTime } from '../../../src/storage/block/meta.js'
import { mergeNeed_bytes } from '../../../src/storage/compaction/need.js'
import { mergedBlockId } from '../../../src/storage/compaction/compact.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import type { BlockEncoding, BlockMeta } from '../../../src/storage/block/encoding.js'
import { encodingOf } from '../../../src/storage/block/registry.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { TENANT, blockId, deal, putBlock } from '../../storage/compaction/blocks.js'
import { house, listed, removeScratch, scratchFolder, spansListed } from './compaction-house.js'

/** The world ends here: no call to the backend comes through any more. */
class Dead extends Error {}

const seconds = (clock: FakeClock, ago_s: number) =>
  formatTime(BigInt(clock.now() - 1000 * ago_s) * 1_000_000n)

/** Three blocks with spans in two of them, as they are when no livestore holds them any more. */
async function bucket(encoding: BlockEncoding = blockpack) {
  const backend = new MemoryBackend()
  const clock = new FakeClock()
  const lots = deal(new Random(3), [shopTraces({ traces: 3 })], 3)
  const metas: BlockMeta[] = []
  for (const [i, lot] of lots.entries()) {
    const change = { endTime: seconds(clock, 60) }
    metas.push(await putBlock(backend, blockId(i + 1), lot, change, TENANT, encoding))
  }
  return { backend, clock, metas }
}

type World = Awaited<ReturnType<typeof bucket>>
let world: World
let once: string[]
beforeAll(async () => {
  world = await bucket()
  once = [...new Set(await spansListed(world.backend, await listed(world.backend)))]
})
afterAll(removeScratch)

/** The same bucket for each case, without building it anew. */
function copyOf({ backend, metas }: World): World {
  const copy = new MemoryBackend()
  for (const [path, bytes] of backend.objects) copy.objects.set(path, bytes)
  return { backend: copy, clock: new FakeClock(), metas }
}

const blocksIn = async (backend: MemoryBackend) =>
  (await listed(backend)).map(({ blockId: id }) => id).sort()

describe('a compaction', () => {
  it('merges what belongs together; its inputs are read no more, and deleted when their time is up', async () => {
    const { backend, clock, metas } = copyOf(world)
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    await made.compactor.cycle()
    expect(await blocksIn(backend)).toEqual([mergedBlockId(metas)])
    expect(await spansListed(backend, await listed(backend))).toEqual(once)
    const { tenants } = made.registry.answer({ frontend: 'f', version: 0 })
    expect(tenants?.[TENANT]?.map((meta) => meta.blockID)).toEqual([mergedBlockId(metas)])
    expect(tenants?.[TENANT]?.[0]).toMatchObject({ compactionLevel: 1, replicationFactor: 1 })
    await clock.advance(3_599_000)
    await made.retainer.run()
    expect(backend.objects.has(`${TENANT}/${metas[0]!.blockID}/data.blockpack`)).toBe(true)
    await clock.advance(2000)
    await made.retainer.run()
    expect([...backend.objects.keys()].filter((path) => path.includes(metas[0]!.blockID))).toEqual([]) // prettier-ignore
    await made.poll()
    expect(await spansListed(backend, await listed(backend))).toEqual(once)
  })

  it('changes the list in one version: a frontend has the inputs or the merged block', async () => {
    const { backend, clock, metas } = copyOf(world)
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    const seen = new Set<string>()
    backend.fault = () => {
      const { tenants = {} } = made.registry.answer({ frontend: 'f', version: 0 })
      const sources = listSources([], tenants, TENANT, {})
      seen.add(sources.map(({ blockId: id }) => id).sort().join()) // prettier-ignore
    }
    await made.compactor.cycle()
    const inputs = metas.map(({ blockID }) => blockID).sort()
    expect([...seen]).toEqual([inputs.join(), mergedBlockId(metas)])
  })

  it('is the last to touch a block that a livestore still holds, or that came after the poll', async () => {
    const { backend, clock, metas } = copyOf(world)
    const flag = `${TENANT}/${metas[0]!.blockID}/nocompact.flg`
    await backend.put(flag, new Uint8Array(0))
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    await backend.put(`${TENANT}/${metas[1]!.blockID}/nocompact.flg`, new Uint8Array(0))
    await made.compactor.cycle()
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
  })

  it('waits where the memory that it would take is not there', async () => {
    const { backend, clock, metas } = copyOf(world)
    const short = house(backend, { clock, scratch: scratchFolder(), room_bytes: 24 * 2 ** 20 })
    await short.poll()
    await short.compactor.cycle()
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
    const enough = mergeNeed_bytes(metas)
    expect(enough).toBeLessThan(26 * 2 ** 20)
    const roomy = house(backend, { clock, scratch: scratchFolder(), room_bytes: enough })
    await roomy.poll()
    await roomy.compactor.cycle()
    expect(await blocksIn(backend)).toEqual([mergedBlockId(metas)])
  })

  it('ends when spans need the memory, and leaves the blocks as they were', async () => {
    const { backend, clock, metas } = copyOf(world)
    let looks = 0
    const made = house(backend, {
      clock,
      scratch: scratchFolder(),
      isOver: () => ++looks > 1,
      run: (_inputs, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new Error('the thread was ended')))
        }),
    })
    await made.poll()
    const cycle = made.compactor.cycle()
    await clock.advance(1_000)
    await cycle
    expect(looks).toBe(2)
    expect(made.compactor.isMerging).toBe(false)
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
  })

  it('merges as many as there is memory for', async () => {
    const { backend, clock, metas } = copyOf(world)
    const least = Math.min(...metas.map(({ size }) => size))
    const room_bytes = mergeNeed_bytes(metas) - 12 * least
    const made = house(backend, { clock, scratch: scratchFolder(), room_bytes })
    await made.poll()
    await made.compactor.cycle()
    const left = await blocksIn(backend)
    expect(left).toHaveLength(2)
    expect(metas.filter(({ blockID }) => left.includes(blockID))).toHaveLength(1)
    const spans = await spansListed(backend, await listed(backend))
    expect([...new Set(spans)]).toEqual(once)
  })

  it("leaves blocks as they are whose format is only another program's", async () => {
    const { backend, clock, metas } = copyOf(world)
    for (const { blockID } of metas) {
      const path = `${TENANT}/${blockID}/meta.json`
      const meta = JSON.parse(Buffer.from(backend.objects.get(path)!).toString()) as object
      backend.objects.set(path, Buffer.from(JSON.stringify({ ...meta, format: 'vParquet3' })))
    }
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    await made.compactor.cycle()
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
  })

  it('is left to others where the tenant says so', async () => {
    const { backend, clock, metas } = copyOf(world)
    const made = house(backend, { clock, scratch: scratchFolder(), limits: { compaction_disabled: true } }) // prettier-ignore
    await made.poll()
    await made.compactor.cycle()
    await clock.advance(400 * 3_600_000)
    await made.retainer.run()
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
  })

  it('gives up when an input was taken by another compactor meanwhile, and leaves nothing behind', async () => {
    const { backend, clock, metas } = copyOf(world)
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    backend.fault = (operation) => {
      if (operation === 'putFile') backend.objects.delete(`${TENANT}/${metas[2]!.blockID}/meta.json`)
    } // prettier-ignore
    await made.compactor.cycle()
    expect(await blocksIn(backend)).toEqual([metas[0]!.blockID, metas[1]!.blockID])
    expect([...backend.objects.keys()].join()).not.toContain(mergedBlockId(metas))
  })

  it('does not try a corrupt block again and again, and merges the others', async () => {
    const { backend, clock, metas } = copyOf(world)
    const path = `${TENANT}/${metas[1]!.blockID}/data.blockpack`
    const bytes = backend.objects.get(path)!.slice()
    bytes.fill(7, 100, 400)
    backend.objects.set(path, bytes)
    const made = house(backend, { clock, scratch: scratchFolder() })
    await made.poll()
    await made.compactor.cycle()
    expect(await blocksIn(backend)).toEqual(metas.map(({ blockID }) => blockID))
    await clock.advance(LATE_WRITE_MS + 1)
    await made.compactor.cycle()
    const rest = [metas[0]!, metas[2]!]
    expect(await blocksIn(backend)).toEqual([metas[1]!.blockID, mergedBlockId(rest)].sort())
  })
})

describe.each(['blockpack1', 'vParquet4', 'vParquet5'])('a crash in a merge of %s', { timeout: 240_000 }, (version) => {
  it('after any call to the backend leaves every span once, for who lists then and for who comes after', async () => {
    const world = await bucket(encodingOf(version))
    const once = [...new Set(await spansListed(world.backend, await listed(world.backend)))]
    let deaths = 0
    for (let calls = 1; ; calls++) {
      const { backend, clock, metas } = copyOf(world)
      const scratch = scratchFolder()
      let left = calls
      const first = house(backend, { clock, scratch })
      await first.poll()
      backend.fault = () => {
        if (left-- <= 0) throw new Dead()
      }
      await first.compactor.cycle().catch(() => undefined)
      const hasDied = left < 0
      backend.fault = () => {}
      expect(await spansListed(backend, await listed(backend)), `after ${calls} calls`).toEqual(
        hasDied && !backend.objects.has(`${TENANT}/${mergedBlockId(metas)}/meta.json`)
          ? await spansListed(world.backend, await listed(world.backend))
          : once,
      )
      // Its replacement, once a request of the first can no longer arrive.
      const second = house(backend, { clock, scratch, config: (c) => c })
      await second.poll()
      await clock.advance(Date.now() - clock.now() + LATE_WRITE_MS + 1)
      await second.compactor.clearLeftovers()
      for (let cycle = 0; cycle < 3; cycle++) {
        await second.poll()
        await second.compactor.cycle()
      }
      expect(await blocksIn(backend), `after ${calls} calls`).toEqual([mergedBlockId(metas)])
      expect(await spansListed(backend, await listed(backend))).toEqual(once)
      const live = [...backend.objects.keys()].filter((path) => path.endsWith('/meta.json'))
      expect(live).toHaveLength(1)
      if (!hasDied) break
      deaths++
    }
    expect(deaths).toBeGreaterThan(15)
  })
}) // prettier-ignore

describe('a crash', { timeout: 120_000 }, () => {
  it('before the merged block counts leaves no data behind once it is cleared away', async () => {
    const { backend, clock, metas } = copyOf(world)
    const scratch = scratchFolder()
    const first = house(backend, { clock, scratch })
    await first.poll()
    backend.fault = (operation, path) => {
      if (operation === 'put' && path.endsWith('/meta.json')) throw new Dead()
    }
    await first.compactor.cycle()
    backend.fault = () => {}
    const data = `${TENANT}/${mergedBlockId(metas)}/data.blockpack`
    expect(backend.objects.has(data)).toBe(true)
    const second = house(backend, { clock, scratch })
    await second.compactor.clearLeftovers()
    expect(backend.objects.has(data)).toBe(true)
    await clock.advance(Date.now() - clock.now() + LATE_WRITE_MS + 60_000)
    await second.compactor.clearLeftovers()
    expect(backend.objects.has(data)).toBe(false)
  })

  it('between meta.json and the marks: the inputs are marked before the merged block is merged further', async () => {
    const { backend, clock, metas } = copyOf(world)
    const scratch = scratchFolder()
    const first = house(backend, { clock, scratch })
    await first.poll()
    backend.fault = (operation, path) => {
      if (operation === 'put' && path.endsWith('meta.compacted.json')) {
        throw new BackendError('the store does not answer', true)
      }
    }
    await first.compactor.cycle()
    const merged = mergedBlockId(metas)
    // All four have a meta.json now; who lists reads one.
    expect(await blocksIn(backend)).toEqual([merged])
    await first.poll()
    expect(first.view.candidates(TENANT)).toEqual([])
    expect(first.view.unmarked(TENANT)).toHaveLength(3)
    backend.fault = () => {}
    const second = house(backend, { clock, scratch })
    await second.poll()
    await second.compactor.cycle()
    expect(second.view.unmarked(TENANT)).toEqual([])
    expect(second.view.candidates(TENANT).map(({ blockID }) => blockID)).toEqual([merged])
    expect(await spansListed(backend, await listed(backend))).toEqual(once)
  })
})
