/** Owns the proof of the ring's appending side: what it writes, refuses, survives. */
import { describe, expect, it } from 'vitest'
import { countAttempt } from '../../src/bus/group.js'
import * as at from '../../src/bus/layout.js'
import { acquireLock, lockHolder } from '../../src/bus/lock.js'
import { BACK_PRESSURED, RECORD_TOO_LONG, releaseDeadOwner, Ring } from '../../src/bus/ring.js'
import { Random } from '../support/random.js'
import { append, isIntact, makeConsumer, makeRing, WRITER } from './support.js'

const HEAD = { type: 1, correlation: 0, key: new Uint8Array(0), timestamp_ms: 0 }
const NO_FILL = () => {}

describe('format', () => {
  it('says the numbers when it is given something that is no ring', () => {
    expect(() => new Ring(new SharedArrayBuffer(64))).toThrow('not a ring: bytes=64, header=4096')
    expect(() => new Ring(new SharedArrayBuffer(8192))).toThrow('not a ring: magic=0x0')
    const { buffer } = makeRing()
    new Int32Array(buffer)[at.VERSION_OFFSET >> 2] = 2
    expect(() => new Ring(buffer)).toThrow('ring of another version: version=2, expected 1')
    const wrong = makeRing().buffer
    new Int32Array(wrong)[at.CAPACITY_OFFSET >> 2] = 8192
    expect(() => new Ring(wrong)).toThrow('bytes=8192, expected 12288 (capacity=8192)')
  })

  it('refuses a capacity that is no power of two, and a base that is not aligned', () => {
    expect(() => makeRing({ capacity_bytes: 5000 })).toThrow('capacity=5000')
    expect(() => makeRing({ capacity_bytes: 2 ** 29 })).toThrow('capacity=536870912')
    expect(() => makeRing({ baseOffset: 33 })).toThrow('baseOffset=33')
  })

  it('knows its names again in another thread', () => {
    const groups = [
      { name: 'livestore', mode: 'gating' as const },
      { name: 'generator', mode: 'lossy' as const },
    ]
    const ring = new Ring(makeRing({ topic: 'traces', partition: 3, groups }).buffer)
    expect(ring.label).toBe('traces/3')
    expect(ring.groups).toEqual(groups.map((g, index) => ({ ...g, index })))
    expect(ring.groupIndex('generator')).toBe(1)
    expect(() => ring.groupIndex('querier')).toThrow('it has: livestore, generator')
  })
})

describe('append', () => {
  it.each([0, 2 ** 31 - 4096, 2 ** 32 - 4096, 2 ** 37 - 96, 2 ** 45])(
    'wraps at every residue of the ring (offsets from %d)',
    (baseOffset) => {
      const ring = makeRing({ baseOffset })
      const consumer = makeConsumer(ring)
      let n = 0
      // Aligned lengths 32..480 are coprime enough with 4096 that records end at each multiple of 32.
      const residues = new Set<number>()
      while (residues.size < 4096 / 32) {
        const length = (n * 53) % 450
        const end = append(ring, n, length)
        const { records } = consumer.poll()!
        const [record] = records
        const found = [records.length, record!.correlation, record!.value.length, record!.end]
        expect([...found, isIntact(record!)]).toEqual([1, n, length, end, true])
        consumer.commit(end)
        residues.add(end % 4096)
        if (++n > 5000) throw new Error(`only ${residues.size} residues`)
      }
    },
  )

  it('is refused when the ring is full, and taken again once the gating group commits', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 8; n++) expect(append(ring, n, 480)).toBe(512 * (n + 1))
    expect(append(ring, 8, 0)).toBe(BACK_PRESSURED)
    expect(ring.hasSpace(0, 0)).toBe(false)
    expect(ring.rejected).toBe(1)
    consumer.poll()
    expect(append(ring, 8, 0)).toBe(BACK_PRESSURED)
    consumer.commit(512)
    expect(ring.hasSpace(0, 480)).toBe(true)
    expect(append(ring, 8, 480)).toBe(4096 + 512)
    expect(append(ring, 9, 0)).toBe(BACK_PRESSURED)
  })

  it('is held back by the slowest of several gating groups', () => {
    const groups = [
      { name: 'fast', mode: 'gating' as const },
      { name: 'slow', mode: 'gating' as const },
    ]
    const ring = makeRing({ groups })
    const fast = makeConsumer(ring, 0)
    const slow = makeConsumer(ring, 1)
    for (let n = 0; n < 8; n++) append(ring, n, 480)
    fast.commit(fast.poll()!.end)
    expect(append(ring, 8, 0)).toBe(BACK_PRESSURED)
    slow.poll()
    slow.commit(512)
    expect(append(ring, 8, 0)).toBeGreaterThan(0)
  })

  it('takes a record of the maximum, and nothing longer, wherever the tail is', () => {
    for (let lead = 0; lead < 4096; lead += 32) {
      const ring = makeRing()
      const consumer = makeConsumer(ring)
      for (let offset = 0; offset < lead; offset += 32) append(ring, 0, 0)
      while (consumer.committed < lead) consumer.commit(consumer.poll()!.end)
      expect(append(ring, 1, 1024 - 32 + 1)).toBe(RECORD_TOO_LONG)
      expect(append(ring, 1, 1024 - 32)).toBeGreaterThan(lead)
      const [record] = consumer.poll()!.records
      expect(record!.value.length).toBe(1024 - 32)
      expect(isIntact(record!)).toBe(true)
    }
  })

  it('counts the key in the length, and refuses a key that its field cannot say', () => {
    const ring = makeRing({ capacity_bytes: 2 ** 20 })
    const key = new Uint8Array(65536)
    expect(ring.append(WRITER, { ...HEAD, key }, 0, NO_FILL)).toBe(RECORD_TOO_LONG)
    expect(ring.append(WRITER, { ...HEAD, key: key.subarray(1) }, 0, NO_FILL)).toBeGreaterThan(0)
    const [record] = makeConsumer(ring).poll()!.records
    expect(record!.key.length).toBe(65535)
  })

  it('throws on a type or length that no record can have', () => {
    const ring = makeRing()
    expect(() => ring.append(WRITER, { ...HEAD, type: 0 }, 0, NO_FILL)).toThrow('type=0')
    expect(() => ring.append(WRITER, { ...HEAD, type: 65536 }, 0, NO_FILL)).toThrow('type=65536')
    expect(() => ring.append(WRITER, HEAD, -1, NO_FILL)).toThrow('valueLength=-1')
    expect(() => ring.append(WRITER, HEAD, NaN, NO_FILL)).toThrow('valueLength=NaN')
    expect(ring.tail).toBe(0)
  })

  it('publishes nothing and frees the lock when fill throws', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    append(ring, 1, 100)
    const fail = () => {
      throw new Error('no bytes')
    }
    expect(() => ring.append(WRITER, HEAD, 200, fail)).toThrow('no bytes')
    expect(lockHolder(ring.words)).toBe(0)
    expect(ring.tail).toBe(160)
    append(ring, 2, 50)
    const batch = consumer.poll()!
    expect(batch.records.map((r) => r.correlation)).toEqual([1, 2])
    expect(batch.records.every(isIntact)).toBe(true)
    expect(ring.appendedRecords).toBe(2)
  })

  it('refuses an append from within a fill instead of waiting for itself', () => {
    const ring = makeRing()
    const nested = () => void append(ring, 1, 1)
    expect(() => ring.append(WRITER, HEAD, 1, nested)).toThrow('already holds the append lock')
    expect(lockHolder(ring.words)).toBe(0)
    expect(append(ring, 2, 1)).toBe(64)
  })
})

describe('a dead appender', () => {
  /** Dies as terminate() lets it: somewhere between lock and unlock, no `finally` run. */
  const dieWithLock = (ring: Ring, dead: number) => {
    expect(acquireLock(ring.words, dead)).toBe(true)
  }

  it('holds nobody up once it is released, and a live holder is never released', () => {
    const ring = makeRing()
    dieWithLock(ring, 5)
    expect(releaseDeadOwner(ring.buffer, 6)).toBe(false)
    expect(append(ring, 1, 10)).toBe(BACK_PRESSURED)
    expect(releaseDeadOwner(ring.buffer, 5)).toBe(true)
    expect(append(ring, 1, 10)).toBe(64)
    expect(releaseDeadOwner(ring.buffer, 5)).toBe(false)
  })

  it('that wrote half a record leaves none', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    append(ring, 1, 100)
    dieWithLock(ring, 5)
    Atomics.store(ring.longs, at.INTENT_OFFSET >> 3, 160n + 512n)
    ring.data.fill(0xff, 160, 400)
    releaseDeadOwner(ring.buffer, 5)
    expect(consumer.poll()!.records.length).toBe(1)
    append(ring, 2, 20)
    expect(ring.intent).toBe(160 + 512) // what was dirtied stays announced
    const [record] = consumer.poll()!.records
    expect([record!.correlation, record!.value.length]).toEqual([2, 20])
  })

  it.each([
    ['before', 1],
    ['after', 2],
  ])('that died just %s its publish leaves the number of records right', (when, records) => {
    const ring = makeRing()
    append(ring, 0, 0)
    const end = when === 'after' ? append(ring, 1, 0) : 64
    ring.floats[at.APPENDED_RECORDS_OFFSET >> 3] = 1
    ring.floats[at.PENDING_RECORDS_OFFSET >> 3] = 2
    ring.floats[at.PENDING_END_OFFSET >> 3] = end
    append(ring, 2, 0)
    expect(ring.appendedRecords).toBe(records + 1)
    const sequences = makeConsumer(ring)
      .poll()!
      .records.map((r) => r.sequence)
    expect(sequences).toEqual(when === 'after' ? [0, 1, 2] : [0, 1])
  })
})

it('crashes rather than overwrite when a committed position is out of the ring', () => {
  const ring = makeRing()
  for (let n = 0; n < 8; n++) append(ring, n, 480)
  Atomics.store(ring.longs, (at.GROUPS_OFFSET + at.COMMITTED_OFFSET) >> 3, 8192n)
  expect(() => append(ring, 8, 0)).toThrow('committed=8192, tail=4096, capacity=4096')
  expect(lockHolder(ring.words)).toBe(0)
})

it('counts attempts until a commit moves', () => {
  const ring = makeRing()
  append(ring, 1, 0)
  expect(countAttempt(ring, 0)).toBe(1)
  expect(countAttempt(ring, 0)).toBe(2)
  const consumer = makeConsumer(ring)
  const { end } = consumer.poll()!
  consumer.commit(consumer.committed)
  expect(countAttempt(ring, 0)).toBe(3)
  consumer.commit(end)
  expect(countAttempt(ring, 0)).toBe(1)
})

it.each([1, 2, 3, 4, 5, 6])(
  'agrees with an array through random appends and reads, seed %d',
  (seed) => {
    const random = new Random(seed)
    const ring = makeRing({ capacity_bytes: 8192, baseOffset: 2 ** 32 - 8192 })
    let consumer = makeConsumer(ring)
    const model: { n: number; length: number; end: number }[] = []
    let read = 0
    let done = 0
    let n = 0
    for (let step = 0; step < 2000; step++) {
      const dice = random.below(10)
      if (dice < 5) {
        const length = random.below(random.below(4) === 0 ? 1000 : 200)
        const end = append(ring, n, length, 'k'.repeat(random.below(3)))
        if (length + 34 <= 1024) expect(end).not.toBe(RECORD_TOO_LONG)
        if (end > 0) model.push({ n: n++, length, end })
        else if (end === BACK_PRESSURED)
          expect(ring.tail - consumer.committed).toBeGreaterThan(6000)
      } else if (dice < 8) {
        const limits = { max_bytes: 1 + random.below(3000), max_records: 1 + random.below(8) }
        const batch = consumer.poll(limits)
        if (batch === undefined) expect(read).toBe(model.length)
        for (const record of batch?.records ?? []) {
          const expected = model[read++]!
          expect([record.correlation, record.value.length, record.end]).toEqual([
            expected.n,
            expected.length,
            expected.end,
          ])
          expect(isIntact(record)).toBe(true)
        }
      } else if (dice === 8 && read > done) {
        done += 1 + random.below(read - done)
        consumer.commit(model[done - 1]!.end)
        const behind = model.length - done
        expect(ring.lag(0).records).toBe(behind)
        expect(ring.lag(0).oldest_timestamp_ms).toBe(
          behind === 0 ? undefined : 1000 + model[done]!.n,
        )
      } else if (dice === 9 && random.below(20) === 0) {
        consumer = makeConsumer(ring)
        read = done
      }
    }
    expect(n).toBeGreaterThan(250)
  },
)
