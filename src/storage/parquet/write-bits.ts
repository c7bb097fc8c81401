/** Owns packing numbers into bits, least significant first, and parquet's hybrid of runs and packed groups of eight. */
import type { ByteWriter } from '../block/codec/bytes.js'

/** A run pays from this length on, and packed groups have this many values. */
const GROUP = 8

/** Bits that hold `max`. */
export const bitWidth = (max: number): number => 32 - Math.clz32(max)

/** Runs and packed groups of values[from..to), each below 2^width; width 1 to 32. */
export function writeHybrid(
  out: ByteWriter,
  values: Uint8Array | Uint32Array,
  from: number,
  to: number,
  width: number,
): void {
  let packedFrom = -1
  for (let at = from; at < to;) {
    const value = values[at]!
    let end = at + 1
    while (end < to && values[end] === value) end++
    const length = end - at
    if (packedFrom >= 0) {
      // What is packed has to be whole groups, so the run gives up its first values for them.
      const filling = -(at - packedFrom) & (GROUP - 1)
      if (length - filling >= GROUP) {
        writePacked(out, values, packedFrom, at + filling, width)
        writeRun(out, value, length - filling, width)
        packedFrom = -1
      }
    } else if (length >= GROUP) {
      writeRun(out, value, length, width)
    } else {
      packedFrom = at
    }
    at = end
  }
  if (packedFrom >= 0) writePacked(out, values, packedFrom, to, width)
}

function writeRun(out: ByteWriter, value: number, length: number, width: number): void {
  out.varint(2 * length)
  for (let bits = 0; bits < width; bits += 8) out.u8((value >>> bits) & 0xff)
}

function writePacked(
  out: ByteWriter,
  values: Uint8Array | Uint32Array,
  from: number,
  to: number,
  width: number,
): void {
  const groups = Math.ceil((to - from) / GROUP)
  out.varint(2 * groups + 1)
  packBits(out.reserve(groups * width), values, from, to, width)
}

/** Fills `target`, which may be longer than the values need; what is left is zero. */
export function packBits(
  target: Uint8Array,
  values: Uint8Array | Uint32Array,
  from: number,
  to: number,
  width: number,
): void {
  let word = 0
  let used = 0
  let at = 0
  for (let i = from; i < to; i++) {
    const value = values[i]!
    word |= value << used
    const next = used + width
    if (next < 32) {
      used = next
      continue
    }
    target[at] = word
    target[at + 1] = word >>> 8
    target[at + 2] = word >>> 16
    target[at + 3] = word >>> 24
    at += 4
    word = used === 0 ? 0 : value >>> (32 - used)
    used = next - 32
  }
  for (; used > 0; used -= 8, word >>>= 8) target[at++] = word
  target.fill(0, at)
}

/** The same of 64-bit values as halves, for widths from 33 to 64. */
export function packWideBits(
  target: Uint8Array,
  lo: Uint32Array,
  hi: Uint32Array,
  from: number,
  to: number,
  width: number,
): void {
  const halves = new Uint32Array(2)
  let word = 0
  let used = 0
  let at = 0
  for (let i = from; i < to; i++) {
    halves[0] = lo[i]!
    halves[1] = hi[i]!
    for (let half = 0; half < 2; half++) {
      const value = halves[half]!
      const bits = half === 0 ? 32 : width - 32
      word |= value << used
      const next = used + bits
      if (next < 32) {
        used = next
        continue
      }
      target[at] = word
      target[at + 1] = word >>> 8
      target[at + 2] = word >>> 16
      target[at + 3] = word >>> 24
      at += 4
      word = used === 0 ? 0 : value >>> (32 - used)
      used = next - 32
    }
  }
  for (; used > 0; used -= 8, word >>>= 8) target[at++] = word
  target.fill(0, at)
}
