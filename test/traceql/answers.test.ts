/** Holds the exact JSON of search answers, autocompletion, and the search of before TraceQL. */
import { describe, expect, test } from 'vitest'
import { legacyTagsToQuery } from '../../src/traceql/legacy-tags.js'
import { planSearch } from '../../src/traceql/plan.js'
import { parseQuery } from '../../src/traceql/query.js'
import { toSearchResponse } from '../../src/traceql/response.js'
import { mergeSearch, searchSource } from '../../src/traceql/search.js'
import { durationText, formatGo } from '../../src/traceql/static.js'
import {
  mergeTagNames,
  mergeTagValues,
  parseTagV1,
  tagNamesOf,
  tagValuesOf,
  toTagNamesResponse,
  toTagNamesV2Response,
  toTagValuesResponse,
  toTagValuesV2Response,
} from '../../src/traceql/tags.js'
import { memorySource } from '../support/memory-source.js'

const id = (n: number, width: number) => Uint8Array.from([...new Uint8Array(width - 1), n])
const START = 1_700_000_000_123_456_789n
const source = memorySource([
  {
    resource: { attributes: { 'service.name': 'shop', region: 'eu' } },
    scopes: [
      {
        scope: { name: 'lib' },
        spans: [
          {
            traceId: id(0xab, 16),
            spanId: id(1, 8),
            name: 'GET /',
            kind: 2,
            start: START,
            end: START + 5_000_000n,
            attributes: { code: 200n, ratio: 0.5, ok: true, list: { array: ['a', 'b'] } },
            events: [{ time: START, name: 'e', attributes: { level: 'info' } }],
          },
          {
            traceId: id(0xab, 16),
            spanId: id(2, 8),
            parentSpanId: id(1, 8),
            name: 'query',
            start: START,
            end: START,
            attributes: { code: 500n },
            status: { code: 2 },
          },
        ],
      },
    ],
  },
])

async function answer(query: string) {
  const partial = await searchSource(source, planSearch(query), { limit: 20, spansPerSpanSet: 3 })
  return toSearchResponse(mergeSearch([partial], 20))
}

test('a search answer is what protobuf would print: text for 64 bits, no zeros', async () => {
  const spanSet = {
    spans: [
      {
        spanID: '0000000000000001',
        name: 'GET /',
        startTimeUnixNano: START.toString(),
        durationNanos: '5000000',
        attributes: [{ key: 'code', value: { intValue: '200' } }],
      },
    ],
    matched: 1,
  }
  expect(await answer('{ name = "GET /" && span.code = 200 }')).toEqual({
    traces: [
      {
        traceID: 'ab',
        rootServiceName: 'shop',
        rootTraceName: 'GET /',
        startTimeUnixNano: START.toString(),
        durationMs: 5,
        spanSet,
        spanSets: [spanSet],
        serviceStats: { shop: { spanCount: 2, errorCount: 1 } },
      },
    ],
    metrics: { inspectedTraces: 1, inspectedSpans: '2' },
  })
})

test('an empty answer has metrics and no traces', async () => {
  expect(await answer('{ span.code = 7 }')).toEqual({
    metrics: { inspectedTraces: 1, inspectedSpans: '2' },
  })
  expect(await answer('{ false }')).toEqual({ metrics: {} })
})

test('a span shows what the query asks of it and sees', async () => {
  const { traces } = await answer(
    '{ span.code = 200 || kind = client } | select(span.ratio, span.ok, span.list, .region, event.level)',
  )
  expect(traces![0]!.spanSets![0]!.spans![0]!.attributes).toEqual([
    { key: 'code', value: { intValue: '200' } },
    { key: 'ratio', value: { doubleValue: 0.5 } },
    { key: 'ok', value: { boolValue: true } },
    {
      key: 'list',
      value: { arrayValue: { values: [{ stringValue: 'a' }, { stringValue: 'b' }] } },
    },
    { key: 'region', value: { stringValue: 'eu' } },
    { key: 'level', value: { stringValue: 'info' } },
  ])
})

test('a metrics query is no search', () => {
  expect(() => planSearch('{} | rate()')).toThrow('query_range')
})

describe('tags', () => {
  test('names by scope, and intrinsics where all scopes are asked for', async () => {
    const merged = mergeTagNames([await tagNamesOf(source), await tagNamesOf(source)])
    expect(merged.scopes).toEqual({
      resource: ['region', 'service.name'],
      span: ['code', 'list', 'ok', 'ratio'],
      event: ['level'],
    })
    const names = toTagNamesV2Response(merged).scopes!.map(({ name }) => name)
    expect(names).toEqual(['resource', 'span', 'event', 'intrinsic'])
    expect(toTagNamesV2Response(merged, 'span').scopes).toHaveLength(3)
    expect(toTagNamesResponse(merged).tagNames).toContain('service.name')
  })
  test('one scope, only what matching spans have', async () => {
    expect((await tagNamesOf(source, 'span', '{ status = error }')).scopes).toEqual({
      span: ['code'],
    })
    expect((await tagNamesOf(source, 'intrinsic')).scopes).toEqual({})
    await expect(tagNamesOf(source, 'nowhere')).rejects.toThrow('unknown scope: nowhere')
  })
  test('values with their types', async () => {
    const values = async (tag: string, query = '') =>
      toTagValuesV2Response(mergeTagValues([await tagValuesOf(source, tag, query)])).tagValues
    expect(await values('span.code')).toEqual([
      { type: 'int', value: '200' },
      { type: 'int', value: '500' },
    ])
    expect(await values('span.code', '{ name = "query" }')).toEqual([{ type: 'int', value: '500' }])
    expect(await values('span.list')).toEqual([
      { type: 'string', value: 'a' },
      { type: 'string', value: 'b' },
    ])
    expect(await values('.ratio')).toEqual([{ type: 'float', value: '0.5' }])
    expect(await values('name')).toEqual([
      { type: 'string', value: 'GET /' },
      { type: 'string', value: 'query' },
    ])
    expect((await values('status'))!.every(({ type }) => type === 'keyword')).toBe(true)
    expect(await values('trace:id')).toEqual([])
    await expect(values('span.')).rejects.toThrow('invalid tag name')
  })
  test('a query that is still being typed filters by what is whole', async () => {
    const found = await tagValuesOf(source, 'span.code', '{ name = "query" && span.x = }')
    expect(found.values).toEqual([{ type: 'int', value: '500' }])
    expect((await tagValuesOf(source, 'span.code', '{ span.x = ')).values).toHaveLength(2)
  })
  test('bare names of the first API, and a limit in bytes', async () => {
    const found = await tagValuesOf(source, parseTagV1('service.name'))
    expect(toTagValuesResponse(found).tagValues).toEqual(['shop'])
    const cut = await tagValuesOf(source, 'span.code', '', { max_bytes: 7 })
    expect(cut).toMatchObject({ values: [{ value: '200' }], truncated: true })
  })
})

describe('legacy tags', () => {
  test.each([
    ['', '', '', '{}'],
    ['foo=bar', '', '', '{ .foo = `bar` }'],
    ['service.name="my shop"', '', '', '{ resource.service.name =~ `.*my shop.*` }'],
    ['name=a.b', '', '', '{ name =~ `.*a\\.b.*` }'],
    ['status.code=error http.status_code=500', '', '', '{ status = error } && { span.http.status_code = 500 }'], // prettier-ignore
    ['x="a`b"', '', '', '{ .x = "a`b" }'],
    ['"', '', '', undefined],
    ['a=1 a=2', '', '', undefined],
    ['', '100ms', '1.5s', '{ traceDuration >= 100ms } && { traceDuration <= 1.5s }'],
    ['', '2s', '1s', undefined],
    ['', 'soon', '', undefined],
  ])('tags %s, %s to %s', (tags, least, most, query) => {
    if (query === undefined) expect(() => legacyTagsToQuery(tags, least, most)).toThrow('invalid')
    else {
      expect(legacyTagsToQuery(tags, least, most)).toBe(query)
      parseQuery(query)
    }
  })
  test('finds traces by tags of several spans', async () => {
    const { traces } = await answer(legacyTagsToQuery('service.name=sho name=GET', '1ms', '10ms'))
    expect(traces).toHaveLength(1)
  })
})

test('numbers and durations print as Go prints them', () => {
  expect([1234567, 100000, 1e21, 0.0001, 0.00001, 0.5, -3].map(formatGo)).toEqual([
    '1.234567e+06', '100000', '1e+21', '0.0001', '1e-05', '0.5', '-3',
  ]) // prettier-ignore
  expect([0n, 1n, 1500n, 2_000_000n, 3_723_500_000_000n, -1_000_000_000n].map(durationText)).toEqual([
    '0s', '1ns', '1.5µs', '2ms', '1h2m3.5s', '-1s',
  ]) // prettier-ignore
})
