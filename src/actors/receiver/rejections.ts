/** Owns the words by which a sender is told which limit its spans met, what it is set to, and where. */
import { formatDuration } from '../../lib/units.js'
import type { LimitsSource } from '../../limits/view.js'
import { DISCARD_REASONS, type DiscardReason } from '../distributor/contract.js'

const REASONS = new Map(
  Object.entries(DISCARD_REASONS).map(([reason, code]) => [
    code as number,
    reason as DiscardReason,
  ]),
)

/** Over the rate; `wait_ms` is Infinity when the request will never be taken. */
export function rateText(
  limits: LimitsSource,
  tenant: string,
  bytes: number,
  wait_ms: number,
): string {
  const { rate_limit_bytes, burst_size_bytes } = limits.of(tenant)
  const rate = `${limits.keyOf(tenant, 'rate_limit_bytes')} is ${rate_limit_bytes}`
  const burst = `${limits.keyOf(tenant, 'burst_size_bytes')} is ${burst_size_bytes}`
  if (bytes > burst_size_bytes) {
    return `RATE_LIMITED: the request has ${bytes} bytes, and tenant ${tenant} may send ${burst_size_bytes} at once (${burst}): send less in one request`
  }
  if (!Number.isFinite(wait_ms)) {
    return `RATE_LIMITED: tenant ${tenant} may send nothing more (${rate})`
  }
  return `RATE_LIMITED: tenant ${tenant} may send ${rate_limit_bytes} bytes a second (${rate}, ${burst}); there is room for the ${bytes} bytes of this request in ${formatDuration(wait_ms)}`
}

/** Spans that were not kept, by the first reason for it. */
export function rejectionText(
  limits: LimitsSource | undefined,
  tenant: string,
  spans: number,
  reasonCode: number,
): string {
  const reason = REASONS.get(reasonCode)
  const kept = `${spans} ${spans === 1 ? 'span was' : 'spans were'} not kept`
  if (!limits) return `${kept}: ${reason ?? 'unknown reason'}`
  const { max_bytes_per_trace, max_traces_per_user } = limits.of(tenant)
  switch (reason) {
    case 'trace_too_large':
      return `TRACE_TOO_LARGE: ${kept}: their trace would have more than ${max_bytes_per_trace} bytes (${limits.keyOf(tenant, 'max_bytes_per_trace')})`
    case 'live_traces_exceeded':
      return `LIVE_TRACES_EXCEEDED: ${kept}: tenant ${tenant} has ${max_traces_per_user} live traces already (${limits.keyOf(tenant, 'max_traces_per_user')})`
    case 'quarantined':
      return `QUARANTINED: ${kept}: the record with them killed the actor that read it again and again, and was put aside; an operator sees it with tempo-actors bus dlq list`
    default:
      return `${kept}: ${reason ?? 'unknown reason'}`
  }
}
