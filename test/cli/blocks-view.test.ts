import { rename, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { blockId } from '../storage/compaction/blocks.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS } from './blocks-folder.js'

interface Viewed {
  meta: BlockMeta
  flags: string[]
  sections: { name: string; offset: number; stored_bytes: number }[]
  groups: { traces: number; spans: number; stored_bytes: number }[]
  columns: { name: string; level: string; values: number; stored_bytes: number; distinct?: number; min?: unknown; max?: unknown }[] // prettier-ignore
}

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

const sum = (list: readonly { stored_bytes: number }[]) =>
  list.reduce((total, { stored_bytes }) => total + stored_bytes, 0)

describe('blocks view', { timeout: TIMEOUT_MS }, () => {
  test('accounts for every byte of a blockpack', async () => {
    const made = await folder.add(blockId(1), shopTraces({ traces: 200 }))
    const { meta, sections, groups, columns } = await folder.json<Viewed>('view', 'shop', blockId(1)) // prettier-ignore
    expect(meta.totalSpans).toBe(made.totalSpans)
    expect(8 + sum(sections)).toBe(made.size)
    expect(sum(columns)).toBe(sections.find(({ name }) => name === 'columns')!.stored_bytes)
    expect(groups.reduce((total, { spans }) => total + spans, 0)).toBe(made.totalSpans)
    const service = columns.find(({ name }) => name === 'resource attribute string service.name')!
    expect([service.distinct, service.min, service.max]).toEqual([10, 'auth', 'shipping'])
    const pid = columns.find(({ name }) => name === 'resource attribute int process.pid')!
    expect([pid.min, pid.max]).toEqual(['100', '102'])
  })

  test("accounts for the columns of Tempo's parquet", async () => {
    const made = await folder.addGolden('vparquet4-edge')
    const { sections, columns, groups } = await folder.json<Viewed>('view', 'single-tenant', made.blockID) // prettier-ignore
    expect(4 + sum(sections)).toBe(made.size)
    expect(sum(columns)).toBe(sections[0]!.stored_bytes)
    expect(groups).toMatchObject([{ traces: 1508, spans: 4526 }])
    const ids = columns.find(({ name }) => name === 'rs.ss.Spans.SpanID')!
    expect(ids).toMatchObject({ level: 'span', values: 4526, min: '0100000000000001' })
  })

  test('says in words what a block is, by the beginning of its id', async () => {
    const { blockID } = await folder.addGolden('vparquet5-edge')
    const { code, out } = await folder.run('view', 'single-tenant', blockID.slice(0, 6))
    expect(code).toBe(0)
    expect(out).toMatch(/^spans +4526$/m)
    expect(out).toMatch(/^own columns +resource\.k8s\.cluster\.name, .*span\.http\.status_code \(int\)$/m)
    expect(out).toMatch(/^state +read$/m)
    expect(out).toMatch(/^footer +\d+ +13712 /m)
    expect(out).toMatch(/^\d+ more columns: --all shows them$/m)
  }) // prettier-ignore

  test('shows a block that is held, and one that was compacted', async () => {
    const made = await folder.add(blockId(1), shopTraces({ traces: 5 }))
    await writeFile(folder.file(made, 'nocompact.flg'), '')
    expect((await folder.json<Viewed>('view', 'shop', blockId(1))).flags).toEqual(['nocompact'])
    const marked = { ...made, compactedTime: '2023-11-14T22:20:00Z' }
    await rename(folder.file(made, 'meta.json'), folder.file(made, 'meta.compacted.json'))
    await writeFile(folder.file(made, 'meta.compacted.json'), JSON.stringify(marked))
    const { out } = await folder.run('view', 'shop', blockId(1))
    expect(out).toMatch(/^state +compacted since 2023-11-14T22:20:00Z: read by nobody/m)
  })

  test('knows one row group from another, and which there are', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 50 }))
    expect((await folder.run('view', 'shop', blockId(1), '--group', '0')).out).toMatch(/^Columns of row group 0$/m) // prettier-ignore
    const { code, err } = await folder.run('view', 'shop', blockId(1), '--group', '7')
    expect([code, err]).toEqual([2, 'tempo-actors blocks: --group 7: the block has the groups 0 to 0\n']) // prettier-ignore
  })

  test('says where there is no such block', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5 }))
    await folder.add(blockId(2), shopTraces({ traces: 5 }))
    const absent = await folder.run('view', 'shop', blockId(9))
    expect([absent.code, absent.err]).toEqual([1, `tempo-actors blocks: tenant shop has no block ${blockId(9)} in ${folder.path}\n`]) // prettier-ignore
    const several = await folder.run('view', 'shop', '0000')
    expect([several.code, several.err]).toEqual([2, 'tempo-actors blocks: 2 blocks of tenant shop begin with 0000: give more of the id\n']) // prettier-ignore
  })
})
