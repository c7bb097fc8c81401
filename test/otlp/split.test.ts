/** Tests that a request too long for a record comes apart into valid requests that hold every span once. */
import { describe, expect, it } from 'vitest'
import { splitRequest, type SplitOptions } from '../../src/otlp/split.js'
import {
  Random,
  decodeRequest,
  encodeRequest,
  randomRequest,
  requestOf,
  shopTraffic,
  spanOf,
  type ResourceSpans,
} from './support.js'

function split(body: Uint8Array, options: SplitOptions) {
  const result = splitRequest(body, options)
  if ('malformed' in result) throw result.malformed
  if ('tooLarge' in result) throw new Error(result.tooLarge)
  return result
}

const show = (value: unknown) =>
  JSON.stringify(value, (_, v: unknown) =>
    typeof v === 'bigint' ? `${v}n` : v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v,
  )

const flat = (list: ResourceSpans[]) =>
  list.flatMap((rs) =>
    rs.scopes.flatMap((ss) =>
      ss.spans.map((span) =>
        show([rs.resource, rs.schemaUrl, rs.unknown, ss.scope, ss.schemaUrl, ss.unknown, span]),
      ),
    ),
  )

describe('splitRequest', () => {
  it('keeps every span once, in order, with its resource, in parts within the limit', () => {
    const r = new Random(17)
    for (let round = 0; round < 80; round++) {
      const body = encodeRequest(randomRequest(r))
      const limit_bytes = 3000 + r.int(6000)
      const { parts, rejectedSpans, oversized } = split(body, { limit_bytes, max_growth: 1e6 })
      for (const part of parts) {
        expect(part.body.length).toBeLessThanOrEqual(limit_bytes)
        expect(flat(decodeRequest(part.body)).length).toBe(part.spans)
      }
      const input = flat(decodeRequest(body))
      const left = new Set(oversized.map((span) => span.index))
      expect(rejectedSpans).toBe(left.size)
      expect(parts.flatMap((part) => flat(decodeRequest(part.body)))).toEqual(
        input.filter((_, i) => !left.has(i)),
      )
    }
  })

  it('divides 16 MiB of shop traffic in few parts', () => {
    const [first] = shopTraffic(5, 40, 10_000)
    const copies = Math.floor((16 << 20) / first!.body.length)
    const body = new Uint8Array(copies * first!.body.length)
    for (let i = 0; i < copies; i++) body.set(first!.body, i * first!.body.length)
    const { parts, rejectedSpans } = split(body, { limit_bytes: 1 << 20 })
    expect(rejectedSpans).toBe(0)
    expect(parts.reduce((sum, part) => sum + part.spans, 0)).toBe(copies * first!.spans)
    expect(parts.length).toBeLessThanOrEqual(18)
  })

  it('does not copy a request that fits', () => {
    const body = encodeRequest(requestOf([spanOf({})]))
    expect(split(body, { limit_bytes: body.length }).parts[0]!.body).toBe(body)
  })

  it('reports a span that is too long alone, and passes its neighbours', () => {
    const big = spanOf({ attributes: [{ key: 'k', value: { string: 'x'.repeat(5000) } }] })
    const body = encodeRequest(requestOf([spanOf({ name: 'a' }), big, spanOf({ name: 'b' })]))
    const { parts, rejectedSpans, oversized } = split(body, { limit_bytes: 4000 })
    expect(rejectedSpans).toBe(1)
    expect(oversized[0]!.index).toBe(1)
    expect(oversized[0]!.size_bytes).toBeGreaterThan(5000)
    const names = parts
      .flatMap((p) => decodeRequest(p.body))
      .flatMap((rs) => rs.scopes.flatMap((ss) => ss.spans.map((s) => s.name)))
    expect(names).toEqual(['a', 'b'])
  })

  it('refuses a resource so long that repeating it would fill the memory', () => {
    const spans = Array.from({ length: 3000 }, () => spanOf({}))
    const list = requestOf(spans)
    list[0]!.resource!.attributes.push({ key: 'k', value: { string: 'x'.repeat(99_700) } })
    const result = splitRequest(encodeRequest(list), { limit_bytes: 100_000 })
    expect(result).toHaveProperty('tooLarge')
  })

  it('refuses malformed bytes', () => {
    const body = encodeRequest(requestOf([spanOf({}), spanOf({})]))
    const result = splitRequest(body.slice(0, -1), { limit_bytes: 50 })
    expect('malformed' in result && result.malformed.code).toBe('OVERRUN')
  })
})
