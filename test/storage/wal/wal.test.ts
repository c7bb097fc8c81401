/** Owns the tests of the write-ahead log as its one user sees it: append, rotate, drop, replay, and what a crash leaves. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import {
  FORMAT_VERSION,
  HEADER_KEY,
  PROGRESS_KEY,
  encodeHeader,
} from '../../../src/storage/wal/keys.js'
import { LmdbEnv } from '../../../src/storage/wal/lmdb.js'
import {
  append,
  blockOne,
  blockTwo,
  keepingLog,
  openWal,
  recordAt,
  recordsFrom,
  replayAll,
  temporaryFolder,
  told,
} from './support.js'

const folderOf = (path: string, seq: number) =>
  join(path, 'wal', 'p0', String(seq).padStart(10, '0'))

describe('append and replay', () => {
  it('gives back every record once, in order, byte for byte, after it was opened again', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    expect(wal.appliedOffset).toBe(0)
    const records = recordsFrom(64, [1, 0, 1000, 80_000, 33, 255_000, 300_000, 7])
    for (const record of records) await append(wal, [record])
    await wal.close()

    const again = await openWal(path)
    expect(again.appliedOffset).toBe(records.at(-1)!.endOffset)
    expect(await replayAll(again, again.current.seq)).toEqual(told(records))
    expect(again.current).toMatchObject({ recordCount: 8, size_bytes: 636_041, isClosed: false })
    await again.close()
  })

  it('keeps the order of appends that come while a commit is in flight', async () => {
    const wal = await openWal(temporaryFolder())
    const records = recordsFrom(
      0,
      Array.from({ length: 200 }, (_, i) => (i * 977) % 5000),
    )
    await Promise.all(records.map((record) => append(wal, [record])))
    expect(await replayAll(wal, 1)).toEqual(told(records))
    await wal.close()
  })

  it('takes an append from the very continuation of the one before', async () => {
    const wal = await openWal(temporaryFolder())
    for (const record of recordsFrom(0, [10, 20, 30])) await wal.append([record], record.endOffset)
    expect(wal.current.recordCount).toBe(3)
    await wal.close()
  })

  it('copies the bytes before it returns, so that a ring may reuse them', async () => {
    const wal = await openWal(temporaryFolder())
    const shared = new Uint8Array(new SharedArrayBuffer(2000))
    const record = { ...recordAt(0, 2000), bytes: shared }
    shared.fill(7)
    const done = append(wal, [record])
    shared.fill(9)
    await done
    const bytes = new Uint8Array(2000).fill(7)
    expect(await replayAll(wal, 1)).toEqual(told([{ ...record, bytes }]))
    await wal.close()
  })

  it('holds a record of 20 MiB, which is more than lmdb-js hands out as a copy', async () => {
    const wal = await openWal(temporaryFolder())
    const before = recordAt(0, 10)
    const big = { ...recordAt(before.endOffset, 10), bytes: new Uint8Array(20 << 20).fill(5) }
    big.bytes[19 << 20] = 6
    const after = recordAt(big.endOffset, 10)
    await append(wal, [before, big, after])
    const found = await replayAll(wal, 1)
    expect(found).toEqual(told([before, big, after]))
    const fromBig = await replayAll(wal, 1, big.startOffset)
    expect(fromBig).toEqual(told([big, after]))
    await wal.close()
  })

  it('replays from an offset without the records before it, at every offset', async () => {
    const wal = await openWal(temporaryFolder())
    const records = recordsFrom(
      0,
      Array.from({ length: 40 }, (_, i) => (i % 4) * 40_000),
    )
    for (let i = 0; i < records.length; i += 5) await append(wal, records.slice(i, i + 5))
    for (const { startOffset } of records) {
      const found = await replayAll(wal, 1, startOffset)
      expect(found).toEqual(told(records.filter((record) => record.endOffset > startOffset)))
    }
    expect(await replayAll(wal, 1, records.at(-1)!.endOffset)).toEqual([])
    await wal.close()
  })

  it('replays at most a frame at a time', async () => {
    const wal = await openWal(temporaryFolder())
    await append(
      wal,
      recordsFrom(
        0,
        Array.from({ length: 1000 }, () => 2000),
      ),
    )
    let total = 0
    for await (const records of wal.replay(1)) {
      const size = records.reduce((sum, record) => sum + record.bytes.length, 0)
      expect(size).toBeLessThanOrEqual(256 * 1024)
      total += records.length
    }
    expect(total).toBe(1000)
    await wal.close()
  })

  it('gives its memory back in a long replay, while reads and appends go on', async () => {
    const wal = await openWal(temporaryFolder())
    const bytes = new Uint8Array(7 << 20).fill(3)
    const records = recordsFrom(
      0,
      Array.from({ length: 12 }, () => 0),
    ).map((record) => {
      const startOffset = record.startOffset * 2 ** 20
      return { ...record, bytes, startOffset, endOffset: startOffset + 2 ** 24 }
    })
    for (const record of records) await append(wal, [record])
    const appends: Promise<void>[] = []
    let at = records.at(-1)!.endOffset
    const counts = [0, 0]
    const reader = async (i: number) => {
      for await (const found of wal.replay(1)) {
        counts[i]! += found.length
        const record = recordAt(at, 100)
        at = record.endOffset
        appends.push(append(wal, [record]))
      }
    }
    await Promise.all([reader(0), reader(1)])
    await Promise.all(appends)
    expect(counts).toEqual([12, 12])
    expect(wal.current.recordCount).toBe(36)
    expect(wal.appliedOffset).toBe(at)
    await wal.close()
  })

  it('moves the offset without records, as for a batch that was all refused', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    await wal.append([], 4096)
    await wal.close()
    const again = await openWal(path)
    expect(again.appliedOffset).toBe(4096)
    await again.close()
  })

  it('refuses offsets that run backwards, loudly, before anything is written', async () => {
    const wal = await openWal(temporaryFolder())
    await append(wal, [recordAt(320, 10)])
    expect(() => wal.append([recordAt(0, 10)], 1000)).toThrow(/record 0\.\.64 after offset 384/)
    expect(() => wal.append([recordAt(384, 10)], 384)).toThrow(/applied offset 384 is before/)
    await wal.close()
  })

  it('grows past the address space it began with', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path, { mapSize_bytes: 1 << 20 })
    const records = recordsFrom(
      0,
      Array.from({ length: 60 }, () => 100_000),
    )
    for (const record of records) await append(wal, [record])
    await wal.close()
    const again = await openWal(path, { mapSize_bytes: 1 << 20 })
    expect(await replayAll(again, 1)).toEqual(told(records))
    await append(again, [recordAt(records.at(-1)!.endOffset, 3_000_000)])
    await again.close()
  })
})

describe('tenants', () => {
  it('commits the block of a tenant with its first record, and finds both again', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    expect(wal.blockOf('single-tenant')).toBeUndefined()
    await append(wal, [recordAt(0, 10), recordAt(64, 10, 'other')])
    await wal.close()
    const again = await openWal(path)
    expect(again.current.blocks).toEqual(
      new Map([
        ['single-tenant', blockOne],
        ['other', blockTwo],
      ]),
    )
    expect(again.blockOf('other')).toBe(blockTwo)
    await again.close()
  })

  it('refuses a second block for a tenant in the same segment, and takes one in the next', async () => {
    const wal = await openWal(temporaryFolder())
    await append(wal, [recordAt(0, 10)])
    const moved = { ...recordAt(64, 10), blockId: blockTwo }
    expect(() => wal.append([moved], moved.endOffset)).toThrow(/has block 1111/)
    await wal.rotate()
    expect(wal.blockOf('single-tenant')).toBeUndefined()
    await append(wal, [moved])
    expect(wal.current.blocks.get('single-tenant')).toBe(blockTwo)
    await wal.close()
  })

  it('does not tell a tenant whose record is not committed yet', async () => {
    const wal = await openWal(temporaryFolder())
    const done = append(wal, [recordAt(0, 10)])
    expect(wal.current.blocks.size).toBe(0)
    expect(wal.blockOf('single-tenant')).toBe(blockOne)
    await done
    expect(wal.current.blocks.size).toBe(1)
    await wal.close()
  })
})

describe('segments', () => {
  it('rotates: the old one is closed with its offset, the new one begins there', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    const [first, second] = recordsFrom(0, [100, 100])
    await append(wal, [first!])
    const closed = await wal.rotate()
    expect(closed).toMatchObject({
      seq: 1,
      isClosed: true,
      appliedOffset: first!.endOffset,
      baseOffset: 0,
    })
    expect(wal.current).toMatchObject({ seq: 2, isClosed: false, baseOffset: first!.endOffset })
    expect(wal.appliedOffset).toBe(first!.endOffset)
    await append(wal, [second!])
    await wal.close()

    const again = await openWal(path)
    expect(again.segments().map(({ seq, isClosed }) => [seq, isClosed])).toEqual([
      [1, true],
      [2, false],
    ])
    expect(await replayAll(again, 1)).toEqual(told([first!]))
    expect(await replayAll(again, 2)).toEqual(told([second!]))
    await again.close()
  })

  it('drops the files of a closed segment and never the current one', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    await append(wal, [recordAt(0, 10)])
    await expect(wal.drop(1)).rejects.toThrow(/segment 1 .* is not closed/)
    await wal.rotate()
    await wal.drop(1)
    expect(readdirSync(join(path, 'wal', 'p0'))).toEqual(['0000000002'])
    await wal.close()
    const again = await openWal(path)
    expect(again.appliedOffset).toBe(64)
    await again.close()
  })

  it('does not drop what is being replayed', async () => {
    const wal = await openWal(temporaryFolder())
    await append(wal, [recordAt(0, 10)])
    await wal.rotate()
    for await (const _ of wal.replay(1)) await expect(wal.drop(1)).rejects.toThrow(/being replayed/)
    await wal.drop(1)
    await wal.close()
  })

  it('removes what a crash left of a drop', async () => {
    const path = temporaryFolder()
    await (await openWal(path)).close()
    const left = folderOf(path, 7) + '.dropping'
    mkdirSync(left)
    writeFileSync(join(left, 'data.mdb'), 'half')
    const wal = await openWal(path)
    expect(existsSync(left)).toBe(false)
    expect(wal.current.seq).toBe(1)
    await wal.close()
  })

  it('goes on after a crash between closing a segment and beginning the next', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    await append(wal, [recordAt(0, 10)])
    await wal.rotate()
    await wal.close()
    for (const torn of ['no folder', 'empty folder', 'empty file', 'no header'] as const) {
      const [, newest] = readdirSync(join(path, 'wal', 'p0')).sort()
      rmSync(join(path, 'wal', 'p0', newest!), { recursive: true })
      if (torn !== 'no folder') mkdirSync(folderOf(path, 2))
      if (torn === 'empty file') writeFileSync(join(folderOf(path, 2), 'data.mdb'), '')
      if (torn === 'no header') {
        await LmdbEnv.open({
          path: folderOf(path, 2),
          fsync: false,
          clock: systemClock,
          log: silentLog,
        }).close()
      }
      const again = await openWal(path)
      expect(again.segments().map(({ isClosed }) => isClosed)).toEqual([true, false])
      expect(again.appliedOffset).toBe(64)
      await append(again, [recordAt(64, 10)])
      await again.close()
    }
  })

  it('refuses a newer format with the path, both versions and what to do', async () => {
    const path = temporaryFolder()
    await (await openWal(path)).close()
    const header = {
      format: FORMAT_VERSION + 1,
      partition: 0,
      seq: 1,
      baseOffset: 0,
      createdAt_ms: 0,
    }
    const env = LmdbEnv.open({
      path: folderOf(path, 1),
      fsync: false,
      clock: systemClock,
      log: silentLog,
    })
    await env.commit([{ key: HEADER_KEY, value: encodeHeader(header) }])
    await env.close()
    await expect(openWal(path)).rejects.toMatchObject({
      code: 'WAL_VERSION_UNSUPPORTED',
      message: expect.stringMatching(
        /p0\/0000000001 has format version 2, .* up to 1: a newer tempo-actors wrote it/,
      ) as string,
    })
  })

  it('sets a damaged segment aside with a line in the log, and keeps its files', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    await append(wal, [recordAt(0, 10)])
    await wal.rotate()
    await wal.close()
    const env = LmdbEnv.open({
      path: folderOf(path, 1),
      fsync: false,
      clock: systemClock,
      log: silentLog,
    })
    await env.commit([{ key: PROGRESS_KEY, value: undefined }])
    await env.close()
    writeFileSync(join(folderOf(path, 2), 'data.mdb'), Buffer.alloc(20_000, 'junk'))
    const { log, lines } = keepingLog()
    const again = await openWal(path, { log })
    expect(again.current.seq).toBe(3)
    expect(lines.filter((line) => line.includes('set aside')).length).toBe(2)
    expect(
      readdirSync(join(path, 'wal', 'p0')).filter((name) => name.includes('.damaged-')).length,
    ).toBe(2)
    await again.close()
  })

  it('leaves out a frame whose bytes have changed on disk, tells it, and gives the rest', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path)
    const records = recordsFrom(0, [3000, 3000, 3000])
    for (const record of records) await append(wal, [record])
    await wal.close()
    const file = join(folderOf(path, 1), 'data.mdb')
    const bytes = readFileSync(file)
    const at = bytes.indexOf(records[1]!.bytes.subarray(0, 64))
    bytes[at + 5]! ^= 1
    writeFileSync(file, bytes)
    const { log, lines } = keepingLog()
    const again = await openWal(path, { log })
    expect(await replayAll(again, 1)).toEqual(told([records[0]!, records[2]!]))
    expect(lines.join('')).toMatch(/frame is damaged.*frame=1/)
    await again.close()
  })

  it('works the same when every commit is flushed to disk', async () => {
    const path = temporaryFolder()
    const wal = await openWal(path, { sync: 'flushed' })
    const records = recordsFrom(0, [100, 50_000])
    for (const record of records) await append(wal, [record])
    await wal.rotate()
    await wal.close()
    const again = await openWal(path, { sync: 'flushed' })
    expect(await replayAll(again, 1)).toEqual(told(records))
    await again.close()
  })
})
