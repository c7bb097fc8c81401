import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toHex } from '../../src/lib/bytes.js'
import { blockId } from '../storage/compaction/blocks.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS } from './blocks-folder.js'

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

interface Answer {
  traces?: { traceID: string; spanSets: { matched: number }[] }[]
  metrics: { totalBlocks?: number; completedJobs?: number }
}
const HOUR_NS = 3_600_000_000_000n
const END_NS = 1_700_000_000_000_000_000n

describe('blocks search', { timeout: TIMEOUT_MS }, () => {
  test('finds in blocks of every kind what stands in them', async () => {
    await folder.addGolden('vparquet4-edge')
    await folder.addGolden('vparquet5-edge')
    const sent = shopTraces({ traces: 40 })
    await folder.add(blockId(1), sent)
    const carts = sent
      .filter((rs) => JSON.stringify(rs.resource?.attributes, big).includes('"cart"'))
      .flatMap(({ scopes }) => scopes.flatMap(({ spans }) => spans))
    const traces = new Set(carts.map(({ traceId }) => toHex(traceId)))
    const query = '{ resource.service.name = "cart" }'
    const { code, out, err } = await folder.run('search', 'shop', query, '--limit', '0')
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^TRACE +START +DURATION +MATCHED +ROOT SERVICE +ROOT SPAN$/m)
    expect(out).toContain(`${traces.size} traces; 1 of 1 blocks searched, `)
    const answer = await folder.json<Answer>('search', 'shop', query, '--limit', '0')
    const matched = answer.traces!.flatMap(({ spanSets }) => spanSets.map((set) => set.matched))
    expect(matched.reduce((a, b) => a + b)).toBe(carts.length)
    const edge = await folder.json<Answer>('search', 'single-tenant', '{ span.http.status_code = 503 }') // prettier-ignore
    expect(edge.traces).toHaveLength(1)
    expect(edge.metrics.totalBlocks).toBe(2)
  })

  test('heeds a range of time and does not read blocks outside of it', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5, end_ns: END_NS }))
    await folder.add(blockId(2), shopTraces({ seed: 2, traces: 5, end_ns: END_NS - HOUR_NS }))
    const within = async (...args: string[]) => {
      const { traces = [], metrics } = await folder.json<Answer>('search', 'shop', '{}', ...args)
      return [traces.length, metrics.totalBlocks ?? 0]
    }
    expect(await within()).toEqual([10, 2])
    expect(await within('--start', 'now-30m')).toEqual([5, 1])
    expect(await within('--end', 'now-30m')).toEqual([5, 1])
    expect(await within('--start=1699996000', '--end=2023-11-14T22:20:00Z')).toEqual([10, 2])
    expect(await within('--end', '1500000000')).toEqual([0, 0])
  })

  test('stops at blocks that are older than enough traces', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5, end_ns: END_NS }))
    await folder.add(blockId(2), shopTraces({ seed: 2, traces: 5, end_ns: END_NS - HOUR_NS }))
    await folder.add(blockId(3), shopTraces({ seed: 3, traces: 5, end_ns: END_NS - 2n * HOUR_NS }))
    const { out } = await folder.run('search', 'shop', '{}', '--limit', '5')
    expect(out).toMatch(/^5 traces; [12] of 3 blocks searched, [12] older ones could not matter, /m)
  })

  test('tells a bad query and a bad time, and what a block kept it from', async () => {
    const broken = await folder.add(blockId(1), shopTraces({ traces: 5 }))
    expect((await folder.run('search', 'shop', '{ nonsense')).code).toBe(2)
    expect((await folder.run('search', 'shop', '{} | rate()')).code).toBe(2)
    const late = await folder.run('search', 'shop', '{}', '--start', 'yesterday')
    expect([late.code, late.err]).toEqual([2, expect.stringContaining('--start is "yesterday": expected 2006-01-02T15:04:05Z')]) // prettier-ignore
    await folder.flip(broken, 'data.blockpack', broken.size - 1)
    const { code, err } = await folder.run('search', 'shop', '{}')
    expect(code).toBe(1)
    expect(err).toContain(`warning: shop/${blockId(1)} could not be read: block ${blockId(1)}: trailer at byte`) // prettier-ignore
  })
})

const big = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
