import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/lib/log.js'
import { systemClock } from '../../../src/lib/time.js'
import { BackendError, ObjectNotFound } from '../../../src/storage/backend/backend.js'
import { LocalBackend } from '../../../src/storage/backend/local.js'
import { ENTRY_BYTES, ReadCache } from '../../../src/storage/backend/read-cache.js'
import { isBlockData } from '../../../src/storage/block/registry.js'
import { describeBackendContract } from '../../support/backend-contract.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { Random } from '../../support/random.js'
import { readingThrough } from '../../support/reading-through.js'

const MIB = 2 ** 20
const A = 't/6f2b8f1e-0000-4000-8000-00000000000a/data.blockpack'
const B = 't/6f2b8f1e-0000-4000-8000-00000000000b/data.blockpack'
const blockOf = (path: string) => path.split('/')[1]!

function made(max_bytes = MIB, length = 4 * MIB) {
  const store = new MemoryBackend()
  for (const [path, first] of [[A, 1] as const, [B, 2] as const]) {
    store.objects.set(path, new Uint8Array(length).fill(first))
  }
  const counts = { hits: 0, misses: 0, evictions: 0, bytes: -1 }
  const tally = (name: 'hits' | 'misses' | 'evictions') => ({
    inc: (by = 1) => void (counts[name] += by),
  })
  const counters = {
    hits: tally('hits'),
    misses: tally('misses'),
    evictions: tally('evictions'),
    bytes: { set: (value: number) => void (counts.bytes = value) },
  }
  const cache = new ReadCache(store, { max_bytes, isImmutable: isBlockData, counters })
  return { store, cache, counts }
}

describe('a range that was read', () => {
  it('is not read again', async () => {
    const { store, cache, counts } = made()
    const first = await cache.getRange(A, 100, 50)
    expect(first).toEqual(new Uint8Array(50).fill(1))
    expect(await cache.getRange(A, 100, 50)).toBe(first)
    expect(store.reads).toBe(1)
    expect(counts).toEqual({ hits: 1, misses: 1, evictions: 0, bytes: 50 + ENTRY_BYTES })
  })

  it('is told from those of other places, lengths and objects', async () => {
    const { store, cache } = made()
    await cache.getRange(A, 100, 50)
    await cache.getRange(A, 101, 50)
    await cache.getRange(A, 100, 51)
    expect((await cache.getRange(B, 100, 50))[0]).toBe(2)
    expect(store.reads).toBe(4)
  })

  it('is read once for all who ask while it is under way', async () => {
    const { store, cache, counts } = made()
    let release!: () => void
    store.fault = () => new Promise((resolve) => (release = resolve))
    const early = cache.getRange(A, 0, 10)
    await new Promise((resolve) => setImmediate(resolve))
    const late = cache.getRange(A, 0, 10)
    release()
    expect(await late).toBe(await early)
    expect([store.reads, counts.misses, counts.hits]).toEqual([1, 1, 1])
  })

  it('that failed is not remembered', async () => {
    const { store, cache, counts } = made()
    store.fault = () => {
      throw new BackendError('slow down', true)
    }
    const reads = [cache.getRange(A, 0, 10), cache.getRange(A, 0, 10)]
    for (const read of reads) await expect(read).rejects.toThrow('slow down')
    store.fault = () => {}
    expect(await cache.getRange(A, 0, 10)).toHaveLength(10)
    store.objects.delete(B)
    await expect(cache.getRange(B, 0, 10)).rejects.toThrow(ObjectNotFound)
    store.objects.set(B, new Uint8Array(10))
    expect(await cache.getRange(B, 0, 10)).toHaveLength(10)
    expect(counts.bytes).toBe(2 * (10 + ENTRY_BYTES))
  })

  it('that came short is refused, and not kept', async () => {
    const { store, cache } = made()
    store.getRange = () => Promise.resolve(new Uint8Array(3))
    const tooShort = { code: 'OBJECT_TOO_SHORT' }
    await expect(cache.getRange(A, 0, 10)).rejects.toMatchObject(tooShort)
    expect(cache.retained_bytes).toBe(0)
  })
})

describe('ranges that are asked for together', () => {
  it('are one read when they lie near each other, and are kept one by one, without what lies between', async () => {
    const { store, cache } = made()
    const ranges = [[0, 10] as const, [50_000, 20] as const, [90_000, 30] as const]
    await Promise.all(ranges.map(([offset, length]) => cache.getRange(A, offset, length)))
    expect(store.reads).toBe(1)
    expect(cache.retained_bytes).toBe(60 + 3 * ENTRY_BYTES)
    const [, , last] = await Promise.all(
      [...ranges].map(([offset, length]) => cache.getRange(A, offset, length)),
    )
    expect(store.reads).toBe(1)
    expect(last!.buffer.byteLength).toBe(30)
  })

  it('leave out of the read what is kept', async () => {
    const { store, cache } = made()
    const lengths: number[] = []
    const getRange = store.getRange.bind(store)
    store.getRange = (path, offset, length) => {
      lengths.push(length)
      return getRange(path, offset, length)
    }
    await cache.getRange(A, 0, 1000)
    await Promise.all([cache.getRange(A, 0, 1000), cache.getRange(A, 1000, 500)])
    expect(lengths).toEqual([1000, 500])
  })
})

describe('the bound', () => {
  it('drops what was asked for least of late', async () => {
    const { store, cache, counts } = made(10 * (100 + ENTRY_BYTES))
    const range = (n: number) => cache.getRange(A, 1000 * n, 100)
    for (let n = 0; n < 10; n++) await range(n)
    await range(0)
    await range(10)
    expect([store.reads, counts.evictions]).toEqual([11, 1])
    await range(0)
    expect(store.reads).toBe(11)
    await range(1)
    expect(store.reads).toBe(12)
  })

  it('holds whatever is asked for, and counts what is kept', async () => {
    const max_bytes = 64 * 1024
    const { cache, counts } = made(max_bytes)
    const random = new Random(3)
    for (let i = 0; i < 2000; i++) {
      const length = 1 + random.below(random.oneIn(10) ? 20_000 : 600)
      await cache.getRange(random.oneIn(2) ? A : B, random.below(300) * 64, length)
      expect(cache.retained_bytes).toBeLessThanOrEqual(max_bytes)
      if (random.oneIn(100)) cache.forget(blockOf(A))
      expect(counts.bytes).toBe(cache.retained_bytes)
    }
    expect(counts.evictions).toBeGreaterThan(0)
    cache.forget(blockOf(A))
    cache.forget(blockOf(B))
    expect(cache.retained_bytes).toBe(0)
  })

  it('keeps nothing that would take an eighth of the room', async () => {
    const { store, cache } = made(80_000)
    await cache.getRange(A, 0, 10_000)
    expect(cache.retained_bytes).toBe(0)
    await cache.getRange(A, 0, 10_000 - ENTRY_BYTES)
    expect(cache.retained_bytes).toBe(10_000)
    expect(store.reads).toBe(2)
  })
})

describe('objects', () => {
  it('of a block are kept whole, its meta.json, marks and lists of blocks are not', async () => {
    const { store, cache } = made()
    const folder = `t/${blockOf(A)}`
    const kept = [`${folder}/bloom-0`, `${folder}/bloom-12`, `${folder}/index`]
    const read = [
      ...['meta.json', 'meta.compacted.json', 'nocompact.flg'].map((name) => `${folder}/${name}`),
      't/index.json.gz',
      't/index.pb.zst',
      'work.json',
    ]
    for (const path of [...kept, ...read]) store.objects.set(path, Uint8Array.of(1))
    for (let i = 0; i < 3; i++) for (const path of [...kept, ...read]) await cache.get(path)
    const gets = (path: string) => store.calls.filter((call) => call === `get ${path}`).length
    expect(kept.map(gets)).toEqual([1, 1, 1])
    expect(read.map(gets)).toEqual([3, 3, 3, 3, 3, 3])
    for (let i = 0; i < 2; i++) await cache.getRange(`${folder}/meta.json`, 0, 1)
    expect(store.reads).toBe(2)
  })

  it('are read no further than they may', async () => {
    const { store, cache } = made()
    const path = `t/${blockOf(A)}/bloom-0`
    store.objects.set(path, new Uint8Array(10))
    await cache.get(path)
    await expect(cache.get(path, 9)).rejects.toMatchObject({ code: 'OBJECT_TOO_LARGE' })
  })
})

describe('a block that is forgotten', () => {
  it('is read again, and no other is', async () => {
    const { store, cache } = made()
    for (const path of [A, B]) await cache.getRange(path, 0, 10)
    cache.forget(blockOf(A))
    expect(cache.retained_bytes).toBe(10 + ENTRY_BYTES)
    for (const path of [A, B]) await cache.getRange(path, 0, 10)
    expect(store.reads).toBe(3)
  })

  it('while it is read leaves nothing of that read behind', async () => {
    const { store, cache } = made()
    const releases: (() => void)[] = []
    store.fault = () => new Promise((resolve) => releases.push(resolve))
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const before = cache.getRange(A, 0, 10)
    await turn()
    cache.forget(blockOf(A))
    const after = cache.getRange(A, 0, 10)
    await turn()
    expect(releases).toHaveLength(2)
    releases[0]!()
    expect(await before).toHaveLength(10)
    expect(cache.retained_bytes).toBe(0)
    releases[1]!()
    expect(await cache.getRange(A, 0, 10)).toBe(await after)
    expect(store.reads).toBe(2)
  })
})

describe('over a folder', () => {
  const folders: string[] = []
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

  const withCache = async (isImmutable: (path: string) => boolean) => {
    const folder = await mkdtemp(join(tmpdir(), 'read-cache-'))
    folders.push(folder)
    const backend = new LocalBackend(folder, { clock: systemClock, log: silentLog })
    return readingThrough(backend, new ReadCache(backend, { max_bytes: MIB, isImmutable }))
  }
  describeBackendContract('a cache of what does not change', () => withCache(isBlockData))
  // What the contract replaces or deletes does change.
  const isUnchanged = (path: string) => /^(t1\/(object|empty|none|view)$|files\/|t1?\/.*[^\w/])/.test(path) // prettier-ignore
  describeBackendContract('a cache of all that does not change', () => withCache(isUnchanged))
})
