/**
 * Owns compressing with snappy (its block format, which parquet uses without frames). In TypeScript, because a native addon
 * in a worker that may be terminated can take the process with it; its speed is not what limits writing a block.
 */

/** Matches are looked for in fragments of this size, so that places are 16 bits. */
const FRAGMENT = 65_536
const HASH_BITS = 14
const HASH = 0x1e35a7bd
/** Matches are not looked for in the last bytes of a fragment. */
const MARGIN = 15

const table = new Uint16Array(1 << HASH_BITS)
let scratch = new Uint8Array(FRAGMENT)

/** The input, compressed; valid until the next call. */
export function compressSnappy(input: Uint8Array): Uint8Array {
  const most = 32 + input.length + Math.ceil(input.length / 6)
  if (scratch.length < most) scratch = new Uint8Array(most)
  let at = 0
  let length = input.length
  for (; length > 127; length = Math.floor(length / 128)) scratch[at++] = (length & 127) | 128
  scratch[at++] = length
  for (let from = 0; from < input.length; from += FRAGMENT) {
    at = compressFragment(input, from, Math.min(input.length, from + FRAGMENT), scratch, at)
  }
  return scratch.subarray(0, at)
}

const load32 = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

function compressFragment(
  input: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  at: number,
): number {
  // A small fragment has few places to remember: a small table is sooner empty.
  const bits = Math.max(8, Math.min(HASH_BITS, 32 - Math.clz32(to - from)))
  const shift = 32 - bits
  table.fill(0, 0, 1 << bits)
  const limit = to - MARGIN
  let literal = from
  let place = from + 1
  // The longer nothing is found, the larger the steps: random bytes are not worth the search.
  let skip = 32
  while (place < limit) {
    const word = load32(input, place)
    const hash = Math.imul(word, HASH) >>> shift
    const candidate = from + table[hash]!
    table[hash] = place - from
    if (candidate >= place || load32(input, candidate) !== word) {
      place += skip++ >> 5
      continue
    }
    skip = 32
    if (place > literal) at = writeLiteral(input, literal, place, out, at)
    let end = place + 4
    let other = candidate + 4
    while (end < to && input[end] === input[other]) {
      end++
      other++
    }
    at = writeCopy(out, at, place - candidate, end - place)
    literal = end
    place = end
    if (place < limit) table[Math.imul(load32(input, place - 1), HASH) >>> shift] = place - 1 - from
  }
  return literal < to ? writeLiteral(input, literal, to, out, at) : at
}

function writeLiteral(
  input: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  at: number,
): number {
  const length = to - from
  if (length <= 60) {
    out[at++] = (length - 1) << 2
  } else if (length <= 256) {
    out[at++] = 60 << 2
    out[at++] = length - 1
  } else {
    out[at++] = 61 << 2
    out[at++] = length - 1
    out[at++] = (length - 1) >> 8
  }
  if (length > 24) out.set(input.subarray(from, to), at)
  else for (let i = 0; i < length; i++) out[at + i] = input[from + i]!
  return at + length
}

function writeCopy(out: Uint8Array, at: number, offset: number, length: number): number {
  while (length >= 68) {
    at = writeCopy64(out, at, offset, 64)
    length -= 64
  }
  if (length > 64) {
    at = writeCopy64(out, at, offset, 60)
    length -= 60
  }
  if (length >= 12 || offset >= 2048) return writeCopy64(out, at, offset, length)
  out[at++] = ((offset >> 8) << 5) | ((length - 4) << 2) | 1
  out[at++] = offset
  return at
}

function writeCopy64(out: Uint8Array, at: number, offset: number, length: number): number {
  out[at++] = ((length - 1) << 2) | 2
  out[at++] = offset
  out[at++] = offset >> 8
  return at
}
