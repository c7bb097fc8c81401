/**
 * Owns the judgement of OTLP structure: one walk over a message's bytes that follows the schema down to the last nested
 * attribute value, so that no decoder behind it meets malformed bytes. It also notices attributes that are over the
 * tenant's limit, and finds the ids of a span on its way.
 *
 * As in Tempo's receiver, a known field with a wrong wire type is an error, an unknown field is skipped, any bytes are a string.
 */
import { KEY_VALUE, MESSAGES, SPAN, type Field, type Message } from './schema.js'
import {
  BAD_ID_LENGTH,
  BAD_SPAN_ID,
  BAD_TRACE_ID,
  FIXED32,
  FIXED64,
  LENGTH_DELIMITED,
  TOO_DEEP,
  TRUNCATED,
  VARINT,
  WRONG_WIRE_TYPE,
  fail,
  lastValue,
  readLength,
  readTag,
  skipField,
  skipVarint,
} from './wire.js'

/** AnyValues inside one another; at three messages a level this is where protobuf libraries stop (100 messages). */
export const MAX_VALUE_DEPTH = 32

export const TRACE_ID_BYTES = 16
export const SPAN_ID_BYTES = 8

// What to do with a tag, one byte per message and tag; from FIRST_CHILD on it is FIRST_CHILD + message id.
const UNKNOWN = 0
const WRONG = 1
const SKIP_VARINT = 2
const SKIP_FIXED64 = 3
const SKIP_FIXED32 = 4
const SKIP_BYTES = 5
const OTHER_TRACE_ID = 6
const OTHER_SPAN_ID = 7
const OWN_TRACE_ID = 8
const OWN_SPAN_ID = 9
const ATTRIBUTE = 10
const FIRST_CHILD = 16

/** Tags up to this one are looked up: fields 1 to 31. */
const TABLE_TAGS = 256
const ACTIONS = buildActions()

function buildActions(): Uint8Array {
  const actions = new Uint8Array(MESSAGES.length * TABLE_TAGS)
  for (const message of MESSAGES) {
    for (const field of message.fields) {
      const row = message.id * TABLE_TAGS + field.number * 8
      actions.fill(WRONG, row, row + 8)
      actions[row + wireType(field)] = action(message, field)
    }
  }
  return actions
}

/** The wire type of a field's kind. */
export function wireType(field: Field): number {
  switch (field.kind) {
    case 'fixed64':
    case 'double':
      return FIXED64
    case 'fixed32':
      return FIXED32
    case 'string':
    case 'bytes':
    case 'traceId':
    case 'spanId':
    case 'message':
      return LENGTH_DELIMITED
    default:
      return VARINT
  }
}

function action(message: Message, field: Field): number {
  if (field.message === KEY_VALUE && field.name === 'attributes') return ATTRIBUTE
  if (field.message) return FIRST_CHILD + field.message.id
  if (message === SPAN && field.name === 'traceId') return OWN_TRACE_ID
  if (message === SPAN && field.name === 'spanId') return OWN_SPAN_ID
  if (field.kind === 'traceId') return OTHER_TRACE_ID
  if (field.kind === 'spanId') return OTHER_SPAN_ID
  switch (wireType(field)) {
    case VARINT:
      return SKIP_VARINT
    case FIXED64:
      return SKIP_FIXED64
    case FIXED32:
      return SKIP_FIXED32
    default:
      return SKIP_BYTES
  }
}

// State of the walk that is running; module variables because the walk's functions return positions only.
let limit_bytes = Infinity
let over = false
let traceIdAt = -1
let traceIdSize = 0
let spanIdAt = -1
let spanIdSize = 0

/** Sets the size over which attribute keys and string values count as too long; 0 = no limit. Clears `sawOverlong`. */
export function beginWalk(maxAttribute_bytes: number): void {
  limit_bytes = maxAttribute_bytes > 0 ? maxAttribute_bytes : Infinity
  over = false
}

/** Whether an attribute over the limit was met since `beginWalk`. */
export function sawOverlong(): boolean {
  return over
}

/** Where the trace id of the span last checked begins. */
export function lastTraceIdAt(): number {
  return traceIdAt
}

/** Bits of the trace id or span id that `checkSpan` refused. */
export function refusedId_bits(fault: number): number | undefined {
  if (fault === BAD_TRACE_ID) return traceIdSize * 8
  return fault === BAD_SPAN_ID ? spanIdSize * 8 : undefined
}

/** Checks a span and its ids; returns `end` or a code. Where its trace id is: `lastTraceIdAt()`. */
export function checkSpan(b: Uint8Array, at: number, end: number): number {
  traceIdAt = -1
  spanIdAt = -1
  traceIdSize = 0
  spanIdSize = 0
  const stop = checkMessage(b, at, end, SPAN.id, 0)
  if (stop < 0) return stop
  if (traceIdSize !== TRACE_ID_BYTES || isZero(b, traceIdAt, TRACE_ID_BYTES)) {
    if (traceIdSize === TRACE_ID_BYTES) traceIdSize = 0
    return fail(BAD_TRACE_ID, at)
  }
  if (spanIdSize !== SPAN_ID_BYTES || isZero(b, spanIdAt, SPAN_ID_BYTES)) {
    if (spanIdSize === SPAN_ID_BYTES) spanIdSize = 0
    return fail(BAD_SPAN_ID, at)
  }
  return stop
}

function isZero(b: Uint8Array, at: number, length: number): boolean {
  for (let i = at; i < at + length; i++) if (b[i] !== 0) return false
  return true
}

/** Checks the content of message `id` in [at, end); returns `end` or a code. `depth` counts the AnyValues around it. */
export function checkMessage(
  b: Uint8Array,
  at: number,
  end: number,
  id: number,
  depth: number,
): number {
  const row = id * TABLE_TAGS
  while (at < end) {
    let tag = b[at]!
    if (tag < 0x80 && tag > 7) at++
    else {
      at = readTag(b, at, end)
      if (at < 0) return at
      tag = lastValue()
    }
    const act = tag < TABLE_TAGS ? ACTIONS[row + tag]! : UNKNOWN
    if (act >= SKIP_BYTES) {
      let length = at < end ? b[at]! : 0x80
      if (length < 0x80) {
        at++
        if (length > end - at) return readLength(b, at - 1, end)
      } else {
        at = readLength(b, at, end)
        if (at < 0) return at
        length = lastValue()
      }
      if (act !== SKIP_BYTES) {
        const fault = checkContent(b, at, at + length, act, depth)
        if (fault < 0) return fault
      }
      at += length
    } else if (act === SKIP_FIXED64) at += 8
    else if (act === SKIP_VARINT) {
      if (at < end && b[at]! < 0x80) at++
      else at = skipVarint(b, at, end)
    } else if (act === SKIP_FIXED32) at += 4
    else if (act === WRONG) return fail(WRONG_WIRE_TYPE, at)
    else at = skipField(b, at, end, tag)
    if (at < 0) return at
  }
  return at === end ? at : fail(TRUNCATED, end)
}

function checkContent(b: Uint8Array, at: number, end: number, act: number, depth: number): number {
  switch (act) {
    case ATTRIBUTE:
      return isPlainAttribute(b, at, end) ? end : checkAttribute(b, at, end)
    case OWN_TRACE_ID:
      traceIdAt = at
      traceIdSize = end - at
      return end
    case OWN_SPAN_ID:
      spanIdAt = at
      spanIdSize = end - at
      return end
    case OTHER_SPAN_ID:
      return end === at || end - at === SPAN_ID_BYTES ? end : fail(BAD_ID_LENGTH, at)
    case OTHER_TRACE_ID:
      return end === at || end - at === TRACE_ID_BYTES ? end : fail(BAD_ID_LENGTH, at)
    default: {
      const id = act - FIRST_CHILD
      const inner = id === ANY_VALUE_ID ? depth + 1 : depth
      return inner > MAX_VALUE_DEPTH ? fail(TOO_DEEP, at) : checkMessage(b, at, end, id, inner)
    }
  }
}

const ANY_VALUE_ID = KEY_VALUE.fields[1]!.message!.id
const KEY = 0x0a
const VALUE = 0x12
const STRING_VALUE = 0x0a
const BOOL_VALUE = 0x10
const INT_VALUE = 0x18
const DOUBLE_VALUE = 0x21

/**
 * True for an attribute as every SDK writes it: key, then one string, bool, int or double, lengths of one or two bytes,
 * nothing over the limit. Four in five fields of a request are such ones, so this is the walk's inner loop.
 */
function isPlainAttribute(b: Uint8Array, at: number, end: number): boolean {
  if (end - at < 4 || b[at] !== KEY) return false
  const keyLength = b[at + 1]!
  if (keyLength > 0x7f || keyLength > limit_bytes) return false
  at += 2 + keyLength
  if (at + 2 > end || b[at] !== VALUE) return false
  let length = b[at + 1]!
  at += 2
  if (length > 0x7f) {
    if (at >= end || b[at]! > 0x7f) return false
    length = (length & 0x7f) | (b[at]! << 7)
    at++
  }
  if (at + length !== end || length < 2) return false
  const tag = b[at]!
  if (tag === STRING_VALUE) {
    let size = b[at + 1]!
    at += 2
    if (size > 0x7f) {
      if (at >= end || b[at]! > 0x7f) return false
      size = (size & 0x7f) | (b[at]! << 7)
      at++
    }
    return at + size === end && size <= limit_bytes
  }
  if (tag === INT_VALUE || tag === BOOL_VALUE) return skipVarint(b, at + 1, end) === end
  return tag === DOUBLE_VALUE && length === 9
}

function checkAttribute(b: Uint8Array, at: number, end: number): number {
  const stop = checkMessage(b, at, end, KEY_VALUE.id, 0)
  if (stop > 0 && !over) over = isOverlong(b, at, end, limit_bytes)
  return stop
}

/** Whether a well-formed KeyValue has a key or a (not nested) string value longer than the limit. */
export function isOverlong(b: Uint8Array, at: number, end: number, limit: number): boolean {
  while (at < end) {
    at = readTag(b, at, end)
    const tag = lastValue()
    if (tag !== KEY && tag !== VALUE) {
      at = skipField(b, at, end, tag)
      continue
    }
    at = readLength(b, at, end)
    const length = lastValue()
    if (tag === KEY ? length > limit : isOverlongValue(b, at, at + length, limit)) return true
    at += length
  }
  return false
}

function isOverlongValue(b: Uint8Array, at: number, end: number, limit: number): boolean {
  while (at < end) {
    at = readTag(b, at, end)
    const tag = lastValue()
    const from = at
    at = skipField(b, at, end, tag)
    if (tag === STRING_VALUE && at - readLength(b, from, end) > limit) return true
  }
  return false
}
