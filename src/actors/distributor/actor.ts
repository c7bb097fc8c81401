/**
 * The distributor walks each request's bytes once: it validates them, groups the spans by the partition their trace
 * belongs to, and appends one record to each partition that the request touches. It decodes nothing and keeps nothing.
 */
import type { Actor, Context } from '../../bus/actor.js'
import { AckMarker } from '../../bus/acks.js'
import { Consumer, type BusRecord } from '../../bus/consumer.js'
import { assignGroup } from '../../bus/group.js'
import { BACK_PRESSURED, RECORD_TOO_LONG, type Ring } from '../../bus/ring.js'
import { openRings } from '../../bus/topic.js'
import type { Config } from '../../config.js'
import { Metrics } from '../../lib/metrics.js'
import { Regrouper } from '../../otlp/regroup.js'
import { TRACES_TOPIC } from '../livestore/contract.js'
import { DISCARD_REASONS, DISTRIBUTOR_GROUP, INGRESS_TOPIC, MALFORMED_CODES } from './contract.js'
import { DistributorMetrics } from './metrics.js'

const BATCH_BYTES_MAX = 1024 * 1024
const SPACE_WAIT_MS = 1000
const SLICE_RECORD = 1

export default class Distributor implements Actor {
  readonly #ctx: Context<Config>
  readonly #metrics: DistributorMetrics
  readonly #acks: AckMarker
  readonly #ingress: Ring[]
  readonly #traces: Ring[]
  readonly #stopping = new AbortController()
  #lanes: Promise<void>[] = []

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#metrics = new DistributorMetrics(new Metrics(ctx.shared[`metrics-${ctx.component}`]))
    this.#acks = new AckMarker(ctx.shared.acks!)
    this.#ingress = openRings(ctx.shared, INGRESS_TOPIC)
    this.#traces = openRings(ctx.shared, TRACES_TOPIC)
  }

  start(): Promise<void> {
    this.#lanes = this.#ingress.map((ring) => {
      const group = ring.groupIndex(DISTRIBUTOR_GROUP)
      const epoch = assignGroup(ring, group, this.#ctx.actorId)
      const { actorId } = this.#ctx
      const consumer = new Consumer(ring, group, { actorId, epoch, reusesMemory: true })
      return this.#consume(consumer).catch((error: unknown) => this.#ctx.crash(error))
    })
    return Promise.resolve()
  }

  /** The receiver has stopped before: what is in `ingress` is all there will be. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#lanes)
  }

  async #consume(consumer: Consumer): Promise<void> {
    const { signal } = this.#stopping
    const regrouper = new Regrouper({
      partitions: this.#traces.length,
      max_attribute_bytes: this.#ctx.config.distributor.max_attribute_bytes,
    })
    for (;;) {
      const batch = consumer.poll({ max_bytes: BATCH_BYTES_MAX })
      if (!batch) {
        if (signal.aborted) return
        await consumer.wait({ signal })
        continue
      }
      for (const record of batch.records) {
        const started = this.#ctx.clock.monotonic()
        await this.#distribute(regrouper, record)
        consumer.commit(record.end)
        this.#metrics.push_seconds.observe((this.#ctx.clock.monotonic() - started) / 1000)
      }
      this.#ctx.progress()
    }
  }

  async #distribute(regrouper: Regrouper, record: BusRecord): Promise<void> {
    const { correlation, key, value } = record
    const tenant = key.toString('utf8')
    const malformed = regrouper.read(tenant, value)
    if (malformed) {
      const code = MALFORMED_CODES.indexOf(malformed.code) + 1
      this.#acks.refuse(correlation, code, malformed.at, malformed.received_bits)
      this.#metrics.refused(tenant, malformed.code)
      return
    }
    for (let partition = 0; partition < this.#traces.length; partition++) {
      const length = regrouper.size_bytes(partition)
      if (length > 0) await this.#append(regrouper, record, partition, length)
    }
    this.#metrics.received(tenant, regrouper.spans, value.length, regrouper.truncation)
    regrouper.release()
    this.#acks.routed(correlation, record.type - 1)
  }

  async #append(
    regrouper: Regrouper,
    record: BusRecord,
    partition: number,
    length: number,
  ): Promise<void> {
    const ring = this.#traces[partition]!
    const { correlation, key, timestamp_ms } = record
    const head = { type: SLICE_RECORD, correlation, key, timestamp_ms }
    for (;;) {
      const end = ring.append(this.#ctx.actorId, head, length, (target, at) => {
        regrouper.writeSlice(partition, target, at)
      })
      if (end > 0) {
        this.#acks.route(correlation, partition, end)
        return
      }
      if (end === RECORD_TOO_LONG) {
        const spans = regrouper.spansOf(partition)
        this.#acks.reject(correlation, spans, DISCARD_REASONS.span_too_large)
        this.#metrics.discarded(key.toString('utf8'), 'span_too_large', spans)
        return
      }
      if (end === BACK_PRESSURED) {
        // The livestore is behind: this lane stands still, `ingress` fills, and the receiver tells the clients.
        await ring.waitForSpace(key.length, length, { timeout_ms: SPACE_WAIT_MS })
        this.#ctx.progress()
      }
    }
  }
}
