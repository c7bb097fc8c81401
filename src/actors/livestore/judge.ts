/**
 * Owns the limits of a tenant's traces: whether the spans of a record may be kept, before they are in the WAL. What may
 * not is taken out of the record, so that neither the head nor the WAL ever has it, and its sender is told with the ack.
 *
 * A record is staged as a whole first, which is all that happens to one within the limits. Only when a trace of it goes
 * beyond is the record taken back, rewritten without those traces and staged again. What is in the WAL was judged: a
 * replay judges nothing, so a verdict that was given holds.
 */
import type { AckMarker } from '../../bus/acks.js'
import type { BusRecord } from '../../bus/consumer.js'
import type { Counter } from '../../lib/metrics.js'
import type { LimitsSource } from '../../limits/view.js'
import { withoutTraces } from '../../otlp/without-spans.js'
import { NO_LIMITS, type AppendLimits, type LimitReason } from '../../storage/head/trace-limits.js'
import type { AppendResult, HeadWriter } from '../../storage/head/writer.js'
import { DISCARD_REASONS } from '../distributor/contract.js'

/** A trace with this share of the limit goes on counting in the next slice. */
const CARRIED_SHARE = 1 / 8
/** Traces of a partition whose bytes are carried over, and those that are known to be too large. */
export const CARRIED_MAX = 10_000

export interface JudgeOptions {
  readonly limits: LimitsSource
  /** The live traces of all partitions. */
  readonly live: LiveTraces
  readonly acks: AckMarker
  readonly discarded: Counter
}

export interface JudgedHead {
  readonly tenant: string
  readonly writer: HeadWriter
}

export interface Judged {
  readonly result: StagedResult
  /** What goes into the WAL: the record or what is left of it; undefined when nothing is. */
  readonly record: BusRecord | undefined
}

export type StagedResult = AppendResult & { readonly code: 'ok' | 'arena_full' | 'head_full' }
type Stage = (record: BusRecord) => AppendResult | undefined
type TraceBytes = Map<string, number>

/** How many traces a tenant has in live heads, over the partitions of a livestore. */
export class LiveTraces {
  readonly #partitions: ((tenant: string) => number)[] = []

  /** A partition says how many it has; returns how to ask for those of the others. */
  join(countOf: (tenant: string) => number): (tenant: string) => number {
    this.#partitions.push(countOf)
    return (tenant) => {
      let traces = 0
      for (const other of this.#partitions) if (other !== countOf) traces += other(tenant)
      return traces
    }
  }
}

export class Judge {
  readonly #options: JudgeOptions
  #others: (tenant: string) => number = () => 0
  /** Bytes that the slices before had of large traces, by tenant. */
  #carried = new Map<string, TraceBytes>()
  /** Traces too large, as of this slice: they stay so in the next one, although the head has not got them. */
  #tooLarge = new Map<string, TraceBytes>()
  #tooLargeCount = 0

  constructor(options: JudgeOptions) {
    this.#options = options
  }

  /** The partition that is judged for says how many live traces a tenant has in it. */
  joinAs(countOf: (tenant: string) => number): void {
    this.#others = this.#options.live.join(countOf)
  }

  /** Stages a record with `stage` within the limits; undefined when `stage` does. */
  stage(head: JudgedHead, record: BusRecord, stage: Stage): Judged | undefined {
    head.writer.setLimits(this.#limitsOf(head.tenant))
    const result = stage(record)
    if (result === undefined) return undefined
    if (isStaged(result)) return { result, record }
    return this.#stageRest(head, record, stage, result)
  }

  /** The slice is cut: what is large in it is remembered for as long as its spans come in every slice. */
  cut(heads: Iterable<JudgedHead>): void {
    const carried = new Map<string, TraceBytes>()
    let room = CARRIED_MAX
    for (const { tenant, writer } of heads) {
      const { max_bytes_per_trace } = this.#options.limits.of(tenant)
      if (max_bytes_per_trace === 0) continue
      const large = writer.tracesFrom(Math.max(1, max_bytes_per_trace * CARRIED_SHARE))
      for (const [key, bytes] of this.#tooLarge.get(tenant) ?? []) large.set(key, bytes)
      const kept = [...large].slice(0, room)
      room -= kept.length
      if (kept.length > 0) carried.set(tenant, new Map<string, number>(kept))
    }
    this.#carried = carried
    this.#tooLarge = new Map()
    this.#tooLargeCount = 0
  }

  #limitsOf(tenant: string): AppendLimits {
    const { max_bytes_per_trace, max_traces_per_user } = this.#options.limits.of(tenant)
    if (max_bytes_per_trace === 0 && max_traces_per_user === 0) return NO_LIMITS
    return {
      max_trace_bytes: max_bytes_per_trace || Infinity,
      max_traces: max_traces_per_user
        ? Math.max(0, max_traces_per_user - this.#others(tenant))
        : Infinity,
      carried: this.#carried.get(tenant) ?? NO_LIMITS.carried,
    }
  }

  /** Takes the traces that went beyond out of the record and stages what is left. */
  #stageRest(
    head: JudgedHead,
    record: BusRecord,
    stage: Stage,
    whole: AppendResult,
  ): Judged | undefined {
    // A trace that is too large is no live one: what it made room for is seen in the next round.
    const over = tooLargeFirst(head.writer.overLimits)
    for (;;) {
      const { request, taken } = withoutTraces(record.value, over)
      if (request.length === 0) {
        this.#reject(head.tenant, record, over, taken, whole.spans)
        const result: StagedResult = { ...whole, code: 'ok', spans: 0, newTraces: 0, bytes: 0 }
        return { result, record: undefined }
      }
      const rest = { ...record, value: Buffer.from(request.buffer, 0, request.length) }
      head.writer.setLimits(this.#limitsOf(head.tenant))
      const result = stage(rest)
      if (result === undefined) return undefined
      if (isStaged(result)) {
        if (result.code === 'ok')
          this.#reject(head.tenant, record, over, taken, whole.spans - result.spans)
        return { result, record: rest }
      }
      // Each round takes one trace more at least, so there are no more rounds than traces.
      for (const [key, reason] of head.writer.overLimits) over.set(key, reason)
    }
  }

  /** `spans` are those that were not kept: of what was taken out, some may be stored already. */
  #reject(
    tenant: string,
    { correlation }: BusRecord,
    over: ReadonlyMap<string, LimitReason>,
    taken: ReadonlyMap<string, number>,
    spans: number,
  ): void {
    let ofNewTraces = 0
    for (const [key, reason] of over) {
      if (reason === 'live_traces_exceeded') ofNewTraces += taken.get(key) ?? 0
      else this.#noteTooLarge(tenant, key)
    }
    const live = Math.min(spans, ofNewTraces)
    this.#tell(tenant, correlation, 'trace_too_large', spans - live)
    this.#tell(tenant, correlation, 'live_traces_exceeded', live)
  }

  #tell(tenant: string, correlation: number, reason: LimitReason, spans: number): void {
    if (spans === 0) return
    const { acks, discarded } = this.#options
    acks.reject(correlation, spans, DISCARD_REASONS[reason])
    discarded.labels(tenant, reason).inc(spans)
  }

  #noteTooLarge(tenant: string, key: string): void {
    if (this.#tooLargeCount >= CARRIED_MAX) return
    const { max_bytes_per_trace } = this.#options.limits.of(tenant)
    let traces = this.#tooLarge.get(tenant)
    if (!traces) this.#tooLarge.set(tenant, (traces = new Map<string, number>()))
    if (!traces.has(key)) this.#tooLargeCount++
    traces.set(key, max_bytes_per_trace)
  }
}

function tooLargeFirst(over: ReadonlyMap<string, LimitReason>): Map<string, LimitReason> {
  const tooLarge = new Map([...over].filter(([, reason]) => reason === 'trace_too_large'))
  return tooLarge.size > 0 ? tooLarge : new Map(over)
}

function isStaged(result: AppendResult): result is StagedResult {
  return result.code !== 'over_limit'
}
