/**
 * Owns one partition: an append-only log in one SharedArrayBuffer with one published tail.
 *
 * Appenders take a one-word lock, readers take none. A record exists once `tail` has passed it, so
 * a thread may die at any instruction of an append: what it half wrote lies past `tail` and the next
 * appender writes over it. Offsets are byte positions that only grow; they outlive the process in the
 * write-ahead log, from which the next process takes its `baseOffset`.
 */
import { BusCorruptError, BusNameError } from './errors.js'
import * as at from './layout.js'
import { acquireLock, releaseLock, releaseLockOfDead } from './lock.js'
import { type ParkingSpot, Waiter, wake, type WaitOptions } from './parking.js'
import {
  checkFormat,
  createRingBuffer,
  type GroupSpec,
  readName,
  type RingSpec,
} from './ring-format.js'

/** The record does not fit before the gating groups commit; nothing was written. Wait with `waitForSpace`. */
export const BACK_PRESSURED = -1
/** The record is longer than `maxRecordLength` (or its key than 65,535 bytes) and never fits; split it. */
export const RECORD_TOO_LONG = -2

/** What an appender says of a record besides its value. */
export interface RecordHead {
  type: number // 1..65535
  flags?: number // default 0
  correlation: number // u32; 0 = nobody waits for it
  key: Uint8Array
  timestamp_ms: number
}

/**
 * Writes the value: exactly `valueLength` bytes of `target`, the ring's memory, from `start`. It runs under
 * the append lock, so it copies and does nothing else. If it throws, the record does not exist.
 */
export type Fill = (target: Uint8Array<SharedArrayBuffer>, start: number) => void

export interface GroupInfo extends GroupSpec {
  readonly index: number
}

/** How far a group is behind the tail. */
export interface Lag {
  bytes: number
  records: number
  oldest_timestamp_ms: number | undefined // of the first record not committed; undefined when there is none
}

const align = (length: number) => (length + at.RECORD_ALIGNMENT - 1) & ~(at.RECORD_ALIGNMENT - 1)

/** One thread's view of a ring. Any number of threads may hold one on the same buffer. */
export class Ring {
  readonly buffer: SharedArrayBuffer
  readonly topic: string
  readonly partition: number
  readonly capacity_bytes: number
  readonly baseOffset: number
  readonly groups: readonly GroupInfo[]
  /** The longest header + key + value that is taken. */
  readonly maxRecordLength: number
  /** Consumers park here: a record was published. */
  readonly published: ParkingSpot
  /** Appenders and those who wait for acks park here: a group has committed. */
  readonly space: ParkingSpot

  // For the files of src/bus only: views of shared memory never leave it, save through a Fill.
  readonly words: Int32Array<SharedArrayBuffer>
  readonly longs: BigInt64Array<SharedArrayBuffer>
  readonly floats: Float64Array<SharedArrayBuffer>
  readonly data: Uint8Array<SharedArrayBuffer>
  readonly dataWords: Uint32Array<SharedArrayBuffer>
  readonly dataFloats: Float64Array<SharedArrayBuffer>

  readonly #mask: number
  readonly #gating: readonly number[]
  readonly #spaceWaiter: Waiter
  /** End that appends may reach: no lower than this, as committed positions only grow. */
  #limit = 0

  /** Makes the memory of an empty ring. */
  static create(spec: RingSpec): SharedArrayBuffer {
    return createRingBuffer(spec)
  }

  constructor(buffer: SharedArrayBuffer) {
    checkFormat(buffer)
    this.buffer = buffer
    this.words = new Int32Array(buffer)
    this.longs = new BigInt64Array(buffer)
    this.floats = new Float64Array(buffer)
    this.data = new Uint8Array(buffer, at.HEADER_LENGTH)
    this.dataWords = new Uint32Array(buffer, at.HEADER_LENGTH)
    this.dataFloats = new Float64Array(buffer, at.HEADER_LENGTH)
    this.topic = readName(buffer, at.TOPIC_NAME_OFFSET)
    this.partition = this.words[at.PARTITION_OFFSET >> 2]!
    this.capacity_bytes = this.words[at.CAPACITY_OFFSET >> 2]!
    this.baseOffset = Number(this.longs[at.BASE_OFFSET >> 3]!)
    this.maxRecordLength = this.capacity_bytes / at.RECORDS_PER_RING_MIN
    this.#mask = this.capacity_bytes - 1
    const { words } = this
    this.published = { words, word: at.SIGNAL_OFFSET >> 2, waiters: at.SIGNAL_WAITERS_OFFSET >> 2 }
    this.space = { words, word: at.SPACE_OFFSET >> 2, waiters: at.SPACE_WAITERS_OFFSET >> 2 }
    this.groups = Array.from({ length: words[at.GROUP_COUNT_OFFSET >> 2]! }, (_, index) => {
      const slot = at.GROUPS_OFFSET + index * at.GROUP_LENGTH
      const isGating = words[(slot + at.MODE_OFFSET) >> 2] === at.MODE_GATING
      const name = readName(buffer, slot + at.GROUP_NAME_OFFSET)
      return { index, name, mode: isGating ? 'gating' : 'lossy' }
    })
    this.#gating = this.groups.filter((g) => g.mode === 'gating').map((g) => g.index)
    this.#spaceWaiter = new Waiter(this.space)
  }

  /** End of the last record; the next one (or its padding) begins here. */
  get tail(): number {
    return Number(Atomics.load(this.longs, at.TAIL_OFFSET >> 3))
  }

  /** Bytes before `intent - capacity` may be overwritten at this moment. */
  get intent(): number {
    return Number(Atomics.load(this.longs, at.INTENT_OFFSET >> 3))
  }

  /** Up to where the group is done, for ever. */
  committed(group: number): number {
    const slot = at.GROUPS_OFFSET + group * at.GROUP_LENGTH
    return Number(Atomics.load(this.longs, (slot + at.COMMITTED_OFFSET) >> 3))
  }

  get appendedRecords(): number {
    return this.floats[at.APPENDED_RECORDS_OFFSET >> 3]!
  }

  get paddingBytes(): number {
    return this.floats[at.PADDING_BYTES_OFFSET >> 3]!
  }

  /** How many appends were answered BACK_PRESSURED. */
  get rejected(): number {
    return Number(Atomics.load(this.longs, at.REJECTED_OFFSET >> 3))
  }

  groupIndex(name: string): number {
    const group = this.groups.find((g) => g.name === name)
    if (group !== undefined) return group.index
    const known = this.groups.map((g) => g.name).join(', ')
    throw new BusNameError(`${this.label} has no group ${name}; it has: ${known}`)
  }

  /** "traces/3", for errors and logs. */
  get label(): string {
    return `${this.topic}/${this.partition}`
  }

  /** Position in `data` of an offset. The bitwise operator is modulo 2^32 for any exact integer. */
  indexOf(offset: number): number {
    return offset & this.#mask
  }

  /**
   * Appends one record. Returns its END offset (> 0): whoever waits for it waits until `committed` is at
   * least that. Otherwise BACK_PRESSURED or RECORD_TOO_LONG, and nothing was written. Thread contract: any thread,
   * not from within a Fill of this ring; `actorId` is unique to the incarnation of the actor.
   */
  append(actorId: number, head: RecordHead, valueLength: number, fill: Fill): number {
    const length = at.RECORD_HEADER_LENGTH + head.key.length + valueLength
    if (length > this.maxRecordLength || head.key.length > at.KEY_LENGTH_MAX) return RECORD_TOO_LONG
    if (!(valueLength >= 0) || !(head.type > at.PADDING_TYPE) || head.type > at.TYPE_MAX) {
      throw badRecord(this.label, head.type, valueLength)
    }
    if (!acquireLock(this.words, actorId)) return this.#reject()
    let end: number
    try {
      this.#settleCounts()
      const tail = this.tail
      const padding = this.#paddingAt(tail, align(length))
      end = tail + padding + align(length)
      if (end > this.#limit && end > this.#checkedLimit(tail)) return this.#reject()
      this.#announce(end)
      if (padding > 0) this.#writePadding(tail, padding)
      const start = this.#writeHead(tail + padding, length, actorId, head)
      fill(this.data, start)
      this.#publish(end, padding)
    } finally {
      releaseLock(this.words, actorId)
    }
    wake(this.published)
    return end
  }

  /** True when a record of that many key and value bytes would be taken now, other appenders aside. */
  hasSpace(keyLength: number, valueLength: number): boolean {
    const tail = this.tail
    const aligned = align(at.RECORD_HEADER_LENGTH + keyLength + valueLength)
    const end = tail + this.#paddingAt(tail, aligned) + aligned
    return end <= this.#limit || end <= this.#readLimit()
  }

  /** Resolves true once the record may be tried again; false when the time is over or the signal was given. */
  waitForSpace(
    keyLength: number,
    valueLength: number,
    options: WaitOptions = {},
  ): Promise<boolean> {
    return this.#spaceWaiter.until(() => this.hasSpace(keyLength, valueLength), options)
  }

  /** How far a group is behind, read from any thread without stopping anyone. */
  lag(group: number): Lag {
    const slot = (at.GROUPS_OFFSET + group * at.GROUP_LENGTH + at.COMMITTED_RECORDS_OFFSET) >> 3
    const committed = this.committed(group)
    const bytes = Math.max(0, this.tail - committed)
    const records = Math.max(0, this.appendedRecords - this.floats[slot]!)
    return { bytes, records, oldest_timestamp_ms: this.#timestampAt(committed) }
  }

  #reject(): number {
    Atomics.add(this.longs, at.REJECTED_OFFSET >> 3, 1n)
    return BACK_PRESSURED
  }

  #paddingAt(tail: number, aligned: number): number {
    const room = this.capacity_bytes - this.indexOf(tail)
    return aligned > room ? room : 0
  }

  #readLimit(): number {
    let committed = Infinity
    for (const group of this.#gating) committed = Math.min(committed, this.committed(group))
    this.#limit = committed + this.capacity_bytes
    return this.#limit
  }

  /** Under the lock, where `tail` stands still: every gating group must be within one capacity behind it. */
  #checkedLimit(tail: number): number {
    for (const group of this.#gating) {
      const position = this.committed(group)
      const isInside = position <= tail && tail - position <= this.capacity_bytes
      if (!isInside) throw badCommitted(this, group, position, tail)
    }
    return this.#readLimit()
  }

  /** Tells lossy readers what is about to be overwritten. Never lowered: a death may have left dirt up to there. */
  #announce(end: number): void {
    if (end <= this.intent) return
    Atomics.store(this.longs, at.INTENT_OFFSET >> 3, BigInt(end))
    // A store-release lets the plain stores that follow pass it on ARM; a read-modify-write does not.
    Atomics.add(this.words, at.SIGNAL_OFFSET >> 2, 0)
  }

  #writePadding(offset: number, length: number): void {
    const word = this.indexOf(offset) >> 2
    this.dataWords[word + (at.LENGTH_FIELD >> 2)] = length
    this.dataWords[word + (at.TYPE_FIELD >> 2)] = at.PADDING_TYPE
    this.dataWords[word + (at.STAMP_FIELD >> 2)] = offset / at.RECORD_ALIGNMENT
    this.dataWords[word + (at.SEQUENCE_FIELD >> 2)] = this.appendedRecords
  }

  /** Writes header and key; answers where the value begins. Numbers are stored modulo 2^32. */
  #writeHead(offset: number, length: number, actorId: number, head: RecordHead): number {
    const { dataWords } = this
    const index = this.indexOf(offset)
    const word = index >> 2
    dataWords[word + (at.LENGTH_FIELD >> 2)] = length
    dataWords[word + (at.TYPE_FIELD >> 2)] = head.type | ((head.flags ?? 0) << 16)
    dataWords[word + (at.STAMP_FIELD >> 2)] = offset / at.RECORD_ALIGNMENT
    dataWords[word + (at.SEQUENCE_FIELD >> 2)] = this.appendedRecords
    dataWords[word + (at.CORRELATION_FIELD >> 2)] = head.correlation
    dataWords[word + (at.KEY_LENGTH_FIELD >> 2)] = head.key.length | (actorId << 16)
    this.dataFloats[(index + at.TIMESTAMP_FIELD) >> 3] = head.timestamp_ms
    this.data.set(head.key, index + at.RECORD_HEADER_LENGTH)
    return index + at.RECORD_HEADER_LENGTH + head.key.length
  }

  /** The record exists from the store of `tail` on; the counts around it are written so that a death leaves them settleable. */
  #publish(end: number, padding: number): void {
    const { floats } = this
    const records = this.appendedRecords + 1
    floats[at.PENDING_END_OFFSET >> 3] = end
    floats[at.PENDING_RECORDS_OFFSET >> 3] = records
    Atomics.store(this.longs, at.TAIL_OFFSET >> 3, BigInt(end))
    floats[at.APPENDED_RECORDS_OFFSET >> 3] = records
    if (padding > 0) floats[at.PADDING_BYTES_OFFSET >> 3] = this.paddingBytes + padding
  }

  /** An appender that died around its store of `tail` left the number of records undecided: `tail` says which. */
  #settleCounts(): void {
    const { floats } = this
    const pending = floats[at.PENDING_RECORDS_OFFSET >> 3]!
    if (pending === this.appendedRecords) return
    const wasPublished = floats[at.PENDING_END_OFFSET >> 3] === this.tail
    if (wasPublished) floats[at.APPENDED_RECORDS_OFFSET >> 3] = pending
    else floats[at.PENDING_RECORDS_OFFSET >> 3] = this.appendedRecords
  }

  /** The timestamp of the first record at or after an offset; undefined when there is none, or it was overwritten. */
  #timestampAt(offset: number): number | undefined {
    let from = offset
    const tail = this.tail
    for (let hop = 0; hop < 2 && from < tail; hop++) {
      const index = this.indexOf(from)
      const stamp = this.dataWords[(index + at.STAMP_FIELD) >> 2]!
      const length = this.dataWords[(index + at.LENGTH_FIELD) >> 2]!
      const isPadding = (this.dataWords[(index + at.TYPE_FIELD) >> 2]! & 0xffff) === at.PADDING_TYPE
      const timestamp_ms = this.dataFloats[(index + at.TIMESTAMP_FIELD) >> 3]!
      const isIntact = stamp === (from / at.RECORD_ALIGNMENT) % 2 ** 32
      if (!isIntact || this.intent - from > this.capacity_bytes) return undefined
      if (!isPadding) return timestamp_ms
      from += length
    }
    return undefined
  }
}

/**
 * Frees what a dead appender may have held and wakes who may have missed its last publish. To be called
 * once its thread has ended (the worker's 'exit' event), never before.
 */
export function releaseDeadOwner(buffer: SharedArrayBuffer, deadActorId: number): boolean {
  const ring = new Ring(buffer)
  const held = releaseLockOfDead(ring.words, deadActorId)
  wake(ring.published)
  wake(ring.space)
  return held
}

function badRecord(label: string, type: number, valueLength: number): Error {
  const text = `type=${type} (1..${at.TYPE_MAX}), valueLength=${valueLength}`
  return new RangeError(`${label}: a record of no valid type or length: ${text}`)
}

function badCommitted(ring: Ring, group: number, committed: number, tail: number): BusCorruptError {
  const name = ring.groups[group]?.name ?? String(group)
  const text = `committed=${committed}, tail=${tail}, capacity=${ring.capacity_bytes}`
  return new BusCorruptError(`${ring.label}: group ${name} is out of the ring: ${text}`)
}
