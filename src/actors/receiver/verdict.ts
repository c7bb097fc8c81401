/** Owns the table from a verdict of the store to what OTLP says over gRPC and over HTTP. */
import { RPC, type RpcCode, type RpcStatus } from '../../otlp/export-reply.js'
import type { PushResult, Refused } from './contract.js'

export interface Failure {
  readonly status: RpcStatus
  readonly http: number
}

type Refusal = Extract<PushResult, { ok: false }>

interface Row {
  readonly code: RpcCode
  readonly http: number
  readonly retryable: boolean
}

/** gRPC's RESOURCE_EXHAUSTED is retryable only with RetryInfo: a request that is too large is the same code without it. */
const ROWS: Record<Refused | 'unauthenticated', Row> = {
  rate_limited: { code: RPC.RESOURCE_EXHAUSTED, http: 429, retryable: true },
  unavailable: { code: RPC.UNAVAILABLE, http: 503, retryable: true },
  invalid: { code: RPC.INVALID_ARGUMENT, http: 400, retryable: false },
  too_large: { code: RPC.RESOURCE_EXHAUSTED, http: 413, retryable: false },
  internal: { code: RPC.INTERNAL, http: 500, retryable: false },
  unauthenticated: { code: RPC.UNAUTHENTICATED, http: 401, retryable: false },
}

export function failureOf(
  refused: Refused | 'unauthenticated',
  message: string,
  retryAfter_ms: number,
): Failure {
  const { code, http, retryable } = ROWS[refused]
  // 0 tells the client nothing.
  const isTold = retryable && retryAfter_ms > 0
  return { status: { code, message, retryAfter_ms: isTold ? retryAfter_ms : undefined }, http }
}

/** The failure of a refused push; `retryAfter_ms` is for refusals that name no time of their own. */
export function failureOfPush(result: Refusal, retryAfter_ms: number): Failure {
  return failureOf(result.refused, result.message, result.retryAfter_ms ?? retryAfter_ms)
}
