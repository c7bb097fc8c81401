/**
 * The distributor walks each request's bytes once: it validates them, groups the spans by the partition their trace
 * belongs to, and appends one record to each partition that the request touches. It decodes nothing and keeps nothing.
 */
import type { Actor, Context } from '../../bus/actor.js'
import { AckMarker } from '../../bus/acks.js'
import { poisonOf } from '../../bus/chaos.js'
import { Consumer, type BusRecord } from '../../bus/consumer.js'
import { assignGroup, countAttempt } from '../../bus/group.js'
import { forgiveDeaths, lastDeath } from '../../bus/last-death.js'
import { PoisonGuard, TrialRoom, type Death } from '../../bus/poison.js'
import { BACK_PRESSURED, RECORD_TOO_LONG, type Ring } from '../../bus/ring.js'
import { committedBy, openRings } from '../../bus/topic.js'
import type { Config } from '../../config.js'
import { Metrics } from '../../lib/metrics.js'
import { limitsIn, type LimitsSource } from '../../limits/view.js'
import { Regrouper } from '../../otlp/regroup.js'
import { countSpans } from '../../otlp/count-spans.js'
import { LIVESTORE_GROUP, TRACES_TOPIC, type LivestoreAsks } from '../livestore/contract.js'
import { DISCARD_REASONS, DISTRIBUTOR_GROUP, INGRESS_TOPIC, MALFORMED_CODES } from './contract.js'
import { DistributorMetrics } from './metrics.js'
import { remoteLedger } from './remote-ledger.js'

const BATCH_BYTES_MAX = 1024 * 1024
const SPACE_WAIT_MS = 1000
const SLICE_RECORD = 1
/** Records are committed one by one: of a death, only the first that is not committed is suspected. */
const SUSPECT_BYTES = 1

export default class Distributor implements Actor {
  readonly #ctx: Context<Config>
  readonly #metrics: DistributorMetrics
  readonly #acks: AckMarker
  readonly #ingress: Ring[]
  readonly #traces: Ring[]
  readonly #committedOf: (partition: number) => number
  readonly #stopping = new AbortController()
  readonly #trials = new TrialRoom()
  readonly #limits: LimitsSource
  readonly #killer: ((bytes: Uint8Array) => void) | undefined
  #lanes: Promise<void>[] = []

  constructor(ctx: Context<Config>) {
    this.#ctx = ctx
    this.#metrics = new DistributorMetrics(new Metrics(ctx.shared[`metrics-${ctx.component}`]))
    this.#acks = new AckMarker(ctx.shared.acks!)
    this.#ingress = openRings(ctx.shared, INGRESS_TOPIC)
    this.#traces = openRings(ctx.shared, TRACES_TOPIC)
    this.#committedOf = committedBy(this.#traces, LIVESTORE_GROUP)
    this.#limits = limitsIn(ctx.shared, ctx.config.overrides)
    this.#killer = ctx.config.actors.chaos ? poisonOf('distributor') : undefined
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
    const guard = await this.#guard(consumer)
    if (!guard) return
    for (;;) {
      const batch = consumer.poll({ max_bytes: BATCH_BYTES_MAX })
      if (!batch) {
        if (signal.aborted) return
        await consumer.wait({ signal })
        continue
      }
      for (const record of batch.records) {
        const started = this.#ctx.clock.monotonic()
        const admission = guard.isWatching ? await guard.admit(record) : 'take'
        if (admission === 'stop') return
        if (admission === 'take') await this.#distribute(regrouper, record)
        else this.#putAside(record, admission.aside)
        if (guard.isTrying) await guard.done()
        consumer.commit(record.end)
        this.#metrics.push_seconds.observe((this.#ctx.clock.monotonic() - started) / 1000)
      }
      this.#ctx.progress()
    }
  }

  /** Nothing when the actor stops before the livestore has said what is known of suspected records. */
  async #guard(consumer: Consumer): Promise<PoisonGuard | undefined> {
    const { clock, log, generation } = this.#ctx
    const { ring, group } = consumer
    const { signal } = this.#stopping
    const hasDied = generation > 0 && countAttempt(ring, group) > 0
    const death: Death | undefined = hasDied ? await lastDeath(this.#ctx) : undefined
    const livestore = this.#ctx.ask<LivestoreAsks>('livestore')
    const { partition } = ring
    try {
      return await PoisonGuard.open({
        topic: INGRESS_TOPIC,
        room: this.#trials,
        ledger: remoteLedger({ partition, livestore, clock, log, signal }),
        death,
        window_bytes: SUSPECT_BYTES,
        tail: ring.tail,
        count: countSpans,
        forgive: (deaths) => forgiveDeaths(this.#ctx, deaths),
        ...{ clock, log, signal },
        progress: () => this.#ctx.progress(),
      })
    } catch (error) {
      if (signal.aborted) return undefined
      throw error
    }
  }

  /** The record is a dead letter: its sender is told, and waits for no part of it. */
  #putAside({ correlation, type }: BusRecord, spans: number): void {
    this.#acks.reject(correlation, spans, DISCARD_REASONS.quarantined)
    this.#acks.routed(correlation, type - 1, this.#committedOf)
  }

  async #distribute(regrouper: Regrouper, record: BusRecord): Promise<void> {
    const { correlation, key, value } = record
    const tenant = key.toString('utf8')
    this.#killer?.(value)
    // 0 = nothing of its own: what the distributor was made with holds.
    const { max_attribute_bytes } = this.#limits.of(tenant)
    const malformed = regrouper.read(tenant, value, max_attribute_bytes || undefined)
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
    this.#acks.routed(correlation, record.type - 1, this.#committedOf)
  }

  async #append(
    regrouper: Regrouper,
    record: BusRecord,
    partition: number,
    length: number,
  ): Promise<void> {
    const ring = this.#traces[partition]!
    const { correlation, key, timestamp_ms, flags } = record
    const head = { type: SLICE_RECORD, flags, correlation, key, timestamp_ms }
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
