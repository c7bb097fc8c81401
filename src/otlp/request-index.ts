/**
 * Owns the map of a request: after one validating walk it knows where each ResourceSpans, ScopeSpans and span lies and to
 * which token its trace hashes. It holds numbers only; one index is reused for all requests.
 */
import { REQUEST, RESOURCE_SPANS, SCOPE_SPANS, type Message } from './schema.js'
import {
  TRACE_ID_BYTES,
  beginWalk,
  checkMessage,
  checkSpan,
  lastTraceIdAt,
  refusedId_bits,
  sawOverlong,
} from './validate.js'
import {
  LENGTH_DELIMITED,
  MalformedOtlp,
  WRONG_WIRE_TYPE,
  fail,
  lastFaultAt,
  lastValue,
  readLength,
  readTag,
  skipField,
} from './wire.js'

export const RESOURCE_SPANS_TAG = tagOf(REQUEST, 'resourceSpans')
export const SCOPE_SPANS_TAG = tagOf(RESOURCE_SPANS, 'scopeSpans')
export const SPAN_TAG = tagOf(SCOPE_SPANS, 'spans')

function tagOf(of: Message, name: string): number {
  return (of.fields.find((field) => field.name === name)!.number << 3) | LENGTH_DELIMITED
}

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193
const FIRST_CAPACITY = 1024

/** FNV-1 (not 1a) of the tenant's UTF-8 bytes: the state from which its trace ids are hashed on. */
export function tenantSeed(tenant: string): number {
  let hash = FNV_OFFSET | 0
  for (const byte of new TextEncoder().encode(tenant)) hash = Math.imul(hash, FNV_PRIME) ^ byte
  return hash
}

/** Tempo's token: the 32-bit FNV-1 of tenant and trace id. */
export function traceToken(seed: number, b: Uint8Array, at: number): number {
  let hash = seed
  for (let i = at; i < at + TRACE_ID_BYTES; i++) hash = Math.imul(hash, FNV_PRIME) ^ b[i]!
  return hash >>> 0
}

const NOTHING = new Uint8Array(0)

/** A message that holds spans: its field begins at `field`, its content is [start, end), its first child is `first`. */
export class Extents {
  field = new Int32Array(FIRST_CAPACITY)
  start = new Int32Array(FIRST_CAPACITY)
  end = new Int32Array(FIRST_CAPACITY)
  first = new Int32Array(FIRST_CAPACITY + 1)

  grow(): void {
    this.field = doubled(this.field)
    this.start = doubled(this.start)
    this.end = doubled(this.end)
    const first = new Int32Array(this.field.length + 1)
    first.set(this.first)
    this.first = first
  }
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(array.length * 2)
  out.set(array)
  return out
}

export class RequestIndex {
  request: Uint8Array = NOTHING
  /** Only ResourceSpans and ScopeSpans that hold a span are listed; `first[count]` is the end of the last one's children. */
  readonly resources = new Extents()
  readonly scopes = new Extents()
  resourceCount = 0
  scopeCount = 0
  spanCount = 0
  /** A span's field begins at `spanStart` (its tag) and ends at `spanEnd`. */
  spanStart = new Int32Array(FIRST_CAPACITY)
  spanEnd = new Int32Array(FIRST_CAPACITY)
  traceIdAt = new Int32Array(FIRST_CAPACITY)
  token = new Uint32Array(FIRST_CAPACITY)
  /** An attribute is longer than the limit given to `read`. */
  overlong = false

  private seed = 0

  /** Walks the request; returns what is malformed about it, if anything. The index holds the bytes until the next read. */
  read(request: Uint8Array, seed: number, maxAttribute_bytes: number): MalformedOtlp | undefined {
    this.request = request
    this.seed = seed
    this.resourceCount = this.scopeCount = this.spanCount = 0
    beginWalk(maxAttribute_bytes)
    const end = this.readRequest(request)
    this.overlong = sawOverlong()
    this.resources.first[this.resourceCount] = this.scopeCount
    this.scopes.first[this.scopeCount] = this.spanCount
    return end < 0 ? new MalformedOtlp(end, lastFaultAt(), refusedId_bits(end)) : undefined
  }

  /** Lets go of the request's bytes. */
  release(): void {
    this.request = NOTHING
  }

  private readRequest(b: Uint8Array): number {
    const end = b.length
    let at = 0
    while (at < end) {
      const field = at
      at = readTag(b, at, end)
      if (at < 0) return at
      const tag = lastValue()
      if (tag === RESOURCE_SPANS_TAG) {
        at = readLength(b, at, end)
        if (at < 0) return at
        const stop = at + lastValue()
        const fault = this.readResourceSpans(b, field, at, stop)
        if (fault < 0) return fault
        at = stop
      } else {
        if (tag >> 3 === RESOURCE_SPANS_TAG >> 3) return fail(WRONG_WIRE_TYPE, field)
        at = skipField(b, at, end, tag)
        if (at < 0) return at
      }
    }
    return at
  }

  private readResourceSpans(b: Uint8Array, field: number, at: number, end: number): number {
    const start = at
    const firstScope = this.scopeCount
    while (at < end) {
      const scopeField = at
      at = readTag(b, at, end)
      if (at < 0) return at
      if (lastValue() === SCOPE_SPANS_TAG) {
        at = readLength(b, at, end)
        if (at < 0) return at
        const stop = at + lastValue()
        const fault = this.readScopeSpans(b, scopeField, at, stop)
        if (fault < 0) return fault
        at = stop
      } else {
        at = this.checkOther(b, scopeField, at, end, RESOURCE_SPANS.id)
        if (at < 0) return at
      }
    }
    if (this.scopeCount > firstScope) {
      const n = this.resourceCount++
      const { resources } = this
      if (n >= resources.field.length) resources.grow()
      resources.field[n] = field
      resources.start[n] = start
      resources.end[n] = end
      resources.first[n] = firstScope
    }
    return end
  }

  private readScopeSpans(b: Uint8Array, field: number, at: number, end: number): number {
    const start = at
    const firstSpan = this.spanCount
    while (at < end) {
      const spanField = at
      at = readTag(b, at, end)
      if (at < 0) return at
      if (lastValue() === SPAN_TAG) {
        at = readLength(b, at, end)
        if (at < 0) return at
        const stop = at + lastValue()
        const fault = checkSpan(b, at, stop)
        if (fault < 0) return fault
        this.addSpan(b, spanField, stop)
        at = stop
      } else {
        at = this.checkOther(b, spanField, at, end, SCOPE_SPANS.id)
        if (at < 0) return at
      }
    }
    if (this.spanCount > firstSpan) {
      const n = this.scopeCount++
      const { scopes } = this
      if (n >= scopes.field.length) scopes.grow()
      scopes.field[n] = field
      scopes.start[n] = start
      scopes.end[n] = end
      scopes.first[n] = firstSpan
    }
    return end
  }

  /** Checks one field (its tag at `field`, its content at `at`) that holds no spans; returns its end or a code. */
  private checkOther(b: Uint8Array, field: number, at: number, end: number, id: number): number {
    const stop = skipField(b, at, end, lastValue())
    return stop < 0 ? stop : checkMessage(b, field, stop, id, 0)
  }

  private addSpan(b: Uint8Array, start: number, end: number): void {
    const n = this.spanCount++
    if (n >= this.spanStart.length) this.growSpans()
    const idAt = lastTraceIdAt()
    this.spanStart[n] = start
    this.spanEnd[n] = end
    this.traceIdAt[n] = idAt
    this.token[n] = traceToken(this.seed, b, idAt)
  }

  private growSpans(): void {
    this.spanStart = doubled(this.spanStart)
    this.spanEnd = doubled(this.spanEnd)
    this.traceIdAt = doubled(this.traceIdAt)
    const token = new Uint32Array(this.spanStart.length)
    token.set(this.token)
    this.token = token
  }
}
