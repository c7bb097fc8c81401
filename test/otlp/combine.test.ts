/** Tests that parts of a trace become one trace: nothing lost, nothing twice, always in the same order. */
import { describe, expect, it } from 'vitest'
import { combineTraces } from '../../src/otlp/combine.js'
import {
  Random,
  decodeRequest,
  encodeRequest,
  randomSpan,
  requestOf,
  spanOf,
  type ResourceSpans,
  type Span,
} from './support.js'

const spansOf = (trace: Uint8Array) =>
  decodeRequest(trace).flatMap((rs) => rs.scopes.flatMap((ss) => ss.spans))
const key = (span: Span) => `${Buffer.from(span.spanId).toString('hex')}/${span.kind}`
const id = (n: number) => new Uint8Array(8).fill(n)

function shuffled<T>(r: Random, list: T[]): T[] {
  const out = [...list]
  for (let i = out.length - 1; i > 0; i--) {
    const j = r.int(i + 1)
    ;[out[i], out[j]] = [out[j]!, out[i]!]
  }
  return out
}

describe('combineTraces', () => {
  it('keeps every span once with its resource and scope, whoever answers first', () => {
    const r = new Random(53)
    const traceId = r.id(16)
    for (let round = 0; round < 15; round++) {
      const service = (name: string, spans: Span[]): ResourceSpans => ({
        ...requestOf(spans)[0]!,
        resource: { attributes: [{ key: 'service.name', value: { string: name } }], dropped: 0 },
      })
      const spans = Array.from({ length: 30 }, () => randomSpan(r, traceId))
      const part = (chosen: Span[]) =>
        encodeRequest([
          service(
            'a',
            chosen.filter((_, i) => i % 2 === 0),
          ),
          service(
            'b',
            chosen.filter((_, i) => i % 2 === 1),
          ),
        ])
      const owner = new Map(spans.map((span, i) => [key(span), i % 2 === 0 ? 'a' : 'b']))
      const half = spans.map((span, i) => (r.int(2) === 0 ? span : spans[i]!))
      const parts = [part(spans), part(half), encodeRequest([service('a', [spans[0]!])])]
      const combined = combineTraces(parts, { max_bytes: 0 })
      expect(combined).toEqual(combineTraces(shuffled(r, parts), { max_bytes: 0 }))
      expect([combined.spanCount, combined.droppedSpans]).toEqual([30, 0])
      const list = decodeRequest(combined.trace)
      expect(list.length).toBe(2)
      for (const rs of list) {
        expect(rs.scopes.length).toBe(1)
        const value = rs.resource!.attributes[0]!.value
        for (const span of rs.scopes[0]!.spans)
          expect(value).toEqual({ string: owner.get(key(span)) })
      }
      expect(spansOf(combined.trace).map(key).sort()).toEqual(spans.map(key).sort())
    }
  })

  it('sorts by start time, then by id', () => {
    const spans = [
      spanOf({ spanId: id(3), start: 2n ** 40n, name: 'late' }),
      spanOf({ spanId: id(2), start: 5n, name: 'b' }),
      spanOf({ spanId: id(1), start: 5n, name: 'a' }),
    ]
    const { trace } = combineTraces([encodeRequest(requestOf(spans))], { max_bytes: 0 })
    expect(spansOf(trace).map((span) => span.name)).toEqual(['a', 'b', 'late'])
  })

  it('keeps both sides of a shared Zipkin span, and the longer one of twins', () => {
    const client = spanOf({ kind: 3, name: 'client' })
    const server = spanOf({ kind: 2, name: 'server' })
    const more = spanOf({ kind: 2, name: 'server', attributes: [{ key: 'k', value: { int: 1n } }] })
    for (const parts of [
      [[client, server], [more]],
      [[more], [server, client]],
    ]) {
      const { trace, spanCount, duplicateSpans } = combineTraces(
        parts.map((part) => encodeRequest(requestOf(part))),
        { max_bytes: 0 },
      )
      expect([spanCount, duplicateSpans]).toEqual([2, 1])
      expect(spansOf(trace).map((span) => [span.name, span.attributes.length])).toEqual([
        ['server', 1],
        ['client', 0],
      ])
    }
  })

  it('stays within max_bytes, keeping what starts first, and says what it left out', () => {
    const spans = Array.from({ length: 100 }, (_, i) =>
      spanOf({ spanId: id(i + 1), start: BigInt(1000 + i) }),
    )
    const whole = encodeRequest(requestOf(spans))
    for (const max_bytes of [50, 200, 1000, 5000, whole.length + 12]) {
      const { trace, spanCount, droppedSpans } = combineTraces([whole], { max_bytes })
      expect(trace.length).toBeLessThanOrEqual(max_bytes)
      expect(spanCount + droppedSpans).toBe(100)
      expect(spansOf(trace).map((span) => span.start)).toEqual(
        spans.slice(0, spanCount).map((span) => span.start),
      )
    }
    expect(combineTraces([whole], { max_bytes: whole.length + 12 }).droppedSpans).toBe(0)
  })

  it('leaves no hole in the middle: what follows a span that does not fit is left out too', () => {
    const long = [{ key: 'k', value: { string: 'x'.repeat(3000) } }]
    const spans = [0, 1, 2].map((i) =>
      spanOf({ spanId: id(i + 1), start: BigInt(1000 + i), attributes: i === 1 ? long : [] }),
    )
    const combined = combineTraces([encodeRequest(requestOf(spans))], { max_bytes: 1000 })
    expect([combined.spanCount, combined.droppedSpans]).toEqual([1, 2])
  })

  it('makes nothing of nothing', () => {
    const nothing = {
      trace: new Uint8Array(0),
      spanCount: 0,
      droppedSpans: 0,
      duplicateSpans: 0,
    }
    expect(combineTraces([], { max_bytes: 0 })).toEqual(nothing)
    expect(
      combineTraces([new Uint8Array(0), encodeRequest(requestOf([]))], { max_bytes: 0 }),
    ).toEqual(nothing)
  })

  it('refuses a malformed part', () => {
    const part = encodeRequest(requestOf([spanOf({})]))
    expect(() => combineTraces([part.slice(0, -1)], { max_bytes: 0 })).toThrow(
      expect.objectContaining({ code: 'OVERRUN' }),
    )
  })
})
