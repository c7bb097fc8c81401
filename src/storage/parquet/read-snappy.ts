/** Owns uncompressing snappy blocks (the raw format, without frames). */
import { Malformed } from '../block/codec/bytes.js'

/** A copy of three bytes makes 64: no block grows by more. */
const MAX_GROWTH = 22

/** The length that a block says it has. Throws `Malformed` when that cannot be. */
export function snappyLength(input: Uint8Array): { length: number; at: number } {
  let length = 0
  let at = 0
  for (let scale = 1; at < 5; scale *= 128) {
    if (at >= input.length) throw new Malformed(at, 'snappy: no length')
    const byte = input[at++]!
    length += (byte & 127) * scale
    if (byte > 127) continue
    if (length > input.length * MAX_GROWTH + 64) break
    return { length, at }
  }
  throw new Malformed(0, `snappy: ${input.length} bytes cannot hold ${length}`)
}

/** Fills `out`, which has the length that the block says. */
export function uncompressSnappy(input: Uint8Array, out: Uint8Array): void {
  const { length, at: begin } = snappyLength(input)
  if (length !== out.length) {
    throw new Malformed(0, `snappy: ${length} bytes where ${out.length} belong`)
  }
  const end = input.length
  let at = begin
  let to = 0
  while (at < end) {
    const tag = input[at++]!
    if ((tag & 3) === 0) {
      let count = (tag >>> 2) + 1
      if (count > 60) {
        const width = count - 60
        if (at + width > end) throw new Malformed(at, 'snappy: ends within a literal')
        count = littleEndian(input, at, width) + 1
        at += width
      }
      if (count > end - at || count > length - to) {
        throw new Malformed(at, `snappy: a literal of ${count} bytes does not fit`)
      }
      if (count > 32) out.set(input.subarray(at, at + count), to)
      else for (let i = 0; i < count; i++) out[to + i] = input[at + i]!
      at += count
      to += count
      continue
    }
    let count: number
    let distance: number
    if ((tag & 3) === 1) {
      count = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) | input[at]!
      at += 1
    } else {
      const width = (tag & 3) === 2 ? 2 : 4
      count = (tag >>> 2) + 1
      distance = at + width > end ? 0 : littleEndian(input, at, width)
      at += width
    }
    if (at > end || distance === 0 || distance > to || count > length - to) {
      throw new Malformed(at, `snappy: a copy of ${count} bytes from ${distance} before ${to}`)
    }
    copyWithin(out, to, distance, count)
    to += count
  }
  if (to !== length) throw new Malformed(at, `snappy: ${to} bytes came of ${length}`)
}

/** A copy may reach into what it writes: then it repeats. */
function copyWithin(out: Uint8Array, to: number, distance: number, count: number): void {
  const from = to - distance
  if (count > 32 && distance >= count) out.copyWithin(to, from, from + count)
  else for (let i = 0; i < count; i++) out[to + i] = out[from + i]!
}

function littleEndian(input: Uint8Array, at: number, width: number): number {
  let value = 0
  for (let i = width - 1; i >= 0; i--) value = value * 256 + input[at + i]!
  return value
}
