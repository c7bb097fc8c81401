/** Owns reading runs of small integers (RLE and bit-packed, mixed), as levels and dictionary indexes are stored. */
import { Malformed } from '../block/codec/bytes.js'

/** Bits of the greatest level. */
export const levelWidth = (max: number): number => 32 - Math.clz32(max)

/** Fills `out` with levels up to `max`. Throws `Malformed` when they end early or go beyond. */
export function readLevels(input: Uint8Array, max: number, out: Uint8Array): void {
  readRuns(input, 0, levelWidth(max), out)
  // A whole loop for it is cheaper than a test within each of the others.
  let seen = 0
  for (let i = 0; i < out.length; i++) if (out[i]! > seen) seen = out[i]!
  if (seen > max) throw new Malformed(0, `level ${seen} is above ${max}`)
}

/** Fills `out` from `input[at..]` with values of `width` bits. */
export function readRuns(
  input: Uint8Array,
  at: number,
  width: number,
  out: Uint8Array | Uint32Array,
): void {
  const { length } = out
  const end = input.length
  const bytesOfValue = (width + 7) >>> 3
  let row = 0
  while (row < length) {
    let header = 0
    for (let scale = 1; ; scale *= 128) {
      if (at >= end || scale > 2 ** 28) throw new Malformed(at, `runs end after ${row} of ${length} values`)
      const byte = input[at++]!
      header += (byte & 127) * scale
      if (byte < 128) break
    }
    const count = Math.floor(header / 2)
    if (header % 2 === 1) {
      const bytes = count * width
      // The last group may be cut off behind the last value.
      const rows = Math.min(count * 8, length - row)
      if (Math.ceil((rows * width) / 8) > end - at) throw new Malformed(at, `packed values end within ${rows}`)
      unpack(input, at, width, out, row, rows)
      at = Math.min(end, at + bytes)
      row += rows
      continue
    }
    if (count === 0) throw new Malformed(at, 'a run of nothing')
    if (at + bytesOfValue > end) throw new Malformed(at, 'ends within a run')
    let value = 0
    for (let i = bytesOfValue - 1; i >= 0; i--) value = value * 256 + input[at + i]!
    at += bytesOfValue
    const to = Math.min(length, row + count)
    if (to - row > 16) out.fill(value, row, to)
    else for (let i = row; i < to; i++) out[i] = value
    row = to
  }
} // prettier-ignore

/** `rows` values of `width` bits, lowest bits first. */
function unpack(
  input: Uint8Array,
  at: number,
  width: number,
  out: Uint8Array | Uint32Array,
  from: number,
  rows: number,
): void {
  if (width === 0) {
    out.fill(0, from, from + rows)
    return
  }
  if (width > 24) {
    unpackWide(input, at, width, out, from, rows)
    return
  }
  const mask = (1 << width) - 1
  let word = 0
  let bits = 0
  for (let row = from; row < from + rows; row++) {
    while (bits < width) {
      word |= input[at++]! << bits
      bits += 8
    }
    out[row] = word & mask
    word >>>= width
    bits -= width
  }
}

/** Up to 32 bits: more than a word can hold beside what is left of the byte before. */
function unpackWide(
  input: Uint8Array,
  at: number,
  width: number,
  out: Uint8Array | Uint32Array,
  from: number,
  rows: number,
): void {
  let word = 0
  let bits = 0
  const size = 2 ** width
  for (let row = from; row < from + rows; row++) {
    while (bits < width) {
      word += input[at++]! * 2 ** bits
      bits += 8
    }
    out[row] = word % size
    word = Math.floor(word / size)
    bits -= width
  }
}
