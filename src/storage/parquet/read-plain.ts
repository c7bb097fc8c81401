/** Owns reading values as they are (PLAIN), and floats and integers with their bytes split (BYTE_STREAM_SPLIT). */
import { Malformed } from '../block/codec/bytes.js'
import { TYPE, type Type } from './metadata.js'
import type { BoolValues, ByteValues, PlainValues } from './values.js'

/** `count` values of the type from `input[at..]`. Throws `Malformed` when they are not there. */
export function readPlain(
  type: Type,
  typeLength: number,
  input: Uint8Array,
  at: number,
  count: number,
): PlainValues {
  switch (type) {
    case TYPE.BOOLEAN:
      return readBits(input, at, count)
    case TYPE.BYTE_ARRAY:
      return readByteArrays(input, at, count)
    default:
      return readFixed(type, typeLength, input.subarray(at), count)
  }
}

/** Bytes of one value; 0 where it is not fixed. */
export function widthOf(type: Type, typeLength: number): number {
  if (type === TYPE.INT32 || type === TYPE.FLOAT) return 4
  if (type === TYPE.INT64 || type === TYPE.DOUBLE) return 8
  return type === TYPE.FIXED_LEN_BYTE_ARRAY ? typeLength : 0
}

function readBits(input: Uint8Array, at: number, count: number): BoolValues {
  need(input, at, Math.ceil(count / 8))
  const values = new Uint8Array(count)
  for (let i = 0; i < count; i++) values[i] = (input[at + (i >>> 3)]! >>> (i & 7)) & 1
  return { kind: 'bool', values }
}

function readByteArrays(input: Uint8Array, at: number, count: number): ByteValues {
  // Before memory is taken for them: each has four bytes of length.
  need(input, at, 4 * count)
  const starts = new Uint32Array(count)
  const ends = new Uint32Array(count)
  const end = input.length
  for (let i = 0; i < count; i++) {
    if (end - at < 4) throw new Malformed(at, `strings end after ${i} of ${count}`)
    const length = (input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24)) >>> 0
    at += 4
    if (length > end - at) throw new Malformed(at, `a string of ${length} bytes, ${end - at} are left`)
    starts[i] = at
    at += length
    ends[i] = at
  }
  return { kind: 'bytes', bytes: input, starts, ends }
} // prettier-ignore

function readFixed(type: Type, typeLength: number, input: Uint8Array, count: number): PlainValues {
  const width = widthOf(type, typeLength)
  if (width <= 0) throw new Malformed(0, `type ${type} of ${typeLength} bytes is not known`)
  need(input, 0, width * count)
  if (type === TYPE.FIXED_LEN_BYTE_ARRAY) {
    const starts = new Uint32Array(count)
    const ends = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      starts[i] = i * width
      ends[i] = (i + 1) * width
    }
    return { kind: 'bytes', bytes: input, starts, ends }
  }
  // Typed arrays need their place in the buffer to be a multiple of their width.
  const copy = new Uint8Array(width * count)
  copy.set(input.subarray(0, copy.length))
  const aligned = copy.buffer
  switch (type) {
    case TYPE.INT32:
      return { kind: 'int32', values: new Int32Array(aligned) }
    case TYPE.DOUBLE:
      return { kind: 'float', values: new Float64Array(aligned) }
    case TYPE.FLOAT:
      return { kind: 'float', values: Float64Array.from(new Float32Array(aligned)) }
    default:
      return split(new Uint32Array(aligned), count)
  }
}

function split(words: Uint32Array, count: number): PlainValues {
  const lo = new Uint32Array(count)
  const hi = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    lo[i] = words[2 * i]!
    hi[i] = words[2 * i + 1]!
  }
  return { kind: 'int64', lo, hi }
}

/** All first bytes, then all second bytes, and so on. */
export function readStreamSplit(
  type: Type,
  typeLength: number,
  input: Uint8Array,
  at: number,
  count: number,
): PlainValues {
  const width = widthOf(type, typeLength)
  if (width <= 0) throw new Malformed(at, `type ${type} cannot be split into streams`)
  need(input, at, width * count)
  const joined = new Uint8Array(width * count)
  for (let stream = 0; stream < width; stream++) {
    const from = at + stream * count
    for (let i = 0; i < count; i++) joined[i * width + stream] = input[from + i]!
  }
  return readFixed(type, typeLength, joined, count)
}

function need(input: Uint8Array, at: number, bytes: number): void {
  if (bytes > input.length - at) {
    throw new Malformed(at, `${bytes} bytes of values, ${Math.max(0, input.length - at)} are left`)
  }
}
