/** Owns taking spans out of a request: a copy without them, and without the resources and scopes that they leave empty. */
import { assert } from '../lib/assert.js'
import { copyBytes } from '../lib/copy.js'
import { RESOURCE_SPANS_TAG, RequestIndex, SCOPE_SPANS_TAG } from './request-index.js'
import { TRACE_ID_BYTES } from './validate.js'
import { varintSize, writeVarint } from './wire.js'

/** A trace id as a key: one character a byte. */
export type TraceKey = string

export interface Remainder {
  /** Empty when no span is left. */
  readonly request: Uint8Array
  /** Spans taken out, by their trace. */
  readonly taken: ReadonlyMap<TraceKey, number>
}

/** Takes out all spans of some traces. The request has been validated before. */
export function withoutTraces(
  request: Uint8Array,
  traces: ReadonlySet<TraceKey> | ReadonlyMap<TraceKey, unknown>,
): Remainder {
  const index = new RequestIndex()
  const malformed = index.read(request, 0, 0)
  assert(!malformed, `spans are taken out of a request that is malformed: ${malformed?.message}`)
  const taken = new Map<TraceKey, number>()
  const isTaken = new Uint8Array(index.spanCount)
  for (let span = 0; span < index.spanCount; span++) {
    const key = traceKey(request, index.traceIdAt[span]!)
    if (!traces.has(key)) continue
    isTaken[span] = 1
    taken.set(key, (taken.get(key) ?? 0) + 1)
  }
  return { request: new Remover(index, isTaken).run(), taken }
}

export function traceKey(b: Uint8Array, at: number): TraceKey {
  return Buffer.from(b.buffer, b.byteOffset + at, TRACE_ID_BYTES).toString('latin1')
}

class Remover {
  private readonly out: Uint8Array

  constructor(
    private readonly index: RequestIndex,
    private readonly isTaken: Uint8Array,
  ) {
    this.out = new Uint8Array(index.request.length)
  }

  run(): Uint8Array {
    let at = 0
    for (let r = 0; r < this.index.resourceCount; r++) at = this.resource(r, at)
    return this.out.subarray(0, at)
  }

  private resource(r: number, at: number): number {
    const { request, resources, scopes } = this.index
    const start = resources.start[r]!
    const end = resources.end[r]!
    const begin = at + 1 + varintSize(end - start)
    const lastScope = resources.first[r + 1]!
    let to = begin
    let from = start
    let isEmpty = true
    for (let s = resources.first[r]!; s < lastScope; s++) {
      to = copyBytes(request, from, scopes.field[s]!, this.out, to)
      from = scopes.end[s]!
      const behind = this.scope(s, to)
      if (behind > to) isEmpty = false
      to = behind
    }
    if (isEmpty) return at
    to = copyBytes(request, from, end, this.out, to)
    return this.close(RESOURCE_SPANS_TAG, at, begin, to)
  }

  private scope(s: number, at: number): number {
    const { request, scopes, spanStart, spanEnd } = this.index
    const start = scopes.start[s]!
    const end = scopes.end[s]!
    const begin = at + 1 + varintSize(end - start)
    const lastSpan = scopes.first[s + 1]!
    let to = begin
    let from = start
    let isEmpty = true
    for (let span = scopes.first[s]!; span < lastSpan; span++) {
      if (this.isTaken[span] === 0) {
        isEmpty = false
        continue
      }
      to = copyBytes(request, from, spanStart[span]!, this.out, to)
      from = spanEnd[span]!
    }
    if (isEmpty) return at
    to = copyBytes(request, from, end, this.out, to)
    return this.close(SCOPE_SPANS_TAG, at, begin, to)
  }

  /** Puts tag and length before a message at [begin, end); it is shorter than it was, so at most it is moved down. */
  private close(tag: number, at: number, begin: number, end: number): number {
    const { out } = this
    const size = end - begin
    const to = at + 1 + varintSize(size)
    if (to < begin) out.copyWithin(to, begin, end)
    out[at] = tag
    writeVarint(out, at + 1, size)
    return to + size
  }
}
