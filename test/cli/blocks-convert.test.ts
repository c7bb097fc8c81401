import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { openBlock } from '../../src/storage/block/registry.js'
import { LocalBackend } from '../../src/storage/backend/local.js'
import { tracesOf } from '../storage/block/blocks.js'
import { blockId } from '../storage/compaction/blocks.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS, runBlocks } from './blocks-folder.js'

let folder: BlocksFolder
let scratch: string
beforeEach(async () => {
  folder = await BlocksFolder.make()
  scratch = join(folder.path, '.scratch')
})
afterEach(() => folder.remove())

interface Converted {
  source: string
  meta: BlockMeta
  isReplaced: boolean
}

async function traces(root: string, meta: BlockMeta): Promise<Map<string, string[]>> {
  const backend = new LocalBackend(root, { clock: systemClock, log: silentLog })
  try {
    return await tracesOf(await openBlock(meta, backend))
  } finally {
    await backend.close()
  }
}

describe('blocks convert', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['vparquet4-edge', 'vParquet5'],
    ['vparquet5-edge', 'vParquet4'],
  ])('%s becomes %s elsewhere, and a blockpack, with every trace as it was', async (name, to) => {
    const source = await folder.addGolden(name)
    const before = await traces(folder.path, source)
    const out = join(folder.path, 'elsewhere')
    for (const target of [to, 'blockpack']) {
      const { meta } = await folder.json<Converted>('convert', 'single-tenant', source.blockID, '--to', target, '--out', out) // prettier-ignore
      expect(meta).toMatchObject({ totalSpans: 4526, totalObjects: 1508, tenantID: 'single-tenant' }) // prettier-ignore
      expect(meta.blockID).not.toBe(source.blockID)
      expect(await traces(out, meta)).toEqual(before)
    }
    const listed = await runBlocks(['verify', '--path', out])
    expect([listed.code, listed.out]).toEqual([0, expect.stringContaining('2 blocks, all good')])
    expect(await readdir(folder.folderOf(source))).toEqual(['bloom-0', 'data.parquet', 'index', 'meta.json']) // prettier-ignore
  })

  test('--replace exchanges the two as compaction does', async () => {
    const source = await folder.add(blockId(1), shopTraces({ traces: 30 }), { compactionLevel: 3, compactedFrom: [blockId(8), blockId(9)] }) // prettier-ignore
    await folder.add(blockId(9), shopTraces({ seed: 2, traces: 3 })) // not marked yet
    const before = await traces(folder.path, source)
    const { code, out, err } = await folder.run('convert', 'shop', blockId(1), '--to=vParquet5', '--replace', '--scratch', scratch) // prettier-ignore
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/vParquet5.* spans of 30 traces, verified\n/)
    expect(out).toContain(`block ${blockId(1)} is marked compacted\n`)
    const names = await readdir(folder.folderOf(source))
    expect(names).toContain('meta.compacted.json')
    expect(names).not.toContain('meta.json')
    const id = /^block (\S+)/.exec(out)![1]!
    const meta = JSON.parse(await readFile(join(folder.path, 'shop', id, 'meta.json'), 'utf8')) as BlockMeta // prettier-ignore
    expect(meta).toMatchObject({ compactionLevel: 3, compactedFrom: [blockId(1), blockId(9)] })
    expect(await traces(folder.path, meta)).toEqual(before)
    expect(await readdir(scratch)).toEqual([])
    const again = await folder.run('convert', 'shop', blockId(1), '--to=vParquet5', '--replace')
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('is compacted, so nobody reads it')]) // prettier-ignore
  })

  test('beside its source it is told that both count, and made once', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5 }))
    const first = await folder.run('convert', 'shop', blockId(1), '--to', 'vParquet4')
    expect(first.code).toBe(0)
    expect(first.err).toMatch(/^warning: .* have the same spans, and both are read now/)
    const again = await folder.run('convert', 'shop', blockId(1), '--to', 'vParquet4')
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('was converted before: it is block')]) // prettier-ignore
  })

  test('does not take a block that a store or another conversion holds, or that another stands for', async () => {
    const held = await folder.add(blockId(1), shopTraces({ traces: 5 }))
    await writeFile(folder.file(held, 'nocompact.flg'), '')
    const replace = () => folder.run('convert', 'shop', blockId(1), '--to', 'vParquet5', '--replace') // prettier-ignore
    expect((await replace()).err).toContain('a store holds a copy of it still')
    const by = { convertedBy: 'process 7 on elsewhere', since: '2023-11-14T22:13:20Z' }
    await writeFile(folder.file(held, 'nocompact.flg'), JSON.stringify(by))
    expect((await replace()).err).toContain('is being converted by process 7 on elsewhere since 2023-11-14T22:13:20Z; if that ended, delete shop/') // prettier-ignore
    await rm(folder.file(held, 'nocompact.flg'))
    await folder.add(blockId(2), shopTraces({ traces: 5 }), { compactedFrom: [blockId(1)] })
    const { code, err } = await replace()
    expect([code, err]).toEqual([1, expect.stringContaining(`block ${blockId(2)} stands for ${blockId(1)} now: nothing was changed`)]) // prettier-ignore
    expect(await readdir(folder.folderOf(held))).toEqual(['data.blockpack', 'meta.json'])
  })

  test('leaves nothing behind when the source is corrupt, when spans are missing, or when it is interrupted', async () => {
    const source = await folder.add(blockId(1), shopTraces({ traces: 30 }))
    const untouched = await readdir(folder.folderOf(source))
    const isUntouched = async () => {
      expect(await readdir(join(folder.path, 'shop'))).toEqual([blockId(1)])
      expect(await readdir(folder.folderOf(source))).toEqual(untouched)
      expect(await readdir(scratch)).toEqual([])
    }
    const args = ['convert', 'shop', blockId(1), '--to', 'vParquet5', '--replace', '--scratch', scratch] // prettier-ignore
    await folder.flip(source, 'data.blockpack', 8)
    expect((await folder.run(...args)).err).toContain('trace.id at byte 8: checksum')
    await isUntouched()
    await folder.flip(source, 'data.blockpack', 8)
    await folder.changeMeta(source, { totalSpans: source.totalSpans! + 1 })
    const short = await folder.run(...args)
    expect([short.code, short.err]).toEqual([1, expect.stringContaining('nothing was kept')])
    await isUntouched()
    await folder.changeMeta(source, {})
    const signal = AbortSignal.abort()
    expect((await runBlocks([...args, '--path', folder.path], { signal })).code).toBe(130)
    await isUntouched()
  })

  test('gives the columns that are asked for, keeps those that were chosen, and else has those of Tempo', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 20 }))
    const out = join(folder.path, 'elsewhere')
    const to = async (id: string, from: string, ...args: string[]) => {
      const run = await runBlocks(['convert', 'shop', id, '--path', from, '--json', ...args])
      expect([run.code, run.err]).toEqual([0, ''])
      return (JSON.parse(run.out) as Converted).meta
    }
    const chosen = await to(blockId(1), folder.path, '--to', 'vParquet5', '--out', out, '--dedicated', 'resource.host.name, span.http.route,resource.process.pid:int') // prettier-ignore
    const columns = [{ s: 'resource', n: 'host.name' }, { n: 'http.route' }, { s: 'resource', n: 'process.pid', t: 'int' }] // prettier-ignore
    expect(chosen.dedicatedColumns).toEqual(columns)
    const third = join(folder.path, 'third')
    await mkdir(third)
    const kept = await to(chosen.blockID, out, '--to', 'vParquet4', '--out', third)
    expect(kept.dedicatedColumns).toEqual(columns.slice(0, 2)) // vParquet4 has none for numbers
    const other = await to(blockId(1), folder.path, '--to', 'vParquet5', '--out', out)
    expect(other.dedicatedColumns).toHaveLength(14)
    expect(other.blockID).not.toBe(chosen.blockID)
    expect(existsSync(join(out, 'shop', other.blockID, 'bloom-0'))).toBe(true)
  })

  test.each([
    [['--to', 'vParquet3'], '--to is "vParquet3": expected blockpack, vParquet5, vParquet4'],
    [[], '--to is missing'],
    [['--to', 'vParquet5', '--replace', '--out', 'x'], '--replace exchanges a block in its own place'],
    [['--to', 'blockpack', '--dedicated', 'span.a'], '--dedicated is for parquet'],
    [['--to', 'vParquet5', '--dedicated', 'a.b'], '--dedicated: "a.b" is no attribute with its scope'],
  ])('refuses %j as wrong usage', async (args, text) => {
    await folder.add(blockId(1), shopTraces({ traces: 2 }))
    const { code, err } = await folder.run('convert', 'shop', blockId(1), ...args)
    expect([code, err]).toEqual([2, expect.stringContaining(text)])
  }) // prettier-ignore
})
