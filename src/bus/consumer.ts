/**
 * Owns reading: one group's private cursor over one ring, its batches, and its commits.
 *
 * A batch is copied out of the ring once, into ordinary memory, and its records are parts of that copy:
 * native code and TextDecoder must not see memory that another thread writes. The cursor runs ahead of
 * `committed`; what lies between is read again by a replacement.
 */
import { copyBytes } from '../lib/copy.js'
import { BusCorruptError, BusError, Fenced } from './errors.js'
import { groupLong, groupWord, ownsGroup } from './group.js'
import * as at from './layout.js'
import { wake, Waiter, type WaitOptions } from './parking.js'
import type { Ring } from './ring.js'

export const BATCH_BYTES_MAX_DEFAULT = 1024 * 1024
export const BATCH_RECORDS_MAX_DEFAULT = 1024
/** Memory that a consumer keeps between batches; a longer batch, of one huge record, has its own. */
const REUSED_BYTES_MAX = 1024 * 1024

export interface BatchLimits {
  max_bytes?: number // default 1 MiB; a longer record comes alone
  max_records?: number // default 1024
}

/** One record, in ordinary memory. Key and value keep their whole batch alive. */
export interface BusRecord {
  type: number
  flags: number
  correlation: number
  sequence: number // number of the record in its ring, low 32 bits
  key: Buffer
  value: Buffer
  offset: number // where it begins
  end: number // what to commit once it is durable
  timestamp_ms: number
}

export interface Batch {
  partition: number
  records: BusRecord[] // at least one
  end: number // end of the last record
  bytes: number // what they take in the ring
}

export interface ConsumerOptions {
  actorId: number
  epoch: number // as assignGroup answered
  from?: number // default: where the group has committed; a replacement starts at what its store has applied
  /** Batches share one piece of memory: key and value of a record hold only until the next `poll`. Default false. */
  reusesMemory?: boolean
}

export interface ConsumerLag {
  bytes: number
  records: number
  seconds: number // age of the oldest record that is not committed; 0 when there is none
}

const STAMPS = 2 ** 32
const UNKNOWN = -1
/** Answers of the walk over the headers. */
const OVERRUN = -1

/** Reads one group of one ring. Thread contract: one thread, the owner of the group under its epoch. */
export class Consumer {
  readonly ring: Ring
  readonly group: number
  readonly #isLossy: boolean
  readonly #actorId: number
  readonly #epoch: number
  readonly #waiter: Waiter
  readonly #reusesMemory: boolean
  /** What the last batch was copied to, when it may be written over. */
  #memory = Buffer.alloc(0)
  #cursor: number
  /** Low 32 bits of the number of the next record; unknown after a seek until one was read. */
  #sequence = UNKNOWN

  constructor(ring: Ring, group: number, options: ConsumerOptions) {
    const info = ring.groups[group]
    if (info === undefined) throw new BusError('BUS_NAME', `${ring.label} has no group ${group}`)
    this.ring = ring
    this.group = group
    this.#isLossy = info.mode === 'lossy'
    this.#actorId = options.actorId
    this.#epoch = options.epoch
    this.#waiter = new Waiter(ring.published)
    this.#reusesMemory = options.reusesMemory ?? false
    this.#assertOwner()
    this.#cursor = ring.committed(group)
    // So that a lossy group which was overrun while nobody read it knows what it lost.
    if (this.#isLossy) this.#sequence = this.#committedRecords >>> 0
    if (options.from !== undefined) this.seek(options.from)
  }

  /** Where the next batch begins. */
  get cursor(): number {
    return this.#cursor
  }

  get committed(): number {
    return this.ring.committed(this.group)
  }

  /** The next records, or nothing when all was read. Never waits. Throws Fenced when the group has another owner. */
  poll(limits: BatchLimits = {}): Batch | undefined {
    const { max_bytes = BATCH_BYTES_MAX_DEFAULT, max_records = BATCH_RECORDS_MAX_DEFAULT } = limits
    this.#assertOwner()
    const tail = this.ring.tail
    if (this.#cursor >= tail) return undefined
    const from = this.#cursor
    const end = this.#walk(tail, max_bytes, max_records)
    const start = this.#cursor
    const copy = end === OVERRUN ? undefined : this.#copy(start, end)
    // Only now is it known whether what the walk and the copy read was still whole.
    if (copy === undefined || (this.#isLossy && this.#wasOverrun(from))) {
      this.#lap()
      return undefined
    }
    const records = this.#parse(copy, start)
    this.#cursor = end
    return { partition: this.ring.partition, records, end, bytes: end - start }
  }

  /** True when there is something to poll; false when the time is over or the signal was given. */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    const isDue = () => this.ring.tail > this.#cursor || !this.#isOwner()
    return this.#waiter.until(isDue, options)
  }

  /**
   * Says that everything before `offset` (the end of a record that was read) is durable or done with: the ring may
   * forget it and whoever waits for an ack has it. A lossy group can only commit all that it has read.
   */
  commit(offset: number): void {
    this.#assertOwner()
    const { ring, group } = this
    const committed = this.committed
    const isEnd = offset % at.RECORD_ALIGNMENT === 0 && (!this.#isLossy || offset === this.#cursor)
    if (!isEnd || offset < committed || offset > this.#cursor)
      throw this.#badOffset('commit', offset)
    if (offset === committed) return
    this.#commitRecords(offset)
    Atomics.store(ring.words, groupWord(group, at.ATTEMPTS_OFFSET), 0)
    Atomics.store(ring.longs, groupLong(group, at.COMMITTED_OFFSET), BigInt(offset))
    wake(ring.space)
  }

  /** Moves the cursor to a record's begin, or the tail: back to read again, forward over what a store has already. */
  seek(offset: number): void {
    const isInside = offset >= this.committed && offset <= this.ring.tail
    if (!isInside || offset % at.RECORD_ALIGNMENT !== 0) throw this.#badOffset('seek', offset)
    this.#cursor = offset
    this.#sequence = UNKNOWN
  }

  lag(now_ms: number): ConsumerLag {
    const { bytes, records, oldest_timestamp_ms } = this.ring.lag(this.group)
    const age_ms = oldest_timestamp_ms === undefined ? 0 : now_ms - oldest_timestamp_ms
    return { bytes, records, seconds: Math.max(0, age_ms) / 1000 }
  }

  get #committedRecords(): number {
    return this.ring.floats[groupLong(this.group, at.COMMITTED_RECORDS_OFFSET)]!
  }

  #isOwner(): boolean {
    return ownsGroup(this.ring, this.group, this.#actorId, this.#epoch)
  }

  #assertOwner(): void {
    if (this.#isOwner()) return
    const { words, label } = this.ring
    const owner = Atomics.load(words, groupWord(this.group, at.OWNER_OFFSET))
    const epoch = Atomics.load(words, groupWord(this.group, at.EPOCH_OFFSET))
    const mine = `actor ${this.#actorId} of epoch ${this.#epoch}`
    throw new Fenced(
      `${label}: ${mine} is fenced by actor ${owner} of epoch ${epoch}; it must stop`,
    )
  }

  /** End of the batch: at the limits, and never over the ring's own end, so that it is one copy. Skips padding before it. */
  #walk(tail: number, max_bytes: number, max_records: number): number {
    const from = this.#cursor
    let end = from
    for (let records = 0; end < tail && records < max_records; records++) {
      const index = this.ring.indexOf(end)
      if (index === 0 && records > 0) return end
      const length = this.#plausibleLength(end, tail, from)
      if (length === OVERRUN) return OVERRUN
      if (this.#typeAt(end) === at.PADDING_TYPE) {
        if (records > 0) return end
        end = this.#cursor += length
        records--
        continue
      }
      if (records > 0 && end + length - this.#cursor > max_bytes) return end
      end += length
    }
    return end
  }

  /** Length of the record at an offset, rounded up. What a lossy group finds may be torn; then it was overrun. */
  #plausibleLength(offset: number, tail: number, from: number): number {
    const { ring } = this
    const index = ring.indexOf(offset)
    const length = ring.dataWords[(index + at.LENGTH_FIELD) >> 2]!
    const aligned = (length + at.RECORD_ALIGNMENT - 1) & ~(at.RECORD_ALIGNMENT - 1)
    const room = Math.min(tail - offset, ring.capacity_bytes - index)
    if (length >= at.RECORD_HEADER_LENGTH && aligned > 0 && aligned <= room) return aligned
    if (this.#isLossy && this.#wasOverrun(from)) return OVERRUN
    throw this.#corrupt(offset, `length=${length}, room=${room}, tail=${tail}`)
  }

  #typeAt(offset: number): number {
    return this.ring.dataWords[(this.ring.indexOf(offset) + at.TYPE_FIELD) >> 2]! & 0xffff
  }

  #copy(start: number, end: number): Buffer {
    const index = this.ring.indexOf(start)
    const copy = this.#room(end - start)
    copyBytes(this.ring.data, index, index + end - start, copy, 0)
    return copy
  }

  /** New memory for every batch is what makes a busy thread collect garbage most: 10 marks of its heap a second at 90,000 spans/s. */
  #room(length: number): Buffer {
    if (!this.#reusesMemory || length > REUSED_BYTES_MAX) return Buffer.allocUnsafe(length)
    if (length > this.#memory.length) {
      const size = Math.max(length, Math.min(2 * this.#memory.length, REUSED_BYTES_MAX))
      this.#memory = Buffer.allocUnsafeSlow(size)
    }
    return this.#memory.subarray(0, length)
  }

  /** To be asked after the bytes from `start` on were read: true when an appender may have been at them. */
  #wasOverrun(start: number): boolean {
    const { ring } = this
    // The plain loads before must be done first: a load-acquire lets them pass it on ARM, a read-modify-write does not.
    Atomics.add(ring.words, groupWord(this.group, at.FENCE_OFFSET), 0)
    return ring.intent - start > ring.capacity_bytes
  }

  /** Overrun: what was not read is lost, the next poll goes on at the tail. */
  #lap(): void {
    const { floats } = this.ring
    this.#cursor = this.ring.tail
    floats[groupLong(this.group, at.LAPPED_OFFSET)]! += 1
  }

  #parse(copy: Buffer, start: number): BusRecord[] {
    const records: BusRecord[] = []
    for (let position = 0; position < copy.length;) {
      const record = this.#record(copy, position, start + position)
      this.#follow(record)
      records.push(record)
      position = record.end - start
    }
    if (records.length === 0) throw this.#corrupt(start, 'padding with no record behind it')
    return records
  }

  #record(copy: Buffer, position: number, offset: number): BusRecord {
    const length = copy.readUInt32LE(position + at.LENGTH_FIELD)
    const stamp = copy.readUInt32LE(position + at.STAMP_FIELD)
    const keyLength = copy.readUInt16LE(position + at.KEY_LENGTH_FIELD)
    const aligned = Math.ceil(length / at.RECORD_ALIGNMENT) * at.RECORD_ALIGNMENT
    const isWhole =
      length >= at.RECORD_HEADER_LENGTH + keyLength && position + aligned <= copy.length
    if (stamp !== (offset / at.RECORD_ALIGNMENT) % STAMPS || !isWhole) {
      throw this.#corrupt(offset, `stamp=${stamp}, length=${length}, keyLength=${keyLength}`)
    }
    const key = position + at.RECORD_HEADER_LENGTH
    return {
      type: copy.readUInt16LE(position + at.TYPE_FIELD),
      flags: copy.readUInt16LE(position + at.FLAGS_FIELD),
      correlation: copy.readUInt32LE(position + at.CORRELATION_FIELD),
      sequence: copy.readUInt32LE(position + at.SEQUENCE_FIELD),
      key: copy.subarray(key, key + keyLength),
      value: copy.subarray(key + keyLength, position + length),
      offset,
      end: offset + aligned,
      timestamp_ms: copy.readDoubleLE(position + at.TIMESTAMP_FIELD),
    }
  }

  /** Records follow one another by number; only a lossy group may miss some, and then it counts them. */
  #follow(record: BusRecord): void {
    const expected = this.#sequence
    this.#sequence = (record.sequence + 1) >>> 0
    if (expected === UNKNOWN || expected === record.sequence) return
    const text = `sequence=${record.sequence}, expected ${expected}`
    if (!this.#isLossy) throw this.#corrupt(record.offset, text)
    const lost = (record.sequence - expected) >>> 0
    // A predecessor that died within its commit leaves a number that is ahead of the offset: nothing was lost then.
    if (lost < STAMPS / 2) this.ring.floats[groupLong(this.group, at.LOST_RECORDS_OFFSET)]! += lost
  }

  /** The number of the record at `offset` is the number of records before it; 32 bits of it are enough to go on from the last. */
  #commitRecords(offset: number): void {
    const { ring } = this
    const slot = groupLong(this.group, at.COMMITTED_RECORDS_OFFSET)
    let next = this.#sequence
    if (offset !== this.#cursor || next === UNKNOWN) {
      const isThere = offset < ring.tail
      next = isThere
        ? ring.dataWords[(ring.indexOf(offset) + at.SEQUENCE_FIELD) >> 2]!
        : ring.appendedRecords >>> 0
    }
    const before = this.#committedRecords
    ring.floats[slot] = before + ((next - (before >>> 0)) >>> 0)
  }

  #badOffset(verb: string, offset: number): BusError {
    const { label, tail } = this.ring
    const text = `committed=${this.committed}, cursor=${this.#cursor}, tail=${tail}`
    return new BusError('BUS_OFFSET', `${label}: cannot ${verb} offset=${offset}: ${text}`)
  }

  #corrupt(offset: number, text: string): BusCorruptError {
    return new BusCorruptError(`${this.ring.label}: no valid record at offset=${offset}: ${text}`)
  }
}
