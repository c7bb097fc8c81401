import { spawnSync } from 'node:child_process'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { createLog, silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { LocalBackend } from '../../../src/storage/backend/local.js'
import { describeBackendContract } from '../../support/backend-contract.js'
import { MemoryBackend } from '../../support/memory-backend.js'

const BLOCK = '6f2b8f1e-0000-4000-8000-000000000001'
const options = { clock: systemClock, log: silentLog }
const bytes = (content: string) => Buffer.from(content)

const folders: string[] = []
const temporaryFolder = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'local-backend-'))
  folders.push(folder)
  return folder
}
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

describeBackendContract('local', async () => new LocalBackend(await temporaryFolder(), options))
describeBackendContract(
  'local with fsync',
  async () => new LocalBackend(await temporaryFolder(), { ...options, sync: true }),
)
describeBackendContract('memory', () => Promise.resolve(new MemoryBackend()))

describe('local', () => {
  let root: string
  let backend: LocalBackend

  beforeEach(async () => {
    root = await temporaryFolder()
    backend = new LocalBackend(root, options)
  })
  afterEach(async () => {
    await backend.close()
    await rm(root, { recursive: true, force: true })
  })

  it('shows no part of an object while it is written, and leaves no temporary file', async () => {
    const long = Buffer.alloc(4 << 20, 'a')
    const writes = Array.from({ length: 8 }, () => backend.put('t/b/data', long))
    const sizes = new Set<number>()
    let isWriting = true
    const watching = (async () => {
      while (isWriting) {
        const found = await backend.get('t/b/data').catch(() => undefined)
        if (found) sizes.add(found.length)
      }
    })()
    await Promise.all(writes)
    isWriting = false
    await watching
    expect([...sizes]).toEqual([long.length])
    expect(await readdir(join(root, 't/b'))).toEqual(['data'])
  })

  it('does not list temporary files, and removes those of an earlier run only', async () => {
    await backend.put('t/b/data', bytes('x'))
    const stray = join(root, 't/b/~1-0-7')
    const ours = join(root, 't/b/~1-0-8')
    await writeFile(stray, 'half')
    await writeFile(ours, 'being written')
    const lines: string[] = []
    const log = createLog({ write: (line) => lines.push(line) })
    // A clock that says that this process started after `stray` and before `ours` was written; while we go on, it says earlier.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await writeFile(ours, 'being written')
    const between_ms = (await stat(ours)).ctimeMs - 5
    const clock = new FakeClock(between_ms + process.uptime() * 1000)
    const restarted = new LocalBackend(root, { clock, log })
    expect(await restarted.list('t/b')).toEqual({ folders: [], objects: ['data'] })
    await restarted.ensureReady()
    expect((await readdir(join(root, 't/b'))).sort()).toEqual(['data', '~1-0-8'])
    expect(lines.join('')).toContain('removed=1')
  })

  it('survives a delete that removes the folder between making it and writing into it', async () => {
    const churn = async (name: string) => {
      for (let i = 0; i < 300; i++) {
        await backend.put(`t/churn/${name}`, bytes(name))
        await backend.delete(`t/churn/${name}`)
      }
      await backend.put(`t/churn/${name}`, bytes(name))
    }
    await Promise.all([churn('a'), churn('b'), churn('c')])
    expect((await backend.list('t/churn')).objects).toEqual(['a', 'b', 'c'])
  })

  it('puts a file by linking it, so that a block is not written twice', async () => {
    const source = join(root, 'source')
    await writeFile(source, 'content')
    await backend.putFile('t/b/data', source)
    expect((await stat(join(root, 't/b/data'))).ino).toBe((await stat(source)).ino)
  })

  it('does not list symbolic links, which could lead out of the folder', async () => {
    await mkdir(join(root, 't'))
    await symlink('/etc', join(root, 't/etc'))
    expect(await backend.list('t')).toEqual({ folders: [], objects: [] })
  })

  it('keeps no more idle handles open than its bound, and closes them when idle or closed', async () => {
    const clock = new FakeClock()
    const small = new LocalBackend(root, { clock, log: silentLog, max_idle_handles: 4 })
    const files = Array.from({ length: 20 }, (_, i) => `t/b/file${i}`)
    for (const file of files) await small.put(file, bytes(file))
    const openFiles = () =>
      spawnSync('ls', ['-l', `/proc/${process.pid}/fd`], { encoding: 'utf8' })
        .stdout.split('\n')
        .filter((line) => line.includes(join(root, 't/b/'))).length
    for (let round = 0; round < 3; round++) {
      const read = await Promise.all(files.map((file) => small.getRange(file, 0, 5)))
      expect(read.every((range) => range.length === 5)).toBe(true)
    }
    await clock.settle()
    expect(openFiles()).toBeLessThanOrEqual(4)
    await clock.advance(61_000)
    expect(openFiles()).toBe(0)
    expect(clock.sleeping).toBe(0)
    await small.getRange(files[0]!, 0, 5)
    expect(openFiles()).toBe(1)
    await small.close()
    expect(openFiles()).toBe(0)
    expect(clock.sleeping).toBe(0)
  })

  it('finds an object that was not there when it was first asked for', async () => {
    await expect(backend.getRange('t/b/late', 0, 1)).rejects.toThrow('not found')
    await backend.put('t/b/late', bytes('x'))
    expect(await backend.getRange('t/b/late', 0, 1)).toHaveLength(1)
  })

  it('says in words that the root is a file, or that a parent is', async () => {
    const file = join(root, 'file')
    await writeFile(file, '')
    const broken = new LocalBackend(file, options)
    await expect(broken.ensureReady()).rejects.toThrow(
      `the backend folder cannot be used: a file is in the way of a folder (${file})`,
    )
    const below = new LocalBackend(join(file, 'below'), options)
    await expect(below.ensureReady()).rejects.toThrow('a file is in the way of a folder')
  })

  it.skipIf(process.getuid?.() === 0)('says that the folder is not writable', async () => {
    await chmod(root, 0o500)
    await expect(backend.ensureReady()).rejects.toThrow('permission denied')
    await chmod(root, 0o700)
  })

  it('deletes a block although a temporary file lies in it', async () => {
    await backend.put(`t/${BLOCK}/meta.json`, bytes('{}'))
    await writeFile(join(root, `t/${BLOCK}/~9-0-1`), 'half')
    await utimes(join(root, `t/${BLOCK}/~9-0-1`), 1, 1)
    await backend.deleteBlock('t', BLOCK)
    expect(await readdir(root)).toEqual([])
  })
})
