/** Tests Tempo's protobuf answers byte by byte, with the test's own decoder. */
import { describe, expect, it } from 'vitest'
import { encodeTempo, encodeTraceByIdResponse, tempoCodec } from '../../src/otlp/tempopb.js'
import {
  encodeExportResponse,
  encodeRpcStatus,
  rpcStatusJson,
} from '../../src/otlp/export-reply.js'
import { encodeRequest, fields, requestOf, spanOf } from './support.js'

const text = (b: Uint8Array) => new TextDecoder().decode(b)

describe('encodeTraceByIdResponse', () => {
  it('holds the trace as it is, with metrics, status and message', () => {
    const trace = encodeRequest(requestOf([spanOf({})]))
    const all = fields(
      encodeTraceByIdResponse({ trace, inspected_bytes: 12.4, partialMessage: 'too large' }),
    )
    expect(all.map((f) => f.number)).toEqual([1, 2, 3, 4])
    expect(all[0]!.bytes).toEqual(trace)
    expect(fields(all[1]!.bytes).map((f) => [f.number, f.value])).toEqual([[1, 12n]])
    expect([all[2]!.value, text(all[3]!.bytes)]).toEqual([1n, 'too large'])
  })

  it('has a trace even when it is empty: Grafana dereferences it', () => {
    const all = fields(encodeTraceByIdResponse({ trace: new Uint8Array(0), inspected_bytes: 0 }))
    expect(all.map((f) => [f.number, f.bytes.length])).toContainEqual([1, 0])
  })
})

describe('encodeTempo', () => {
  it('takes the JSON form: 64-bit numbers as text, exact; maps; NaN', () => {
    const response = {
      traces: [
        {
          traceID: 'ab',
          rootServiceName: 'shop',
          startTimeUnixNano: '1700000000000000001',
          durationMs: 7,
          spanSets: [
            {
              spans: [
                {
                  spanID: '01',
                  durationNanos: '18446744073709551615',
                  attributes: [{ key: 'k', value: { intValue: '-3' } }],
                },
              ],
              matched: 1,
            },
          ],
          serviceStats: { shop: { spanCount: 2 } },
        },
      ],
      metrics: { inspectedBytes: '99', completedJobs: 1 },
    }
    const [trace, metrics] = fields(encodeTempo('SearchResponse', response))
    const inner = fields(trace!.bytes)
    expect(inner.map((f) => f.number)).toEqual([1, 2, 4, 5, 7, 8])
    expect(inner.find((f) => f.number === 4)!.value).toBe(1700000000000000001n)
    const span = fields(fields(inner.find((f) => f.number === 7)!.bytes)[0]!.bytes)
    expect(span.find((f) => f.number === 4)!.value).toBe(2n ** 64n - 1n)
    expect(fields(metrics!.bytes).map((f) => [f.number, f.value])).toEqual([
      [2, 99n],
      [4, 1n],
    ])
    expect(tempoCodec('SearchResponse').decode(encodeTempo('SearchResponse', response))).toEqual(
      response,
    )
  })

  it('writes samples with the time as field 2 and the value as field 1', () => {
    const series = [
      {
        labels: [{ key: 'p', value: { doubleValue: 0.9 } }],
        samples: [{ timestampMs: '1000', value: NaN }],
      },
    ]
    const [one] = fields(encodeTempo('QueryRangeResponse', { series, metrics: {} }))
    const sample = fields(fields(one!.bytes).find((f) => f.number === 2)!.bytes)
    expect(sample.find((f) => f.number === 2)!.value).toBe(1000n)
    expect(sample.find((f) => f.number === 1)!.wire).toBe(1)
  })
})

describe('export replies', () => {
  it('are empty when all went well, and carry a warning without rejections', () => {
    expect(encodeExportResponse({ rejectedSpans: 0, message: '' }).length).toBe(0)
    const [partial] = fields(encodeExportResponse({ rejectedSpans: 0, message: 'slow down' }))
    expect(fields(partial!.bytes).map((f) => [f.number, text(f.bytes)])).toEqual([[2, 'slow down']])
  })

  it('carry RetryInfo with seconds and nanoseconds', () => {
    const status = { code: 8, message: 'm', retryAfter_ms: 2500 } as const
    const detail = fields(encodeRpcStatus(status)).find((f) => f.number === 3)!
    const duration = fields(fields(fields(detail.bytes)[1]!.bytes)[0]!.bytes)
    expect(duration.map((f) => [f.number, f.value])).toEqual([
      [1, 2n],
      [2, 500_000_000n],
    ])
    expect(JSON.parse(rpcStatusJson(status))).toEqual({
      code: 8,
      message: 'm',
      details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2.5s' }],
    })
  })
})
