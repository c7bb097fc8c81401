/** Owns the shapes in which decoded values stand: typed arrays, 64-bit integers as two halves, byte strings as places in a buffer. */

export interface Int32Values {
  readonly kind: 'int32'
  readonly values: Int32Array
}
/** value = hi * 2^32 + lo; hi as sent, so signed or not as the reader takes it. */
export interface Int64Values {
  readonly kind: 'int64'
  readonly lo: Uint32Array
  readonly hi: Uint32Array
}
/** FLOAT and DOUBLE. */
export interface FloatValues {
  readonly kind: 'float'
  readonly values: Float64Array
}
/** 0 and 1. */
export interface BoolValues {
  readonly kind: 'bool'
  readonly values: Uint8Array
}
/** BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY: value i is bytes[starts[i]..ends[i]). */
export interface ByteValues {
  readonly kind: 'bytes'
  readonly bytes: Uint8Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
}
/** Byte strings by their place in the column's dictionary. */
export interface IndexValues {
  readonly kind: 'indexes'
  readonly indexes: Uint32Array
}

export type PlainValues = Int32Values | Int64Values | FloatValues | BoolValues | ByteValues
export type PageValues = PlainValues | IndexValues

export const countOf = (values: PlainValues): number =>
  values.kind === 'int64'
    ? values.lo.length
    : values.kind === 'bytes'
      ? values.starts.length
      : values.values.length

/** The values that `indexes` stand for, each of which is less than `countOf(dictionary)`. */
export function gather(
  dictionary: Exclude<PlainValues, ByteValues>,
  indexes: Uint32Array,
): PlainValues {
  const count = indexes.length
  switch (dictionary.kind) {
    case 'int64': {
      const lo = new Uint32Array(count)
      const hi = new Uint32Array(count)
      for (let i = 0; i < count; i++) {
        lo[i] = dictionary.lo[indexes[i]!]!
        hi[i] = dictionary.hi[indexes[i]!]!
      }
      return { kind: 'int64', lo, hi }
    }
    case 'int32': {
      const values = new Int32Array(count)
      for (let i = 0; i < count; i++) values[i] = dictionary.values[indexes[i]!]!
      return { kind: 'int32', values }
    }
    case 'float': {
      const values = new Float64Array(count)
      for (let i = 0; i < count; i++) values[i] = dictionary.values[indexes[i]!]!
      return { kind: 'float', values }
    }
    case 'bool': {
      const values = new Uint8Array(count)
      for (let i = 0; i < count; i++) values[i] = dictionary.values[indexes[i]!]!
      return { kind: 'bool', values }
    }
  }
}
