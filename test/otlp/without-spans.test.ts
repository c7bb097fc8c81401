import { describe, expect, it } from 'vitest'
import { countSpans } from '../../src/otlp/count-spans.js'
import { traceKey, withoutTraces } from '../../src/otlp/without-spans.js'
import { request, shopRequests, span } from '../support/otlp-gen.js'
import {
  decodeRequest,
  encodeRequest,
  Random,
  randomRequest,
  type ResourceSpans,
  type Span,
} from './support.js'

const keyOf = (id: Uint8Array) => traceKey(id, 0)

function withSpans(list: ResourceSpans[], isKept: (span: Span) => boolean): ResourceSpans[] {
  return list
    .map((rs) => ({
      ...rs,
      scopes: rs.scopes
        .map((s) => ({ ...s, spans: s.spans.filter(isKept) }))
        .filter((s) => s.spans.length > 0),
    }))
    .filter((rs) => rs.scopes.length > 0)
}

describe('taking traces out of a request', () => {
  it('leaves every other span as it was, under its resource and scope, and no empty ones', () => {
    const random = new Random(7)
    for (let round = 0; round < 200; round++) {
      const list = randomRequest(random, 1 + random.int(8))
      const bytes = encodeRequest(list)
      const ids = new Set(
        list.flatMap((rs) => rs.scopes.flatMap((s) => s.spans.map((x) => keyOf(x.traceId)))),
      )
      const out = new Set([...ids].filter(() => random.int(3) === 0))
      const { request, taken } = withoutTraces(bytes, out)
      const expected = withSpans(list, (x) => !out.has(keyOf(x.traceId)))
      const rest = decodeRequest(request)
      // Scopes that came without spans are none of its business.
      expect(withSpans(rest, () => true)).toEqual(decodeRequest(encodeRequest(expected)))
      const left = rest.flatMap((rs) => rs.scopes).filter((s) => s.spans.length === 0).length
      const were = list.flatMap((rs) => rs.scopes).filter((s) => s.spans.length === 0).length
      expect(left).toBeLessThanOrEqual(were)
      expect(countSpans(request) + [...taken.values()].reduce((a, b) => a + b, 0)).toBe(
        countSpans(bytes),
      )
    }
  })

  it('leaves nothing of a request that has nothing else', () => {
    const id = Buffer.alloc(16, 1)
    const bytes = request([span(id, Buffer.alloc(8, 1)), span(id, Buffer.alloc(8, 2))])
    const { request: rest, taken } = withoutTraces(bytes, new Set([keyOf(id)]))
    expect(rest).toHaveLength(0)
    expect([...taken]).toEqual([[keyOf(id), 2]])
  })

  it('shortens lengths that take fewer bytes than before', () => {
    const ids = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)]
    const many = Array.from({ length: 300 }, (_, i) =>
      span(ids[0]!, Buffer.alloc(8, 1 + (i % 250))),
    )
    const bytes = request([...many, span(ids[1]!, Buffer.alloc(8, 9))])
    const { request: rest } = withoutTraces(bytes, new Set([keyOf(ids[0]!)]))
    expect(rest).toEqual(request([span(ids[1]!, Buffer.alloc(8, 9))]))
  })
})

describe('counting spans', () => {
  it('counts what is there, in any request', () => {
    for (const { bytes, spans } of shopRequests({ traces: 200 }))
      expect(countSpans(bytes)).toBe(spans)
    expect(countSpans(new Uint8Array(0))).toBe(0)
  })

  it('ends with whatever bytes it is given, within them', () => {
    const [{ bytes, spans }] = shopRequests({ traces: 30 }) as [
      { bytes: Uint8Array; spans: number },
    ]
    const random = new Random(3)
    for (let i = 0; i < 2000; i++) {
      const torn = bytes.slice(0, random.int(bytes.length))
      for (let k = 0; k < 3; k++) torn[random.int(torn.length + 1)] = random.int(256)
      const counted = countSpans(torn)
      expect(counted).toBeGreaterThanOrEqual(0)
      expect(counted).toBeLessThanOrEqual(Math.max(spans * 64, torn.length))
    }
  })
})
