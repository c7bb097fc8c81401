/** Owns OTLP traces as plain objects for tests, and their protobuf form: simple and slow, written apart from src so that it can judge it. */

/**
 * An AnyValue: string, bool, int (bigint), double (number), empty (null), bytes, array or kvlist.
 * `{ utf8 }` is a string value given as raw bytes, for text that is not valid UTF-8.
 */
export type Value =
  | string
  | boolean
  | bigint
  | number
  | null
  | { bytes: Uint8Array }
  | { utf8: Uint8Array }
  | { array: Value[] }
  | { map: [string, Value][] }
/** In order; a record is for short tests (JavaScript moves integer-like keys of a record to its front). */
export type Attributes = readonly (readonly [string, Value])[] | Readonly<Record<string, Value>>

export interface EventObject {
  time: bigint
  name?: string
  attributes?: Attributes
  droppedAttributes?: number
}
export interface LinkObject {
  traceId: Uint8Array
  spanId: Uint8Array
  traceState?: string
  attributes?: Attributes
  droppedAttributes?: number
  flags?: number
}
export interface SpanObject {
  /** 16 bytes; 8-byte span ids; an absent parent is a root. */
  traceId: Uint8Array
  spanId: Uint8Array
  parentSpanId?: Uint8Array
  traceState?: string
  flags?: number
  name?: string
  kind?: number
  start: bigint
  end: bigint
  attributes?: Attributes
  droppedAttributes?: number
  events?: EventObject[]
  droppedEvents?: number
  links?: LinkObject[]
  droppedLinks?: number
  status?: { code?: number; message?: string }
}
export interface ResourceObject {
  attributes?: Attributes
  droppedAttributes?: number
}
export interface ScopeObject {
  name?: string
  version?: string
  attributes?: Attributes
  droppedAttributes?: number
}
export interface ScopeSpansObject {
  scope?: ScopeObject
  schemaUrl?: string
  spans: SpanObject[]
}
export interface ResourceSpansObject {
  resource?: ResourceObject
  schemaUrl?: string
  scopes: ScopeSpansObject[]
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function attributePairs(
  attributes: Attributes | undefined,
): readonly (readonly [string, Value])[] {
  if (attributes === undefined) return []
  return Array.isArray(attributes)
    ? (attributes as readonly (readonly [string, Value])[])
    : Object.entries(attributes as Readonly<Record<string, Value>>)
}

// ---- writing ----

class Writer {
  readonly out: number[] = []
  varint(value: bigint): this {
    let rest = BigInt.asUintN(64, value)
    for (; rest > 127n; rest >>= 7n) this.out.push(Number(rest & 127n) | 128)
    this.out.push(Number(rest))
    return this
  }
  tag(field: number, wire: number): this {
    return this.varint(BigInt(field * 8 + wire))
  }
  raw(bytes: Uint8Array): this {
    for (const byte of bytes) this.out.push(byte)
    return this
  }
  /** Length-delimited, written even when empty. */
  bytes(field: number, bytes: Uint8Array): this {
    return this.tag(field, 2).varint(BigInt(bytes.length)).raw(bytes)
  }
  text(field: number, text: string | undefined): this {
    return text ? this.bytes(field, encoder.encode(text)) : this
  }
  uint(field: number, value: number | undefined): this {
    return value ? this.tag(field, 0).varint(BigInt(value)) : this
  }
  fixed64(field: number, value: bigint): this {
    if (value === 0n) return this
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    return this.tag(field, 1).raw(bytes)
  }
  fixed32(field: number, value: number | undefined): this {
    if (!value) return this
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, value, true)
    return this.tag(field, 5).raw(bytes)
  }
  attributes(field: number, attributes: Attributes | undefined): this {
    for (const [key, value] of attributePairs(attributes))
      this.bytes(field, encodeKeyValue(key, value))
    return this
  }
  done(): Uint8Array {
    return Uint8Array.from(this.out)
  }
}

function encodeKeyValue(key: string, value: Value): Uint8Array {
  return new Writer().text(1, key).bytes(2, encodeAnyValue(value)).done()
}

export function encodeAnyValue(value: Value): Uint8Array {
  const w = new Writer()
  if (value === null) return w.done()
  if (typeof value === 'string') return w.bytes(1, encoder.encode(value)).done()
  if (typeof value === 'boolean')
    return w
      .tag(2, 0)
      .varint(value ? 1n : 0n)
      .done()
  if (typeof value === 'bigint') return w.tag(3, 0).varint(value).done()
  if (typeof value === 'number') {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, value, true)
    return w.tag(4, 1).raw(bytes).done()
  }
  if ('utf8' in value) return w.bytes(1, value.utf8).done()
  if ('bytes' in value) return w.bytes(7, value.bytes).done()
  const inner = new Writer()
  if ('array' in value) {
    for (const item of value.array) inner.bytes(1, encodeAnyValue(item))
    return w.bytes(5, inner.done()).done()
  }
  for (const [key, item] of value.map) inner.bytes(1, encodeKeyValue(key, item))
  return w.bytes(6, inner.done()).done()
}

function encodeSpan(span: SpanObject): Uint8Array {
  const w = new Writer().bytes(1, span.traceId).bytes(2, span.spanId).text(3, span.traceState)
  if (span.parentSpanId?.length) w.bytes(4, span.parentSpanId)
  w.text(5, span.name).uint(6, span.kind).fixed64(7, span.start).fixed64(8, span.end)
  w.attributes(9, span.attributes).uint(10, span.droppedAttributes)
  for (const event of span.events ?? []) {
    const e = new Writer().fixed64(1, event.time).text(2, event.name)
    w.bytes(11, e.attributes(3, event.attributes).uint(4, event.droppedAttributes).done())
  }
  w.uint(12, span.droppedEvents)
  for (const link of span.links ?? []) {
    const l = new Writer().bytes(1, link.traceId).bytes(2, link.spanId).text(3, link.traceState)
    l.attributes(4, link.attributes).uint(5, link.droppedAttributes).fixed32(6, link.flags)
    w.bytes(13, l.done())
  }
  w.uint(14, span.droppedLinks)
  if (span.status) {
    w.bytes(15, new Writer().text(2, span.status.message).uint(3, span.status.code).done())
  }
  return w.fixed32(16, span.flags).done()
}

/** ExportTraceServiceRequest, TracesData and tempopb.Trace have the same bytes. */
export function encodeTraces(resourceSpans: readonly ResourceSpansObject[]): Uint8Array {
  const out = new Writer()
  for (const rs of resourceSpans) {
    const w = new Writer()
    if (rs.resource) {
      const r = new Writer().attributes(1, rs.resource.attributes)
      w.bytes(1, r.uint(2, rs.resource.droppedAttributes).done())
    }
    for (const ss of rs.scopes) {
      const s = new Writer()
      if (ss.scope) {
        const scope = new Writer().text(1, ss.scope.name).text(2, ss.scope.version)
        scope.attributes(3, ss.scope.attributes).uint(4, ss.scope.droppedAttributes)
        s.bytes(1, scope.done())
      }
      for (const span of ss.spans) s.bytes(2, encodeSpan(span))
      w.bytes(2, s.text(3, ss.schemaUrl).done())
    }
    out.bytes(1, w.text(3, rs.schemaUrl).done())
  }
  return out.done()
}

// ---- reading ----

interface Field {
  field: number
  /** Varint or fixed value; 0n for length-delimited. */
  value: bigint
  bytes: Uint8Array
}

const NO_BYTES = new Uint8Array(0)

function* fields(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined || shift > 63n) throw new Error(`bad varint at byte ${at}`)
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return BigInt.asUintN(64, value)
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const field = tag >>> 3
    const wire = tag & 7
    if (wire === 0) yield { field, value: varint(), bytes: NO_BYTES }
    else if (wire === 1)
      yield { field, value: view.getBigUint64((at += 8) - 8, true), bytes: NO_BYTES }
    else if (wire === 5)
      yield { field, value: BigInt(view.getUint32((at += 4) - 4, true)), bytes: NO_BYTES }
    else if (wire === 2) {
      const length = Number(varint())
      if (at + length > bytes.length)
        throw new Error(`length ${length} at byte ${at} is past the end`)
      yield { field, value: 0n, bytes: bytes.subarray(at, (at += length)) }
    } else throw new Error(`wire type ${wire} at byte ${at}`)
  }
}

const text = (bytes: Uint8Array): string => decoder.decode(bytes)
const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

function decodeString(bytes: Uint8Array): Value {
  const value = text(bytes)
  const again = encoder.encode(value)
  return Buffer.compare(again, bytes) === 0 ? value : { utf8: copy(bytes) }
}

export function decodeAnyValue(bytes: Uint8Array): Value {
  let value: Value = null
  for (const f of fields(bytes)) {
    if (f.field === 1) value = decodeString(f.bytes)
    else if (f.field === 2) value = f.value !== 0n
    else if (f.field === 3) value = BigInt.asIntN(64, f.value)
    else if (f.field === 4) value = new Float64Array(BigUint64Array.of(f.value).buffer)[0]!
    else if (f.field === 5)
      value = { array: [...fields(f.bytes)].map((item) => decodeAnyValue(item.bytes)) }
    else if (f.field === 6)
      value = { map: [...fields(f.bytes)].map((item) => keyValue(item.bytes)) }
    else if (f.field === 7) value = { bytes: copy(f.bytes) }
  }
  return value
}

function keyValue(bytes: Uint8Array): [string, Value] {
  let key = ''
  let value: Value = null
  for (const f of fields(bytes)) {
    if (f.field === 1) key = text(f.bytes)
    else if (f.field === 2) value = decodeAnyValue(f.bytes)
  }
  return [key, value]
}

function decodeEvent(bytes: Uint8Array): EventObject {
  const attributes: [string, Value][] = []
  const event: EventObject = { time: 0n, name: '', attributes, droppedAttributes: 0 }
  for (const f of fields(bytes)) {
    if (f.field === 1) event.time = f.value
    else if (f.field === 2) event.name = text(f.bytes)
    else if (f.field === 3) attributes.push(keyValue(f.bytes))
    else if (f.field === 4) event.droppedAttributes = Number(f.value)
  }
  return event
}

function decodeLink(bytes: Uint8Array): LinkObject {
  const attributes: [string, Value][] = []
  const link: LinkObject = {
    traceId: NO_BYTES, spanId: NO_BYTES, traceState: '', attributes, droppedAttributes: 0, flags: 0,
  } // prettier-ignore
  for (const f of fields(bytes)) {
    if (f.field === 1) link.traceId = copy(f.bytes)
    else if (f.field === 2) link.spanId = copy(f.bytes)
    else if (f.field === 3) link.traceState = text(f.bytes)
    else if (f.field === 4) attributes.push(keyValue(f.bytes))
    else if (f.field === 5) link.droppedAttributes = Number(f.value)
    else if (f.field === 6) link.flags = Number(f.value)
  }
  return link
}

function decodeStatus(bytes: Uint8Array): { code: number; message: string } {
  const status = { code: 0, message: '' }
  for (const f of fields(bytes)) {
    if (f.field === 2) status.message = text(f.bytes)
    else if (f.field === 3) status.code = Number(BigInt.asIntN(32, f.value))
  }
  return status
}

function decodeSpan(bytes: Uint8Array): Required<SpanObject> {
  const attributes: [string, Value][] = []
  const span: Required<SpanObject> = {
    traceId: NO_BYTES, spanId: NO_BYTES, parentSpanId: NO_BYTES, traceState: '', flags: 0,
    name: '', kind: 0, start: 0n, end: 0n, attributes, droppedAttributes: 0,
    events: [], droppedEvents: 0, links: [], droppedLinks: 0, status: { code: 0, message: '' },
  } // prettier-ignore
  for (const f of fields(bytes)) {
    switch (f.field) {
      case 1: span.traceId = copy(f.bytes); break
      case 2: span.spanId = copy(f.bytes); break
      case 3: span.traceState = text(f.bytes); break
      case 4: span.parentSpanId = copy(f.bytes); break
      case 5: span.name = text(f.bytes); break
      case 6: span.kind = Number(f.value); break
      case 7: span.start = f.value; break
      case 8: span.end = f.value; break
      case 9: attributes.push(keyValue(f.bytes)); break
      case 10: span.droppedAttributes = Number(f.value); break
      case 11: span.events.push(decodeEvent(f.bytes)); break
      case 12: span.droppedEvents = Number(f.value); break
      case 13: span.links.push(decodeLink(f.bytes)); break
      case 14: span.droppedLinks = Number(f.value); break
      case 15: span.status = decodeStatus(f.bytes); break
      case 16: span.flags = Number(f.value); break
    } // prettier-ignore
  }
  return span
}

function decodeScopeSpans(bytes: Uint8Array): ScopeSpansObject {
  const out: ScopeSpansObject = { schemaUrl: '', spans: [] }
  for (const f of fields(bytes)) {
    if (f.field === 1) {
      const attributes: [string, Value][] = []
      out.scope = { name: '', version: '', attributes, droppedAttributes: 0 }
      for (const s of fields(f.bytes)) {
        if (s.field === 1) out.scope.name = text(s.bytes)
        else if (s.field === 2) out.scope.version = text(s.bytes)
        else if (s.field === 3) attributes.push(keyValue(s.bytes))
        else if (s.field === 4) out.scope.droppedAttributes = Number(s.value)
      }
    } else if (f.field === 2) out.spans.push(decodeSpan(f.bytes))
    else if (f.field === 3) out.schemaUrl = text(f.bytes)
  }
  return out
}

/** Every optional field of spans, events and links is filled with its default; absent resources and scopes stay absent. */
export function decodeTraces(bytes: Uint8Array): ResourceSpansObject[] {
  const out: ResourceSpansObject[] = []
  for (const f of fields(bytes)) {
    if (f.field !== 1) continue
    const rs: ResourceSpansObject = { schemaUrl: '', scopes: [] }
    for (const r of fields(f.bytes)) {
      if (r.field === 1) {
        const attributes: [string, Value][] = []
        rs.resource = { attributes, droppedAttributes: 0 }
        for (const a of fields(r.bytes)) {
          if (a.field === 1) attributes.push(keyValue(a.bytes))
          else if (a.field === 2) rs.resource.droppedAttributes = Number(a.value)
        }
      } else if (r.field === 2) rs.scopes.push(decodeScopeSpans(r.bytes))
      else if (r.field === 3) rs.schemaUrl = text(r.bytes)
    }
    out.push(rs)
  }
  return out
}

/** The requests of a file of uint32-LE length + ExportTraceServiceRequest, repeated. */
export function* lengthDelimited(file: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  for (let at = 0; at < file.length;) {
    const length = view.getUint32(at, true)
    yield file.subarray(at + 4, at + 4 + length)
    at += 4 + length
  }
}
