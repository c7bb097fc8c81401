import { readFile, rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { blockId } from '../storage/compaction/blocks.js'
import { Random } from '../support/random.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS } from './blocks-folder.js'

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

describe('blocks verify', { timeout: TIMEOUT_MS }, () => {
  test('finds nothing wrong with good blocks of every kind', async () => {
    const shop = await folder.add(blockId(1), shopTraces({ traces: 300 }))
    await folder.addGolden('vparquet4-edge')
    await folder.addGolden('vparquet5-edge')
    const { code, out, err } = await folder.run('verify')
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(new RegExp(`blockpack1 .* 1 +\\d+ +300 +${shop.totalSpans!} +ok$`, 'm'))
    expect(out).toMatch(/vParquet4 .* 1508 +4526 +ok$/m)
    expect(out).toMatch(/vParquet5 .* 1508 +4526 +ok$/m)
    expect(out).toContain('3 blocks, all good\n')
  })

  test('sees any one bit of a blockpack that has turned over', async () => {
    const made = await folder.add(blockId(1), shopTraces({ traces: 40 }))
    const random = new Random(7)
    for (let i = 0; i < 60; i++) {
      const at = random.below(made.size)
      await folder.flip(made, 'data.blockpack', at)
      const { code, out } = await folder.run('verify', 'shop', blockId(1))
      expect([code, at, out]).toEqual([1, at, expect.stringContaining(`block ${blockId(1)}: `)])
      await folder.flip(made, 'data.blockpack', at)
    }
  })

  test("sees a bit of Tempo's parquet that has turned over in any page", async () => {
    const made = await folder.addGolden('vparquet5-edge')
    const random = new Random(8)
    const columns = made.size - made.footerSize - 5_200 // page indexes stand before the footer
    for (let i = 0; i < 25; i++) {
      const at = 4 + random.below(columns - 4)
      await folder.flip(made, 'data.parquet', at)
      const { code, out } = await folder.run('verify', 'single-tenant', made.blockID)
      expect([code, at, out]).toEqual([1, at, expect.stringContaining(`block ${made.blockID}: `)])
      await folder.flip(made, 'data.parquet', at)
    }
  })

  test('goes on with the next block, and names block, section and byte', async () => {
    const bad = await folder.add(blockId(1), shopTraces({ traces: 20 }))
    await folder.add(blockId(2), shopTraces({ traces: 20 }))
    const odd = await folder.add(blockId(3), shopTraces({ traces: 20 }))
    await folder.flip(bad, 'data.blockpack', 8)
    await writeFile(folder.file(odd, 'meta.json'), 'no json')
    const { code, out } = await folder.run('verify', 'shop')
    expect(code).toBe(1)
    expect(out).toMatch(new RegExp(`${blockId(2)} .* ok$`, 'm'))
    expect(out).toMatch(new RegExp(`${blockId(1)} .* corrupt$`, 'm'))
    expect(out).toMatch(new RegExp(`^block ${blockId(1)}: trace.id at byte 8: checksum of page 0 does not match$`, 'm')) // prettier-ignore
    expect(out).toMatch(new RegExp(`^block ${blockId(3)}: meta.json at byte 0: `, 'm'))
    expect(out).toContain('2 of 3 blocks are not good\n')
    const one = await folder.run('verify', 'shop', blockId(3), '--json')
    expect(one.code).toBe(1)
    expect(JSON.parse(one.out)).toMatchObject({ bad: 1, blocks: [{ verdict: 'corrupt' }] })
  })

  test('holds what was counted against meta.json', async () => {
    const made = await folder.add(blockId(1), shopTraces({ traces: 20 }))
    const { totalSpans = 0, totalObjects, totalRecords } = made
    const change = { totalSpans: totalSpans + 1, totalObjects: 19, totalRecords: 2 }
    await folder.changeMeta(made, change)
    const { code, out } = await folder.run('verify', 'shop')
    expect(code).toBe(1)
    expect(out).toContain(
      `meta.json at byte 0: ${totalSpans} spans were read, meta.json says ${totalSpans + 1}; ` +
        `${totalObjects} traces were read, meta.json says 19; ${totalRecords} row groups were read, meta.json says 2`,
    )
  })

  test("misses what stands beside Tempo's data", async () => {
    const made = await folder.addGolden('vparquet4-edge')
    const bloom = folder.file(made, 'bloom-0')
    const bytes = await readFile(bloom)
    await writeFile(bloom, Buffer.concat([bytes.subarray(0, 24), Buffer.alloc(bytes.length - 24)]))
    const emptied = await folder.run('verify')
    expect([emptied.code, emptied.out]).toEqual([1, expect.stringMatching(/bloom-0 at byte 0: trace [0-9a-f]{32} is not in it, so that nobody finds it/)]) // prettier-ignore
    await rm(bloom)
    expect((await folder.run('verify')).out).toContain('bloom-0 at byte 0: the object is missing')
    await writeFile(bloom, bytes)
    await writeFile(folder.file(made, 'index'), JSON.stringify({ rowGroups: ['AAAA'] }))
    expect((await folder.run('verify')).out).toContain('index at byte 0: the last trace of row group 0 is another') // prettier-ignore
  })

  test('tells a block of another program from a broken one', async () => {
    const made = await folder.add(blockId(1), shopTraces({ traces: 5 }), { format: 'vParquet9' })
    const { code, out } = await folder.run('verify')
    expect(code).toBe(1)
    expect(out).toMatch(/ unsupported$/m)
    expect(out).toContain(`block ${made.blockID} has format vParquet9`)
  })
})
