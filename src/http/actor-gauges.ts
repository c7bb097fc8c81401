/** Owns the metrics about the actors and the bus themselves, set when /metrics is read: restarts, heaps, loops, lag. */
import type { Ring } from '../bus/ring.js'
import type { SupervisorStatus } from '../bus/supervisor.js'
import type { Gauge, Metrics } from '../lib/metrics.js'

export interface RingView {
  readonly ring: Ring
  readonly group: string
  readonly index: number
}

export class ActorGauges {
  readonly #rings: readonly RingView[]
  readonly #restarts: Gauge
  readonly #up: Gauge
  readonly #heap: Gauge
  readonly #heapLimit: Gauge
  readonly #external: Gauge
  readonly #loopLag: Gauge
  readonly #mailbox: Gauge
  readonly #lag: Gauge
  readonly #lagSeconds: Gauge
  readonly #ringBytes: Gauge
  readonly #rejected: Gauge

  constructor(metrics: Metrics, rings: readonly RingView[]) {
    this.#rings = rings
    const actor = ['actor', 'component']
    this.#restarts = metrics.gauge(
      'tempo_actors_restarts_total',
      'Restarts of an actor since the process began.',
      actor,
    )
    this.#up = metrics.gauge('tempo_actors_up', '1 when the actor is ready.', actor)
    this.#heap = metrics.gauge(
      'tempo_actors_heap_used_bytes',
      'JavaScript heap of the actor.',
      actor,
    )
    this.#heapLimit = metrics.gauge('tempo_actors_heap_limit_bytes', 'Limit of that heap.', actor)
    this.#external = metrics.gauge(
      'tempo_actors_external_bytes',
      'Buffers outside the heap.',
      actor,
    )
    this.#loopLag = metrics.gauge(
      'tempo_actors_event_loop_lag_seconds',
      'Delay of the event loop, p99.',
      actor,
    )
    this.#mailbox = metrics.gauge(
      'tempo_actors_mailbox_depth',
      'Asks the actor is answering.',
      actor,
    )
    const partition = ['group', 'partition']
    this.#lag = metrics.gauge(
      'tempo_ingest_group_partition_lag',
      'Records the group is behind.',
      partition,
    )
    this.#lagSeconds = metrics.gauge(
      'tempo_ingest_group_partition_lag_seconds',
      'Age of the oldest record that is not committed.',
      partition,
    )
    this.#ringBytes = metrics.gauge(
      'tempo_actors_ring_used_bytes',
      'Bytes of the ring that are not committed.',
      ['topic', 'partition'],
    )
    this.#rejected = metrics.gauge(
      'tempo_actors_ring_back_pressured_total',
      'Appends answered: no room.',
      ['topic', 'partition'],
    )
  }

  update(status: SupervisorStatus, now_ms: number): void {
    for (const { name, component, state, restarts, vitals } of status.children) {
      this.#restarts.labels(name, component).set(restarts)
      this.#up.labels(name, component).set(state === 'ready' ? 1 : 0)
      this.#heap.labels(name, component).set(vitals.heap_used_bytes)
      this.#heapLimit.labels(name, component).set(vitals.heap_limit_bytes)
      this.#external.labels(name, component).set(vitals.external_bytes)
      this.#loopLag.labels(name, component).set(vitals.loop_lag_p99_ms / 1000)
      this.#mailbox.labels(name, component).set(vitals.asks_serving)
    }
    for (const { ring, group, index } of this.#rings) {
      const lag = ring.lag(index)
      const partition = String(ring.partition)
      const age_s =
        lag.oldest_timestamp_ms === undefined ? 0 : (now_ms - lag.oldest_timestamp_ms) / 1000
      this.#lag.labels(group, partition).set(lag.records)
      this.#lagSeconds.labels(group, partition).set(Math.max(0, age_s))
      this.#ringBytes.labels(ring.topic, partition).set(lag.bytes)
      this.#rejected.labels(ring.topic, partition).set(ring.rejected)
    }
  }
}
