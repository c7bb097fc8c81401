/**
 * Owns the protobuf wire format: bounds-checked reads on a Uint8Array with a numeric cursor, the matching writes, and the
 * codes by which malformed bytes are refused.
 *
 * Readers return the position behind what they read, or a negative code. Nothing here allocates or throws.
 */

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH_DELIMITED = 2
export const FIXED32 = 5

/** A varint has at most 10 bytes. */
const MAX_VARINT_BYTES = 10
/** A tag fits in 32 bits. */
const MAX_TAG_BYTES = 5

export const TRUNCATED = -1
export const OVERRUN = -2
export const VARINT_TOO_LONG = -3
export const BAD_TAG = -4
export const WRONG_WIRE_TYPE = -5
export const TOO_DEEP = -6
export const BAD_TRACE_ID = -7
export const BAD_SPAN_ID = -8
export const BAD_ID_LENGTH = -9

export type MalformedCode =
  | 'TRUNCATED'
  | 'OVERRUN'
  | 'VARINT_TOO_LONG'
  | 'BAD_TAG'
  | 'WRONG_WIRE_TYPE'
  | 'TOO_DEEP'
  | 'BAD_TRACE_ID'
  | 'BAD_SPAN_ID'
  | 'BAD_ID_LENGTH'

const CODES: Record<number, MalformedCode> = {
  [TRUNCATED]: 'TRUNCATED',
  [OVERRUN]: 'OVERRUN',
  [VARINT_TOO_LONG]: 'VARINT_TOO_LONG',
  [BAD_TAG]: 'BAD_TAG',
  [WRONG_WIRE_TYPE]: 'WRONG_WIRE_TYPE',
  [TOO_DEEP]: 'TOO_DEEP',
  [BAD_TRACE_ID]: 'BAD_TRACE_ID',
  [BAD_SPAN_ID]: 'BAD_SPAN_ID',
  [BAD_ID_LENGTH]: 'BAD_ID_LENGTH',
}

const TEXTS: Record<MalformedCode, string> = {
  TRUNCATED: 'the message ends inside a field',
  OVERRUN: 'a field is longer than the message that holds it',
  VARINT_TOO_LONG: 'a varint has more bytes than its type allows',
  BAD_TAG: 'a tag has field number 0, a group or an unknown wire type',
  WRONG_WIRE_TYPE: 'a known field has another wire type than OTLP gives it',
  TOO_DEEP: 'attribute values are nested too deeply',
  BAD_TRACE_ID: 'trace ids must be 128 bit and not all zero',
  BAD_SPAN_ID: 'span ids must be 64 bit and not all zero',
  BAD_ID_LENGTH: 'a parent or linked id must be empty or of 64 (span), 128 (trace) bit',
}

/** What a client is told: the fault, the byte offset, and (for ids) the bits received. */
export function malformedText(code: MalformedCode, at: number, received_bits?: number): string {
  const bits = received_bits === undefined ? '' : `, received ${received_bits} bits`
  return `${TEXTS[code]}${bits} (byte ${at} of the request)`
}

/** Why bytes are no OTLP. */
export class MalformedOtlp extends Error {
  readonly code: MalformedCode
  readonly at: number
  readonly received_bits: number | undefined

  constructor(fault: number, at: number, received_bits?: number) {
    const code = CODES[fault] ?? 'BAD_TAG'
    super(malformedText(code, at, received_bits))
    this.name = 'MalformedOtlp'
    this.code = code
    this.at = at
    this.received_bits = received_bits
  }
}

// Where the last refusal happened and what the last multi-byte read found. Module variables, because a reader in a hot
// loop can return one number only; both are read by the caller before the next read.
let faultAt = 0
let value = 0

/** Notes the offset of a fault and returns its code. */
export function fail(fault: number, at: number): number {
  faultAt = at
  return fault
}

/** The offset noted by the last `fail`. */
export function lastFaultAt(): number {
  return faultAt
}

/** The number that the last `readTag` or `readLength` read. */
export function lastValue(): number {
  return value
}

/** Reads a tag; its number (field << 3 | wire type) is in `lastValue()`. */
export function readTag(b: Uint8Array, at: number, end: number): number {
  if (at < end) {
    const byte = b[at]!
    if (byte < 0x80 && byte > 7) {
      value = byte
      return at + 1
    }
  }
  return readLongTag(b, at, end)
}

function readLongTag(b: Uint8Array, at: number, end: number): number {
  let tag = 0
  for (let i = 0; i < MAX_TAG_BYTES; i++) {
    if (at + i >= end) return fail(TRUNCATED, at)
    const byte = b[at + i]!
    tag += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) {
      if (tag < 8 || tag > 0xffffffff) return fail(BAD_TAG, at)
      value = tag
      return at + i + 1
    }
  }
  return fail(BAD_TAG, at)
}

/** Reads a length and checks that so many bytes follow before `end`; the length is in `lastValue()`. */
export function readLength(b: Uint8Array, at: number, end: number): number {
  if (at + 1 < end) {
    const low = b[at]!
    const high = b[at + 1]!
    const start = low < 0x80 ? at + 1 : at + 2
    const length = low < 0x80 ? low : (low & 0x7f) | (high << 7)
    if ((low & high) < 0x80 && length <= end - start) {
      value = length
      return start
    }
  }
  return readLongLength(b, at, end)
}

function readLongLength(b: Uint8Array, at: number, end: number): number {
  let length = 0
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    if (at + i >= end) return fail(TRUNCATED, at)
    const byte = b[at + i]!
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) {
      const start = at + i + 1
      if (length > end - start) return fail(OVERRUN, at)
      value = length
      return start
    }
  }
  return fail(VARINT_TOO_LONG, at)
}

/** Skips a varint of up to 64 bits. */
export function skipVarint(b: Uint8Array, at: number, end: number): number {
  const stop = Math.min(end, at + MAX_VARINT_BYTES)
  for (let i = at; i < stop; i++) if (b[i]! < 0x80) return i + 1
  return stop === end && end - at < MAX_VARINT_BYTES
    ? fail(TRUNCATED, at)
    : fail(VARINT_TOO_LONG, at)
}

/** Skips the content of a field by its tag. Groups are refused: no OTLP version ever had one. */
export function skipField(b: Uint8Array, at: number, end: number, tag: number): number {
  switch (tag & 7) {
    case VARINT:
      return skipVarint(b, at, end)
    case FIXED64:
      return at + 8 <= end ? at + 8 : fail(TRUNCATED, at)
    case LENGTH_DELIMITED: {
      const start = readLength(b, at, end)
      return start < 0 ? start : start + value
    }
    case FIXED32:
      return at + 4 <= end ? at + 4 : fail(TRUNCATED, at)
    default:
      return fail(BAD_TAG, at)
  }
}

/** Low 32 bits of a varint that is known to be well formed, unsigned. */
export function varintLow(b: Uint8Array, at: number): number {
  let low = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = b[at++]!
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  return low >>> 0
}

/** A varint that is known to be well formed, as unsigned 64 bits. */
export function varintBig(b: Uint8Array, at: number): bigint {
  let out = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = b[at++]!
    out |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  return BigInt.asUintN(64, out)
}

/** Bytes of `n` (0 .. 2^32-1) as a varint. */
export function varintSize(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : n < 0x10000000 ? 4 : 5
}

/** Writes `n` (0 .. 2^32-1) as a varint; returns the position behind it. */
export function writeVarint(b: Uint8Array, at: number, n: number): number {
  while (n > 0x7f) {
    b[at++] = (n & 0x7f) | 0x80
    n >>>= 7
  }
  b[at++] = n
  return at
}
