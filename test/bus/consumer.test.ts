/** Owns the proof of the reading side: batches, commits, fencing, lossy groups that are overrun. */
import { describe, expect, it } from 'vitest'
import { Consumer } from '../../src/bus/consumer.js'
import { Fenced } from '../../src/bus/errors.js'
import { assignGroup, groupState, revokeGroup } from '../../src/bus/group.js'
import * as at from '../../src/bus/layout.js'
import { append, isIntact, makeConsumer, makeRing, READER, WRITER } from './support.js'

const LOSSY = [{ name: 'generator', mode: 'lossy' as const }]
const BOTH = [{ name: 'store', mode: 'gating' as const }, ...LOSSY]

describe('poll', () => {
  it('gives what was appended, in memory of its own', () => {
    const ring = makeRing()
    const head = { type: 3, flags: 1, correlation: 0xfffffff0, key: Buffer.from('tenant-a') }
    ring.append(WRITER, { ...head, timestamp_ms: 12.5 }, 5, (target, start) => {
      target.set(Buffer.from('value'), start)
    })
    const batch = makeConsumer(ring).poll()!
    expect(batch).toMatchObject({ partition: 0, end: 64, bytes: 64 })
    const [record] = batch.records
    expect(record).toMatchObject({ ...head, timestamp_ms: 12.5, offset: 0, end: 64, sequence: 0 })
    expect(record!.value.toString()).toBe('value')
    expect(record!.value.buffer).not.toBeInstanceOf(SharedArrayBuffer)
    expect(record!.key.buffer).toBe(record!.value.buffer)
  })

  it('writes the next batch over the last when it may, and only then', () => {
    const ring = makeRing({ groups: ['a', 'b'].map((name) => ({ name, mode: 'gating' })) })
    const epoch = assignGroup(ring, 0, READER)
    const reusing = new Consumer(ring, 0, { actorId: READER, epoch, reusesMemory: true })
    const fresh = makeConsumer(ring, 1)
    const values = [300, 480, 32]
    const seen = values.map((length, n) => {
      append(ring, n, length)
      const [mine, theirs] = [reusing, fresh].map((consumer) => consumer.poll()!.records[0]!)
      expect(isIntact(mine!)).toBe(true)
      expect(mine!.value).toEqual(theirs!.value)
      return { mine: mine!, theirs: theirs! }
    })
    expect(seen.map(({ theirs }) => isIntact(theirs))).toEqual([true, true, true])
    expect(seen[2]!.mine.value.buffer).toBe(seen[1]!.mine.value.buffer)
    expect(isIntact(seen[1]!.mine)).toBe(false)
  })

  it('keeps to its limits, yet gives a record that is longer than a batch', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 6; n++) append(ring, n, n === 3 ? 400 : 32)
    const sizes = (limits: object) => consumer.poll(limits)?.records.map((r) => r.correlation)
    expect(sizes({ max_bytes: 128 })).toEqual([0, 1])
    expect(sizes({ max_records: 1 })).toEqual([2])
    expect(sizes({ max_bytes: 100 })).toEqual([3])
    expect(sizes({ max_bytes: 127 })).toEqual([4])
    expect(sizes({})).toEqual([5])
    expect(sizes({})).toBeUndefined()
  })

  it('begins a batch with the padding, and ends one before it', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 7; n++) append(ring, n, 480)
    consumer.commit(consumer.poll()!.end)
    append(ring, 7, 400) // leaves 64 bytes: the next becomes a padding and a record at 4096
    append(ring, 8, 100)
    expect(ring.paddingBytes).toBe(64)
    expect(consumer.poll()!.records.map((r) => r.correlation)).toEqual([7])
    expect(consumer.lag(0).records).toBe(2)
    consumer.commit(consumer.cursor)
    expect(consumer.lag(2000).seconds).toBeCloseTo((2000 - 1008) / 1000)
    const batch = consumer.poll()!
    expect(batch.records.map((r) => [r.correlation, r.offset])).toEqual([[8, 4096]])
    consumer.commit(batch.end)
    expect(consumer.lag(2000)).toEqual({ bytes: 0, records: 0, seconds: 0 })
  })

  it('crashes on bytes that no appender can have written', () => {
    const spoil = (field: number, value: number) => {
      const ring = makeRing()
      append(ring, 0, 10)
      append(ring, 1, 10)
      ring.dataWords[(64 + field) >> 2] = value
      return () => makeConsumer(ring).poll()
    }
    expect(spoil(at.STAMP_FIELD, 3)).toThrow('traces/0: no valid record at offset=64: stamp=3')
    expect(spoil(at.SEQUENCE_FIELD, 5)).toThrow('sequence=5, expected 1')
    expect(spoil(at.LENGTH_FIELD, 0)).toThrow('length=0, room=64, tail=128')
    expect(spoil(at.LENGTH_FIELD, 65)).toThrow('length=65, room=64, tail=128')
    expect(spoil(at.LENGTH_FIELD, 0xffffffff)).toThrow('length=4294967295')
    expect(spoil(at.KEY_LENGTH_FIELD, 11)).toThrow('keyLength=11')
    expect(spoil(at.TYPE_FIELD, 0)).not.toThrow() // ends the first batch there
  })
})

describe('commit', () => {
  it('is fenced, like poll, as soon as another incarnation owns the group', () => {
    const ring = makeRing()
    append(ring, 0, 10)
    const old = makeConsumer(ring)
    const { end } = old.poll()!
    const young = makeConsumer(ring) // the same actor id, the next epoch
    expect(() => old.commit(end)).toThrow(Fenced)
    expect(() => old.commit(end)).toThrow(
      'traces/0: actor 9 of epoch 1 is fenced by actor 9 of epoch 2; it must stop',
    )
    expect(() => old.poll()).toThrow(Fenced)
    expect(young.committed).toBe(0)
    expect(young.poll()!.end).toBe(end)
    revokeGroup(ring, 0)
    expect(() => young.commit(end)).toThrow(Fenced)
    expect(groupState(ring, 0)).toMatchObject({ owner: 0, epoch: 3, committed: 0 })
  })

  it('refuses an epoch that was never given', () => {
    const ring = makeRing()
    const epoch = assignGroup(ring, 0, READER)
    expect(() => new Consumer(ring, 0, { actorId: READER, epoch: epoch + 1 })).toThrow(Fenced)
  })

  it('never runs back, nor ahead of what was read', () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    const ends = [0, 1, 2].map((n) => append(ring, n, 10))
    consumer.poll({ max_records: 2 })
    expect(() => consumer.commit(ends[2]!)).toThrow(
      'cannot commit offset=192: committed=0, cursor=128',
    )
    consumer.commit(ends[1]!)
    expect(() => consumer.commit(ends[0]!)).toThrow('cannot commit offset=64')
    expect(() => consumer.commit(ends[1]! + 1)).toThrow('cannot commit offset=129')
    expect(groupState(ring, 0).committedRecords).toBe(2)
  })

  it('counts records right over a replacement that skips what its store has applied', () => {
    const ring = makeRing()
    const ends = [0, 1, 2, 3].map((n) => append(ring, n, 10))
    makeConsumer(ring).poll()
    const replacement = makeConsumer(ring, 0, ends[2])
    replacement.commit(ends[2]!)
    expect(ring.lag(0).records).toBe(1)
    expect(replacement.poll()!.records.map((r) => r.correlation)).toEqual([3])
    const last = makeConsumer(ring, 0, ends[3])
    last.commit(ends[3]!)
    expect(ring.lag(0)).toEqual({ bytes: 0, records: 0, oldest_timestamp_ms: undefined })
  })

  it('refuses to start outside of what the ring holds', () => {
    const ring = makeRing({ baseOffset: 4096 })
    append(ring, 0, 10)
    expect(() => makeConsumer(ring, 0, 4064)).toThrow('cannot seek offset=4064')
    expect(() => makeConsumer(ring, 0, 4192)).toThrow('cannot seek offset=4192')
    expect(() => makeConsumer(ring, 0, 4100)).toThrow('cannot seek offset=4100')
  })
})

describe('a lossy group', () => {
  it('never holds the appender back; overrun, it goes on at the tail and counts what it lost', () => {
    const ring = makeRing({ groups: LOSSY })
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 20; n++) expect(append(ring, n, 480)).toBeGreaterThan(0)
    expect(consumer.poll()).toBeUndefined()
    expect(consumer.cursor).toBe(ring.tail)
    append(ring, 20, 10)
    expect(consumer.poll()!.records.map((r) => r.correlation)).toEqual([20])
    expect(groupState(ring, 0)).toMatchObject({ lapped: 1, lostRecords: 20 })
    consumer.commit(consumer.cursor)
    expect(ring.lag(0).records).toBe(0)
  })

  it('is overrun by what is being written, not only by what is published', () => {
    const ring = makeRing({ groups: LOSSY })
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 8; n++) append(ring, n, 480)
    let seen: unknown = 'nothing'
    ring.append(
      WRITER,
      { type: 1, correlation: 8, key: new Uint8Array(0), timestamp_ms: 0 },
      9,
      () => {
        seen = consumer.poll({ max_records: 1 }) // record 0 is being overwritten at this moment
      },
    )
    expect(seen).toBeUndefined()
    expect(groupState(ring, 0).lapped).toBe(1)
  })

  it('gives a record that was just not overwritten', () => {
    const ring = makeRing({ groups: LOSSY })
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 8; n++) append(ring, n, 480)
    const batch = consumer.poll()!
    expect(batch.records.length).toBe(8)
    expect(batch.records.every(isIntact)).toBe(true)
    expect(groupState(ring, 0).lapped).toBe(0)
  })

  it('that finds garbage where its next record was has been overrun, and does not crash', () => {
    const ring = makeRing({ groups: LOSSY })
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 8; n++) append(ring, n, 480)
    append(ring, 8, 480) // over record 0
    for (const garbage of [0, 31, 0xffffffff, 4096, 100]) {
      consumer.seek(0)
      ring.dataWords[at.LENGTH_FIELD >> 2] = garbage
      expect(consumer.poll()).toBeUndefined()
    }
    expect(groupState(ring, 0).lapped).toBe(5)
  })

  it('that skips a padding which was overwritten has been overrun, wherever the skip led', () => {
    const ring = makeRing({ groups: LOSSY })
    const consumer = makeConsumer(ring)
    for (let n = 0; n < 7; n++) append(ring, n, 480)
    append(ring, 7, 400)
    consumer.poll()
    append(ring, 8, 100) // padding at 4032, record at 4096
    for (let n = 9; n < 16; n++) append(ring, n, 480)
    expect(append(ring, 16, 288)).toBe(4032 + 4096 + 32) // over the first half of the padding
    ring.dataWords[(4032 + at.LENGTH_FIELD) >> 2] = 32
    ring.dataWords[(4032 + at.TYPE_FIELD) >> 2] = at.PADDING_TYPE
    ring.dataWords[(4064 + at.LENGTH_FIELD) >> 2] = 32
    ring.dataWords[(4064 + at.TYPE_FIELD) >> 2] = 1
    expect(consumer.poll()).toBeUndefined()
    expect(groupState(ring, 0).lapped).toBe(1)
  })

  it('commits all that it has read, or nothing', () => {
    const ring = makeRing({ groups: BOTH })
    const consumer = makeConsumer(ring, 1)
    const end = append(ring, 0, 10)
    append(ring, 1, 10)
    consumer.poll()
    expect(() => consumer.commit(end)).toThrow('cannot commit')
    consumer.commit(consumer.cursor)
    expect(ring.committed(1)).toBe(ring.tail)
    expect(ring.committed(0)).toBe(0)
  })
})
