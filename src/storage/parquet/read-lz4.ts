/** Owns uncompressing LZ4 blocks (LZ4_RAW: the block format, without frames). */
import { Malformed } from '../block/codec/bytes.js'

const MIN_MATCH = 4

/** Fills `out` exactly. */
export function uncompressLz4(input: Uint8Array, out: Uint8Array): void {
  const end = input.length
  let at = 0
  let to = 0
  const more = (count: number): number => {
    if (count < 15) return count
    for (;;) {
      if (at >= end) throw new Malformed(at, 'lz4: ends within a length')
      const byte = input[at++]!
      count += byte
      if (byte < 255) return count
    }
  }
  while (at < end) {
    const token = input[at++]!
    const literal = more(token >>> 4)
    if (literal > end - at || literal > out.length - to) {
      throw new Malformed(at, `lz4: a literal of ${literal} bytes does not fit`)
    }
    out.set(input.subarray(at, at + literal), to)
    at += literal
    to += literal
    // The last sequence is a literal alone.
    if (at === end) break
    if (at + 2 > end) throw new Malformed(at, 'lz4: ends within a copy')
    const distance = input[at]! | (input[at + 1]! << 8)
    at += 2
    const count = more(token & 15) + MIN_MATCH
    if (distance === 0 || distance > to || count > out.length - to) {
      throw new Malformed(at, `lz4: a copy of ${count} bytes from ${distance} before ${to}`)
    }
    const from = to - distance
    if (distance >= count) out.copyWithin(to, from, from + count)
    else for (let i = 0; i < count; i++) out[to + i] = out[from + i]!
    to += count
  }
  if (to !== out.length) throw new Malformed(at, `lz4: ${to} bytes came of ${out.length}`)
}
