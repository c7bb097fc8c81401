/** Owns putting the parts of a column together into the typed arrays that the engine reads. Throws `Malformed`. */
import { Malformed } from '../../block/codec/bytes.js'
import type { ColumnData } from '../../parquet/read-column.js'
import type { ByteValues } from '../../parquet/values.js'
import { ChunkDictionary } from './dictionary.js'

export interface Words {
  readonly lo: Uint32Array
  readonly hi: Uint32Array
}

export function valueCount({ parts }: ColumnData): number {
  let count = 0
  for (const { valueFrom, valueTo } of parts) count += valueTo - valueFrom
  return count
}

/** 64 bits, or 32 with the sign carried over or not. */
export function joinInts(data: ColumnData, isSigned: boolean): Words {
  const only = data.parts.length === 1 ? data.parts[0]! : undefined
  if (only?.values.kind === 'int64') {
    const { lo, hi } = only.values
    return { lo: lo.subarray(only.valueFrom, only.valueTo), hi: hi.subarray(only.valueFrom, only.valueTo) }
  }
  const count = valueCount(data)
  const out: Words = { lo: new Uint32Array(count), hi: new Uint32Array(count) }
  let at = 0
  for (const { values, valueFrom, valueTo } of data.parts) {
    if (values.kind === 'int64') {
      out.lo.set(values.lo.subarray(valueFrom, valueTo), at)
      out.hi.set(values.hi.subarray(valueFrom, valueTo), at)
    } else if (values.kind === 'int32') {
      for (let i = valueFrom, to = at; i < valueTo; i++, to++) {
        const value = values.values[i]!
        out.lo[to] = value
        if (isSigned && value < 0) out.hi[to] = 0xffffffff
      }
    } else wrongKind(values.kind, 'integers')
    at += valueTo - valueFrom
  }
  return out
} // prettier-ignore

export function joinFloats(data: ColumnData): Float64Array {
  const out = new Float64Array(valueCount(data))
  let at = 0
  for (const { values, valueFrom, valueTo } of data.parts) {
    if (values.kind !== 'float') wrongKind(values.kind, 'floats')
    out.set(values.values.subarray(valueFrom, valueTo), at)
    at += valueTo - valueFrom
  }
  return out
}

/** 0 and 1. */
export function joinBools(data: ColumnData): Uint8Array {
  const out = new Uint8Array(valueCount(data))
  let at = 0
  for (const { values, valueFrom, valueTo } of data.parts) {
    if (values.kind !== 'bool') wrongKind(values.kind, 'booleans')
    out.set(values.values.subarray(valueFrom, valueTo), at)
    at += valueTo - valueFrom
  }
  return out
}

export interface Strings {
  /** One a value, 1 or more; 0 for the empty text where that means that there is none. */
  readonly codes: Uint32Array
  readonly dictionary: ChunkDictionary
}

export function joinStrings(data: ColumnData, emptyIsAbsent: boolean): Strings {
  const page = data.dictionary
  if (page && page.kind !== 'bytes') wrongKind(page.kind, 'strings')
  const dictionary = new ChunkDictionary(page)
  const empty = emptyIsAbsent && page ? dictionary.find('') : 0
  const codes = new Uint32Array(valueCount(data))
  let at = 0
  for (const { values, valueFrom, valueTo } of data.parts) {
    if (values.kind === 'indexes') {
      const { indexes } = values
      for (let i = valueFrom; i < valueTo; i++) {
        const code = indexes[i]! + 1
        codes[at++] = code === empty ? 0 : code
      }
    } else if (values.kind === 'bytes') {
      at = internAll(values, valueFrom, valueTo, dictionary, emptyIsAbsent, codes, at)
    } else wrongKind(values.kind, 'strings')
  }
  return { codes, dictionary }
}

function internAll(
  { bytes, starts, ends }: ByteValues,
  from: number,
  to: number,
  dictionary: ChunkDictionary,
  emptyIsAbsent: boolean,
  codes: Uint32Array,
  at: number,
): number {
  for (let i = from; i < to; i++) {
    const start = starts[i]!
    const end = ends[i]!
    codes[at++] = emptyIsAbsent && start === end ? 0 : dictionary.intern(bytes, start, end)
  }
  return at
}

/** Ids of a fixed width: shorter ones have zeros before them, of longer ones the end counts. */
export function joinIds(data: ColumnData, width: number): Uint8Array {
  const out = new Uint8Array(valueCount(data) * width)
  let at = 0
  eachBytes(data, (bytes, start, end) => {
    const from = Math.max(start, end - width)
    for (let i = from, to = at + width - (end - from); i < end; i++, to++) out[to] = bytes[i]!
    at += width
  })
  return out
}

/** Each value's bytes, in order. */
export function eachBytes(
  { parts, dictionary }: ColumnData,
  take: (bytes: Uint8Array, start: number, end: number) => void,
): void {
  for (const { values, valueFrom, valueTo } of parts) {
    if (values.kind === 'bytes') {
      const { bytes, starts, ends } = values
      for (let i = valueFrom; i < valueTo; i++) take(bytes, starts[i]!, ends[i]!)
    } else if (values.kind === 'indexes' && dictionary?.kind === 'bytes') {
      const { bytes, starts, ends } = dictionary
      for (let i = valueFrom; i < valueTo; i++) {
        const index = values.indexes[i]!
        take(bytes, starts[index]!, ends[index]!)
      }
    } else wrongKind(values.kind, 'byte strings')
  }
}

function wrongKind(kind: string, wanted: string): never {
  throw new Malformed(0, `values are ${kind} where ${wanted} belong`)
}
