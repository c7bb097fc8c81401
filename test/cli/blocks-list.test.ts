import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../../src/lib/fake-clock.js'
import { blockId } from '../storage/compaction/blocks.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS, runBlocks } from './blocks-folder.js'

interface Listed {
  tenants: {
    tenant: string
    blocks: { id: string; spans?: number; flags: string[]; age_s: number }[]
    totals: { spans: number; traces: number; size_bytes: number }
  }[]
  rejected: { block: string; reason: string }[]
}

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

describe('blocks list', { timeout: TIMEOUT_MS }, () => {
  test('says of each block what meta.json says, and adds it up', async () => {
    const small = await folder.add(blockId(1), shopTraces({ seed: 1, traces: 20 }))
    const large = await folder.add(blockId(2), shopTraces({ seed: 2, traces: 60 }))
    const { code, out, err } = await folder.run('list', 'shop', '--sort', 'spans', '--reverse')
    expect([code, err]).toEqual([0, ''])
    const [head, first, second, , totals] = out.split('\n')
    expect(head).toMatch(/^ID +VERSION +LVL +TRACES +SPANS +SIZE +B\/SPAN +START +END +DURATION +AGE +FLAGS$/) // prettier-ignore
    expect(first).toMatch(new RegExp(`^${blockId(2)} +blockpack1 +0 +60 +${large.totalSpans!} `))
    expect(second).toMatch(new RegExp(`^${blockId(1)} +blockpack1 +0 +20 +${small.totalSpans!} `))
    expect(second).toMatch(/2023-11-14T22:1\d:\d\dZ +2023-11-14T22:1\d:\d\dZ +\d+s +(9m|10m)/)
    expect(totals).toMatch(new RegExp(`^2 blocks +80 +${small.totalSpans! + large.totalSpans!} `))
  })

  test('tells which blocks are read by nobody, and which compaction leaves alone', async () => {
    const spans = shopTraces({ traces: 5 })
    const [input, held, gone] = [await folder.add(blockId(1), spans), await folder.add(blockId(2), spans), await folder.add(blockId(3), spans)] // prettier-ignore
    await folder.add(blockId(4), spans, { compactedFrom: [input.blockID], compactionLevel: 1 })
    await writeFile(folder.file(held, 'nocompact.flg'), '')
    await rename(folder.file(gone, 'meta.json'), folder.file(gone, 'meta.compacted.json'))
    const flags = (list: Listed) =>
      Object.fromEntries(list.tenants[0]!.blocks.map((block) => [block.id, block.flags]))
    expect(flags(await folder.json<Listed>('list', 'shop', '--sort=id'))).toEqual({
      [blockId(1)]: ['replaced'],
      [blockId(2)]: ['nocompact'],
      [blockId(4)]: [],
    })
    const all = flags(await folder.json<Listed>('list', '--tenant', 'shop', '--include-compacted'))
    expect(all[blockId(3)]).toEqual(['compacted'])
  })

  test('lists every tenant, and tells of a meta.json that cannot be used', async () => {
    await folder.addGolden('vparquet4-edge')
    await folder.addGolden('vparquet5-edge')
    const broken = await folder.add(blockId(1), shopTraces({ traces: 5 }))
    await folder.add(blockId(2), shopTraces({ traces: 5 }))
    await writeFile(folder.file(broken, 'meta.json'), '{}')
    const { code, out, err } = await folder.run('list')
    expect(code).toBe(0)
    expect(out).toMatch(/^tenant shop\n[^]*\ntenant single-tenant\n/)
    expect(out).toMatch(/\n2 blocks +3016 +- +/)
    expect(err).toMatch(new RegExp(`^warning: shop/${blockId(1)} is left out`))
    const { tenants, rejected } = await folder.json<Listed>('list')
    expect(tenants.map(({ tenant }) => tenant)).toEqual(['shop', 'single-tenant'])
    expect(rejected).toHaveLength(1)
  })

  test('is not quiet about what is not there', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5 }))
    expect(await folder.run('list', 'nobody')).toEqual({
      code: 1,
      out: '',
      err: `tempo-actors blocks: tenant nobody has no blocks in ${folder.path}: others there are shop\n`,
    })
    const missing = join(folder.path, 'not-here')
    const { code, err } = await runBlocks(['list', '--path', missing])
    expect([code, err]).toEqual([1, `tempo-actors blocks: there is no folder ${missing}: --path names the folder of the blocks, --bucket or --config another place\n`]) // prettier-ignore
  })
})

describe('the command line', { timeout: TIMEOUT_MS }, () => {
  test.each([
    [['lsit'], 'unknown command "lsit": list, '],
    [['list', '--jsn'], 'unknown flag --jsn: did you mean --json?'],
    [['list', '--sort', 'colour'], '--sort is "colour": expected id, version,'],
    [['list', 'a', '--tenant', 'b'], 'two tenants are named: a and b'],
    [['list', '../up'], '"../up" is no tenant'],
    [['view', 'shop'], 'view takes a tenant and a block'],
    [['view', 'shop', 'zz'], '"zz" is no block id'],
    [['find', 'shop', 'xyz'], 'trace ids are 1 to 32 hex digits'],
    [['verify', 'a', 'b', 'c'], 'verify takes a tenant and a block at most'],
    [['list', '--bucket', 'b'], 'give --path (a folder) or --bucket, not both'],
  ])('refuses %j as wrong usage', async (args, text) => {
    const { code, out, err } = await folder.run(...args)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(text)
  })

  test("takes the server's settings, tempo-cli's bucket, and Go's single dash", async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5 }))
    const config = join(folder.path, 'single.yaml')
    const at = JSON.stringify(folder.path)
    await writeFile(config, `storage: { trace: { backend: local, local: { path: ${at} } } }`)
    for (const where of [
      [`--config=${config}`],
      ['-c', config],
      ['-storage.trace.local.path', folder.path],
      ['--backend=local', '--bucket', folder.path],
    ]) {
      const { code, out, err } = await runBlocks(['list', ...where])
      expect([code, err, where]).toEqual([0, '', where])
      expect(out).toContain(blockId(1))
    }
    const { code, err } = await runBlocks(['list', '--backend', 's3'])
    expect([code, err]).toEqual([1, 'tempo-actors blocks: --backend: storage.trace.s3.bucket is needed for backend: s3\n']) // prettier-ignore
  })

  test('prints its help, which is no answer to nothing', async () => {
    expect((await runBlocks([])).code).toBe(2)
    const { code, out } = await runBlocks(['--help'])
    expect(code).toBe(0)
    expect(out).toMatch(/^Usage: tempo-actors blocks COMMAND/)
  })

  test('writes nothing into a folder that it looks at', async () => {
    const empty = join(folder.path, 'empty')
    await mkdir(empty)
    const { code, out } = await runBlocks(['list', '--path', empty])
    expect([code, out]).toEqual([0, `no blocks in ${empty}\n`])
  })

  test('draws a bar for who looks at a terminal only, and takes it away', async () => {
    for (let i = 0; i < 3; i++) await folder.add(blockId(i), shopTraces({ seed: i, traces: 5 }))
    const args = ['verify', '--path', folder.path]
    // A clock on which every look is half a second later.
    class Hurried extends FakeClock {
      #looks = 0
      override monotonic(): number {
        return 500 * this.#looks++
      }
    }
    const seen = await runBlocks(args, { isTerminal: true, clock: new Hurried() })
    expect(seen.err).toMatch(/\[#+\.*\] +\d+% /)
    expect(seen.err.endsWith('\r\x1b[K')).toBe(true)
    expect((await runBlocks(args, { isTerminal: false, clock: new Hurried() })).err).toBe('')
    expect((await runBlocks([...args, '--quiet'], { isTerminal: true, clock: new Hurried() })).err).toBe('') // prettier-ignore
  })
})
