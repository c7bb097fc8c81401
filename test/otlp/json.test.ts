/** Tests OTLP's JSON in and Tempo's JSON out against objects, in both directions. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { OtlpJsonError, requestFromJson } from '../../src/otlp/json.js'
import { traceToJson } from '../../src/otlp/trace-json.js'
import {
  Random,
  Writer,
  decodeRequest,
  encodeRequest,
  randomRequest,
  requestOf,
  spanOf,
  type KeyValue,
  type ResourceSpans,
  type Value,
} from './support.js'

const SPAN_KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']
const STATUS_CODES = ['UNSET', 'OK', 'ERROR']
const none = new Uint8Array(0)

interface Dialect {
  id: (b: Uint8Array) => string
  enums: 'names' | 'numbers'
  keys: 'camel' | 'snake'
  longs: 'text' | 'numbers'
}

/** The objects of the test as JSON, zero fields left out. */
function toJson(list: ResourceSpans[], dialect: Dialect): object {
  const { id, enums, keys, longs } = dialect
  const b64 = (b: Uint8Array) => Buffer.from(b).toString('base64')
  const shape = (object: Record<string, unknown>): object =>
    Object.fromEntries(
      Object.entries(object)
        .filter(
          ([, v]) =>
            v !== undefined && v !== 0 && v !== '' && !(Array.isArray(v) && v.length === 0),
        )
        .map(([k, v]) => [
          keys === 'camel' ? k : k.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
          v,
        ]),
    )
  const one = (name: string, v: unknown) => ({
    [keys === 'camel' ? name : name.replace('V', '_v')]: v,
  })
  const value = (v: Value): object => {
    if (!v) return {}
    if ('string' in v) return one('stringValue', v.string)
    if ('bool' in v) return one('boolValue', v.bool)
    if ('int' in v)
      return one('intValue', longs === 'text' || v.int > 2n ** 53n ? String(v.int) : Number(v.int))
    if ('double' in v) return one('doubleValue', v.double)
    if ('bytes' in v) return one('bytesValue', b64(v.bytes))
    if ('array' in v) return one('arrayValue', v.array.length ? { values: v.array.map(value) } : {})
    return one('kvlistValue', v.kvlist.length ? { values: attributes(v.kvlist) } : {})
  }
  const attributes = (l: KeyValue[]) =>
    l.map(({ key, value: v }) => shape({ key, value: v === undefined ? undefined : value(v) }))
  const time = (n: bigint) => (n === 0n ? undefined : longs === 'text' ? String(n) : Number(n))
  const name = (prefix: string, names: string[], n: number) =>
    n === 0 ? undefined : enums === 'names' ? `${prefix}_${names[n]!}` : n
  const resourceSpans = list.map((rs) =>
    shape({
      resource:
        rs.resource &&
        shape({
          attributes: attributes(rs.resource.attributes),
          droppedAttributesCount: rs.resource.dropped,
        }),
      scopeSpans: rs.scopes.map((ss) =>
        shape({
          scope:
            ss.scope &&
            shape({
              name: ss.scope.name,
              version: ss.scope.version,
              attributes: attributes(ss.scope.attributes),
              droppedAttributesCount: ss.scope.dropped,
            }),
          spans: ss.spans.map((s) =>
            shape({
              traceId: id(s.traceId),
              spanId: id(s.spanId),
              traceState: s.traceState,
              parentSpanId: id(s.parentSpanId),
              flags: s.flags,
              name: s.name,
              kind: name('SPAN_KIND', SPAN_KINDS, s.kind),
              startTimeUnixNano: time(s.start),
              endTimeUnixNano: time(s.end),
              attributes: attributes(s.attributes),
              droppedAttributesCount: s.dropped,
              events: s.events.map((e) =>
                shape({
                  timeUnixNano: time(e.time),
                  name: e.name,
                  attributes: attributes(e.attributes),
                  droppedAttributesCount: e.dropped,
                }),
              ),
              links: s.links.map((l) =>
                shape({
                  traceId: id(l.traceId),
                  spanId: id(l.spanId),
                  traceState: l.traceState,
                  attributes: attributes(l.attributes),
                  flags: l.flags,
                }),
              ),
              status:
                s.statusCode || s.statusMessage
                  ? shape({
                      message: s.statusMessage,
                      code: name('STATUS_CODE', STATUS_CODES, s.statusCode),
                    })
                  : undefined,
            }),
          ),
          schemaUrl: ss.schemaUrl,
        }),
      ),
      schemaUrl: rs.schemaUrl,
    }),
  )
  return shape({ resourceSpans })
}

/** Without the bytes that JSON cannot carry. */
function known(list: ResourceSpans[]): ResourceSpans[] {
  return list.map((rs) => ({
    ...rs,
    unknown: none,
    scopes: rs.scopes.map((ss) => ({
      ...ss,
      unknown: none,
      spans: ss.spans.map((s) => ({ ...s, unknown: none })),
    })),
  }))
}

const hex = (b: Uint8Array) => Buffer.from(b).toString('hex')
const base64 = (b: Uint8Array) => Buffer.from(b).toString('base64')
const CAMEL: Dialect = { id: hex, enums: 'numbers', keys: 'camel', longs: 'text' }

const SNAKE: Dialect = {
  id: (b) => hex(b).toUpperCase(),
  enums: 'names',
  keys: 'snake',
  longs: 'text',
}

describe('requestFromJson', () => {
  it.each([CAMEL, SNAKE])('reads what the objects say, in every spelling: %o', (dialect) => {
    const r = new Random(41)
    for (let round = 0; round < 40; round++) {
      const list = known(randomRequest(r))
      const text = JSON.stringify(toJson(list, dialect))
      expect(decodeRequest(requestFromJson(text))).toEqual(list)
    }
  })

  it('takes 64-bit numbers as text or number, floats as text, and exact to the last digit', () => {
    const span = (fields: object) => ({ resourceSpans: [{ scopeSpans: [{ spans: [fields] }] }] })
    const read = (fields: object) =>
      decodeRequest(requestFromJson(JSON.stringify(span(fields))))[0]!.scopes[0]!.spans[0]!
    const value = (v: object) => read({ attributes: [{ key: 'k', value: v }] }).attributes[0]!.value
    expect(read({ startTimeUnixNano: '1544712660300000001' }).start).toBe(1544712660300000001n)
    expect(read({ startTimeUnixNano: 1544712660 }).start).toBe(1544712660n)
    expect(value({ intValue: '-9223372036854775808' })).toEqual({ int: -(2n ** 63n) })
    expect(value({ intValue: -7 })).toEqual({ int: -7n })
    expect(value({ doubleValue: 'NaN' })).toEqual({ double: NaN })
    expect(value({ doubleValue: '1.5' })).toEqual({ double: 1.5 })
    expect(value({ boolValue: false })).toEqual({ bool: false })
    expect(value({ stringValue: '' })).toEqual({ string: '' })
    expect(value({ bytesValue: 'AAEC/w==' })).toEqual({ bytes: Uint8Array.of(0, 1, 2, 255) })
  })

  it('ignores unknown fields and nulls', () => {
    const json = {
      resourceSpans: [
        { resource: null, novelty: [1], scopeSpans: [{ spans: [{ name: 'a', x: {} }] }] },
      ],
      more: 1,
    }
    expect(decodeRequest(requestFromJson(JSON.stringify(json)))[0]!.scopes[0]!.spans[0]!.name).toBe(
      'a',
    )
    expect(requestFromJson('{}').length).toBe(0)
  })

  it.each([
    ['[]', '', 'expected an object'],
    ['nonsense', '', 'not JSON'],
    ['{"resourceSpans":{}}', 'resourceSpans', 'expected a list'],
    ['{"resourceSpans":[null]}', 'resourceSpans[0]', 'expected an object'],
    [
      '{"resourceSpans":[{"scopeSpans":[{},{"spans":[{},{},{},{"traceId":"abc"}]}]}]}',
      'resourceSpans[0].scopeSpans[1].spans[3].traceId',
      '32 hex',
    ],
    [
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"5b8efff798038103d269b633813fc60c"}]}]}]}',
      'resourceSpans[0].scopeSpans[0].spans[0].spanId',
      '16 hex',
    ],
    [
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SERVER"}]}]}]}',
      'resourceSpans[0].scopeSpans[0].spans[0].kind',
      'SPAN_KIND_SERVER',
    ],
    [
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"start_time_unix_nano":"-1"}]}]}]}',
      'resourceSpans[0].scopeSpans[0].spans[0].start_time_unix_nano',
      'not between',
    ],
    ['{"resourceSpans":[{"schemaUrl":3}]}', 'resourceSpans[0].schemaUrl', 'expected a string'],
    [
      '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"intValue":1.5}}]}}]}',
      'resourceSpans[0].resource.attributes[0].value.intValue',
      'whole number',
    ],
    [
      '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"bytesValue":"%"}}]}}]}',
      'resourceSpans[0].resource.attributes[0].value.bytesValue',
      'base64',
    ],
  ])('says where and what is wrong: %s', (text, path, problem) => {
    let error: unknown
    try {
      requestFromJson(text)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(OtlpJsonError)
    expect(error).toMatchObject({
      path,
      code: 'BAD_OTLP_JSON',
      problem: expect.stringContaining(problem) as string,
    })
  })

  it('refuses values nested without end before the stack is gone', () => {
    const nested = '{"arrayValue":{"values":['.repeat(5000) + ']}}'.repeat(5000)
    const text = `{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":${nested}}]}}]}`
    expect(() => requestFromJson(text)).toThrow('nested too deeply')
  })

  it('makes long messages right: lengths of two, three and four bytes', () => {
    for (const length of [127, 128, 16_383, 16_384, 3_000_000]) {
      const list = requestOf([
        spanOf({ attributes: [{ key: 'k', value: { string: 'x'.repeat(length) } }] }),
      ])
      const [rs] = decodeRequest(requestFromJson(JSON.stringify(toJson(list, CAMEL))))
      expect(rs!.scopes[0]!.spans[0]!.attributes[0]!.value).toEqual({ string: 'x'.repeat(length) })
    }
  })
})

describe('traceToJson', () => {
  it("prints what the objects say, as Tempo's jsonpb does", () => {
    const r = new Random(43)
    for (let round = 0; round < 40; round++) {
      const list = randomRequest(r)
      const json = JSON.parse(traceToJson(encodeRequest(list), { v1: false })) as object
      expect(json).toEqual(
        toJson(list, { id: base64, enums: 'names', keys: 'camel', longs: 'text' }),
      )
    }
  })

  it('prints a span to the letter', () => {
    const trace = encodeRequest(
      requestOf([
        spanOf({
          statusCode: 2,
          statusMessage: 'no "way"',
          attributes: [
            { key: 'i', value: { int: -5n } },
            { key: 'd', value: { double: 0.5 } },
            { key: 'n', value: { double: -Infinity } },
            { key: 'e', value: { string: '' } },
            { key: 'l', value: { array: [] } },
          ],
        }),
      ]),
    )
    const expected =
      '{"batches":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},' +
      '"scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[{"traceId":"AQEBAQEBAQEBAQEBAQEBAQ==","spanId":"AgICAgICAgI=",' +
      '"name":"n","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000001000",' +
      '"attributes":[{"key":"i","value":{"intValue":"-5"}},{"key":"d","value":{"doubleValue":0.5}},' +
      '{"key":"n","value":{"doubleValue":"-Infinity"}},{"key":"e","value":{"stringValue":""}},' +
      '{"key":"l","value":{"arrayValue":{}}}],"status":{"message":"no \\"way\\"","code":"STATUS_CODE_ERROR"}}]}]}]}'
    expect(traceToJson(trace, { v1: true })).toBe(expected)
    expect(traceToJson(trace, { v1: false })).toBe(expected.replace('"batches"', '"resourceSpans"'))
    expect(traceToJson(none, { v1: false })).toBe('{}')
  })

  it('prints an enum that it does not know as its number, and bytes that are no UTF-8', () => {
    const span = new Writer().number(6, 77).field(5, Uint8Array.of(65, 0xff))
    const trace = new Writer().field(1, new Writer().field(2, new Writer().field(2, span))).done()
    expect(traceToJson(trace, { v1: false })).toBe(
      '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"A\ufffd","kind":77}]}]}]}',
    )
  })

  it('takes only the last of a oneof and fields in any order', () => {
    const value = new Writer().field(1, 'first').number(3, 2, true)
    const attribute = new Writer().field(2, value).field(1, 'k')
    const trace = new Writer()
      .field(1, new Writer().field(3, 'u').field(1, new Writer().field(1, attribute)))
      .done()
    expect(traceToJson(trace, { v1: false })).toBe(
      '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"intValue":"2"}}]},"schemaUrl":"u"}]}',
    )
  })

  it('reads shared memory', () => {
    const trace = encodeRequest(requestOf([spanOf({ name: 'é' })]))
    const shared = new Uint8Array(new SharedArrayBuffer(trace.length))
    shared.set(trace)
    expect(traceToJson(shared, { v1: true })).toBe(traceToJson(trace, { v1: true }))
  })

  it('refuses malformed bytes', () => {
    const trace = encodeRequest(requestOf([spanOf({})]))
    expect(() => traceToJson(trace.slice(0, -3), { v1: true })).toThrow(
      expect.objectContaining({ code: 'OVERRUN' }),
    )
  })

  it('comes back the same through JSON with hex ids, on real SDK traffic', () => {
    const file = readFileSync(new URL('../fixtures/edge.bin', import.meta.url))
    for (let at = 0; at < file.length;) {
      const length = file.readUInt32LE(at)
      const list = decodeRequest(new Uint8Array(file.subarray(at + 4, at + 4 + length)))
      at += 4 + length
      const json = JSON.parse(traceToJson(encodeRequest(list), { v1: false })) as object
      const asHex = JSON.stringify(json, (key, v: unknown) =>
        /^(trace|span|parentSpan)Id$/.test(key)
          ? Buffer.from(v as string, 'base64').toString('hex')
          : v,
      )
      expect(decodeRequest(requestFromJson(asHex))).toEqual(known(list))
    }
  })
})
