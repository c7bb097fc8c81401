/** Owns DELTA_BINARY_PACKED, with which numbers that are near their neighbours take few bits, and DELTA_LENGTH_BYTE_ARRAY. */
import type { ByteWriter } from '../block/codec/bytes.js'
import { bitWidth, packBits, packWideBits } from './write-bits.js'

const BLOCK = 128
const MINIBLOCKS = 4
const MINIBLOCK = BLOCK / MINIBLOCKS
/** Differences whose upper half is below this are exact as doubles, and so is twice their distance. */
const EXACT_HALF = 2 ** 19
const HALF = 2 ** 32

/** One block's differences from the least of them. */
const offsetsLo = new Uint32Array(BLOCK)
const offsetsHi = new Uint32Array(BLOCK)
const differences = new Float64Array(BLOCK)

function writeHeader(out: ByteWriter, count: number): void {
  out.varint(BLOCK)
  out.varint(MINIBLOCKS)
  out.varint(count)
}

/** values[from..to) of type INT32. */
export function writeDelta32(out: ByteWriter, values: Int32Array, from: number, to: number): void {
  writeHeader(out, to - from)
  const first = from < to ? values[from]! : 0
  out.varint(((first << 1) ^ (first >> 31)) >>> 0)
  for (let block = from + 1; block < to; block += BLOCK) {
    const count = Math.min(BLOCK, to - block)
    let least = 0x7fffffff
    for (let i = 0; i < count; i++) {
      const difference = (values[block + i]! - values[block + i - 1]!) | 0
      offsetsLo[i] = difference
      if (difference < least) least = difference
    }
    for (let i = 0; i < count; i++) offsetsLo[i] = offsetsLo[i]! - least
    out.varint(((least << 1) ^ (least >> 31)) >>> 0)
    writeMiniblocks(out, count, false)
  }
}

/** lo and hi [from..to) of type INT64. */
export function writeDelta64(
  out: ByteWriter,
  lo: Uint32Array,
  hi: Uint32Array,
  from: number,
  to: number,
): void {
  writeHeader(out, to - from)
  if (from < to) zigzag64(out, lo[from]!, hi[from]!)
  else out.u8(0)
  for (let block = from + 1; block < to; block += BLOCK) {
    const count = Math.min(BLOCK, to - block)
    if (!exactOffsets(out, lo, hi, block, count)) wideOffsets(out, lo, hi, block, count)
    writeMiniblocks(out, count, true)
  }
}

/** The block's least difference and the offsets from it; false when a difference is too great for a double. */
function exactOffsets(
  out: ByteWriter,
  lo: Uint32Array,
  hi: Uint32Array,
  block: number,
  count: number,
): boolean {
  let least = Infinity
  for (let i = 0; i < count; i++) {
    const upper = (hi[block + i]! - hi[block + i - 1]!) | 0
    if (upper >= EXACT_HALF || upper <= -EXACT_HALF) return false
    const difference = upper * HALF + (lo[block + i]! - lo[block + i - 1]!)
    differences[i] = difference
    if (difference < least) least = difference
  }
  for (let i = 0; i < count; i++) {
    const offset = differences[i]! - least
    offsetsLo[i] = offset % HALF
    offsetsHi[i] = offset < HALF ? 0 : offset / HALF
  }
  const upper = Math.floor(least / HALF)
  zigzag64(out, (least - upper * HALF) >>> 0, upper >>> 0)
  return true
}

function wideOffsets(
  out: ByteWriter,
  lo: Uint32Array,
  hi: Uint32Array,
  block: number,
  count: number,
): void {
  const value = (i: number) => (BigInt(hi[i]!) << 32n) | BigInt(lo[i]!)
  const wide = Array.from({ length: count }, (_, i) =>
    BigInt.asIntN(64, value(block + i) - value(block + i - 1)),
  )
  const least = wide.reduce((a, b) => (b < a ? b : a))
  for (const [i, difference] of wide.entries()) {
    const offset = BigInt.asUintN(64, difference - least)
    offsetsLo[i] = Number(offset & 0xffffffffn)
    offsetsHi[i] = Number(offset >> 32n)
  }
  const bits = BigInt.asUintN(64, least)
  zigzag64(out, Number(bits & 0xffffffffn), Number(bits >> 32n))
}

function writeMiniblocks(out: ByteWriter, count: number, isWide: boolean): void {
  const widths = out.reserve(MINIBLOCKS)
  const found = [0, 0, 0, 0]
  for (let m = 0; m * MINIBLOCK < count; m++) {
    const from = m * MINIBLOCK
    const to = Math.min(count, from + MINIBLOCK)
    let bits = 0
    let upper = 0
    for (let i = from; i < to; i++) bits |= offsetsLo[i]!
    if (isWide) for (let i = from; i < to; i++) upper |= offsetsHi[i]!
    found[m] = upper === 0 ? bitWidth(bits) : 32 + bitWidth(upper)
  }
  widths.set(found)
  for (let m = 0; m * MINIBLOCK < count; m++) {
    const width = found[m]!
    if (width === 0) continue
    const from = m * MINIBLOCK
    const to = Math.min(count, from + MINIBLOCK)
    const target = out.reserve((width * MINIBLOCK) / 8)
    if (width <= 32) packBits(target, offsetsLo, from, to, width)
    else packWideBits(target, offsetsLo, offsetsHi, from, to, width)
  }
}

/** A signed 64-bit number as a zigzag varint. */
function zigzag64(out: ByteWriter, lo: number, hi: number): void {
  const sign = (hi | 0) >> 31
  let low = ((lo << 1) ^ sign) >>> 0
  let high = (((hi << 1) | (lo >>> 31)) ^ sign) >>> 0
  while (high !== 0 || low > 127) {
    out.u8((low & 127) | 128)
    low = ((low >>> 7) | (high << 25)) >>> 0
    high >>>= 7
  }
  out.u8(low)
}

/** Byte strings back to back in `bytes`, string i ending at ends[i]; those of from..to. */
export function writeDeltaLengths(
  out: ByteWriter,
  bytes: Uint8Array,
  ends: Uint32Array,
  from: number,
  to: number,
): void {
  const lengths = new Int32Array(to - from)
  const start = from === 0 ? 0 : ends[from - 1]!
  for (let i = from, at = start; i < to; i++) {
    lengths[i - from] = ends[i]! - at
    at = ends[i]!
  }
  writeDelta32(out, lengths, 0, lengths.length)
  if (to > from) out.bytes(bytes.subarray(start, ends[to - 1]))
}
