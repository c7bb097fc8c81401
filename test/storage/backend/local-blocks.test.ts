import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LocalBlocks } from '../../../src/storage/backend/local-blocks.js'
import { blockId, meta } from '../../actors/frontend/metas.js'

let root: string
beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'tempo-actors-local-blocks-')), 'blocks')
})
afterEach(() => {
  rmSync(join(root, '..'), { recursive: true, force: true })
})

async function write(blocks: LocalBlocks, n: number): Promise<void> {
  const draft = await blocks.begin('a', blockId(n))
  const file = await draft.create('data.bin')
  await file.write(new Uint8Array(1000).fill(n))
  await file.close()
  await draft.complete(meta('a', n))
}

describe.each([false, true])('local blocks, fsync %s', (fsync) => {
  const opened = () => new LocalBlocks(root, { fsync })

  it('a block is there when it is whole, and not a moment before', async () => {
    const blocks = opened()
    const draft = await blocks.begin('a', blockId(1))
    const file = await draft.create('data.bin')
    await file.write(new Uint8Array(1000))
    await file.close()
    expect(await blocks.meta('a', blockId(1))).toBeUndefined()
    await draft.complete(meta('a', 1))
    expect(await blocks.meta('a', blockId(1))).toEqual(meta('a', 1))
    const files = await blocks.files('a', blockId(1))
    expect(files.map(({ name }) => name).sort()).toEqual(['data.bin', 'meta.json'])
    expect(files.every(({ path }) => existsSync(path))).toBe(true)
  })

  it('a draft that a crash left behind is gone after the next start, as is a deletion half done', async () => {
    const blocks = opened()
    await write(blocks, 1)
    await (await (await blocks.begin('a', blockId(2))).create('data.bin')).close()
    mkdirSync(join(root, 'a', `${blockId(3)}.deleted`))
    expect((await opened().sweep()).map((found) => found.blockID)).toEqual([blockId(1)])
    expect(readdirSync(join(root, 'a'))).toEqual([blockId(1)])
  })

  it('a second try begins clean', async () => {
    const blocks = opened()
    await (await (await blocks.begin('a', blockId(1))).create('old.bin')).close()
    await write(blocks, 1)
    const names = (await blocks.files('a', blockId(1))).map(({ name }) => name)
    expect(names.sort()).toEqual(['data.bin', 'meta.json'])
  })

  it('a deleted block is gone, and deleting it again is harmless', async () => {
    const blocks = opened()
    await write(blocks, 1)
    await blocks.delete('a', blockId(1))
    await blocks.delete('a', blockId(1))
    expect(await blocks.meta('a', blockId(1))).toBeUndefined()
    expect(readdirSync(join(root, 'a'))).toEqual([])
  })

  it('begins with nothing, not even a folder', async () => {
    expect(await opened().sweep()).toEqual([])
  })

  it.each(['', '{"format"', '[]'])(
    'a block whose meta.json is %j is set aside: it neither stops the start nor stands in the way of its rebuild',
    async (text) => {
      const blocks = opened()
      await write(blocks, 1)
      await write(blocks, 2)
      writeFileSync(join(root, 'a', blockId(1), 'meta.json'), text)
      expect((await opened().sweep()).map((found) => found.blockID)).toEqual([blockId(2)])
      await write(blocks, 1)
      expect(await blocks.meta('a', blockId(1))).toEqual(meta('a', 1))
    },
  )

  it('a block folder without a meta.json is set aside too', async () => {
    const blocks = opened()
    await write(blocks, 1)
    rmSync(join(root, 'a', blockId(1), 'meta.json'))
    expect(await opened().sweep()).toEqual([])
    await write(blocks, 1)
    expect(await blocks.sweep()).toHaveLength(1)
  })

  it('a block whose data lost its end is set aside, told with both sizes, and not given to the upload', async () => {
    const blocks = opened()
    await write(blocks, 1)
    truncateSync(join(root, 'a', blockId(1), 'data.bin'), 999)
    await expect(blocks.files('a', blockId(1))).rejects.toThrow(/999 bytes, meta.json says 1000/)
    const told: string[] = []
    expect(await blocks.sweep((folder, error) => told.push(`${folder}: ${String(error)}`))).toEqual(
      [],
    )
    expect(told.join()).toMatch(/damaged.*999 bytes, meta.json says 1000/)
    await write(blocks, 1)
    expect(await opened().sweep()).toHaveLength(1)
  })
})
