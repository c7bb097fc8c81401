/** Owns the small answers of an OTLP export: ExportTraceServiceResponse and google.rpc.Status with RetryInfo, in both encodings. */
import { varintSize, writeVarint } from './wire.js'

/** Canonical codes of google.rpc that an export can end with. */
export const RPC = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  RESOURCE_EXHAUSTED: 8,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const
export type RpcCode = (typeof RPC)[keyof typeof RPC]

export interface RpcStatus {
  readonly code: RpcCode
  readonly message: string
  /** With it, a client may repeat the request after this time; RESOURCE_EXHAUSTED without it is final. */
  readonly retryAfter_ms?: number | undefined
}

export interface PartialSuccess {
  readonly rejectedSpans: number
  readonly message: string
}

const RETRY_INFO_TYPE = 'type.googleapis.com/google.rpc.RetryInfo'
const NOTHING = new Uint8Array(0)

/** The response to a request that was taken: empty unless some spans were rejected or there is a warning. */
export function encodeExportResponse({ rejectedSpans, message }: PartialSuccess): Uint8Array {
  if (rejectedSpans === 0 && message === '') return NOTHING
  return bytesField(1, join(numberField(1, rejectedSpans), textField(2, message)))
}

export function exportResponseJson({ rejectedSpans, message }: PartialSuccess): string {
  if (rejectedSpans === 0 && message === '') return '{}'
  const partialSuccess = {
    ...(rejectedSpans > 0 ? { rejectedSpans: String(rejectedSpans) } : {}),
    ...(message !== '' ? { errorMessage: message } : {}),
  }
  return JSON.stringify({ partialSuccess })
}

/** google.rpc.Status, as gRPC's `grpc-status-details-bin` and OTLP/HTTP's error bodies carry it. */
export function encodeRpcStatus({ code, message, retryAfter_ms }: RpcStatus): Uint8Array {
  const status = join(numberField(1, code), textField(2, message))
  if (retryAfter_ms === undefined) return status
  const seconds = Math.floor(retryAfter_ms / 1000)
  const nanos = Math.round((retryAfter_ms % 1000) * 1e6)
  const delay = join(numberField(1, seconds), numberField(2, nanos))
  const detail = join(textField(1, RETRY_INFO_TYPE), bytesField(2, bytesField(1, delay)))
  return join(status, bytesField(3, detail))
}

export function rpcStatusJson({ code, message, retryAfter_ms }: RpcStatus): string {
  if (retryAfter_ms === undefined) return JSON.stringify({ code, message })
  const retry = {
    '@type': RETRY_INFO_TYPE,
    retryDelay: `${Number((retryAfter_ms / 1000).toFixed(3))}s`,
  }
  return JSON.stringify({ code, message, details: [retry] })
}

function numberField(field: number, n: number): Uint8Array {
  if (n === 0) return NOTHING
  const out = new Uint8Array(1 + varintSize(n))
  out[0] = field << 3
  writeVarint(out, 1, n)
  return out
}

function textField(field: number, text: string): Uint8Array {
  return text === '' ? NOTHING : bytesField(field, new TextEncoder().encode(text))
}

function bytesField(field: number, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(1 + varintSize(content.length) + content.length)
  out[0] = (field << 3) | 2
  out.set(content, writeVarint(out, 1, content.length))
  return out
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}
