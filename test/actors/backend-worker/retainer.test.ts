import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import type { Config } from '../../../src/config.js'
import type { SomeLimits } from '../../../src/config/limits.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { BackendError } from '../../../src/storage/backend/backend.js'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { formatTime, serializeMeta } from '../../../src/storage/block/meta.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { TENANT, blockId } from '../../storage/compaction/blocks.js'
import { house, listed, removeScratch, scratchFolder } from './compaction-house.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

describe('retention', () => {
  let backend: MemoryBackend
  let clock: FakeClock
  beforeEach(() => {
    backend = new MemoryBackend()
    clock = new FakeClock()
  })
  afterAll(removeScratch)

  async function put(n: number, ago_ms: number, change: Partial<BlockMeta> = {}, tenant = TENANT) {
    const meta: BlockMeta = {
      format: 'blockpack1',
      blockID: blockId(n),
      tenantID: tenant,
      startTime: formatTime(BigInt(clock.now() - ago_ms - 1000) * 1_000_000n),
      endTime: formatTime(BigInt(clock.now() - ago_ms) * 1_000_000n),
      totalObjects: 1,
      size: 100,
      compactionLevel: 0,
      indexPageSize: 0,
      totalRecords: 1,
      bloomShards: 0,
      footerSize: 0,
      replicationFactor: 1,
      ...change,
    }
    await backend.put(`${tenant}/${meta.blockID}/data.blockpack`, new Uint8Array(1))
    await backend.put(`${tenant}/${meta.blockID}/meta.json`, serializeMeta(meta))
  }

  function worker(retention: Partial<Config['retention']> = {}, limits: SomeLimits = {}) {
    const change = (config: Config): Config => ({
      ...config,
      retention: { ...config.retention, ...retention },
    })
    return house(backend, { clock, scratch: scratchFolder(), config: change, limits })
  }
  type Worker = ReturnType<typeof worker>

  async function run(made: Worker): Promise<void> {
    await made.poll()
    await made.retainer.run()
  }

  const numbers = (ids: readonly string[]) => ids.map((id) => Number(id.slice(-12))).sort()
  const read = async (tenant = TENANT) =>
    numbers((await listed(backend, tenant)).map(({ blockId: id }) => id))
  const stored = () => {
    const ids = [...backend.objects.keys()].flatMap((path) => path.split('/')[1] ?? [])
    return [...new Set(numbers(ids.filter((id) => id.startsWith('0000'))))]
  }

  it('keeps a block for 14 days after its last span, and its data for an hour more', async () => {
    await put(1, 14 * DAY_MS - 1000)
    await put(2, 13 * DAY_MS)
    const made = worker()
    await run(made)
    expect(await read()).toEqual([1, 2])
    await clock.advance(2000)
    await run(made)
    expect(await read()).toEqual([2])
    const reply = made.registry.answer({ frontend: 'f', version: 0 })
    expect(numbers(reply.tenants![TENANT]!.map((meta) => meta.blockID))).toEqual([2])
    expect(stored()).toEqual([1, 2])
    await clock.advance(HOUR_MS - 1000)
    await run(made)
    expect(stored()).toEqual([1, 2])
    await clock.advance(2000)
    await run(made)
    expect(stored()).toEqual([2])
  })

  it('is each tenant’s own where it has one', async () => {
    await put(1, 2 * HOUR_MS)
    await run(worker({}, { block_retention_ms: HOUR_MS }))
    expect(await read()).toEqual([])
  })

  it('waits for the livestore that holds a block too, but not for a flag that nobody will ever take away', async () => {
    await put(1, 2 * HOUR_MS)
    await backend.put(`${TENANT}/${blockId(1)}/nocompact.flg`, new Uint8Array(0))
    const made = worker({ block_retention_ms: 1000 })
    await clock.advance(-HOUR_MS)
    await run(made)
    expect(await read()).toEqual([1])
    await clock.advance(2 * HOUR_MS)
    await run(made)
    expect(await read()).toEqual([])
  })

  it('never deletes what someone may still read, whatever compacted_block_retention says', async () => {
    await put(1, 2 * HOUR_MS)
    const made = worker({ block_retention_ms: 1000, compacted_block_retention_ms: 0 })
    await run(made)
    await clock.advance(59_000)
    await run(made)
    expect(stored()).toEqual([1])
    await clock.advance(1000)
    await run(made)
    expect(stored()).toEqual([])
  })

  it('takes the oldest of all tenants when there is too much, down to the watermark and no further', async () => {
    for (let n = 1; n <= 6; n++) await put(n, n * HOUR_MS)
    for (let n = 7; n <= 10; n++) await put(n, (n - 1.5) * HOUR_MS, {}, 'other')
    const made = worker({ max_bytes: 1000, low_bytes: 700 })
    await run(made)
    expect([...(await read()), ...(await read('other'))]).toHaveLength(10)
    await put(11, 0)
    await run(made)
    // 1100 bytes are too many: blocks 10, 9 and 8 ended 8.5, 7.5 and 6.5 hours ago, block 6 six hours ago.
    expect(await read('other')).toEqual([7])
    expect(await read()).toEqual([1, 11, 2, 3, 4, 5].sort())
  })

  it('by size frees the room soon: marked blocks do not stay for their hour', async () => {
    for (let n = 1; n <= 3; n++) await put(n, n * HOUR_MS)
    const made = worker({ max_bytes: 200, low_bytes: 200 })
    await run(made)
    await clock.advance(61_000)
    await run(made)
    expect(stored()).toEqual([1, 2])
  })

  it('tries again what could not be marked or deleted, and counts it', async () => {
    await put(1, 20 * DAY_MS)
    await put(2, 20 * DAY_MS)
    const made = worker()
    backend.fault = (operation, path) => {
      if (operation === 'put' && path.includes(blockId(1))) throw new BackendError('no', true)
    }
    await run(made)
    expect(await read()).toEqual([1])
    backend.fault = () => {}
    await run(made)
    expect(await read()).toEqual([])
  })

  it('deletes the mark of a block last, so that no data is ever left without it', async () => {
    await put(1, 20 * DAY_MS)
    const made = worker({ compacted_block_retention_ms: 0 })
    await run(made)
    await clock.advance(61_000)
    await made.poll()
    backend.fault = (operation, path) => {
      if (operation === 'delete' && path.endsWith('data.blockpack')) throw new BackendError('no', true)
    } // prettier-ignore
    await made.retainer.run()
    expect([...backend.objects.keys()].join()).toContain('meta.compacted.json')
    backend.fault = () => {}
    await made.retainer.run()
    expect(stored()).toEqual([])
  })
})
