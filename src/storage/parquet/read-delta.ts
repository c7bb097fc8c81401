/** Owns reading the delta encodings: integers by their differences, byte strings by their lengths and by what they share. */
import { Malformed } from '../block/codec/bytes.js'
import type { ByteValues, Int32Values, Int64Values } from './values.js'

/** What writers use is 128 values in 4 parts; more than this is not a block but a mistake. */
const MAX_BLOCK_VALUES = 65_536
/** Bytes that a read of 64 bits may touch: eight and a part of a ninth. */
const WIDEST_READ_BYTES = 9

/** A place in the bytes that moves on. */
class Cursor {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
  ) {}

  u8(): number {
    if (this.at >= this.bytes.length) throw new Malformed(this.at, 'deltas end too early')
    return this.bytes[this.at++]!
  }

  count(max: number, what: string): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 35; scale *= 128) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte > 127) continue
      if (value > max) break
      return value
    }
    throw new Malformed(this.at, `deltas: ${what} is above ${max}`)
  }

  /** A zigzag number of 64 bits, as halves in `out`. */
  zigzag(out: Uint32Array): void {
    let lo = 0
    let hi = 0
    for (let shift = 0; ; shift += 7) {
      if (shift > 63) throw new Malformed(this.at, 'deltas: a number is longer than 64 bits')
      const byte = this.u8()
      const bits = byte & 127
      if (shift < 32) lo |= bits << shift
      if (shift > 25) hi |= shift < 32 ? bits >>> (32 - shift) : bits << (shift - 32)
      if (byte < 128) break
    }
    const sign = -(lo & 1)
    out[0] = ((lo >>> 1) | (hi << 31)) ^ sign
    out[1] = (hi >>> 1) ^ sign
  }
}

/** `count` integers from `input[at..]`, and where they end. Throws `Malformed` when there are not as many. */
export function readDeltas(input: Uint8Array, at: number, count: number): { values: Int64Values; end: number } {
  const lo = new Uint32Array(count)
  const hi = new Uint32Array(count)
  const end = decode(input, at, count, lo, hi)
  return { values: { kind: 'int64', lo, hi }, end }
} // prettier-ignore

/** As `readDeltas`, for what fits 32 bits: the low halves. */
export function readDeltas32(input: Uint8Array, at: number, count: number): { values: Int32Values; end: number } {
  const lo = new Uint32Array(count)
  const end = decode(input, at, count, lo, undefined)
  return { values: { kind: 'int32', values: new Int32Array(lo.buffer) }, end }
} // prettier-ignore

function decode(
  input: Uint8Array,
  at: number,
  count: number,
  lo: Uint32Array,
  hi: Uint32Array | undefined,
): number {
  // Of no values some writers store not even the header.
  if (count === 0) return at
  const cursor = new Cursor(input, at)
  const blockValues = cursor.count(MAX_BLOCK_VALUES, 'values of a block')
  const parts = cursor.count(blockValues, 'parts of a block')
  const total = cursor.count(2 ** 32, 'values')
  const partValues = blockValues / parts
  if (parts === 0 || partValues % 8 !== 0) {
    throw new Malformed(at, `deltas: blocks of ${blockValues} values in ${parts} parts`)
  }
  if (total !== count) throw new Malformed(at, `deltas: ${total} values where ${count} belong`)
  const pair = new Uint32Array(2)
  cursor.zigzag(pair)
  let low = (lo[0] = pair[0]!)
  let high = pair[1]!
  if (hi) hi[0] = high
  const scratchLo = new Uint32Array(partValues)
  const scratchHi = new Uint32Array(partValues)
  for (let row = 1; row < count;) {
    cursor.zigzag(pair)
    const leastLo = pair[0]!
    const leastHi = pair[1]!
    const widthsAt = cursor.at
    cursor.at += parts
    if (cursor.at > input.length) throw new Malformed(widthsAt, 'deltas end within a block')
    // Parts behind the last value have a width and no bytes.
    for (let part = 0; part < parts && row < count; part++) {
      const width = input[widthsAt + part]!
      const rows = Math.min(partValues, count - row)
      unpack64(cursor, width, rows, partValues, scratchLo, scratchHi)
      const wide = width > 32
      for (let i = 0; i < rows; i++, row++) {
        const sum = low + leastLo + scratchLo[i]!
        // Three words of 32 bits: the carry is 0, 1 or 2.
        high = (high + leastHi + (wide ? scratchHi[i]! : 0) + Math.floor(sum / 4294967296)) >>> 0
        low = sum >>> 0
        lo[row] = low
        if (hi) hi[row] = high
      }
    }
  }
  return cursor.at
}

/** `rows` numbers of `width` bits out of a part with `stored`, of which the last may be cut off. */
function unpack64(
  cursor: Cursor,
  width: number,
  rows: number,
  stored: number,
  lo: Uint32Array,
  hi: Uint32Array,
): void {
  if (width === 0) {
    lo.fill(0, 0, rows)
    return
  }
  const { bytes, at } = cursor
  if (width > 64) throw new Malformed(at, `deltas of ${width} bits`)
  const need = Math.ceil((rows * width) / 8)
  if (need > bytes.length - at) throw new Malformed(at, 'deltas end within a part')
  if (width <= 24) unpackNarrow(bytes, at, width, rows, lo)
  else unpackWide(bytes, at, width, rows, need, lo, hi)
  cursor.at = Math.min(bytes.length, at + (stored * width) / 8)
}

function unpackNarrow(
  bytes: Uint8Array,
  at: number,
  width: number,
  rows: number,
  lo: Uint32Array,
): void {
  const mask = (1 << width) - 1
  let word = 0
  let bits = 0
  for (let i = 0; i < rows; i++) {
    while (bits < width) {
      word |= bytes[at++]! << bits
      bits += 8
    }
    lo[i] = word & mask
    word >>>= width
    bits -= width
  }
}

function unpackWide(
  bytes: Uint8Array,
  at: number,
  width: number,
  rows: number,
  need: number,
  lo: Uint32Array,
  hi: Uint32Array,
): void {
  let source = bytes
  let from = at
  if (bytes.length - at < need + WIDEST_READ_BYTES) {
    source = new Uint8Array(need + WIDEST_READ_BYTES)
    source.set(bytes.subarray(at, at + need))
    from = 0
  }
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength)
  const lowMask = width >= 32 ? 0xffffffff : 2 ** width - 1
  const highMask = width <= 32 ? 0 : width === 64 ? 0xffffffff : 2 ** (width - 32) - 1
  for (let i = 0, bit = 0; i < rows; i++, bit += width) {
    const place = from + (bit >>> 3)
    const shift = bit & 7
    let low = view.getUint32(place, true)
    let high = view.getUint32(place + 4, true)
    if (shift !== 0) {
      low = (low >>> shift) | (high << (32 - shift))
      high = (high >>> shift) | (source[place + 8]! << (32 - shift))
    }
    lo[i] = low & lowMask
    hi[i] = high & highMask
  }
}

/** Byte strings as lengths, then bytes back to back. */
export function readDeltaLengths(input: Uint8Array, at: number, count: number): { values: ByteValues; end: number } {
  const { values, end } = readDeltas32(input, at, count)
  const lengths = values.values
  const starts = new Uint32Array(count)
  const ends = new Uint32Array(count)
  let place = end
  for (let i = 0; i < count; i++) {
    const length = lengths[i]!
    if (length < 0 || length > input.length - place) {
      throw new Malformed(place, `a string of ${length} bytes, ${input.length - place} are left`)
    }
    starts[i] = place
    place += length
    ends[i] = place
  }
  return { values: { kind: 'bytes', bytes: input, starts, ends }, end: place }
} // prettier-ignore

/** Byte strings as what each shares with the one before, and what it adds; `max_bytes` bounds what they come to. */
export function readDeltaStrings(input: Uint8Array, at: number, count: number, max_bytes: number): ByteValues {
  const { values: shared, end } = readDeltas32(input, at, count)
  const { values: added } = readDeltaLengths(input, end, count)
  const starts = new Uint32Array(count)
  const ends = new Uint32Array(count)
  let total = 0
  for (let i = 0; i < count; i++) {
    const prefix = shared.values[i]!
    const before = i === 0 ? 0 : ends[i - 1]! - starts[i - 1]!
    if (prefix < 0 || prefix > before) throw new Malformed(at, `a string shares ${prefix} of ${before} bytes`)
    starts[i] = total
    total += prefix + added.ends[i]! - added.starts[i]!
    if (total > max_bytes) throw new Malformed(at, `strings come to more than ${max_bytes} bytes`)
    ends[i] = total
  }
  const bytes = new Uint8Array(total)
  for (let i = 0; i < count; i++) {
    const prefix = shared.values[i]!
    if (prefix > 0) bytes.copyWithin(starts[i]!, starts[i - 1]!, starts[i - 1]! + prefix)
    bytes.set(input.subarray(added.starts[i], added.ends[i]), starts[i]! + prefix)
  }
  return { kind: 'bytes', bytes, starts, ends }
} // prettier-ignore
