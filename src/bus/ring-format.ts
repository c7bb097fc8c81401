/** Owns the making and the checking of a ring's memory: what is written once, and refused when it is something else. */
import { assert } from '../lib/assert.js'
import { BusFormatError } from './errors.js'
import * as at from './layout.js'

export type GroupMode = 'gating' | 'lossy'

export interface GroupSpec {
  name: string
  mode: GroupMode // gating holds appenders back until it commits; lossy may be overrun, and counts it
}

export interface RingSpec {
  topic: string
  partition: number
  capacity_bytes: number // a power of two, 4 KiB to 256 MiB
  baseOffset?: number // where offsets begin, a multiple of 32; default 0
  groups: readonly GroupSpec[]
}

/** Makes the memory of an empty ring. */
export function createRingBuffer(spec: RingSpec): SharedArrayBuffer {
  checkSpec(spec)
  const { capacity_bytes, groups, partition, topic, baseOffset = 0 } = spec
  const buffer = new SharedArrayBuffer(at.HEADER_LENGTH + capacity_bytes)
  const words = new Int32Array(buffer)
  const longs = new BigInt64Array(buffer)
  words[at.VERSION_OFFSET >> 2] = at.RING_VERSION
  words[at.CAPACITY_OFFSET >> 2] = capacity_bytes
  words[at.GROUP_COUNT_OFFSET >> 2] = groups.length
  words[at.PARTITION_OFFSET >> 2] = partition
  longs[at.BASE_OFFSET >> 3] = BigInt(baseOffset)
  longs[at.TAIL_OFFSET >> 3] = BigInt(baseOffset)
  longs[at.INTENT_OFFSET >> 3] = BigInt(baseOffset)
  writeName(buffer, at.TOPIC_NAME_OFFSET, topic)
  for (const [index, group] of groups.entries()) {
    const slot = at.GROUPS_OFFSET + index * at.GROUP_LENGTH
    longs[(slot + at.COMMITTED_OFFSET) >> 3] = BigInt(baseOffset)
    words[(slot + at.MODE_OFFSET) >> 2] = group.mode === 'gating' ? at.MODE_GATING : at.MODE_LOSSY
    writeName(buffer, slot + at.GROUP_NAME_OFFSET, group.name)
  }
  Atomics.store(words, at.MAGIC_OFFSET >> 2, at.RING_MAGIC)
  return buffer
}

function checkSpec(spec: RingSpec): void {
  const { capacity_bytes: capacity, groups, partition, topic, baseOffset = 0 } = spec
  const isPower = Number.isInteger(Math.log2(capacity))
  const { CAPACITY_BYTES_MIN: min, CAPACITY_BYTES_MAX: max } = at
  assert(
    isPower && capacity >= min && capacity <= max,
    `ring ${topic}: capacity must be a power of two, ${min} to ${max} bytes: capacity=${capacity}`,
  )
  assert(
    Number.isSafeInteger(baseOffset) && baseOffset >= 0 && baseOffset % at.RECORD_ALIGNMENT === 0,
    `ring ${topic}: baseOffset must be a multiple of ${at.RECORD_ALIGNMENT}: baseOffset=${baseOffset}`,
  )
  assert(
    Number.isInteger(partition) && partition >= 0,
    `ring ${topic}: partition must not be negative: partition=${partition}`,
  )
  assert(
    groups.length <= at.GROUPS_MAX,
    `ring ${topic}: at most ${at.GROUPS_MAX} groups: groups=${groups.length}`,
  )
  const names = new Set(groups.map((g) => g.name))
  assert(names.size === groups.length, `ring ${topic}: two groups have the same name`)
}

/** Throws BusFormatError, with the numbers, when the memory is no ring of this version. */
export function checkFormat(buffer: SharedArrayBuffer): void {
  const size = buffer.byteLength
  if (size < at.HEADER_LENGTH) {
    throw new BusFormatError(`not a ring: bytes=${size}, header=${at.HEADER_LENGTH}`)
  }
  const words = new Uint32Array(buffer, 0, 8)
  const magic = words[at.MAGIC_OFFSET >> 2]!
  const version = words[at.VERSION_OFFSET >> 2]!
  const capacity = words[at.CAPACITY_OFFSET >> 2]!
  if (magic !== at.RING_MAGIC) {
    const found = `0x${magic.toString(16)}, expected 0x${at.RING_MAGIC.toString(16)}`
    throw new BusFormatError(`not a ring: magic=${found}`)
  }
  if (version !== at.RING_VERSION) {
    throw new BusFormatError(
      `ring of another version: version=${version}, expected ${at.RING_VERSION}`,
    )
  }
  if (size !== at.HEADER_LENGTH + capacity) {
    const expected = at.HEADER_LENGTH + capacity
    throw new BusFormatError(
      `ring of another size: bytes=${size}, expected ${expected} (capacity=${capacity})`,
    )
  }
}

function writeName(buffer: SharedArrayBuffer, offset: number, name: string): void {
  const bytes = new TextEncoder().encode(name)
  assert(
    bytes.length > 0 && bytes.length <= at.NAME_LENGTH_MAX,
    `a name has 1 to ${at.NAME_LENGTH_MAX} bytes: "${name}" has ${bytes.length}`,
  )
  const target = new Uint8Array(buffer, offset)
  target[0] = bytes.length
  target.set(bytes, 1)
}

/** A name from the header. Copied out first: TextDecoder refuses shared memory. */
export function readName(buffer: SharedArrayBuffer, offset: number): string {
  const source = new Uint8Array(buffer, offset, at.NAME_LENGTH_MAX + 1)
  return new TextDecoder().decode(source.slice(1, 1 + source[0]!))
}
