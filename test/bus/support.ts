/** Owns what the tests of the ring share: rings of known shape, records that can be checked, an append that must succeed. */
import { assignGroup } from '../../src/bus/group.js'
import { Consumer, type BusRecord } from '../../src/bus/consumer.js'
import { type Fill, Ring } from '../../src/bus/ring.js'
import type { RingSpec } from '../../src/bus/ring-format.js'

export const WRITER = 7
export const READER = 9

export function makeRing(spec: Partial<RingSpec> = {}): Ring {
  const groups = spec.groups ?? [{ name: 'store', mode: 'gating' }]
  return new Ring(
    Ring.create({ topic: 'traces', partition: 0, capacity_bytes: 4096, ...spec, groups }),
  )
}

export function makeConsumer(ring: Ring, group = 0, from?: number): Consumer {
  const epoch = assignGroup(ring, group, READER)
  return new Consumer(ring, group, {
    actorId: READER,
    epoch,
    ...(from === undefined ? {} : { from }),
  })
}

/** Byte i of the value of record n: a misplaced copy shows. */
export const byteOf = (n: number, i: number) => (n * 31 + i * 7) & 0xff

export const filling =
  (n: number, length: number): Fill =>
  (target, start) => {
    for (let i = 0; i < length; i++) target[start + i] = byteOf(n, i)
  }

/** Appends record n: its number is the correlation, and its bytes follow from it. */
export function append(ring: Ring, n: number, length: number, key = ''): number {
  const head = { type: 1, correlation: n, key: Buffer.from(key), timestamp_ms: 1000 + n }
  return ring.append(WRITER, head, length, filling(n, length))
}

/** Whether the record's value is that of record `correlation`. */
export function isIntact(record: BusRecord): boolean {
  return record.value.every((byte, i) => byte === byteOf(record.correlation, i))
}
