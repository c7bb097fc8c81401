/** Owns the proof of the completion table: when a request is done, and what late or repeated marks change (nothing). */
import { describe, expect, it } from 'vitest'
import { AckMarker, AckReceiver, Acks, NO_CORRELATION } from '../../src/bus/acks.js'
import { Random } from '../support/random.js'

function makeTable(slots = 8, partitions = 4) {
  const buffer = Acks.create({ slots, partitions })
  const committed = new Array<number>(partitions).fill(0)
  return {
    buffer,
    committed,
    committedOf: (partition: number) => committed[partition]!,
    receiver: new AckReceiver(buffer),
    marker: new AckMarker(buffer),
  }
}

const DURABLE = { kind: 'durable', rejectedSpans: 0, reason: 0 }

describe('a request', () => {
  it('is durable once all parts are routed and every touched partition has committed as far', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const id = receiver.open(2)
    marker.route(id, 1, 640)
    marker.route(id, 3, 96)
    marker.routed(id, 0)
    committed[1] = 640
    committed[3] = 96
    expect(receiver.poll(id, committedOf)).toBeUndefined() // part 1 is still on its way
    expect(receiver.describe(id, committedOf)).toBe('routed 1 of 2 parts')
    marker.route(id, 1, 960)
    marker.routed(id, 1)
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    const text = 'routed 2 of 2 parts, partition 1 lacks 320 bytes'
    expect(receiver.describe(id, committedOf)).toBe(text)
    committed[1] = 959
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    committed[1] = 4096 // a position may jump past the end
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('that is refused after it was routed is not taken for durable', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.route(id, 0, 64)
    marker.routed(id)
    expect(receiver.poll(id, committedOf)).toBeUndefined() // its ends are known and final now
    marker.refuse(id, 3, 7)
    committed[0] = 64
    expect(receiver.poll(id, committedOf)).toMatchObject({ kind: 'refused', code: 3, detail1: 7 })
  })

  it('of which nothing was worth a record is durable at once', () => {
    const { receiver, marker, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.routed(id)
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('waits for the farthest of its ends, in whatever order they are noted', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.route(id, 2, 2 ** 50)
    marker.route(id, 2, 64)
    marker.routed(id)
    committed[2] = 2 ** 50 - 32
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    committed[2] = 2 ** 50
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('carries the rejected spans of all its records, and the first reason', () => {
    const { receiver, marker, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.reject(id, 3, 7)
    marker.reject(id, 4, 9)
    marker.routed(id)
    expect(receiver.poll(id, committedOf)).toEqual({ kind: 'durable', rejectedSpans: 7, reason: 7 })
    marker.reject(id, 2 ** 32, 9)
    expect(receiver.poll(id, committedOf)).toMatchObject({ rejectedSpans: 2 ** 32 - 1 })
  })

  it('is refused as a whole, at once, by the first refusal', () => {
    const { receiver, marker, committedOf } = makeTable()
    const id = receiver.open(3)
    marker.route(id, 0, 32)
    marker.refuse(id, 4, 5_000_001, 5_000_000)
    marker.refuse(id, 5, 1, 1)
    const refusal = { kind: 'refused', code: 4, detail1: 5_000_001, detail2: 5_000_000 }
    expect(receiver.poll(id, committedOf)).toEqual(refusal)
  })

  it('takes all 32 parts, and no more', () => {
    const { receiver, marker, committedOf } = makeTable()
    const id = receiver.open(32)
    for (let part = 0; part < 32; part++) {
      expect(receiver.poll(id, committedOf)).toBeUndefined()
      marker.routed(id, part)
    }
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
    expect(() => receiver.open(33)).toThrow('parts=33')
    expect(() => receiver.open(0)).toThrow('parts=0')
    expect(() => marker.routed(receiver.open(2), 2)).toThrow('no part 2 in a request of 2')
  })
})

describe('the receiver', () => {
  it('is woken by the mark only when no commit is still to come', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const wakes = () => Atomics.load(receiver.marked.words, receiver.marked.word)
    const before = wakes()
    const ahead = receiver.open(1)
    marker.route(ahead, 0, 320)
    marker.route(ahead, 1, 640)
    committed[0] = 320
    marker.routed(ahead, 0, committedOf) // the commit of partition 1 will wake it
    expect(wakes()).toBe(before)
    const late = receiver.open(1)
    marker.route(late, 0, 640)
    committed[0] = 640 // the livestore was faster than the mark: its wake saw an unrouted request
    marker.routed(late, 0, committedOf)
    expect(wakes()).toBe(before + 1)
    marker.routed(receiver.open(1), 0, committedOf) // nothing of it is stored: no commit comes
    expect(wakes()).toBe(before + 2)
  })
})

describe('a distributor that dies', () => {
  it('after routing some is replaced by one that routes the whole part again, and the ack waits for that', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.route(id, 0, 320)
    marker.route(id, 1, 320) // and dies
    committed[0] = committed[1] = 320
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    marker.route(id, 0, 640)
    marker.route(id, 1, 640)
    marker.routed(id)
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    committed[0] = committed[1] = 640
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('after marking a part does not mark another part by its second run', () => {
    const { receiver, marker, committedOf } = makeTable()
    const id = receiver.open(2)
    marker.routed(id, 0)
    marker.routed(id, 0)
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    marker.routed(id, 1)
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('after the request was seen complete cannot hold it open again', () => {
    const { receiver, marker, committed, committedOf } = makeTable()
    const id = receiver.open(1)
    marker.route(id, 0, 32)
    marker.routed(id)
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    marker.route(id, 0, 640) // the second run's duplicates; what was acknowledged is before them
    committed[0] = 32
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })
})

describe('a closed request', () => {
  it('is deaf: late marks say false and touch no later request in the same slot', () => {
    const { receiver, marker, committed, committedOf } = makeTable(1)
    const late = receiver.open(1)
    marker.route(late, 0, 6400)
    marker.reject(late, 5, 1)
    marker.refuse(late, 1)
    receiver.close(late)
    expect(marker.route(late, 0, 640)).toBe(false)
    expect(receiver.poll(late, committedOf)).toBeUndefined()
    const id = receiver.open(1)
    expect(id).not.toBe(late)
    expect(marker.route(late, 0, 64000)).toBe(false)
    expect(marker.routed(late)).toBe(false)
    expect(marker.reject(late, 9, 9)).toBe(false)
    expect(marker.refuse(late, 9)).toBe(false)
    receiver.close(late)
    expect(receiver.openCount).toBe(1)
    expect(receiver.poll(id, committedOf)).toBeUndefined()
    marker.route(id, 1, 32)
    marker.routed(id)
    committed[1] = 32
    expect(receiver.poll(id, committedOf)).toEqual(DURABLE)
  })

  it('of a dead receiver is closed by its replacement, which never repeats its correlations', () => {
    const { buffer, receiver, marker, committedOf } = makeTable(4)
    const old = [1, 2, 3, 4].map(() => receiver.open(1))
    expect(receiver.open(1)).toBe(NO_CORRELATION)
    const replacement = new AckReceiver(buffer)
    expect(replacement.openCount).toBe(0)
    expect(marker.routed(old[0]!)).toBe(false)
    const young = [1, 2, 3, 4].map(() => replacement.open(1))
    expect(new Set([...old, ...young]).size).toBe(8)
    expect(replacement.poll(old[1]!, committedOf)).toBeUndefined()
  })

  it('leaves nothing alive when the generations of its slot come round', () => {
    const { receiver, marker, committedOf } = makeTable(1)
    const first = receiver.open(1)
    marker.refuse(first, 1)
    marker.route(first, 0, 32000)
    receiver.close(first)
    for (let n = 1; n < 65535; n++) receiver.close(receiver.open(1))
    const again = receiver.open(1)
    expect(again).toBe(first)
    expect(receiver.poll(again, committedOf)).toBeUndefined()
    marker.routed(again)
    expect(receiver.poll(again, committedOf)).toEqual(DURABLE)
  })
})

it('answers 0 when every slot is taken, and serves again after a close', () => {
  const { receiver } = makeTable(2)
  const [a, b] = [receiver.open(1), receiver.open(1)]
  expect([a, b].every((id) => id > 0)).toBe(true)
  expect(receiver.open(1)).toBe(NO_CORRELATION)
  receiver.close(a)
  receiver.close(a)
  expect(receiver.openCount).toBe(1)
  expect(receiver.open(1)).toBeGreaterThan(0)
  expect(receiver.open(1)).toBe(NO_CORRELATION)
})

it('says the numbers when the memory is no table, or of an impossible shape', () => {
  expect(() => new AckMarker(new SharedArrayBuffer(4096))).toThrow('magic=0x0, version=0')
  expect(() => Acks.create({ slots: 100 })).toThrow('slots=100')
  expect(() => Acks.create({ partitions: 17 })).toThrow('partitions=17')
  const { marker, receiver } = makeTable()
  const id = receiver.open(1)
  expect(() => marker.route(id, 4, 32)).toThrow('partition=4 of 4')
  expect(() => marker.route(id, 0, 33)).toThrow('end=33')
})

it.each([1, 2, 3])('agrees with a model of many requests at once, seed %d', (seed) => {
  const random = new Random(seed)
  const { receiver, marker, committed, committedOf } = makeTable(16, 3)
  type Model = { parts: number; routed: Set<number>; ends: number[]; final?: number[] }
  const open = new Map<number, Model>()
  const closed: number[] = []
  const tails = [0, 0, 0]
  let durable = 0
  for (let step = 0; step < 3_000; step++) {
    const ids = [...open.keys()]
    if (ids.length === 0 || random.oneIn(6)) {
      const parts = 1 + random.below(4)
      const id = receiver.open(parts)
      expect(id === NO_CORRELATION).toBe(open.size === 16)
      if (id !== NO_CORRELATION) open.set(id, { parts, routed: new Set(), ends: [0, 0, 0] })
      continue
    }
    const id = random.pick(ids)
    const model = open.get(id)!
    const partition = random.below(3)
    const dice = random.below(5)
    if (dice === 0) {
      tails[partition]! += 32 * (1 + random.below(20))
      marker.route(id, partition, tails[partition]!)
      model.ends[partition] = tails[partition]!
    } else if (dice === 1) {
      const part = random.below(model.parts)
      marker.routed(id, part)
      model.routed.add(part)
    } else if (dice === 2) {
      committed[partition]! += random.below(tails[partition]! - committed[partition]! + 1)
    } else if (closed.length > 0 && dice === 3) {
      const late = random.pick(closed)
      expect(marker.route(late, partition, 2 ** 40)).toBe(false)
      expect(marker.routed(late)).toBe(false)
      expect(marker.refuse(late, 1)).toBe(false)
    }
    if (model.routed.size === model.parts) model.final ??= [...model.ends]
    const isDone = model.final?.every((end, p) => committed[p]! >= end) ?? false
    expect(receiver.poll(id, committedOf)).toEqual(isDone ? DURABLE : undefined)
    if (isDone || random.oneIn(100)) {
      durable += isDone ? 1 : 0
      receiver.close(id)
      open.delete(id)
      closed.push(id)
    }
  }
  expect(durable).toBeGreaterThan(80)
})

it('wakes the receiver when a part is routed, a request refused, but not for a closed one', () => {
  const { receiver, marker } = makeTable()
  const { words, word } = receiver.marked
  const id = receiver.open(1)
  marker.routed(id)
  expect(Atomics.load(words, word)).toBe(1)
  marker.refuse(id, 1)
  expect(Atomics.load(words, word)).toBe(2)
  receiver.close(id)
  marker.routed(id)
  expect(Atomics.load(words, word)).toBe(2)
})
