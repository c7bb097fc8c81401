/**
 * Owns the trace filter: a few bits for each trace of a block, small enough to stay in memory, that say of a trace id whether the
 * block can have it. So one trace is looked for in the blocks that have it, and not in every block there is.
 *
 * Each group has a split-block Bloom filter as Apache Parquet defines it (https://parquet.apache.org/docs/file-format/bloomfilter/),
 * over a hash of its own: ids are 16 bytes, and xxHash64 of them would be dear without 64-bit integers.
 */
import { compareBytes } from '../../lib/bytes.js'
import { ownBytes } from '../../lib/own-bytes.js'
import type { TraceFilter } from '../../otlp/columns.js'
import type { ByteReader, ByteWriter } from './codec/bytes.js'

const ID_BYTES = 16
const BLOCK_BYTES = 32
const BLOCK_WORDS = 8
/** About one absent id in 250 is let through. */
const BITS_PER_TRACE = 12
/** Odd constants, one for each word of a block: the ones of Parquet. */
const SALT = Uint32Array.of(
  0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31,
) // prettier-ignore
/** What an object and a view take beside their bytes. */
const FILTER_BYTES = 256

/** The filter of a group's trace ids, which stand back to back. */
export function filterOf(traceIds: Uint8Array): Uint8Array {
  const traces = traceIds.length / ID_BYTES
  const blocks = Math.max(1, Math.ceil((traces * BITS_PER_TRACE) / (BLOCK_BYTES * 8)))
  const bytes = new Uint8Array(blocks * BLOCK_BYTES)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < traceIds.length; at += ID_BYTES) {
    hash(traceIds, at)
    const block = blockOf(blocks) * BLOCK_BYTES
    for (let word = 0; word < BLOCK_WORDS; word++) {
      const place = block + 4 * word
      view.setUint32(place, view.getUint32(place, true) | bitOf(word), true)
    }
  }
  return bytes
}

export function encodeFilters(out: ByteWriter, filters: readonly Uint8Array[]): void {
  for (const filter of filters) {
    out.varint(filter.length / BLOCK_BYTES)
    out.bytes(filter)
  }
}

class GroupFilters implements TraceFilter {
  /** Ids rise over the whole block. */
  constructor(
    private readonly firstIds: Uint8Array,
    private readonly filters: readonly Uint8Array[],
  ) {}

  get retained_bytes(): number {
    const bytes = this.filters.reduce((sum, filter) => sum + filter.length + FILTER_BYTES, 0)
    return this.firstIds.length + bytes
  }

  /** False only when the block certainly has not got the trace. Id: 16 bytes. */
  mayHave(traceId: Uint8Array): boolean {
    const group = this.#groupOf(traceId)
    if (group < 0) return false
    const filter = this.filters[group]!
    hash(traceId, 0)
    const block = blockOf(filter.length / BLOCK_BYTES) * BLOCK_BYTES
    for (let word = 0; word < BLOCK_WORDS; word++) {
      const at = block + 4 * word
      const bit = bitOf(word)
      // The byte of a little-endian word that has the bit.
      const shift = 31 - Math.clz32(bit)
      if ((filter[at + (shift >>> 3)]! & (1 << (shift & 7))) === 0) return false
    }
    return true
  }

  /** The only group that can have the id; -1 when it is before the first. */
  #groupOf(traceId: Uint8Array): number {
    let low = 0
    let high = this.filters.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const first = this.firstIds.subarray(ID_BYTES * middle, ID_BYTES * (middle + 1))
      if (compareBytes(first, traceId) <= 0) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

/** Throws `Malformed`. `firstIds`: the first trace id of each group, back to back; the bytes are copied, so that nothing else is held with them. */
export function decodeFilters(input: ByteReader, firstIds: Uint8Array): TraceFilter {
  const filters: Uint8Array[] = []
  for (let left = firstIds.length / ID_BYTES; left > 0; left--) {
    const blocks = input.varint(Math.floor(input.remaining / BLOCK_BYTES))
    if (blocks === 0) input.fail('a trace filter of no blocks')
    filters.push(ownBytes(input.bytes(blocks * BLOCK_BYTES)))
  }
  input.end()
  return new GroupFilters(firstIds, filters)
}

// The hash of the id looked at: two words that stand here, since a pair would be an object for each id.
let high = 0
let low = 0

/** Over the id's four little-endian words: two rounds of multiply and shift each, mixed at the end as MurmurHash3 does. */
function hash(bytes: Uint8Array, at: number): void {
  let a = 0x9e3779b9
  let b = 0x85ebca6b
  for (let end = at + ID_BYTES; at < end; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    a = Math.imul(a ^ word, 0xcc9e2d51)
    a ^= a >>> 15
    b = Math.imul(b + word, 0x1b873593)
    b = (b << 13) | (b >>> 19)
  }
  high = mixed(a ^ b)
  low = mixed(Math.imul(b, 5) + a)
}

function mixed(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
  return (word ^ (word >>> 16)) >>> 0
}

/** The high word over the blocks, as a fraction; the products are below 2^53. */
function blockOf(blocks: number): number {
  return Math.floor((high * blocks) / 2 ** 32)
}

function bitOf(word: number): number {
  return 1 << (Math.imul(low, SALT[word]!) >>> 27)
}
