import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeFolders, makeFoldersSync } from '../../src/lib/durable-folders.js'

let root: string
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'folders-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code

describe.each([
  ['makeFolders', makeFolders],
  ['makeFoldersSync', (path: string) => Promise.resolve().then(() => makeFoldersSync(path))],
])('%s', (_, make) => {
  it('makes what is missing, and says where that begins', async () => {
    expect(await make(join(root, 'a/b/c'))).toBe(join(root, 'a'))
    expect(await make(join(root, 'a/b/d'))).toBe(join(root, 'a/b/d'))
    expect(await make(join(root, 'a/b/c'))).toBeUndefined()
    expect(statSync(join(root, 'a/b/c')).isDirectory()).toBe(true)
    expect(await make('/')).toBeUndefined()
  })

  it('ends where nothing can be made and the folder above says that it is not there', async () => {
    for (const path of ['/proc/none/data', '/proc/none', '/proc/self/none/a/b']) {
      if (process.platform === 'linux') expect(await make(path).catch(codeOf)).toBe('ENOENT')
    }
  })

  it('names a file that is in the way', async () => {
    writeFileSync(join(root, 'file'), '')
    expect(await make(join(root, 'file')).catch(codeOf)).toBe('EEXIST')
    expect(await make(join(root, 'file/a/b')).catch(codeOf)).toBe('ENOTDIR')
  })

  it('goes on when others make the same', async () => {
    const path = join(root, 'x/y/z')
    const made = await Promise.all(Array.from({ length: 20 }, () => make(path)))
    expect(existsSync(path)).toBe(true)
    expect(made).toContain(join(root, 'x'))
  })
})
