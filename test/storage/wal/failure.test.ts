/** Owns the tests of what happens when the disk or the folder says no: it is told as an error, and never takes the process down. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock, type Clock } from '../../../src/lib/time.js'
import { WalFailed } from '../../../src/storage/wal/errors.js'
import { LmdbEnv } from '../../../src/storage/wal/lmdb.js'
import {
  keepingLog,
  openWal,
  recordAt,
  recordsFrom,
  replayAll,
  temporaryFolder,
  told,
} from './support.js'

const fault = vi.hoisted(() => ({ commits: Infinity, neverSettles: false }))

/** A disk that is full after so many commits: what lmdb-js does then, as read in its write.js. */
vi.mock('lmdb', async (original) => {
  const real = await original<typeof import('lmdb')>()
  const open = (path: string, options: object) => {
    const db = real.open(path, options)
    const batch = db.batch.bind(db)
    db.batch = (action: () => void) => {
      if (fault.neverSettles) return new Promise(() => {})
      if (fault.commits-- > 0) return batch(action)
      const commitError = new Promise((_, reject) => {
        setTimeout(() => reject(new Error('No space left on device')), 1)
      })
      return Promise.reject(
        Object.assign(new Error('Commit failed (see commitError for details)'), { commitError }),
      )
    }
    return db
  }
  return { ...real, open }
})

describe('a write that fails', () => {
  it('is told with its cause, stops the log, and leaves all that was acknowledged', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    const [first, second, third] = recordsFrom(0, [500, 500, 500])
    await wal.append([first!], first!.endOffset)
    fault.commits = 0
    const inFlight = wal.append([second!], second!.endOffset)
    await Promise.resolve()
    const waiting = wal.append([third!], third!.endOffset)
    await expect(inFlight).rejects.toThrow(WalFailed)
    await expect(waiting).rejects.toThrow(/No space left on device; nothing of it was acknowledged/)
    expect(wal.appliedOffset).toBe(first!.endOffset)
    fault.commits = Infinity
    const later = wal.append([third!], third!.endOffset)
    await expect(later).rejects.toMatchObject({ code: 'WAL_FAILED' })
    expect(wal.failure?.reason).toBe('No space left on device')
    await wal.close()

    const again = await openWal(path)
    expect(await replayAll(again, 1)).toEqual(told([first!]))
    await again.append([second!], second!.endOffset)
    await again.close()
  })

  it('is told when lmdb-js leaves its promise pending for ever', async () => {
    let now_ms = 0
    const sleepers: (() => void)[] = []
    const clock: Clock = {
      now: () => now_ms,
      monotonic: () => now_ms,
      sleep: (delay_ms) =>
        new Promise((resolve) =>
          sleepers.push(() => {
            now_ms += delay_ms
            resolve()
          }),
        ),
    }
    const wal = await openWal(temporaryFolder(), { clock, commitTimeout_ms: 8000 })
    fault.neverSettles = true
    const stuck = wal.append([recordAt(0, 10)], 64)
    const outcome = expect(stuck).rejects.toThrow(/no commit within 10000 ms/)
    for (let i = 0; i < 10; i++) {
      sleepers.splice(0).forEach((wake) => wake())
      await new Promise(setImmediate)
    }
    await outcome
    fault.neverSettles = false
    await wal.close()
  })
})

describe('a disk that is full', () => {
  const open = (free: { bytes: number }, log = silentLog) =>
    LmdbEnv.open({
      path: temporaryFolder(),
      fsync: false,
      clock: systemClock,
      log,
      minFree_bytes: 1000,
      freeBytes: () => free.bytes,
    })
  const op = { key: Uint8Array.of(1), value: new Uint8Array(500) }

  it('is told once, holds the commit back, and lets it go on when there is room', async () => {
    const free = { bytes: 1499 }
    const { log, lines } = keepingLog()
    const env = open(free, log)
    let isDone = false
    const done = env.commit([op]).then(() => (isDone = true))
    await systemClock.sleep(600)
    expect([isDone, env.isDiskFull, lines.length]).toEqual([false, true, 1])
    expect(lines[0]).toMatch(/disk is full.* needed_bytes=1500 free_bytes=1499/)
    free.bytes = 1500
    await done
    expect(env.isDiskFull).toBe(false)
    await env.close()
  })

  it('does not hold up an ordered stop: the waiting commit fails', async () => {
    const env = open({ bytes: 0 })
    const waiting = expect(env.commit([op])).rejects.toThrow(/disk is full: 1500 bytes needed/)
    await env.close()
    await waiting
  })
})

describe('an open that fails', () => {
  const clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() }
  const open = (path: string) => LmdbEnv.open({ path, fsync: false, clock, log: silentLog })

  it.each([
    ['junk', Buffer.alloc(20_000, 'junk')],
    ['one short page', Buffer.alloc(100)],
    ['two pages of zeros', Buffer.alloc(8192)],
  ])('tells that data.mdb holds %s, where lmdb would end the process', (_, bytes) => {
    const path = temporaryFolder()
    writeFileSync(join(path, 'data.mdb'), bytes)
    expect(() => open(path)).toThrow(
      /data\.mdb \(\d+ bytes\) does not begin with two LMDB meta pages/,
    )
  })

  it('tells that a folder stands where a file should', () => {
    const path = temporaryFolder()
    mkdirSync(join(path, 'lock.mdb'))
    expect(() => open(path)).toThrow(/lock\.mdb is no file/)
  })

  it('tells that the path cannot be a folder', () => {
    const path = join(temporaryFolder(), 'file')
    writeFileSync(path, '')
    expect(() => open(path)).toThrow(WalFailed)
  })
})

describe('a file whose machine lost power', () => {
  const PAGE = 4096
  const BOOT_ID = 160

  /** A log whose last commit seems to be of another boot, and the bytes of its file. */
  async function afterReboot() {
    const path = temporaryFolder()
    const wal = await openWal(path)
    const records = recordsFrom(
      0,
      Array.from({ length: 300 }, (_, i) => (i % 7) * 900),
    )
    for (const record of records) await wal.append([record], record.endOffset)
    await wal.close()
    const file = join(path, 'wal', 'p0', '0000000001', 'data.mdb')
    const bytes = readFileSync(file)
    for (const meta of [0, PAGE]) bytes.writeBigUInt64LE(0xdeadn, meta + BOOT_ID)
    return { path, records, file, bytes }
  }

  it('is opened when all its pages are there', async () => {
    const { path, records, file, bytes } = await afterReboot()
    writeFileSync(file, bytes)
    const wal = await openWal(path)
    expect(await replayAll(wal, 1)).toEqual(told(records))
    await wal.close()
  })

  it('is set aside when a page was never written or the file is short, whichever page it is', async () => {
    const { path, file, bytes } = await afterReboot()
    const pages = bytes.length / PAGE
    let damaged = 0
    for (let page = 2; page < pages; page += 5) {
      const torn = Buffer.from(bytes)
      torn.fill(0, page * PAGE, (page + 1) * PAGE)
      rmSync(join(path, 'wal'), { recursive: true })
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, page % 2 ? torn : bytes.subarray(0, page * PAGE))
      const { log, lines } = keepingLog()
      const wal = await openWal(path, { log })
      for (const { seq } of wal.segments()) await replayAll(wal, seq)
      await wal.close()
      if (/set aside|damaged/.test(lines.join(''))) damaged++
    }
    // The rest were pages that the tree no longer used.
    expect(damaged).toBeGreaterThan(pages / 5 / 2)
  })
})
