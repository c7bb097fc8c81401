/**
 * Owns the completion table: shared memory by which the receiver learns that a request is durable.
 *
 * The receiver opens a slot for each request and sends the correlation along with its parts. A distributor
 * notes where each part's records end in which partition, then marks the part as routed. The request is done
 * when all parts are routed and every touched partition has committed as far. On the way the livestore adds
 * the spans it rejects, before it commits, so that the verdict is there when the ack is.
 *
 *   correlation u32 = generation u16 (1..65535) | slot u16
 *
 *   HEADER, 256 bytes
 *      0  magic u32 | version u32 | slots u32 | partitions u32
 *    128  signal i32 | waiters i32                       +1 a part routed or refused; the receiver parks here
 *   SLOT, 64-byte lines, each word an i64 with the generation in its top 16 bits
 *        63..48       47..40    39..38   37..32   31..0
 *      0 generation | -       | -      | parts  | routed: one bit a part      parts 0 = closed
 *      8 generation | reason  | -               | rejected spans u32
 *     16 generation | code    | detail1 u40                                   code 0 = not refused
 *     24 generation | code    | detail2 u40
 *   32+8p generation | end / 32 u48                                           p < partitions
 *
 * A word whose generation is not the slot's says nothing: so opening a slot clears one word, and a write
 * that comes late, for a request that was given up, changes nothing that anyone will read. Every write is a
 * compare-and-swap on one word; several distributors may hold parts of one request at once.
 *
 * At least once: a distributor that dies before it has marked a part is replaced, and its replacement appends
 * and routes the whole part again. Ends only grow and marking is a bit per part, so this delays the ack at most.
 * Rejected spans may be added twice then; the receiver bounds them by the spans it was sent.
 */
import { assert } from '../lib/assert.js'
import { BusFormatError } from './errors.js'
import { type ParkingSpot, wake } from './parking.js'

export const ACK_SLOTS_DEFAULT = 16384
export const ACK_SLOTS_MAX = 65536
export const ACK_PARTS_MAX = 32
export const ACK_PARTITIONS_MAX = 16
export const ACK_DETAIL_MAX = 2 ** 40 - 1
/** No slot is free: more requests wait than the table holds. */
export const NO_CORRELATION = 0

const MAGIC = 0x314b4341 // "ACK1"
const VERSION = 1
const HEADER_LENGTH = 256
const LINE_LENGTH = 64
const SIGNAL_WORD = 128 >> 2
const WAITERS_WORD = 132 >> 2

const PARTS_WORD = 0
const REJECTED_WORD = 1
const REFUSAL_WORD = 2
const REFUSAL_DETAIL_WORD = 3
const ENDS_WORD = 4

const GENERATION_SHIFT = 48n
const CODE_SHIFT = 40n
const PARTS_SHIFT = 32n
const PAYLOAD_MASK = (1n << GENERATION_SHIFT) - 1n
const DETAIL_MASK = (1n << CODE_SHIFT) - 1n
const U32_MASK = 0xffffffffn
const U32_MAX = 0xffffffff
const GENERATIONS = 65535
const END_UNIT = 32

export type AckOutcome =
  | { kind: 'durable'; rejectedSpans: number; reason: number } // reason of the first rejection, 0 = none
  | { kind: 'refused'; code: number; detail1: number; detail2: number }

export interface AckTableSpec {
  slots?: number // a power of two up to 65536, default 16384
  partitions?: number // 1..16, default 16; a slot takes 128 bytes up to 12 partitions, 192 beyond
}

/** What the receiver and the markers share: where the words of a slot are. */
export class Acks {
  readonly slots: number
  readonly partitions: number
  /** The receiver parks here, and at each partition's ring for the commits. */
  readonly marked: ParkingSpot
  protected readonly longs: BigInt64Array<SharedArrayBuffer>
  readonly #slotLongs: number

  /** Makes the memory of an empty table. */
  static create(spec: AckTableSpec = {}): SharedArrayBuffer {
    const { slots = ACK_SLOTS_DEFAULT, partitions = ACK_PARTITIONS_MAX } = spec
    assert(
      Number.isInteger(Math.log2(slots)) && slots <= ACK_SLOTS_MAX,
      `ack table: slots must be a power of two up to ${ACK_SLOTS_MAX}: slots=${slots}`,
    )
    assert(
      Number.isInteger(partitions) && partitions >= 1 && partitions <= ACK_PARTITIONS_MAX,
      `ack table: partitions must be 1 to ${ACK_PARTITIONS_MAX}: partitions=${partitions}`,
    )
    const buffer = new SharedArrayBuffer(HEADER_LENGTH + slots * slotLength(partitions))
    new Int32Array(buffer).set([MAGIC, VERSION, slots, partitions])
    return buffer
  }

  constructor(buffer: SharedArrayBuffer) {
    const words = new Int32Array(buffer)
    const [magic, version] = words
    if (buffer.byteLength < HEADER_LENGTH || magic !== MAGIC || version !== VERSION) {
      const found = `magic=0x${(magic ?? 0).toString(16)}, version=${version ?? 0}`
      throw new BusFormatError(`not an ack table of version ${VERSION}: ${found}`)
    }
    this.slots = words[2]!
    this.partitions = words[3]!
    this.longs = new BigInt64Array(buffer)
    this.marked = { words, word: SIGNAL_WORD, waiters: WAITERS_WORD }
    this.#slotLongs = slotLength(this.partitions) / 8
  }

  /** Index into `longs` of a word of a slot. */
  protected wordOf(slot: number, word: number): number {
    return HEADER_LENGTH / 8 + slot * this.#slotLongs + word
  }

  /** The payload of a word; nothing when it belongs to another generation. */
  protected payload(slot: number, word: number, generation: bigint): bigint | undefined {
    const value = Atomics.load(this.longs, this.wordOf(slot, word))
    return generationOf(value) === generation ? value & PAYLOAD_MASK : undefined
  }

  /** Where the last noted record of a request ends in a partition; 0 when it has none there. */
  protected endOf(slot: number, partition: number, generation: bigint): number {
    return Number(this.payload(slot, ENDS_WORD + partition, generation) ?? 0n) * END_UNIT
  }

  /** The parts word of a correlation; nothing when the request is closed or the slot was given to another. */
  protected openParts(correlation: number): bigint | undefined {
    const slot = slotOf(correlation)
    if (slot >= this.slots) return undefined
    const parts = this.payload(slot, PARTS_WORD, BigInt(correlation >>> 16))
    return parts === undefined || partCount(parts) === 0 ? undefined : parts
  }
}

/** Opens, asks and closes. Thread contract: one thread, the receiver. */
export class AckReceiver extends Acks {
  /** Free slots, oldest first, so that a generation comes round as late as possible. */
  readonly #free: Uint16Array
  #freeHead = 0
  #freeCount = 0
  /** Ends of a request whose parts are all routed: final, so the shared words need not be read again. */
  readonly #ends: Float64Array
  readonly #isFinal: Uint8Array
  /** The correlation that holds a slot, 0 = none: what is asked often must not need the shared words. */
  readonly #holders: Uint32Array

  /** Takes the table over: what a predecessor left open is closed, its clients are gone with it. */
  constructor(buffer: SharedArrayBuffer) {
    super(buffer)
    this.#free = new Uint16Array(this.slots)
    this.#ends = new Float64Array(this.slots * this.partitions)
    this.#isFinal = new Uint8Array(this.slots)
    this.#holders = new Uint32Array(this.slots)
    for (let slot = 0; slot < this.slots; slot++) this.#close(slot)
  }

  /** Requests that are open. */
  get openCount(): number {
    return this.slots - this.#freeCount
  }

  /** A correlation for a request of so many parts (1..32); NO_CORRELATION when no slot is free. */
  open(parts: number): number {
    assert(
      Number.isInteger(parts) && parts >= 1 && parts <= ACK_PARTS_MAX,
      `a request has 1 to ${ACK_PARTS_MAX} parts: parts=${parts}`,
    )
    if (this.#freeCount === 0) return NO_CORRELATION
    const slot = this.#free[this.#freeHead]!
    this.#freeHead = (this.#freeHead + 1) & (this.slots - 1)
    this.#freeCount--
    this.#isFinal[slot] = 0
    const word = this.wordOf(slot, PARTS_WORD)
    let generation = Number(generationOf(Atomics.load(this.longs, word))) + 1
    if (generation > GENERATIONS) generation = this.#wipe(slot)
    Atomics.store(this.longs, word, tagged(BigInt(generation), BigInt(parts) << PARTS_SHIFT))
    const correlation = ((generation << 16) | slot) >>> 0
    this.#holders[slot] = correlation
    return correlation
  }

  /**
   * What became of the request; nothing while it is on its way, and nothing for one that is closed. It stays open
   * until `close`. `committedOf` answers a partition's committed position.
   */
  poll(correlation: number, committedOf: (partition: number) => number): AckOutcome | undefined {
    const slot = slotOf(correlation)
    if (!this.#isOpen(correlation)) return undefined
    if (this.#isFinal[slot] === 0) {
      const refusal = this.#refusal(slot, BigInt(correlation >>> 16))
      if (refusal !== undefined) return refusal
      if (!this.#readEnds(correlation)) return undefined
    }
    const first = slot * this.partitions
    for (let partition = 0; partition < this.partitions; partition++) {
      const end = this.#ends[first + partition]!
      if (end > 0 && committedOf(partition) < end) return undefined
    }
    // Once more: a livestore may refuse what was routed, and does so before it commits.
    const refusal = this.#refusal(slot, BigInt(correlation >>> 16))
    if (refusal !== undefined) return refusal
    const rejected = this.payload(slot, REJECTED_WORD, BigInt(correlation >>> 16)) ?? 0n
    const reason = Number(rejected >> CODE_SHIFT)
    return { kind: 'durable', rejectedSpans: Number(rejected & U32_MASK), reason }
  }

  /** Gives the slot back: the request was answered or given up. Late marks find another generation. */
  close(correlation: number): void {
    if (this.#isOpen(correlation)) this.#close(slotOf(correlation))
  }

  /** What an open request still waits for, for the log line of one that timed out. */
  describe(correlation: number, committedOf: (partition: number) => number): string {
    const parts = this.openParts(correlation)
    if (parts === undefined) return 'closed'
    const slot = slotOf(correlation)
    const text = [`routed ${routedCount(parts)} of ${partCount(parts)} parts`]
    for (let partition = 0; partition < this.partitions; partition++) {
      const end = this.endOf(slot, partition, BigInt(correlation >>> 16))
      const missing = end - committedOf(partition)
      if (end > 0 && missing > 0) text.push(`partition ${partition} lacks ${missing} bytes`)
    }
    return text.join(', ')
  }

  #isOpen(correlation: number): boolean {
    return correlation !== NO_CORRELATION && this.#holders[slotOf(correlation)] === correlation
  }

  #close(slot: number): void {
    this.#holders[slot] = NO_CORRELATION
    const word = this.wordOf(slot, PARTS_WORD)
    const generation = generationOf(Atomics.load(this.longs, word))
    Atomics.store(this.longs, word, tagged(generation, 0n))
    this.#free[(this.#freeHead + this.#freeCount) & (this.slots - 1)] = slot
    this.#freeCount++
    assert(this.#freeCount <= this.slots, `ack table: slot ${slot} freed twice`)
  }

  /** The generations of a slot are used up: what they left would look alive in the next round. */
  #wipe(slot: number): number {
    for (let word = 0; word < ENDS_WORD + this.partitions; word++) {
      Atomics.store(this.longs, this.wordOf(slot, word), 0n)
    }
    return 1
  }

  /** Takes the ends over once all parts are routed; false before. */
  #readEnds(correlation: number): boolean {
    const parts = this.openParts(correlation) ?? 0n
    if (routedCount(parts) < partCount(parts)) return false
    const slot = slotOf(correlation)
    for (let partition = 0; partition < this.partitions; partition++) {
      const end = this.endOf(slot, partition, BigInt(correlation >>> 16))
      this.#ends[slot * this.partitions + partition] = end
    }
    this.#isFinal[slot] = 1
    return true
  }

  #refusal(slot: number, generation: bigint): AckOutcome | undefined {
    const word = this.payload(slot, REFUSAL_WORD, generation)
    if (word === undefined) return undefined
    const code = word >> CODE_SHIFT
    // Written before the refusal; of another code when two parts were refused at once, and then it says nothing.
    const second = this.payload(slot, REFUSAL_DETAIL_WORD, generation) ?? 0n
    const detail2 = second >> CODE_SHIFT === code ? Number(second & DETAIL_MASK) : 0
    return { kind: 'refused', code: Number(code), detail1: Number(word & DETAIL_MASK), detail2 }
  }
}

/**
 * Says what became of a request. Every method answers false, and changes nothing, when the request is closed.
 * Thread contract: any thread, any number.
 */
export class AckMarker extends Acks {
  /** A record of the request ends there. To be called after the append and before `routed`. */
  route(correlation: number, partition: number, endOffset: number): boolean {
    assert(
      partition >= 0 && partition < this.partitions && endOffset > 0 && endOffset % END_UNIT === 0,
      `ack table: no end of a record: partition=${partition} of ${this.partitions}, end=${endOffset}`,
    )
    const end = BigInt(endOffset / END_UNIT)
    return this.#update(correlation, ENDS_WORD + partition, (was) =>
      was !== undefined && was >= end ? was : end,
    )
  }

  /**
   * All records of one part (0..parts-1) are appended and noted. Marking it again changes nothing. Given `committedOf`, it
   * wakes the receiver only when every noted end is committed already: otherwise a commit is still to come, and wakes it.
   */
  routed(
    correlation: number,
    part = 0,
    committedOf: (partition: number) => number = () => Infinity,
  ): boolean {
    const parts = this.openParts(correlation)
    if (parts === undefined) return false
    assert(
      part >= 0 && part < partCount(parts),
      `ack table: no part ${part} in a request of ${partCount(parts)}`,
    )
    const isMarked = this.#update(
      correlation,
      PARTS_WORD,
      (was) => (was ?? 0n) | (1n << BigInt(part)),
    )
    // After the mark: a commit that this look misses wakes a receiver that sees the mark.
    if (this.#isCommitted(correlation, committedOf)) wake(this.marked)
    return isMarked
  }

  /** The whole request is invalid: the receiver answers with the code (1..255). The first refusal stands. */
  refuse(correlation: number, code: number, detail1 = 0, detail2 = 0): boolean {
    assert(code > 0 && code <= 255, `ack table: a refusal's code is 1 to 255: code=${code}`)
    const first = (BigInt(code) << CODE_SHIFT) | BigInt(detailOf(detail1))
    const second = (BigInt(code) << CODE_SHIFT) | BigInt(detailOf(detail2))
    this.#update(correlation, REFUSAL_DETAIL_WORD, (was) => was ?? second)
    const isMarked = this.#update(correlation, REFUSAL_WORD, (was) => was ?? first)
    wake(this.marked)
    return isMarked
  }

  /** So many spans of the request are not stored; the first reason (1..255) stands. Before the commit of their record. */
  reject(correlation: number, spans: number, reason: number): boolean {
    assert(reason > 0 && reason <= 255, `ack table: a reason is 1 to 255: reason=${reason}`)
    return this.#update(correlation, REJECTED_WORD, (was = BigInt(reason) << CODE_SHIFT) => {
      const total = Math.min(U32_MAX, Number(was & U32_MASK) + spans)
      return (was & ~U32_MASK) | BigInt(total)
    })
  }

  #isCommitted(correlation: number, committedOf: (partition: number) => number): boolean {
    const slot = slotOf(correlation)
    for (let partition = 0; partition < this.partitions; partition++) {
      const end = this.endOf(slot, partition, BigInt(correlation >>> 16))
      if (end > 0 && committedOf(partition) < end) return false
    }
    return true
  }

  /** Swaps one word's payload, which is undefined when it was left by an earlier generation. */
  #update(correlation: number, word: number, next: (was: bigint | undefined) => bigint): boolean {
    const slot = slotOf(correlation)
    const generation = BigInt(correlation >>> 16)
    const index = this.wordOf(slot, word)
    for (;;) {
      // In the loop: a swap that fails may have lost to the slot's next request.
      if (this.openParts(correlation) === undefined) return false
      const value = Atomics.load(this.longs, index)
      const was = generationOf(value) === generation ? value & PAYLOAD_MASK : undefined
      const swapped = tagged(generation, next(was))
      if (Atomics.compareExchange(this.longs, index, value, swapped) === value) return true
    }
  }
}

function slotLength(partitions: number): number {
  return Math.ceil((8 * (ENDS_WORD + partitions)) / LINE_LENGTH) * LINE_LENGTH
}

function slotOf(correlation: number): number {
  return correlation & 0xffff
}

function generationOf(value: bigint): bigint {
  return BigInt.asUintN(64, value) >> GENERATION_SHIFT
}

function tagged(generation: bigint, payload: bigint): bigint {
  return BigInt.asIntN(64, (generation << GENERATION_SHIFT) | payload)
}

function partCount(parts: bigint): number {
  return Number(parts >> PARTS_SHIFT)
}

function routedCount(parts: bigint): number {
  let bits = Number(parts & U32_MASK)
  let count = 0
  for (; bits !== 0; bits = (bits & (bits - 1)) >>> 0) count++
  return count
}

function detailOf(detail: number): number {
  return Math.max(0, Math.min(ACK_DETAIL_MAX, Math.trunc(detail)))
}
