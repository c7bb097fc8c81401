/** Owns sending OTLP as a client does: one connection, gRPC or HTTP, and what of a failure the OTLP specification lets it retry. */
import { credentials, Metadata, Client, status, type ServiceError } from '@grpc/grpc-js'
import { Agent, request } from 'node:http'
import { systemClock } from '../lib/time.js'

export interface SendResult {
  /** The store has the request. */
  readonly ok: boolean
  /** Spans it said it did not keep. */
  readonly rejectedSpans: number
  readonly isRetryable: boolean
  readonly retryAfter_ms: number | undefined
  readonly error: string
}

export interface OtlpClient {
  /** Never rejects. */
  send(body: Buffer, deadline_ms: number): Promise<SendResult>
  close(): void
}

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
/** https://opentelemetry.io/docs/specs/otlp/#failures */
const RETRYABLE_GRPC: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.ABORTED,
  status.OUT_OF_RANGE,
  status.UNAVAILABLE,
  status.DATA_LOSS,
])
const RETRYABLE_HTTP: ReadonlySet<number> = new Set([429, 502, 503, 504])
const KEPT: SendResult = {
  ok: true,
  rejectedSpans: 0,
  isRetryable: false,
  retryAfter_ms: undefined,
  error: '',
}

const same = (bytes: Buffer) => bytes

/** `endpoint` is host:port. */
export function grpcClient(endpoint: string, tenant: string): OtlpClient {
  const client = new Client(endpoint, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
  })
  return {
    send: (body, deadline_ms) =>
      new Promise((resolve) => {
        const metadata = new Metadata()
        if (tenant !== '') metadata.set('x-scope-orgid', tenant)
        const options = { deadline: systemClock.now() + deadline_ms }
        client.makeUnaryRequest(EXPORT, same, same, body, metadata, options, (error, reply) => {
          resolve(error ? grpcFailure(error) : { ...KEPT, rejectedSpans: rejectedSpans(reply) })
        })
      }),
    close: () => client.close(),
  }
}

/** `endpoint` is host:port. */
export function httpClient(endpoint: string, tenant: string): OtlpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const [host, port] = endpoint.split(':') as [string, string]
  const headers = {
    'content-type': 'application/x-protobuf',
    ...(tenant !== '' && { 'x-scope-orgid': tenant }),
  }
  return {
    send: (body, deadline_ms) =>
      new Promise((resolve) => {
        const fail = (error: Error) =>
          resolve({ ...KEPT, ok: false, isRetryable: true, error: error.message })
        const call = request(
          {
            host,
            port,
            method: 'POST',
            path: '/v1/traces',
            agent,
            timeout: deadline_ms,
            headers: { ...headers, 'content-length': body.length },
          },
          (reply) => {
            const parts: Buffer[] = []
            reply.on('data', (part: Buffer) => parts.push(part))
            reply.on('error', fail)
            reply.on('end', () => {
              const bytes = Buffer.concat(parts)
              const code = reply.statusCode ?? 0
              if (code >= 200 && code < 300) {
                resolve({ ...KEPT, rejectedSpans: rejectedSpans(bytes) })
                return
              }
              const after = Number(reply.headers['retry-after'])
              resolve({
                ok: false,
                rejectedSpans: 0,
                isRetryable: RETRYABLE_HTTP.has(code),
                retryAfter_ms: Number.isFinite(after) ? after * 1000 : undefined,
                error: `HTTP ${code} ${bytes.toString('utf8').slice(0, 200)}`,
              })
            })
          },
        )
        call.on('timeout', () => call.destroy(new Error(`no answer within ${deadline_ms} ms`)))
        call.on('error', fail)
        call.end(body)
      }),
    close: () => agent.destroy(),
  }
}

function grpcFailure(error: ServiceError): SendResult {
  return {
    ok: false,
    rejectedSpans: 0,
    isRetryable: RETRYABLE_GRPC.has(error.code),
    retryAfter_ms: undefined,
    error: `${status[error.code]}: ${error.details}`,
  }
}

/** partial_success (1) { rejected_spans (1) } of an ExportTraceServiceResponse. */
function rejectedSpans(reply: Buffer | undefined): number {
  if (!reply || reply.length < 4 || reply[0] !== 0x0a || reply[2] !== 0x08) return 0
  let value = 0
  let scale = 1
  for (let at = 3; at < reply.length; at++) {
    value += (reply[at]! & 0x7f) * scale
    scale *= 128
    if (reply[at]! < 0x80) break
  }
  return value
}
