/** Owns what a record of the topic `ingress` holds: what a receiver may say to a distributor. */
import type { MalformedCode } from '../../otlp/wire.js'

/**
 * A record of `ingress`: key = tenant id (UTF-8), value = a whole OTLP request or one part of a split one
 * (ExportTraceServiceRequest bytes as received), correlation = the request's ack slot, type = the part's number + 1.
 */
export const INGRESS_TOPIC = 'ingress'
export const DISTRIBUTOR_GROUP = 'distributor'

/**
 * Why a whole request was refused: the ack's code is the place in this list, from 1. The first detail is the byte offset in
 * the request, the second the bits of a bad id.
 */
export const MALFORMED_CODES: readonly MalformedCode[] = [
  'TRUNCATED',
  'OVERRUN',
  'VARINT_TOO_LONG',
  'BAD_TAG',
  'WRONG_WIRE_TYPE',
  'TOO_DEEP',
  'BAD_TRACE_ID',
  'BAD_SPAN_ID',
  'BAD_ID_LENGTH',
]

/** Why some spans of a request were not kept, as the ack's reason; names of `tempo_discarded_spans_total{reason}`. */
export const DISCARD_REASONS = {
  trace_too_large: 1,
  live_traces_exceeded: 2,
  span_too_large: 3,
  /** The record with them killed its consumer again and again: it is a dead letter (docs/dead-letters.md). */
  quarantined: 16,
} as const
export type DiscardReason = keyof typeof DISCARD_REASONS
