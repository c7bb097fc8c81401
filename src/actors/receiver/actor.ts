/**
 * The receiver owns the OTLP sockets. It hands each request's bytes to `ingress` as they came and answers the client when
 * every span of it is durable, refused, or late.
 */
import { AckReceiver } from '../../bus/acks.js'
import type { Actor, Context } from '../../bus/actor.js'
import { committedBy, openRings } from '../../bus/topic.js'
import type { Config } from '../../config.js'
import { Metrics } from '../../lib/metrics.js'
import { limitsIn } from '../../limits/view.js'
import { Pressure } from '../../lib/pressure.js'
import { INGRESS_TOPIC } from '../distributor/contract.js'
import { LIVESTORE_GROUP, TRACES_TOPIC } from '../livestore/contract.js'
import { Budget } from './budget.js'
import type { Door, ReceiverAsks } from './contract.js'
import { LimitedIngest } from './limited-ingest.js'
import { MeteredIngest } from './metered-ingest.js'
import { Pending } from './pending.js'
import { RingIngest } from './ring-ingest.js'
import { tenantResolver } from '../../lib/tenant.js'

/** Of the drain time, the share that open requests get to be answered. */
const DRAIN_SHARE = 0.6
/** Requests in flight over all doors: each takes a slot of the ack table, and some objects. */
const REQUESTS_MAX = 4096

export default class Receiver implements Actor {
  readonly asks: ReceiverAsks = { replay: (request) => this.#ingest.push(request) }
  readonly #ctx: Context<Config>
  readonly #doors: Door[] = []
  readonly #stopping = new AbortController()
  #pending!: Pending
  #ingest!: RingIngest

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
  }

  async start(): Promise<void> {
    const { config, shared, clock, actorId, log } = this.#ctx
    const ingress = openRings(shared, INGRESS_TOPIC)
    const traces = openRings(shared, TRACES_TOPIC)
    const acks = new AckReceiver(shared.acks!)
    this.#pending = new Pending({
      acks,
      committedOf: committedBy(traces, LIVESTORE_GROUP),
      spots: [acks.marked, ...traces.map((ring) => ring.space)],
      timeout_ms: config.actors.ack_timeout_ms,
      clock,
    })
    this.#pending.run().catch((error: unknown) => this.#ctx.crash(error))
    const limits = limitsIn(shared, config.overrides)
    const ingest = (this.#ingest = new RingIngest({
      actorId,
      ingress,
      acks,
      pending: this.#pending,
      retryAfter_ms: config.distributor.retry_after_on_resource_exhausted_ms,
      limits,
      clock,
      signal: this.#stopping.signal,
    }))
    const metrics = new Metrics(shared[`metrics-${this.#ctx.component}`])
    const limited = new LimitedIngest(ingest, {
      limits,
      discarded: metrics.counter('tempo_discarded_spans_total', 'Spans not kept.', [
        'tenant',
        'reason',
      ]),
      retryAfter_ms: config.distributor.retry_after_on_resource_exhausted_ms,
      clock,
    })
    const { otlp } = config.distributor.receivers
    const common = {
      budget: this.#budget(metrics),
      tenantOf: tenantResolver(config.multitenancy_enabled),
      max_message_bytes: config.distributor.max_recv_msg_size_bytes,
      retryAfter_ms: config.distributor.retry_after_on_resource_exhausted_ms,
      log,
      clock,
    }
    if (otlp.grpc) {
      const { GrpcDoor } = await import('./grpc.js')
      const metered = new MeteredIngest(limited, metrics, 'grpc', clock)
      this.#doors.push(new GrpcDoor({ ...common, endpoint: otlp.grpc.endpoint, ingest: metered }))
    }
    if (otlp.http) {
      const { HttpDoor } = await import('./http.js')
      const metered = new MeteredIngest(limited, metrics, 'http', clock)
      this.#doors.push(new HttpDoor({ ...common, endpoint: otlp.http.endpoint, ingest: metered }))
    }
    for (const door of this.#doors) {
      const port = await door.listen()
      log.debug('door open', { port })
    }
  }

  /** One bound over all doors, which the memory plan sets. */
  #budget(metrics: Metrics): Budget {
    const { config, shared } = this.#ctx
    const pressure = new Pressure(shared.pressure!)
    const turnedAway = metrics.counter(
      'tempo_actors_receiver_turned_away_total',
      'Requests refused before they were read, by what there was too much of.',
      ['reason'],
    )
    return new Budget({
      max_bytes: config.memory.inflight_bytes,
      max_requests: REQUESTS_MAX,
      pressure: () => pressure.level,
      onRefused: (why) => turnedAway.labels(why).inc(),
    })
  }

  async stop(): Promise<void> {
    const { drain_timeout_ms } = this.#ctx.config.actors.supervisor
    await Promise.all(this.#doors.map((door) => door.drain(drain_timeout_ms * DRAIN_SHARE)))
    this.#stopping.abort()
    this.#pending.stop()
  }
}
