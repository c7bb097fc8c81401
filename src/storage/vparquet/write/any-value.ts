/** Owns what Tempo's parquet makes of an AnyValue that is no scalar: a list of one type, or JSON of what is not. */
import { anyValueToJson } from '../../../otlp/trace-json.js'
import {
  FIXED64,
  LENGTH_DELIMITED,
  MalformedOtlp,
  VARINT,
  lastFaultAt,
  lastValue,
  readLength,
  readTag,
  skipField,
  varintBig,
} from '../../../otlp/wire.js'

/** Kinds of values; the first four have a column each. */
export const KIND = { string: 1, int: 2, float: 3, bool: 4, emptyArray: 5, unsupported: 6 } as const
export type Kind = (typeof KIND)[keyof typeof KIND]

export interface ArrayValue {
  readonly kind: Kind
  /** By kind: bytes of strings. */
  readonly strings: readonly Uint8Array[]
  readonly ints: readonly bigint[]
  readonly floats: readonly number[]
  readonly bools: readonly boolean[]
  /** Of an unsupported value. */
  readonly json: Uint8Array
}

const TAG = {
  string: (1 << 3) | LENGTH_DELIMITED,
  bool: (2 << 3) | VARINT,
  int: (3 << 3) | VARINT,
  double: (4 << 3) | FIXED64,
  array: (5 << 3) | LENGTH_DELIMITED,
} as const
const VALUES_TAG = (1 << 3) | LENGTH_DELIMITED
const KINDS: Readonly<Record<number, Kind>> = {
  [TAG.string]: KIND.string,
  [TAG.int]: KIND.int,
  [TAG.double]: KIND.float,
  [TAG.bool]: KIND.bool,
}

interface Place {
  /** 0 when the message has no value. */
  readonly tag: number
  readonly from: number
  readonly to: number
}

export function parseAnyValue(bytes: Uint8Array): ArrayValue {
  const outer = valueOf(bytes, 0, bytes.length)
  return (outer.tag === TAG.array && homogeneous(bytes, outer)) || unsupported(bytes)
}

const NONE = { strings: [], ints: [], floats: [], bools: [], json: new Uint8Array(0) }

function unsupported(bytes: Uint8Array): ArrayValue {
  return { ...NONE, kind: KIND.unsupported, json: Buffer.from(anyValueToJson(bytes)) }
}

/** The array as a list of one type; undefined when its elements differ, or have a type without a column. */
function homogeneous(bytes: Uint8Array, array: Place): ArrayValue | undefined {
  const elements = elementsOf(bytes, array)
  const first = elements[0]
  if (!first) return { ...NONE, kind: KIND.emptyArray }
  const kind = KINDS[first.tag]
  if (!kind || elements.some(({ tag }) => tag !== first.tag)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (kind) {
    case KIND.string:
      return { ...NONE, kind, strings: elements.map(({ from, to }) => bytes.slice(from, to)) }
    case KIND.int:
      return { ...NONE, kind, ints: elements.map(({ from }) => varintBig(bytes, from)) }
    case KIND.float:
      return { ...NONE, kind, floats: elements.map(({ from }) => view.getFloat64(from, true)) }
    default:
      return { ...NONE, kind, bools: elements.map(({ from }) => varintBig(bytes, from) !== 0n) }
  }
}

function elementsOf(bytes: Uint8Array, array: Place): Place[] {
  const elements: Place[] = []
  for (let at = array.from; at < array.to;) {
    at = checked(readTag(bytes, at, array.to))
    const tag = lastValue()
    if (tag !== VALUES_TAG) {
      at = checked(skipField(bytes, at, array.to, tag))
      continue
    }
    const from = checked(readLength(bytes, at, array.to))
    at = from + lastValue()
    elements.push(valueOf(bytes, from, at))
  }
  return elements
}

/** Where the value of an AnyValue stands, which is the last one when there are several. */
function valueOf(bytes: Uint8Array, at: number, end: number): Place {
  let found: Place = { tag: 0, from: end, to: end }
  while (at < end) {
    at = checked(readTag(bytes, at, end))
    const tag = lastValue()
    const next = checked(skipField(bytes, at, end, tag))
    if (tag >>> 3 <= 7) {
      const from = (tag & 7) === LENGTH_DELIMITED ? readLength(bytes, at, end) : at
      found = { tag, from, to: next }
    }
    at = next
  }
  return found
}

/** The bytes were checked when they came; those of a damaged block were not. */
function checked(at: number): number {
  if (at < 0) throw new MalformedOtlp(at, lastFaultAt())
  return at
}
