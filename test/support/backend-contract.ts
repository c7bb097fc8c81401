/** Owns what every backend must do: one list of tests run against each of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ObjectNotFound, type Backend } from '../../src/storage/backend/backend.js'

const BLOCK = '6f2b8f1e-0000-4000-8000-000000000001'
const OTHER = '6f2b8f1e-0000-4000-8000-000000000002'
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')
const bytes = (content: string) => Buffer.from(content)

/** Paths that try to leave the root, or that no store could hold. */
export const HOSTILE_PATHS = [
  '..',
  '.',
  '/etc/passwd',
  't/../../etc/passwd',
  't/./x',
  't//x',
  't/x/',
  't\\..\\x',
  't/a\0b',
  't/a\nb',
  't/%2e%2e/x',
  't/C:x',
  't/~1-0-0',
  `t/${'x'.repeat(201)}`,
  'a/b/c/d/e/f/g/h/i',
]

export function describeBackendContract(name: string, open: () => Promise<Backend>): void {
  describe(`${name} keeps the backend's contract`, () => {
    let backend: Backend
    let folder: string

    beforeAll(async () => {
      backend = await open()
      folder = await mkdtemp(join(tmpdir(), 'backend-'))
    })
    afterAll(async () => {
      await backend.close()
      await rm(folder, { recursive: true, force: true })
    })

    it('gives back what was put, whole and in ranges', async () => {
      await backend.put('t1/object', bytes('hello, world'))
      expect(text(await backend.get('t1/object'))).toBe('hello, world')
      expect(text(await backend.getRange('t1/object', 0, 5))).toBe('hello')
      expect(text(await backend.getRange('t1/object', 7, 5))).toBe('world')
    })

    it('gives an empty object and an empty range', async () => {
      await backend.put('t1/empty', bytes(''))
      expect(await backend.get('t1/empty')).toHaveLength(0)
      expect(await backend.getRange('t1/object', 3, 0)).toHaveLength(0)
    })

    it('reads the new content after an object was replaced', async () => {
      await backend.put('t1/replaced', bytes('first version'))
      expect(text(await backend.getRange('t1/replaced', 0, 5))).toBe('first')
      await backend.put('t1/replaced', bytes('other'))
      expect(text(await backend.getRange('t1/replaced', 0, 5))).toBe('other')
      expect(text(await backend.get('t1/replaced'))).toBe('other')
    })

    it('refuses a range past the end instead of giving fewer bytes', async () => {
      const tooShort = { code: 'OBJECT_TOO_SHORT', retryable: false }
      await expect(backend.getRange('t1/object', 8, 5)).rejects.toMatchObject(tooShort)
      await expect(backend.getRange('t1/object', 50, 5)).rejects.toMatchObject(tooShort)
      // More than there is memory for: the length may be out of a damaged block.
      for (const length of [2 ** 45, Number.MAX_SAFE_INTEGER - 50])
        await expect(backend.getRange('t1/object', 8, length)).rejects.toMatchObject(tooShort)
    })

    it('reads an object no further than it may', async () => {
      expect(text(await backend.get('t1/object', 12))).toBe('hello, world')
      await expect(backend.get('t1/object', 11)).rejects.toMatchObject({ code: 'OBJECT_TOO_LARGE' })
      expect(text(await backend.get('t1/object'))).toBe('hello, world')
    })

    it('says that an object is not there', async () => {
      await expect(backend.get('t1/none')).rejects.toThrow(ObjectNotFound)
      await expect(backend.getRange('t1/none', 0, 1)).rejects.toThrow(ObjectNotFound)
      await expect(backend.get(`nobody/${BLOCK}/meta.json`)).rejects.toThrow(ObjectNotFound)
    })

    it('keeps a view of a larger buffer to the view', async () => {
      await backend.put('t1/view', bytes('0123456789').subarray(3, 6))
      expect(text(await backend.get('t1/view'))).toBe('345')
    })

    it('uploads a file, and again over itself', async () => {
      const file = join(folder, 'data')
      await writeFile(file, 'file content')
      await backend.putFile(`files/${BLOCK}/data`, file)
      await backend.putFile(`files/${BLOCK}/data`, file)
      expect(text(await backend.get(`files/${BLOCK}/data`))).toBe('file content')
      expect(await backend.list(`files/${BLOCK}`)).toEqual({ folders: [], objects: ['data'] })
      await rm(file)
      expect(text(await backend.getRange(`files/${BLOCK}/data`, 5, 7))).toBe('content')
    })

    it('uploads an empty file', async () => {
      const file = join(folder, 'empty')
      await writeFile(file, '')
      await backend.putFile(`files/${OTHER}/nocompact.flg`, file)
      expect(await backend.get(`files/${OTHER}/nocompact.flg`)).toHaveLength(0)
    })

    it('fails to upload a file that is not there, and shows no object', async () => {
      await expect(backend.putFile('missing/file', join(folder, 'none'))).rejects.toThrow('none')
      expect(await backend.list('missing')).toEqual({ folders: [], objects: [] })
    })

    it('lists direct children only, sorted', async () => {
      await backend.put('l2/b/meta.json', bytes('{}'))
      await backend.put('l2/a/meta.json', bytes('{}'))
      await backend.put('l2/a/data', bytes('x'))
      await backend.put('l2/index', bytes('x'))
      await backend.put('l22/index', bytes('x'))
      expect(await backend.list('l2')).toEqual({ folders: ['a', 'b'], objects: ['index'] })
      expect(await backend.list('l2/a')).toEqual({ folders: [], objects: ['data', 'meta.json'] })
      expect((await backend.list('')).folders).toEqual(expect.arrayContaining(['l2', 'l22', 't1']))
    })

    it('lists nothing under a prefix that is not there', async () => {
      expect(await backend.list('nobody')).toEqual({ folders: [], objects: [] })
      expect(await backend.listBlocks('nobody')).toEqual(new Map())
    })

    it('lists the blocks of a tenant with their objects', async () => {
      await backend.put(`blocks/${BLOCK}/data`, bytes('x'))
      await backend.put(`blocks/${BLOCK}/meta.json`, bytes('{}'))
      await backend.put(`blocks/${OTHER}/data`, bytes('x'))
      await backend.put('blocks/index.json.gz', bytes('x'))
      const blocks = await backend.listBlocks('blocks')
      expect([...blocks]).toEqual([
        [BLOCK, ['data', 'meta.json']],
        [OTHER, ['data']],
      ])
    })

    it('deletes an object, and the same again', async () => {
      await backend.put('gone/a/x', bytes('x'))
      await backend.getRange('gone/a/x', 0, 1)
      await backend.delete('gone/a/x')
      await backend.delete('gone/a/x')
      await expect(backend.get('gone/a/x')).rejects.toThrow(ObjectNotFound)
      await expect(backend.getRange('gone/a/x', 0, 1)).rejects.toThrow(ObjectNotFound)
      expect((await backend.list('')).folders).not.toContain('gone')
    })

    it('deletes a whole block and nothing else', async () => {
      for (const name of ['data', 'bloom-0', 'meta.json']) {
        await backend.put(`del/${BLOCK}/${name}`, bytes(name))
        await backend.put(`del/${OTHER}/${name}`, bytes(name))
      }
      await backend.deleteBlock('del', BLOCK)
      await backend.deleteBlock('del', BLOCK)
      expect(await backend.list('del')).toEqual({ folders: [OTHER], objects: [] })
      expect((await backend.list(`del/${OTHER}`)).objects).toHaveLength(3)
    })

    it.each(HOSTILE_PATHS)('refuses the path %j everywhere', async (path) => {
      const refused = { code: 'INVALID_PATH', retryable: false }
      const file = join(folder, 'hostile')
      await writeFile(file, 'x')
      await expect(backend.get(path)).rejects.toMatchObject(refused)
      await expect(backend.getRange(path, 0, 1)).rejects.toMatchObject(refused)
      await expect(backend.put(path, bytes('x'))).rejects.toMatchObject(refused)
      await expect(backend.putFile(path, file)).rejects.toMatchObject(refused)
      await expect(backend.list(path)).rejects.toMatchObject(refused)
      await expect(backend.delete(path)).rejects.toMatchObject(refused)
      await expect(backend.deleteBlock(path, BLOCK)).rejects.toMatchObject(refused)
      await expect(backend.deleteBlock('t1', path)).rejects.toMatchObject(refused)
      await expect(backend.listBlocks(path)).rejects.toMatchObject(refused)
    })
  })
}
