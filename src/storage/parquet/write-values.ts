/** Owns the values of a column without their nulls: their bytes in a page, and the least and greatest of them. */
import type { ByteWriter } from '../block/codec/bytes.js'
import { bitWidth, packBits, writeHybrid } from './write-bits.js'
import { writeDelta32, writeDelta64, writeDeltaLengths } from './write-delta.js'
import type { ColumnDictionary } from './write-dictionary.js'
import { TYPE, type Codec, type Type } from './metadata.js'

/** How a column's values are written; the encodings that Tempo's columns have. */
export type Layout = 'dictionary' | 'delta' | 'plain'

/** A leaf of the schema, as its writer needs it. */
export interface Leaf {
  /** Names from below the root to the leaf, with the groups that only wrap lists. */
  readonly path: readonly string[]
  readonly type: Type
  readonly isUnsigned: boolean
  readonly layout: Layout
  readonly codec: Codec
  readonly maxRepetition: number
  readonly maxDefinition: number
}

export type Values =
  /** Indexes into the chunk's dictionary. */
  | { readonly kind: 'indexes'; readonly indexes: Uint32Array }
  /** Byte strings back to back; string i ends at ends[i]. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly ends: Uint32Array }
  | { readonly kind: 'int32'; readonly values: Int32Array }
  | { readonly kind: 'int64'; readonly lo: Uint32Array; readonly hi: Uint32Array }
  | { readonly kind: 'double'; readonly values: Float64Array }
  /** 0 and 1. */
  | { readonly kind: 'bool'; readonly values: Uint8Array }

/** Least and greatest value of a page in PLAIN bytes. */
export interface Bounds {
  readonly min: Uint8Array
  readonly max: Uint8Array
}

/** Values from..to as a page has them. */
export function writeValues(
  out: ByteWriter,
  values: Values,
  from: number,
  to: number,
  leaf: Leaf,
  dictionary: ColumnDictionary | undefined,
): void {
  switch (values.kind) {
    case 'indexes': {
      // At least one bit: a width of 0 is allowed, but few writers make it and not all readers take it.
      const width = bitWidth(Math.max(1, dictionary!.size - 1))
      out.u8(width)
      writeHybrid(out, values.indexes, from, to, width)
      return
    }
    case 'bytes':
      writeDeltaLengths(out, values.bytes, values.ends, from, to)
      return
    case 'int32':
      if (leaf.layout === 'delta') writeDelta32(out, values.values, from, to)
      else out.bytes(littleEndian(values.values.slice(from, to)))
      return
    case 'int64':
      if (leaf.layout === 'delta') writeDelta64(out, values.lo, values.hi, from, to)
      else writePlain64(out, values.lo, values.hi, from, to)
      return
    case 'double':
      out.bytes(littleEndian(values.values.slice(from, to)))
      return
    case 'bool': {
      // Plain, never RLE: parquet-go reads runs that are no multiple of 8 wrong, without a word.
      packBits(out.reserve(Math.ceil((to - from) / 8)), values.values, from, to, 1)
    }
  }
}

/** Every platform that Node runs on is little endian, as parquet is. */
function littleEndian(values: Int32Array | Float64Array | Uint32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function writePlain64(
  out: ByteWriter,
  lo: Uint32Array,
  hi: Uint32Array,
  from: number,
  to: number,
): void {
  const words = new Uint32Array(2 * (to - from))
  for (let i = from, at = 0; i < to; i++) {
    words[at++] = lo[i]!
    words[at++] = hi[i]!
  }
  out.bytes(littleEndian(words))
}

/** The bounds of values from..to, which are at least one. */
export function boundsOf(
  values: Values,
  from: number,
  to: number,
  leaf: Leaf,
  dictionary: ColumnDictionary | undefined,
): Bounds {
  switch (values.kind) {
    case 'indexes':
      return dictionaryBounds(values.indexes, from, to, dictionary!)
    case 'bytes':
      return bytesBounds(values.bytes, values.ends, from, to)
    case 'int32':
      return int32Bounds(values.values, from, to, leaf.isUnsigned)
    case 'int64':
      return int64Bounds(values.lo, values.hi, from, to, leaf.isUnsigned)
    case 'double':
      return doubleBounds(values.values, from, to)
    case 'bool': {
      const part = values.values.subarray(from, to)
      return { min: Uint8Array.of(part.includes(0) ? 0 : 1), max: Uint8Array.of(part.includes(1) ? 1 : 0) } // prettier-ignore
    }
  }
}

/** Which strings a page has, by the number of the page that last had each. */
let seen = new Uint32Array(1024)
let turn = 0

function dictionaryBounds(
  indexes: Uint32Array,
  from: number,
  to: number,
  dictionary: ColumnDictionary,
): Bounds {
  if (seen.length < dictionary.size || turn === 0xffffffff) {
    seen = new Uint32Array(2 * dictionary.size + 1024)
    turn = 0
  }
  turn++
  let min = indexes[from]!
  let max = min
  for (let i = from; i < to; i++) {
    const index = indexes[i]!
    if (seen[index] === turn) continue
    seen[index] = turn
    if (dictionary.compare(index, min) < 0) min = index
    else if (dictionary.compare(index, max) > 0) max = index
  }
  return { min: dictionary.bytes(min).slice(), max: dictionary.bytes(max).slice() }
}

function bytesBounds(bytes: Uint8Array, ends: Uint32Array, from: number, to: number): Bounds {
  const string = (i: number) => bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i])
  let min = string(from)
  let max = min
  for (let i = from + 1; i < to; i++) {
    if (ends[i] === ends[i - 1]) {
      min = bytes.subarray(0, 0)
      continue
    }
    const candidate = string(i)
    if (Buffer.compare(candidate, min) < 0) min = candidate
    else if (Buffer.compare(candidate, max) > 0) max = candidate
  }
  return { min: min.slice(), max: max.slice() }
}

function int32Bounds(values: Int32Array, from: number, to: number, isUnsigned: boolean): Bounds {
  const bias = isUnsigned ? 0x80000000 : 0
  let min = values[from]! ^ bias
  let max = min
  for (let i = from + 1; i < to; i++) {
    const value = values[i]! ^ bias
    if (value < min) min = value
    else if (value > max) max = value
  }
  const plain = (value: number) => littleEndian(Int32Array.of(value ^ bias))
  return { min: plain(min), max: plain(max) }
}

function int64Bounds(
  lo: Uint32Array,
  hi: Uint32Array,
  from: number,
  to: number,
  isUnsigned: boolean,
): Bounds {
  const bias = isUnsigned ? 0x80000000 : 0
  let min = from
  let max = from
  for (let i = from + 1; i < to; i++) {
    const upper = hi[i]! ^ bias
    const least = hi[min]! ^ bias
    if (upper < least || (upper === least && lo[i]! < lo[min]!)) min = i
    const most = hi[max]! ^ bias
    if (upper > most || (upper === most && lo[i]! > lo[max]!)) max = i
  }
  const plain = (i: number) => littleEndian(Uint32Array.of(lo[i]!, hi[i]!))
  return { min: plain(min), max: plain(max) }
}

function doubleBounds(values: Float64Array, from: number, to: number): Bounds {
  let min = Infinity
  let max = -Infinity
  for (let i = from; i < to; i++) {
    const value = values[i]!
    // A NaN has no place in an order, so a page with one may have anything.
    if (Number.isNaN(value)) {
      min = -Infinity
      max = Infinity
      break
    }
    if (value < min) min = value
    if (value > max) max = value
  }
  // Zeros have signs that comparisons do not see.
  const plain = (value: number) => littleEndian(Float64Array.of(value))
  return { min: plain(min === 0 ? -0 : min), max: plain(max === 0 ? 0 : max) }
}

/** Less than 0 when the PLAIN bytes of a stand before those of b in the order of the leaf's type. */
export function comparePlain(leaf: Leaf, a: Uint8Array, b: Uint8Array): number {
  const x = viewOf(a)
  const y = viewOf(b)
  switch (leaf.type) {
    case TYPE.BYTE_ARRAY:
      return Buffer.compare(a, b)
    case TYPE.INT32:
      return leaf.isUnsigned
        ? x.getUint32(0, true) - y.getUint32(0, true)
        : x.getInt32(0, true) - y.getInt32(0, true)
    case TYPE.INT64: {
      const difference = leaf.isUnsigned
        ? x.getBigUint64(0, true) - y.getBigUint64(0, true)
        : x.getBigInt64(0, true) - y.getBigInt64(0, true)
      return difference < 0n ? -1 : difference > 0n ? 1 : 0
    }
    case TYPE.DOUBLE:
      return x.getFloat64(0, true) - y.getFloat64(0, true)
    default:
      return a[0]! - b[0]!
  }
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
