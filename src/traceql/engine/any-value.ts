/** Owns reading arrays out of AnyValue protobuf bytes: TraceQL sees an array whose elements are all of one type. */
import { staticBool, staticFloat, staticInt, staticString, type Static } from '../static.js'

const STRING = 1
const BOOL = 2
const INT = 3
const DOUBLE = 4
const ARRAY = 5
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

interface Field {
  readonly number: number
  readonly wire: number
  readonly value: bigint
  /** Where the field's bytes are, for the wire types that have some. */
  readonly begin: number
  readonly end: number
}

/** Undefined when the bytes hold anything that is no homogeneous array of texts, numbers or booleans. */
export function decodeArray(bytes: Uint8Array): Static | undefined {
  const list = fieldsOf(bytes, 0, bytes.length)?.find((f) => f.number === ARRAY && f.wire === BYTES)
  if (!list) return undefined
  const values = fieldsOf(bytes, list.begin, list.end)
  if (!values) return undefined
  const elements: Static[] = []
  for (const value of values) {
    const element = value.number === 1 ? decodeScalar(bytes, value.begin, value.end) : undefined
    if (!element || (elements[0] && elements[0].type !== element.type)) return undefined
    elements.push(element)
  }
  const [first] = elements
  // One element is a plain value to the query, as it is in Tempo.
  if (!first || elements.length === 1) return first
  const type = `${first.type}Array`
  return { type, value: elements.map((e) => (e as { value: unknown }).value) } as unknown as Static
}

function decodeScalar(bytes: Uint8Array, begin: number, end: number): Static | undefined {
  const field = fieldsOf(bytes, begin, end)?.at(-1)
  if (!field) return undefined
  if (field.number === STRING && field.wire === BYTES) {
    return staticString(Buffer.from(bytes.subarray(field.begin, field.end)).toString('utf8'))
  }
  if (field.number === BOOL) return staticBool(field.value !== 0n)
  if (field.number === INT) return staticInt(field.value)
  if (field.number !== DOUBLE || field.wire !== FIXED64) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + field.begin, 8)
  return staticFloat(view.getFloat64(0, true))
}

/** The fields of a message; undefined when the bytes are none. */
function fieldsOf(bytes: Uint8Array, begin: number, end: number): Field[] | undefined {
  const fields: Field[] = []
  let at = begin
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; at < end && shift < 70n; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    at = Infinity
    return 0n
  }
  while (at < end) {
    const key = Number(varint())
    const [number, wire] = [Math.floor(key / 8), key % 8]
    const value = wire === VARINT || wire === BYTES ? varint() : 0n
    const from = at
    if (wire === BYTES) at += Number(value)
    else if (wire === FIXED64) at += 8
    else if (wire === FIXED32) at += 4
    else if (wire !== VARINT) return undefined
    if (at > end) return undefined
    fields.push({ number, wire, value, begin: from, end: at })
  }
  return fields
}
