/** Tests that regrouping loses, doubles and invents nothing, and that malformed bytes are refused, never passed on. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Regrouper } from '../../src/otlp/regroup.js'
import { tenantSeed, traceToken } from '../../src/otlp/request-index.js'
import {
  Random,
  Writer,
  decodeRequest,
  encodeRequest,
  randomRequest,
  randomSpan,
  requestOf,
  shopTraffic,
  spanOf,
  type ResourceSpans,
  type Span,
} from './support.js'

const hex = (b: Uint8Array) => Buffer.from(b).toString('hex')

/** Slices of a request by partition, written to a buffer whose neighbouring bytes must not change. */
function slices(regrouper: Regrouper): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let p = 0; p < regrouper.partitions; p++) {
    const size = regrouper.size_bytes(p)
    const memory = new Uint8Array(size + 20).fill(0xee)
    expect(regrouper.writeSlice(p, memory, 10)).toBe(10 + size)
    expect([...memory.subarray(0, 10), ...memory.subarray(10 + size)]).toEqual(Array(20).fill(0xee))
    out.push(memory.slice(10, 10 + size))
  }
  return out
}

/** Every span with all that is around it, so that a span that changed its resource is seen. */
function flat(list: ResourceSpans[]): string[] {
  const show = (value: unknown) =>
    JSON.stringify(value, (_, v: unknown) =>
      typeof v === 'bigint' ? `${v}n` : v instanceof Uint8Array ? hex(v) : v,
    )
  return list.flatMap((rs) =>
    rs.scopes.flatMap((ss) =>
      ss.spans.map((span) =>
        show([rs.resource, rs.schemaUrl, rs.unknown, ss.scope, ss.schemaUrl, ss.unknown, span]),
      ),
    ),
  )
}

describe('Regrouper', () => {
  it('puts every span in the slice of its trace, once, with its resource and scope', () => {
    const r = new Random(7)
    for (let round = 0; round < 150; round++) {
      const partitions = 1 + r.int(7)
      const input = encodeRequest(randomRequest(r))
      const regrouper = new Regrouper({ partitions, max_attribute_bytes: 0 })
      expect(regrouper.read('t', input)).toBeUndefined()
      const written = slices(regrouper)
      const decoded = written.map((slice) => decodeRequest(slice))
      const all = decoded.flatMap((slice) => flat(slice))
      expect(all.sort()).toEqual(flat(decodeRequest(input)).sort())
      expect(regrouper.spans).toBe(all.length)
      decoded.forEach((slice, p) => {
        const spans = slice.flatMap((rs) => rs.scopes.flatMap((ss) => ss.spans))
        expect(spans.length).toBe(regrouper.spansOf(p))
        for (const span of spans) {
          expect(traceToken(tenantSeed('t'), span.traceId, 0) % partitions).toBe(p)
        }
        expect(written[p]!.length).toBeLessThanOrEqual(input.length)
      })
    }
  })

  it('writes each resource and each scope once per slice, in the order sent', () => {
    const r = new Random(3)
    const ids = Array.from({ length: 40 }, () => r.id(16))
    const named = (name: string): ResourceSpans => ({
      ...requestOf(ids.map((id) => randomSpan(r, id)))[0]!,
      schemaUrl: name,
    })
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 0 })
    regrouper.read('t', encodeRequest([named('a'), named('b')]))
    for (const slice of slices(regrouper)) {
      const list = decodeRequest(slice)
      expect(list.map((rs) => rs.schemaUrl)).toEqual(['a', 'b'])
      for (const rs of list) expect(rs.scopes.length).toBe(1)
    }
  })

  it('copies a request of one partition as it is, even its unknown fields and empty parts', () => {
    const r = new Random(11)
    const input = new Writer()
      .field(1, new Writer().field(3, 'empty resource spans'))
      .raw(encodeRequest(requestOf([randomSpan(r, r.id(16))])))
      .field(99, 'unknown')
      .done()
    for (const partitions of [1, 5]) {
      const regrouper = new Regrouper({ partitions, max_attribute_bytes: 0 })
      expect(regrouper.read('t', input)).toBeUndefined()
      expect(slices(regrouper).filter((slice) => slice.length > 0)).toEqual([input])
    }
  })

  it('accepts requests without spans and makes no slice of them', () => {
    const regrouper = new Regrouper({ partitions: 3, max_attribute_bytes: 0 })
    const shapes = [
      new Uint8Array(0),
      encodeRequest([{ ...requestOf([])[0]! }]),
      Uint8Array.of(10, 0),
    ]
    for (const body of shapes) {
      expect(regrouper.read('t', body)).toBeUndefined()
      expect(regrouper.spans).toBe(0)
      expect(slices(regrouper).map((slice) => slice.length)).toEqual([0, 0, 0])
    }
  })

  it("hashes as Tempo's ring does: 32-bit FNV-1 of tenant and trace id", () => {
    // FNV-1 test vectors of the algorithm's authors: "", "a", "foobar".
    expect(tenantSeed('') >>> 0).toBe(0x811c9dc5)
    expect(tenantSeed('a') >>> 0).toBe(0x050c5d7e)
    expect(tenantSeed('foobar') >>> 0).toBe(0x31f0b262)
    const id = new TextEncoder().encode('0123456789abcdef')
    expect(traceToken(tenantSeed('tenant'), id, 0)).toBe(tenantSeed('tenant0123456789abcdef') >>> 0)
  })

  it('keeps nothing of the request before', () => {
    const r = new Random(5)
    const used = new Regrouper({ partitions: 4, max_attribute_bytes: 16 })
    for (let round = 0; round < 100; round++) {
      const body = encodeRequest(randomRequest(r))
      const fresh = new Regrouper({ partitions: 4, max_attribute_bytes: 16 })
      if (r.int(5) === 0) used.read('t', body.subarray(0, r.int(body.length + 1)))
      expect(used.read('t', body)).toEqual(fresh.read('t', body))
      expect(slices(used)).toEqual(slices(fresh))
      expect(used.truncation).toEqual(fresh.truncation)
    }
  })

  it('takes a 16 MiB request of tiny spans', () => {
    const span = encodeRequest(requestOf([spanOf({ name: '' })]))
    const spans = new Writer().field(
      2,
      new Writer().field(1, new Uint8Array(16).fill(1)).field(2, new Uint8Array(8).fill(2)),
    )
    const one = spans.done()
    expect(span.length).toBeGreaterThan(one.length)
    const count = Math.floor((16 << 20) / one.length) - 1
    const scope = new Uint8Array(count * one.length)
    for (let i = 0; i < count; i++) {
      scope.set(one, i * one.length)
      scope[i * one.length + 4] = i // another trace id
    }
    const wrap = (b: Uint8Array, tag: number) => {
      const head = new Writer().varint(tag).varint(b.length).done()
      const out = new Uint8Array(head.length + b.length)
      out.set(head)
      out.set(b, head.length)
      return out
    }
    const regrouper = new Regrouper({ partitions: 8, max_attribute_bytes: 2048 })
    expect(regrouper.read('t', wrap(wrap(scope, 0x12), 0x0a))).toBeUndefined()
    expect(regrouper.spans).toBe(count)
    let total = 0
    for (let p = 0; p < 8; p++) total += regrouper.spansOf(p)
    expect(total).toBe(count)
  })
})

describe('ids', () => {
  const refusal = (span: Partial<Span>) => {
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 0 })
    const malformed = regrouper.read('t', encodeRequest(requestOf([spanOf({}), spanOf(span)])))
    expect(regrouper.spans).toBe(malformed ? 0 : 2)
    return malformed
  }

  it('refuses the whole request for a bad trace id or span id, as Tempo does', () => {
    const bad: [Partial<Span>, string, string][] = [
      [
        { traceId: new Uint8Array(8).fill(1) },
        'BAD_TRACE_ID',
        'trace ids must be 128 bit and not all zero, received 64 bits',
      ],
      [{ traceId: new Uint8Array(0) }, 'BAD_TRACE_ID', 'received 0 bits'],
      [{ traceId: new Uint8Array(16) }, 'BAD_TRACE_ID', 'received 0 bits'],
      [{ traceId: new Uint8Array(17).fill(1) }, 'BAD_TRACE_ID', 'received 136 bits'],
      [
        { spanId: new Uint8Array(8) },
        'BAD_SPAN_ID',
        'span ids must be 64 bit and not all zero, received 0 bits',
      ],
      [{ spanId: new Uint8Array(4).fill(1) }, 'BAD_SPAN_ID', 'received 32 bits'],
      [{ parentSpanId: new Uint8Array(7).fill(1) }, 'BAD_ID_LENGTH', 'parent'],
    ]
    for (const [span, code, text] of bad) {
      const malformed = refusal(span)
      expect(malformed?.code).toBe(code)
      expect(malformed?.message).toContain(text)
    }
    expect(refusal({ parentSpanId: new Uint8Array(8) })).toBeUndefined()
  })

  it('takes the last of several trace ids, as protobuf does', () => {
    const span = new Writer()
      .field(1, new Uint8Array(16).fill(9))
      .field(1, new Uint8Array(16).fill(1))
      .field(2, new Uint8Array(8).fill(2))
    const body = new Writer().field(1, new Writer().field(2, new Writer().field(2, span))).done()
    const regrouper = new Regrouper({ partitions: 64, max_attribute_bytes: 0 })
    expect(regrouper.read('t', body)).toBeUndefined()
    const p = traceToken(tenantSeed('t'), new Uint8Array(16).fill(1), 0) % 64
    expect(regrouper.spansOf(p)).toBe(1)
  })
})

describe('malformed requests', () => {
  it('refuses every truncation or passes what decodes, and never throws', () => {
    const body = encodeRequest(randomRequest(new Random(21)))
    const regrouper = new Regrouper({ partitions: 3, max_attribute_bytes: 64 })
    let refused = 0
    for (let length = 0; length < body.length; length++) {
      const cut = body.slice(0, length)
      if (regrouper.read('t', cut)) refused++
      else decodeRequest(cut)
    }
    expect(refused).toBeGreaterThan(body.length * 0.9)
  })

  it('passes no mutated bytes that a strict decoder refuses', () => {
    const r = new Random(99)
    const regrouper = new Regrouper({ partitions: 3, max_attribute_bytes: 32 })
    let refused = 0
    let passed = 0
    for (let round = 0; round < 1500; round++) {
      const body = encodeRequest(randomRequest(r, 3).slice(0, 2))
      for (let i = 1 + r.int(3); i > 0 && body.length > 0; i--)
        body[r.int(body.length)] = r.int(256)
      if (regrouper.read('t', body)) {
        refused++
        continue
      }
      passed++
      decodeRequest(body)
      for (const slice of slices(regrouper)) decodeRequest(slice)
    }
    expect(Math.min(refused, passed)).toBeGreaterThan(100)
  })

  it('refuses a known field of the wrong wire type at every level, and groups', () => {
    const trace = new Writer()
      .field(1, new Uint8Array(16).fill(1))
      .field(2, new Uint8Array(8).fill(2))
      .done()
    const inSpan = (w: Writer) => new Writer().field(2, new Writer().raw(trace).raw(w.done()))
    const inScope = (w: Writer) => new Writer().field(2, w)
    const whole = (w: Writer) => new Writer().field(1, w).done()
    const attribute = (w: Writer) => inScope(inSpan(new Writer().field(9, w)))
    const value = (w: Writer) => attribute(new Writer().field(1, 'k').field(2, w))
    const bad: [Uint8Array, string][] = [
      [new Writer().number(1, 5).done(), 'WRONG_WIRE_TYPE'],
      [whole(new Writer().number(1, 5)), 'WRONG_WIRE_TYPE'],
      [whole(new Writer().number(2, 5)), 'WRONG_WIRE_TYPE'],
      [whole(inScope(new Writer().number(2, 5))), 'WRONG_WIRE_TYPE'],
      [whole(inScope(inSpan(new Writer().field(7, 'x')))), 'WRONG_WIRE_TYPE'],
      [whole(inScope(inSpan(new Writer().number(16, 5)))), 'WRONG_WIRE_TYPE'],
      [whole(attribute(new Writer().number(1, 5))), 'WRONG_WIRE_TYPE'],
      [whole(value(new Writer().field(4, '12345678'))), 'WRONG_WIRE_TYPE'],
      [whole(value(new Writer().field(5, new Writer().number(1, 5)))), 'WRONG_WIRE_TYPE'],
      [whole(inScope(inSpan(new Writer().tag(80, 3).tag(80, 4)))), 'BAD_TAG'],
      [whole(inScope(inSpan(new Writer().raw(Uint8Array.of(0, 0))))), 'BAD_TAG'],
      [
        whole(inScope(inSpan(new Writer().tag(6, 0).raw(new Uint8Array(11).fill(0x80))))),
        'VARINT_TOO_LONG',
      ],
      [whole(inScope(inSpan(new Writer().tag(5, 2).varint(100)))), 'OVERRUN'],
      [whole(inScope(inSpan(new Writer().tag(7, 1).raw(new Uint8Array(7))))), 'TRUNCATED'],
    ]
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 0 })
    for (const [body, code] of bad) expect(regrouper.read('t', body)?.code).toBe(code)
  })

  it('refuses attribute values nested without end before the stack is gone', () => {
    const nest = (levels: number) => {
      let value = new Writer().field(1, 'x')
      for (let i = 1; i < levels; i++) value = new Writer().field(5, new Writer().field(1, value))
      const attribute = new Writer().field(1, 'k').field(2, value)
      const span = new Writer()
        .field(1, new Uint8Array(16).fill(1))
        .field(2, new Uint8Array(8).fill(2))
      return new Writer()
        .field(1, new Writer().field(2, new Writer().field(2, span.field(9, attribute))))
        .done()
    }
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 0 })
    expect(regrouper.read('t', nest(32))).toBeUndefined()
    expect(regrouper.read('t', nest(33))?.code).toBe('TOO_DEEP')
    expect(regrouper.read('t', nest(400))?.code).toBe('TOO_DEEP')
  })

  it('reads non-minimal varints as protobuf does', () => {
    const span = new Writer()
      .field(1, new Uint8Array(16).fill(1))
      .field(2, new Uint8Array(8).fill(2))
      .done()
    const padded = (n: number) => Uint8Array.of((n & 0x7f) | 0x80, (n >> 7) | 0x80, 0x80, 0)
    const field = (tag: number, b: Uint8Array) =>
      Uint8Array.of(tag | 0x80, 0, ...padded(b.length), ...b)
    const body = field(0x0a, field(0x12, Uint8Array.of(...field(0x12, span), ...field(0x12, span))))
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 0 })
    expect(regrouper.read('t', body)).toBeUndefined()
    expect(regrouper.spans).toBe(2)
  })
})

describe('max_attribute_bytes', () => {
  const long = 'x'.repeat(50)
  const attributes = [
    { key: 'short', value: { string: 'v' } },
    { key: 'value', value: { string: long } },
    { key: long, value: { int: 1n } },
    { key: 'inner', value: { array: [{ string: long }] } },
  ]
  const request: ResourceSpans[] = [
    {
      resource: { attributes, dropped: 3 },
      scopes: [
        {
          scope: { name: long, version: '', attributes, dropped: 0 },
          spans: [
            spanOf({
              name: long,
              attributes,
              events: [{ time: 1n, name: long, attributes, dropped: 0 }],
              links: [
                {
                  traceId: new Uint8Array(16),
                  spanId: new Uint8Array(8),
                  traceState: '',
                  attributes,
                  flags: 0,
                },
              ],
            }),
          ],
          schemaUrl: '',
          unknown: new Uint8Array(0),
        },
      ],
      schemaUrl: '',
      unknown: new Uint8Array(0),
    },
  ]

  it('cuts keys and string values at every level, counts them, and leaves names and nested values alone', () => {
    const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 20 })
    expect(regrouper.read('t', encodeRequest(request))).toBeUndefined()
    const [slice] = slices(regrouper).filter((s) => s.length > 0)
    const cut = [
      { key: 'short', value: { string: 'v' } },
      { key: 'value', value: { string: 'x'.repeat(20) } },
      { key: 'x'.repeat(20), value: { int: 1n } },
      { key: 'inner', value: { array: [{ string: long }] } },
    ]
    const [rs] = decodeRequest(slice!)
    const scope = rs!.scopes[0]!
    const span = scope.spans[0]!
    expect(rs!.resource).toEqual({ attributes: cut, dropped: 3 })
    expect(scope.scope).toEqual({ name: long, version: '', attributes: cut, dropped: 0 })
    expect([span.attributes, span.events[0]!.attributes, span.links[0]!.attributes]).toEqual([
      cut,
      cut,
      cut,
    ])
    expect([span.name, span.events[0]!.name]).toEqual([long, long])
    expect(regrouper.truncation).toEqual({
      total: 10,
      byLevel: { resource: 2, scope: 2, span: 2, event: 2, link: 2 },
      example: { level: 'resource', name: 'value', field: 'value', size_bytes: 50 },
    })
  })

  it('leaves a request within the limit untouched, to the byte', () => {
    const body = encodeRequest(request)
    const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: 50 })
    regrouper.read('t', body)
    expect(slices(regrouper)).toEqual([body])
    expect(regrouper.truncation.total).toBe(0)
  })

  it('never divides a character', () => {
    const text = '漢'.repeat(10)
    const body = encodeRequest(
      requestOf([spanOf({ attributes: [{ key: 'k', value: { string: text } }] })]),
    )
    for (const [max, kept] of [
      [9, 3],
      [10, 3],
      [11, 3],
      [12, 4],
    ] as const) {
      const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: max })
      regrouper.read('t', body)
      const [rs] = decodeRequest(slices(regrouper)[0]!)
      const attribute = rs!.scopes[0]!.spans[0]!.attributes[0]!
      expect(attribute.value).toEqual({ string: '漢'.repeat(kept) })
    }
  })

  it('notices long values of three-byte lengths', () => {
    const body = encodeRequest(
      requestOf([spanOf({ attributes: [{ key: 'k', value: { string: 'y'.repeat(20_000) } }] })]),
    )
    const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: 2048 })
    expect(regrouper.read('t', body)).toBeUndefined()
    expect(regrouper.truncation.byLevel.span).toBe(1)
    expect(regrouper.size_bytes(0)).toBeLessThan(2400)
  })

  it('leaves random requests valid and equal but for what was cut', () => {
    const r = new Random(31)
    for (let round = 0; round < 200; round++) {
      const input = randomRequest(r)
      const regrouper = new Regrouper({ partitions: 1, max_attribute_bytes: 24 })
      expect(regrouper.read('t', encodeRequest(input))).toBeUndefined()
      const output = decodeRequest(slices(regrouper)[0]!)
      const names = (list: ResourceSpans[]) =>
        list.flatMap((rs) =>
          rs.scopes.flatMap((ss) => ss.spans.map((s) => [s.name, s.start, s.events.length])),
        )
      if (regrouper.spans > 0) expect(names(output)).toEqual(names(input))
    }
  })
})

it('regroups real SDK traffic: exceptions, links, arrays, long values', () => {
  const file = readFileSync(new URL('../fixtures/edge.bin', import.meta.url))
  const regrouper = new Regrouper({ partitions: 4, max_attribute_bytes: 0 })
  let spans = 0
  for (let at = 0; at < file.length;) {
    const length = file.readUInt32LE(at)
    const body = new Uint8Array(file.subarray(at + 4, at + 4 + length))
    at += 4 + length
    expect(regrouper.read('t', body)).toBeUndefined()
    const all = slices(regrouper).flatMap((slice) => flat(decodeRequest(slice)))
    expect(all.sort()).toEqual(flat(decodeRequest(body)).sort())
    spans += regrouper.spans
  }
  expect(spans).toBeGreaterThan(100)
})

it('makes the shop traffic of the measurements', () => {
  const traffic = shopTraffic(1, 60, 256)
  const regrouper = new Regrouper({ partitions: 2, max_attribute_bytes: 2048 })
  for (const { body, spans } of traffic) {
    expect(regrouper.read('t', body)).toBeUndefined()
    expect(regrouper.spans).toBe(spans)
  }
})
