/** Owns the receiver's metrics: what came in by which transport, and how long its ack took. */
import type { CounterSeries, HistogramSeries, Metrics } from '../../lib/metrics.js'
import type { Clock } from '../../lib/time.js'
import type { Ingest, PushRequest, PushResult } from './contract.js'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const ROUTES = {
  grpc: ['gRPC', 'opentelemetry_proto_collector_trace_v1_traceservice_export'],
  http: ['POST', 'otlp_v1_traces'],
} as const

export class MeteredIngest implements Ingest {
  readonly #next: Ingest
  readonly #clock: Clock
  readonly #ok: HistogramSeries
  readonly #refused: HistogramSeries
  readonly #bytes: CounterSeries
  readonly #rejectedSpans: CounterSeries
  readonly #accepted: CounterSeries
  readonly #refusals: CounterSeries

  constructor(next: Ingest, metrics: Metrics, transport: 'grpc' | 'http', clock: Clock) {
    this.#next = next
    this.#clock = clock
    const duration = metrics.histogram(
      'tempo_request_duration_seconds',
      'From a request to its answer.',
      SECONDS,
      ['method', 'route', 'status_code', 'ws'],
    )
    const [method, route] = ROUTES[transport]
    this.#ok = duration.labels(method, route, 'success', 'false')
    this.#refused = duration.labels(method, route, 'error', 'false')
    const labels = ['receiver', 'transport']
    this.#bytes = metrics
      .counter('tempo_distributor_ingress_bytes_total', 'OTLP bytes of all requests.', labels)
      .labels('otlp', transport)
    this.#accepted = metrics
      .counter('tempo_actors_receiver_accepted_requests_total', 'Requests acknowledged.', labels)
      .labels('otlp', transport)
    this.#refusals = metrics
      .counter('tempo_actors_receiver_refused_requests_total', 'Requests refused.', labels)
      .labels('otlp', transport)
    this.#rejectedSpans = metrics
      .counter(
        'tempo_receiver_refused_spans',
        'Spans of acknowledged requests that were not kept.',
        labels,
      )
      .labels('otlp', transport)
  }

  async push(request: PushRequest): Promise<PushResult> {
    const started = this.#clock.monotonic()
    const result = await this.#next.push(request)
    const seconds = (this.#clock.monotonic() - started) / 1000
    this.#bytes.inc(request.body.length)
    if (result.ok) {
      this.#accepted.inc()
      this.#ok.observe(seconds)
      if (result.rejectedSpans > 0) this.#rejectedSpans.inc(result.rejectedSpans)
    } else {
      this.#refusals.inc()
      this.#refused.observe(seconds)
    }
    return result
  }
}
