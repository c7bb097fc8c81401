/** Owns bitmaps: one bit a row, row 0 in the lowest bit of byte 0, kept as a packet. */
import type { ByteReader, ByteWriter } from './bytes.js'
import { readPacket, writePacket } from './packet.js'

/** Bit i is set when `flags[from + i]` is `set`. */
export function writeBits(
  out: ByteWriter,
  flags: Uint8Array,
  from: number,
  to: number,
  set: number,
): void {
  const bits = new Uint8Array((to - from + 7) >>> 3)
  for (let i = from; i < to; i++) {
    if (flags[i] === set) bits[(i - from) >>> 3]! |= 1 << ((i - from) & 7)
  }
  if (bits.length > 0) writePacket(out, bits)
}

/** Fills `target` whole with 0 and 1; returns how many are 1. */
export function readBits(input: ByteReader, target: Uint8Array): number {
  if (target.length === 0) return 0
  const bits = readPacket(input, (target.length + 7) >>> 3)
  let ones = 0
  for (let i = 0; i < target.length; i++) {
    const bit = (bits[i >>> 3]! >>> (i & 7)) & 1
    target[i] = bit
    ones += bit
  }
  return ones
}
