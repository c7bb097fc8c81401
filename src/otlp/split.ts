/**
 * Owns the division of a request that is too long for one ring record into several valid requests, along span borders: each
 * part repeats the resource and scope of its spans. Runs of spans stay in order, so a part is a range of spans.
 */
import { copyBytes } from '../lib/copy.js'
import { RESOURCE_SPANS_TAG, RequestIndex, SCOPE_SPANS_TAG } from './request-index.js'
import { varintSize, writeVarint, type MalformedOtlp } from './wire.js'

export interface SplitOptions {
  /** No part is longer than this. */
  readonly limit_bytes: number
  /** All parts together are at most this many times as long as the request; default 8. */
  readonly max_growth?: number
}

/** A span that does not fit in a part even alone: its place in the request, and the bytes that it needs. */
export interface OversizedSpan {
  readonly index: number
  readonly size_bytes: number
}

export interface SplitPart {
  readonly spans: number
  readonly body: Uint8Array
}

export type SplitResult =
  | {
      readonly parts: readonly SplitPart[]
      /** Spans left out because they are too long, and the first of them. */
      readonly rejectedSpans: number
      readonly oversized: readonly OversizedSpan[]
    }
  | { readonly malformed: MalformedOtlp }
  /** Its resources repeated in every part would be many times the request: a decompression bomb of sorts. */
  | { readonly tooLarge: string }

/** Repeated resources may make the parts longer than the request, but not without bound. */
const DEFAULT_MAX_GROWTH = 8
/** So many spans that are too long are listed; the others are counted. */
const MAX_LISTED = 16
/** The tag and longest length of a ResourceSpans or ScopeSpans. */
const MAX_HEADER_BYTES = 6

/** Validates and divides a request; one that fits comes back as its own only part, not copied. */
export function splitRequest(request: Uint8Array, options: SplitOptions): SplitResult {
  const { limit_bytes, max_growth = DEFAULT_MAX_GROWTH } = options
  const index = new RequestIndex()
  const malformed = index.read(request, 0, 0)
  if (malformed) return { malformed }
  if (request.length <= limit_bytes) {
    return { parts: [{ spans: index.spanCount, body: request }], rejectedSpans: 0, oversized: [] }
  }
  const splitter = new Splitter(index, limit_bytes)
  splitter.plan()
  const growth_bytes = request.length * max_growth
  if (splitter.total_bytes > growth_bytes) {
    const size = splitter.total_bytes
    return {
      tooLarge: `the request's ${request.length} bytes would need ${size} bytes in parts of ${limit_bytes}, over ${growth_bytes}: its resource attributes are too long`,
    }
  }
  return {
    parts: splitter.write(),
    rejectedSpans: splitter.rejectedSpans,
    oversized: splitter.oversized,
  }
}

class Splitter {
  readonly oversized: OversizedSpan[] = []
  rejectedSpans = 0
  /** An upper bound of the bytes of all parts. */
  total_bytes = 0
  /** Parts as ranges of spans: from, to, from, to ... */
  private readonly ranges: number[] = []
  private part_bytes = 0
  private from = -1
  private to = -1
  /** Bytes of each ResourceSpans beside its ScopeSpans, and of each ScopeSpans beside its spans. */
  private readonly resourceFixed: Int32Array
  private readonly scopeFixed: Int32Array

  constructor(
    private readonly index: RequestIndex,
    private readonly limit_bytes: number,
  ) {
    this.resourceFixed = new Int32Array(index.resourceCount)
    this.scopeFixed = new Int32Array(index.scopeCount)
    this.measureFixed()
  }

  /** Fills parts greedily; sizes are upper bounds (headers of nested messages count as their longest). */
  plan(): void {
    const { index } = this
    const { resources, scopes, spanStart, spanEnd } = index
    for (let r = 0; r < index.resourceCount; r++) {
      const resource_bytes = MAX_HEADER_BYTES + this.resourceFixed[r]!
      let newResource = true
      const lastScope = resources.first[r + 1]!
      for (let s = resources.first[r]!; s < lastScope; s++) {
        const scope_bytes = MAX_HEADER_BYTES + this.scopeFixed[s]!
        let newScope = true
        const lastSpan = scopes.first[s + 1]!
        for (let i = scopes.first[s]!; i < lastSpan; i++) {
          const span_bytes = spanEnd[i]! - spanStart[i]!
          const alone = resource_bytes + scope_bytes + span_bytes
          if (alone > this.limit_bytes) {
            this.reject(i, alone)
            this.close()
            newResource = newScope = true
            continue
          }
          const added =
            span_bytes + (newScope ? scope_bytes : 0) + (newResource ? resource_bytes : 0)
          if (this.from >= 0 && this.part_bytes + added <= this.limit_bytes) {
            this.part_bytes += added
            this.to = i + 1
          } else {
            this.close()
            this.from = i
            this.to = i + 1
            this.part_bytes = alone
          }
          newResource = newScope = false
        }
      }
    }
    this.close()
  }

  write(): SplitPart[] {
    const parts: SplitPart[] = []
    for (let i = 0; i < this.ranges.length; i += 2) {
      const from = this.ranges[i]!
      const to = this.ranges[i + 1]!
      parts.push({ spans: to - from, body: this.writePart(from, to) })
    }
    return parts
  }

  private reject(span: number, size_bytes: number): void {
    this.rejectedSpans++
    if (this.oversized.length < MAX_LISTED) this.oversized.push({ index: span, size_bytes })
  }

  private close(): void {
    if (this.from < 0) return
    this.ranges.push(this.from, this.to)
    this.total_bytes += this.part_bytes
    this.from = -1
    this.part_bytes = 0
  }

  private measureFixed(): void {
    const { resources, scopes, resourceCount } = this.index
    for (let r = 0; r < resourceCount; r++) {
      let fixed = resources.end[r]! - resources.start[r]!
      for (let s = resources.first[r]!; s < resources.first[r + 1]!; s++) {
        fixed -= scopes.end[s]! - scopes.field[s]!
        const spans = this.spanBytes(scopes.first[s]!, scopes.first[s + 1]!)
        this.scopeFixed[s] = scopes.end[s]! - scopes.start[s]! - spans
      }
      this.resourceFixed[r] = fixed
    }
  }

  private spanBytes(from: number, to: number): number {
    const { spanStart, spanEnd } = this.index
    let bytes = 0
    for (let i = from; i < to; i++) bytes += spanEnd[i]! - spanStart[i]!
    return bytes
  }

  /** The content's size of scope `s` with only the spans in [from, to); 0 when it has none of them. */
  private scopeSize(s: number, from: number, to: number): number {
    const { scopes } = this.index
    const first = Math.max(from, scopes.first[s]!)
    const last = Math.min(to, scopes.first[s + 1]!)
    return first < last ? this.scopeFixed[s]! + this.spanBytes(first, last) : 0
  }

  private resourceSize(r: number, from: number, to: number): number {
    const { resources } = this.index
    let filled = 0
    for (let s = resources.first[r]!; s < resources.first[r + 1]!; s++) {
      const size = this.scopeSize(s, from, to)
      if (size > 0) filled += 1 + varintSize(size) + size
    }
    return filled === 0 ? 0 : this.resourceFixed[r]! + filled
  }

  private writePart(from: number, to: number): Uint8Array {
    const { index } = this
    const { request, resources, scopes } = index
    const out = new Uint8Array(this.limit_bytes)
    let at = 0
    for (let r = 0; r < index.resourceCount; r++) {
      if (!this.overlaps(r, from, to)) continue
      out[at++] = RESOURCE_SPANS_TAG
      at = writeVarint(out, at, this.resourceSize(r, from, to))
      let gap = resources.start[r]!
      for (let s = resources.first[r]!; s < resources.first[r + 1]!; s++) {
        at = copyBytes(request, gap, scopes.field[s]!, out, at)
        gap = scopes.end[s]!
        const size = this.scopeSize(s, from, to)
        if (size === 0) continue
        out[at++] = SCOPE_SPANS_TAG
        at = writeVarint(out, at, size)
        at = this.writeScope(s, from, to, out, at)
      }
      at = copyBytes(request, gap, resources.end[r]!, out, at)
    }
    return out.slice(0, at)
  }

  private overlaps(r: number, from: number, to: number): boolean {
    const { resources, scopes } = this.index
    const first = scopes.first[resources.first[r]!]!
    const last = scopes.first[resources.first[r + 1]!]!
    return first < to && last > from
  }

  private writeScope(s: number, from: number, to: number, out: Uint8Array, at: number): number {
    const { request, scopes, spanStart, spanEnd } = this.index
    let gap = scopes.start[s]!
    for (let i = scopes.first[s]!; i < scopes.first[s + 1]!; i++) {
      if (i >= from && i < to) continue
      at = copyBytes(request, gap, spanStart[i]!, out, at)
      gap = spanEnd[i]!
    }
    return copyBytes(request, gap, scopes.end[s]!, out, at)
  }
}
