/**
 * Owns the making of one trace out of the parts that several places hold: every span once, spans of the same resource and
 * scope together, in an order that does not depend on who answered first.
 */
import { compareBytes } from '../lib/bytes.js'
import { copyBytes } from '../lib/copy.js'
import { RESOURCE_SPANS_TAG, RequestIndex, SCOPE_SPANS_TAG } from './request-index.js'
import {
  lastValue,
  readLength,
  readTag,
  skipField,
  varintLow,
  varintSize,
  writeVarint,
} from './wire.js'

export interface CombineOptions {
  /** The combined trace is at most this long; 0 = no limit. The spans that start last are left out. */
  readonly max_bytes: number
}

export interface CombinedTrace {
  /** A tempopb.Trace: ResourceSpans, ScopeSpans and spans by start time, then by span id. */
  readonly trace: Uint8Array
  readonly spanCount: number
  /** Distinct spans that did not fit. */
  readonly droppedSpans: number
  /** Copies left out of spans that were there more than once: stored in two places, since they were sent twice. */
  readonly duplicateSpans: number
}

/** Combines parts of one trace (tempopb.Trace bytes). Spans are the same when id and kind are (Zipkin shares ids between two sides). */
export function combineTraces(
  parts: readonly Uint8Array[],
  options: CombineOptions,
): CombinedTrace {
  const combiner = new Combiner()
  for (const part of parts) combiner.add(part)
  return combiner.finish(options.max_bytes > 0 ? options.max_bytes : Infinity)
}

interface Span {
  readonly bytes: Uint8Array
  readonly id: Uint8Array
  readonly kind: number
  readonly startHigh: number
  readonly startLow: number
  readonly scope: ScopeGroup
}

interface ScopeGroup {
  readonly fixed: Uint8Array
  readonly resource: ResourceGroup
  readonly spans: Span[]
  size: number
}

interface ResourceGroup {
  readonly fixed: Uint8Array
  readonly scopes: Map<string, ScopeGroup>
  /** Scopes with spans that fit, by their first span. */
  readonly kept: ScopeGroup[]
  size: number
}

/** Tag and length of a message, at their longest. */
const MAX_HEADER_BYTES = 6
const SPAN_ID = 0x12
const KIND = 0x30
const START = 0x39

class Combiner {
  private readonly index = new RequestIndex()
  private readonly resources = new Map<string, ResourceGroup>()
  private readonly spans = new Map<string, Span>()
  private duplicateSpans = 0

  add(part: Uint8Array): void {
    const malformed = this.index.read(part, 0, 0)
    if (malformed) throw malformed
    const { resources, scopes, spanStart, spanEnd, resourceCount } = this.index
    for (let r = 0; r < resourceCount; r++) {
      const firstScope = resources.first[r]!
      const lastScope = resources.first[r + 1]!
      const resource = this.resource(this.gaps(r, firstScope, lastScope))
      for (let s = firstScope; s < lastScope; s++) {
        const scope = scopeOf(resource, this.scopeGaps(s))
        for (let i = scopes.first[s]!; i < scopes.first[s + 1]!; i++) {
          this.addSpan(readSpan(part.subarray(spanStart[i], spanEnd[i]), scope))
        }
      }
    }
  }

  finish(max_bytes: number): CombinedTrace {
    const all = [...this.spans.values()].sort(compareSpans)
    const kept: ResourceGroup[] = []
    let left = max_bytes
    let spanCount = 0
    for (const span of all) {
      const { scope } = span
      const { resource } = scope
      let need = span.bytes.length
      if (scope.spans.length === 0) need += MAX_HEADER_BYTES + scope.fixed.length
      if (resource.kept.length === 0) need += MAX_HEADER_BYTES + resource.fixed.length
      if (need > left) break
      left -= need
      if (resource.kept.length === 0) kept.push(resource)
      if (scope.spans.length === 0) resource.kept.push(scope)
      scope.spans.push(span)
      spanCount++
    }
    const { duplicateSpans } = this
    return { trace: write(kept), spanCount, droppedSpans: all.length - spanCount, duplicateSpans }
  }

  private addSpan(span: Span): void {
    const key = `${latin1(span.id)}${span.kind}`
    const known = this.spans.get(key)
    if (known) this.duplicateSpans++
    if (!known || compareTwins(span, known) > 0) this.spans.set(key, span)
  }

  private resource(fixed: Uint8Array): ResourceGroup {
    const key = latin1(fixed)
    let group = this.resources.get(key)
    if (!group) {
      group = { fixed, scopes: new Map(), kept: [], size: 0 }
      this.resources.set(key, group)
    }
    return group
  }

  /** A ResourceSpans without its ScopeSpans. */
  private gaps(r: number, firstScope: number, lastScope: number): Uint8Array {
    const { request, resources, scopes } = this.index
    return without(
      request,
      resources.start[r]!,
      resources.end[r]!,
      scopes.field,
      scopes.end,
      firstScope,
      lastScope,
    )
  }

  /** A ScopeSpans without its spans. */
  private scopeGaps(s: number): Uint8Array {
    const { request, scopes, spanStart, spanEnd } = this.index
    return without(
      request,
      scopes.start[s]!,
      scopes.end[s]!,
      spanStart,
      spanEnd,
      scopes.first[s]!,
      scopes.first[s + 1]!,
    )
  }
}

/** The bytes in [from, to) less the ranges starts[i]..ends[i] for first <= i < last. */
function without(
  b: Uint8Array,
  from: number,
  to: number,
  starts: Int32Array,
  ends: Int32Array,
  first: number,
  last: number,
): Uint8Array {
  const out = new Uint8Array(to - from)
  let at = 0
  for (let i = first; i < last; i++) {
    at = copyBytes(b, from, starts[i]!, out, at)
    from = ends[i]!
  }
  return out.slice(0, copyBytes(b, from, to, out, at))
}

function scopeOf(resource: ResourceGroup, fixed: Uint8Array): ScopeGroup {
  const key = latin1(fixed)
  let group = resource.scopes.get(key)
  if (!group) {
    group = { fixed, resource, spans: [], size: 0 }
    resource.scopes.set(key, group)
  }
  return group
}

/** Reads what orders and identifies a span, from its field (tag and all). */
function readSpan(field: Uint8Array, scope: ScopeGroup): Span {
  const end = field.length
  let at = readLength(field, readTag(field, 0, end), end)
  let id = field.subarray(0, 0)
  let kind = 0
  let startHigh = 0
  let startLow = 0
  while (at < end) {
    at = readTag(field, at, end)
    const tag = lastValue()
    const content = at
    at = skipField(field, at, end, tag)
    if (tag === SPAN_ID) id = field.subarray(readLength(field, content, end), at)
    else if (tag === KIND) kind = varintLow(field, content)
    else if (tag === START) {
      startLow = uint32(field, content)
      startHigh = uint32(field, content + 4)
    }
  }
  return { bytes: field, id, kind, startHigh, startLow, scope }
}

function uint32(b: Uint8Array, at: number): number {
  return (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0
}

function compareSpans(a: Span, b: Span): number {
  return (
    a.startHigh - b.startHigh ||
    a.startLow - b.startLow ||
    compareBytes(a.id, b.id) ||
    a.kind - b.kind
  )
}

/** Of two that say they are the same span the longer one is kept, so that nothing is lost to a half-told span. */
function compareTwins(a: Span, b: Span): number {
  return a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function write(resources: readonly ResourceGroup[]): Uint8Array {
  let total = 0
  for (const resource of resources) {
    resource.size = resource.fixed.length
    for (const scope of resource.kept) {
      scope.size = scope.fixed.length
      for (const span of scope.spans) scope.size += span.bytes.length
      resource.size += 1 + varintSize(scope.size) + scope.size
    }
    total += 1 + varintSize(resource.size) + resource.size
  }
  const out = new Uint8Array(total)
  let at = 0
  const put = (bytes: Uint8Array) => {
    out.set(bytes, at)
    at += bytes.length
  }
  const head = (tag: number, size: number) => {
    out[at++] = tag
    at = writeVarint(out, at, size)
  }
  for (const resource of resources) {
    head(RESOURCE_SPANS_TAG, resource.size)
    put(resource.fixed)
    for (const scope of resource.kept) {
      head(SCOPE_SPANS_TAG, scope.size)
      put(scope.fixed)
      for (const span of scope.spans) put(span.bytes)
    }
  }
  return out
}
