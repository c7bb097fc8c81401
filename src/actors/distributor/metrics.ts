/** Owns the distributor's metrics, under Tempo's names. */
import type { Counter, Histogram, Metrics } from '../../lib/metrics.js'
import type { Truncation } from '../../otlp/truncate.js'
import type { MalformedCode } from '../../otlp/wire.js'
import type { DiscardReason } from './contract.js'

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5]
/** Tempo's reasons for the two ids; everything else that is no OTLP has none there. */
const REFUSED_REASON: Partial<Record<MalformedCode, string>> = {
  BAD_TRACE_ID: 'invalid_trace_id',
  BAD_SPAN_ID: 'invalid_span_id',
}

export class DistributorMetrics {
  readonly push_seconds: Histogram
  readonly #spans: Counter
  readonly #bytes: Counter
  readonly #discarded: Counter
  readonly #truncated: Counter

  constructor(metrics: Metrics) {
    const at = 'tempo_distributor'
    this.push_seconds = metrics.histogram(
      `${at}_push_duration_seconds`,
      'Walking one request and appending its slices.',
      SECONDS,
    )
    this.#spans = metrics.counter(`${at}_spans_received_total`, 'Spans taken.', ['tenant'])
    this.#bytes = metrics.counter(`${at}_bytes_received_total`, 'OTLP bytes taken.', ['tenant'])
    this.#discarded = metrics.counter('tempo_discarded_spans_total', 'Spans not kept.', [
      'tenant',
      'reason',
    ])
    this.#truncated = metrics.counter(
      `${at}_attributes_truncated_total`,
      'Attributes cut to max_attribute_bytes.',
      ['tenant', 'scope'],
    )
  }

  received(tenant: string, spans: number, bytes: number, truncation: Truncation): void {
    this.#spans.labels(tenant).inc(spans)
    this.#bytes.labels(tenant).inc(bytes)
    for (const [level, count] of Object.entries(truncation)) {
      if (typeof count === 'number' && count > 0) this.#truncated.labels(tenant, level).inc(count)
    }
  }

  /** A request refused as a whole; how many spans it had is not known. */
  refused(tenant: string, code: MalformedCode): void {
    this.#discarded.labels(tenant, REFUSED_REASON[code] ?? 'malformed').inc()
  }

  discarded(tenant: string, reason: DiscardReason, spans: number): void {
    this.#discarded.labels(tenant, reason).inc(spans)
  }
}
