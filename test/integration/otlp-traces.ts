/** Owns a few OTLP requests whose every span id a test knows: as JSON, and as protobuf of any size. */
import { createHash } from 'node:crypto'
import { OtlpWriter } from '../../src/load/otlp-writer.js'

export interface SentTrace {
  readonly traceId: string
  /** Sorted. */
  readonly spanIds: string[]
}

const NS_PER_MS = 1_000_000n

/** Hex that is the same for the same name, and another for another. */
function id(name: string, bytes: number): string {
  return createHash('sha256')
    .update(name)
    .digest('hex')
    .slice(0, bytes * 2)
}

function spanName(name: string, i: number): string {
  return id(`${name}/span/${i}`, 8)
}

function nowNs(): bigint {
  return BigInt(Date.now()) * NS_PER_MS
}

/** An ExportTraceServiceRequest as OTLP/JSON, of one trace. */
export function jsonRequest(service: string, spans: number): { body: string; sent: SentTrace } {
  const traceId = id(service, 16)
  const spanIds = Array.from({ length: spans }, (_, i) => spanName(service, i))
  const end = nowNs()
  const request = {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
        scopeSpans: [
          {
            scope: { name: 'test' },
            spans: spanIds.map((spanId, i) => ({
              traceId,
              spanId,
              ...(i > 0 && { parentSpanId: spanIds[0] }),
              name: `step ${i}`,
              kind: 2,
              startTimeUnixNano: String(end - 50n * NS_PER_MS),
              endTimeUnixNano: String(end),
              attributes: [{ key: 'step', value: { intValue: String(i) } }],
              status: {},
            })),
          },
        ],
      },
    ],
  }
  return { body: JSON.stringify(request), sent: { traceId, spanIds: [...spanIds].sort() } }
}

export interface LargeRequest {
  readonly bytes: Buffer
  readonly traces: SentTrace[]
}

/** About a KiB a span, in one attribute below the limit at which values are cut. */
const FILL = 'x'.repeat(1000)
/** Tag and length, as OtlpWriter writes them around a message and before bytes of 128 to 16,383. */
const MESSAGE_PREFIX_BYTES = 5
const SPAN_PREFIX_BYTES = 3

/** A request of at most so many bytes, and less than one span (1.2 KB) below; protobuf. */
export function largeRequest(service: string, bytes: number, spansPerTrace: number): LargeRequest {
  const resource = new OtlpWriter()
  resource.message(1, () => resource.attribute(1, 'service.name', service))
  const resourceBytes = resource.take()
  const end = nowNs()
  const spans: Buffer[] = []
  const traces: SentTrace[] = []
  let size = resourceBytes.length + 2 * MESSAGE_PREFIX_BYTES
  for (let i = 0; ; i++) {
    const trace = Math.floor(i / spansPerTrace)
    const traceId = id(`${service}/${trace}`, 16)
    const spanId = spanName(service, i)
    const span = largeSpan(traceId, spanId, end, i)
    if (size + SPAN_PREFIX_BYTES + span.length > bytes) break
    size += SPAN_PREFIX_BYTES + span.length
    spans.push(span)
    if (traces.length === trace) traces.push({ traceId, spanIds: [] })
    traces[trace]!.spanIds.push(spanId)
  }
  const w = new OtlpWriter()
  w.message(1, () => {
    w.raw(resourceBytes)
    w.message(2, () => {
      for (const span of spans) w.bytes(2, span)
    })
  })
  for (const { spanIds } of traces) spanIds.sort()
  return { bytes: w.take(), traces }
}

function largeSpan(traceId: string, spanId: string, end: bigint, i: number): Buffer {
  const w = new OtlpWriter()
  w.bytes(1, Buffer.from(traceId, 'hex'))
  w.bytes(2, Buffer.from(spanId, 'hex'))
  w.text(5, `row ${i}`)
  w.int(6, 1)
  w.fixed64(7, end - 5n * NS_PER_MS)
  w.fixed64(8, end)
  // A part of its own keeps the attribute from being one entry of a dictionary.
  w.attribute(9, 'row', `${i} ${FILL}`)
  return w.take()
}
