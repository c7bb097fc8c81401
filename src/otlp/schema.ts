/**
 * Owns the description of OTLP's trace messages as data: which field has which number, name, kind and place. The
 * validator, the truncation of attributes and both JSON directions read it; nobody else spells field numbers twice.
 *
 * Fields stand in the order in which Tempo prints them as JSON.
 */

export type Kind =
  | 'string'
  | 'bytes'
  | 'traceId'
  | 'spanId'
  | 'bool'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'fixed32'
  | 'fixed64'
  | 'double'
  | 'enum'
  | 'message'

export interface Field {
  readonly number: number
  readonly name: string
  readonly kind: Kind
  readonly repeated: boolean
  /** One of several: printed even when zero, the last one on the wire wins. */
  readonly oneof: boolean
  /** The message of a `message` field. */
  readonly message?: Message
  /** The names of an `enum` field by number. */
  readonly names?: readonly string[]
}

export interface Message {
  readonly name: string
  /** Index of the message in `MESSAGES`. */
  readonly id: number
  readonly fields: readonly Field[]
}

interface Building {
  name: string
  id: number
  fields: Field[]
}

const messages: Building[] = []

function message(name: string): Building {
  const made = { name, id: messages.length, fields: [] }
  messages.push(made)
  return made
}

function one(number: number, name: string, kind: Exclude<Kind, 'message' | 'enum'>): Field {
  return { number, name, kind, repeated: false, oneof: false }
}

function child(number: number, name: string, of: Message): Field {
  return { number, name, kind: 'message', repeated: false, oneof: false, message: of }
}

function many(number: number, name: string, of: Message): Field {
  return { ...child(number, name, of), repeated: true }
}

function texts(number: number, name: string): Field {
  return { ...one(number, name, 'string'), repeated: true }
}

function named(number: number, name: string, names: readonly string[]): Field {
  return { number, name, kind: 'enum', repeated: false, oneof: false, names }
}

function choice(field: Field): Field {
  return { ...field, oneof: true }
}

const SPAN_KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map(
  (name) => `SPAN_KIND_${name}`,
)
const STATUS_CODES = ['UNSET', 'OK', 'ERROR'].map((name) => `STATUS_CODE_${name}`)

const anyValue = message('AnyValue')
const arrayValue = message('ArrayValue')
const keyValueList = message('KeyValueList')
const keyValue = message('KeyValue')
const entityRef = message('EntityRef')
const resource = message('Resource')
const scope = message('InstrumentationScope')
const event = message('Span.Event')
const link = message('Span.Link')
const status = message('Status')
const span = message('Span')
const scopeSpans = message('ScopeSpans')
const resourceSpans = message('ResourceSpans')
const request = message('ExportTraceServiceRequest')

anyValue.fields = [
  choice(one(1, 'stringValue', 'string')),
  choice(one(2, 'boolValue', 'bool')),
  choice(one(3, 'intValue', 'int64')),
  choice(one(4, 'doubleValue', 'double')),
  choice(child(5, 'arrayValue', arrayValue)),
  choice(child(6, 'kvlistValue', keyValueList)),
  choice(one(7, 'bytesValue', 'bytes')),
  choice(one(8, 'stringValueStrindex', 'int32')),
]
arrayValue.fields = [many(1, 'values', anyValue)]
keyValueList.fields = [many(1, 'values', keyValue)]
keyValue.fields = [
  one(1, 'key', 'string'),
  child(2, 'value', anyValue),
  one(3, 'keyStrindex', 'int32'),
]
entityRef.fields = [
  one(1, 'schemaUrl', 'string'),
  one(2, 'type', 'string'),
  texts(3, 'idKeys'),
  texts(4, 'descriptionKeys'),
]
resource.fields = [
  many(1, 'attributes', keyValue),
  one(2, 'droppedAttributesCount', 'uint32'),
  many(3, 'entityRefs', entityRef),
]
scope.fields = [
  one(1, 'name', 'string'),
  one(2, 'version', 'string'),
  many(3, 'attributes', keyValue),
  one(4, 'droppedAttributesCount', 'uint32'),
]
event.fields = [
  one(1, 'timeUnixNano', 'fixed64'),
  one(2, 'name', 'string'),
  many(3, 'attributes', keyValue),
  one(4, 'droppedAttributesCount', 'uint32'),
]
link.fields = [
  one(1, 'traceId', 'traceId'),
  one(2, 'spanId', 'spanId'),
  one(3, 'traceState', 'string'),
  many(4, 'attributes', keyValue),
  one(5, 'droppedAttributesCount', 'uint32'),
  one(6, 'flags', 'fixed32'),
]
status.fields = [one(2, 'message', 'string'), named(3, 'code', STATUS_CODES)]
span.fields = [
  one(1, 'traceId', 'traceId'),
  one(2, 'spanId', 'spanId'),
  one(3, 'traceState', 'string'),
  one(4, 'parentSpanId', 'spanId'),
  one(16, 'flags', 'fixed32'),
  one(5, 'name', 'string'),
  named(6, 'kind', SPAN_KINDS),
  one(7, 'startTimeUnixNano', 'fixed64'),
  one(8, 'endTimeUnixNano', 'fixed64'),
  many(9, 'attributes', keyValue),
  one(10, 'droppedAttributesCount', 'uint32'),
  many(11, 'events', event),
  one(12, 'droppedEventsCount', 'uint32'),
  many(13, 'links', link),
  one(14, 'droppedLinksCount', 'uint32'),
  child(15, 'status', status),
]
scopeSpans.fields = [
  child(1, 'scope', scope),
  many(2, 'spans', span),
  one(3, 'schemaUrl', 'string'),
]
resourceSpans.fields = [
  child(1, 'resource', resource),
  many(2, 'scopeSpans', scopeSpans),
  one(3, 'schemaUrl', 'string'),
]
request.fields = [many(1, 'resourceSpans', resourceSpans)]

export const MESSAGES: readonly Message[] = messages
export const ANY_VALUE: Message = anyValue
export const KEY_VALUE: Message = keyValue
export const KEY_VALUE_LIST: Message = keyValueList
export const RESOURCE: Message = resource
export const SCOPE: Message = scope
export const EVENT: Message = event
export const LINK: Message = link
export const SPAN: Message = span
export const SCOPE_SPANS: Message = scopeSpans
export const RESOURCE_SPANS: Message = resourceSpans
/** ExportTraceServiceRequest, TracesData and tempopb.Trace are the same on the wire. */
export const REQUEST: Message = request
