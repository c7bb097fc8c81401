/**
 * Owns the watch over the process's resident memory, on the main thread. Near the limit it closes the doors to new requests,
 * retryably, and has every thread collect its garbage. Allocators keep much of what is freed, so the resident memory may
 * stay where it is although there is room again: after a moment a little is taken at a time, for as long as that is all.
 */
import type { Log } from '../lib/log.js'
import type { Counter, Gauge, Metrics } from '../lib/metrics.js'
import type { Pressure, PressureLevel } from '../lib/pressure.js'
import type { Clock } from '../lib/time.js'
import { formatBytes } from '../lib/units.js'
import type { MemoryPlan } from './plan.js'
import { residentMemory, type ResidentMemory } from './resident.js'
import type { Trim } from './trim.js'

const INTERVAL_MS = 1000
/** While most of the memory is used, which it is at every level but `none`, it is looked at more often. */
const INTERVAL_HIGH_MS = 250
/** What was in flight is done after this, and every thread has collected its garbage. */
const CLOSED_MS = 2000
/** Above this share of the limit nothing is refused yet, but queriers do one job at a time, and threads collect their garbage so often. */
const HIGH_SHARE = 0.8
const COLLECT_EVERY_MS = 5000
/** What was freed is given back to the kernel when the resident memory has grown by so much since the last time, and so often at most. */
const TRIM = { grown_bytes: 16 * 2 ** 20, every_ms: 15_000 }
const TRIM_HIGH = { grown_bytes: 4 * 2 ** 20, every_ms: 1000 }
/** Every thread has collected its garbage by then. */
const TRIM_AFTER_MS = 750
/** Memory that grows by this share of the limit while little is taken closes the doors again. */
const GROWTH_SHARE = 0.015

export interface MemoryWatchOptions {
  readonly plan: MemoryPlan
  readonly pressure: Pressure
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
  readonly read?: () => ResidentMemory
  /** Absent where freed memory cannot be given back. */
  readonly trim?: Trim | undefined
}

export class MemoryWatch {
  readonly #options: MemoryWatchOptions
  readonly #stopping = new AbortController()
  readonly #resident: Gauge
  readonly #peak: Gauge
  readonly #level: Gauge
  readonly #near: Counter
  readonly #closed_seconds: Counter
  readonly #givenBack: Counter
  #peak_bytes = 0
  /** When the level was last changed, and when it was last `none`. */
  #since_ms = 0
  #nearSince_ms = 0
  #lookedAt_ms: number
  #collectedAt_ms = -Infinity
  /** Since the last trim. */
  #hasCollected = false
  #trimmedAt_ms = -Infinity
  /** Resident after the last time. */
  #trimmed_bytes = 0
  /** Resident when the doors were opened a little. */
  #open_bytes = 0

  constructor(options: MemoryWatchOptions) {
    this.#options = options
    const { metrics, plan } = options
    metrics
      .gauge('tempo_actors_memory_limit_bytes', 'Limit on the resident memory of the process.')
      .set(plan.limit_bytes)
    const budget = metrics.gauge(
      'tempo_actors_memory_budget_bytes',
      'How the limit is divided; the parts sum up to it.',
      ['part'],
    )
    for (const { name, bytes } of plan.parts) budget.labels(name).set(bytes)
    this.#resident = metrics.gauge(
      'tempo_actors_memory_resident_bytes',
      'Resident memory by kind; their sum is what is held against the limit.',
      ['kind'],
    )
    this.#peak = metrics.gauge(
      'tempo_actors_memory_resident_peak_bytes',
      'The most resident memory that was seen.',
    )
    this.#level = metrics.gauge(
      'tempo_actors_memory_pressure',
      '0: below the mark. 1: near the limit, little is taken at once. 2: new requests are refused.',
    )
    this.#near = metrics.counter(
      'tempo_actors_memory_near_limit_total',
      'Times that the resident memory came near the limit.',
    )
    this.#closed_seconds = metrics.counter(
      'tempo_actors_memory_closed_seconds_total',
      'Time in which new requests were refused because the limit was near.',
    )
    this.#givenBack = metrics.counter(
      'tempo_actors_memory_given_back_bytes_total',
      'Resident memory that the allocator kept and was made to give back to the kernel.',
    )
    this.#lookedAt_ms = options.clock.monotonic()
  }

  /** Looks until `stop`. */
  async run(): Promise<void> {
    const { clock, pressure } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      this.look()
      await clock.sleep(pressure.isHigh ? INTERVAL_HIGH_MS : INTERVAL_MS, signal)
    }
  }

  stop(): void {
    this.#stopping.abort()
  }

  look(): void {
    const before = this.#read()
    this.#peak_bytes = Math.max(this.#peak_bytes, before.total_bytes)
    this.#peak.set(this.#peak_bytes)
    const resident = this.#trimmed(before)
    this.#resident.labels('anonymous').set(resident.anonymous_bytes)
    this.#resident.labels('shared').set(resident.shared_bytes)
    this.#resident.labels('file').set(resident.file_bytes)
    this.#judge(resident)
  }

  #read(): ResidentMemory {
    return (this.#options.read ?? residentMemory)()
  }

  /** Gives back what is free, when there may be much of it: after threads collected their garbage, and as memory grows. */
  #trimmed(before: ResidentMemory): ResidentMemory {
    const { trim, clock, pressure } = this.#options
    if (!trim) return before
    const { grown_bytes, every_ms } = pressure.isHigh ? TRIM_HIGH : TRIM
    const now_ms = clock.monotonic()
    const hasCollected = this.#hasCollected && now_ms - this.#collectedAt_ms >= TRIM_AFTER_MS
    const hasGrown =
      before.total_bytes - this.#trimmed_bytes >= grown_bytes &&
      now_ms - this.#trimmedAt_ms >= every_ms
    if (!hasCollected && !hasGrown) return before
    trim()
    const after = this.#read()
    this.#hasCollected = false
    this.#trimmedAt_ms = now_ms
    this.#trimmed_bytes = after.total_bytes
    this.#givenBack.inc(Math.max(0, before.total_bytes - after.total_bytes))
    return after
  }

  #judge(resident: ResidentMemory): void {
    const { pressure, clock } = this.#options
    const { total_bytes } = resident
    const now_ms = clock.monotonic()
    const before = pressure.level
    if (before === 'closed') this.#closed_seconds.inc((now_ms - this.#lookedAt_ms) / 1000)
    this.#lookedAt_ms = now_ms
    const level = this.#levelFor(total_bytes, before, now_ms)
    pressure.isHigh = total_bytes > HIGH_SHARE * this.#options.plan.limit_bytes
    const isDue = pressure.isHigh && now_ms - this.#collectedAt_ms >= COLLECT_EVERY_MS
    const isClosing = level === 'closed' && before !== 'closed'
    if (isDue || isClosing) this.#collect(now_ms)
    if (level === before) return
    if (level === 'tight') this.#open_bytes = total_bytes
    pressure.level = level
    this.#level.set(['none', 'tight', 'closed'].indexOf(level))
    if (before === 'none') this.#sayNear(resident)
    if (level === 'none') this.#sayFar(resident, now_ms)
    this.#since_ms = now_ms
  }

  #collect(now_ms: number): void {
    this.#options.pressure.askToCollect()
    this.#collectedAt_ms = now_ms
    this.#hasCollected = true
  }

  #levelFor(total_bytes: number, before: PressureLevel, now_ms: number): PressureLevel {
    const { plan } = this.#options
    if (total_bytes < plan.resumeBelow_bytes) return 'none'
    switch (before) {
      case 'none':
        return total_bytes > plan.refuseAbove_bytes ? 'closed' : 'none'
      case 'closed':
        return now_ms - this.#since_ms >= CLOSED_MS ? 'tight' : 'closed'
      case 'tight': {
        const hasGrown = total_bytes > this.#open_bytes + GROWTH_SHARE * plan.limit_bytes
        return hasGrown && total_bytes > plan.refuseAbove_bytes ? 'closed' : 'tight'
      }
    }
  }

  #sayNear(resident: ResidentMemory): void {
    this.#near.inc()
    this.#nearSince_ms = this.#options.clock.monotonic()
    this.#options.log.warn(
      'memory is near its limit: new requests are refused for a moment, then few are taken at once',
      this.#facts(resident),
    )
  }

  #sayFar(resident: ResidentMemory, now_ms: number): void {
    const after_ms = Math.round(now_ms - this.#nearSince_ms)
    this.#options.log.info('memory is well below its limit again', {
      after_ms,
      ...this.#facts(resident),
    })
  }

  #facts(resident: ResidentMemory) {
    return {
      resident: formatBytes(resident.total_bytes),
      anonymous: formatBytes(resident.anonymous_bytes),
      file: formatBytes(resident.file_bytes),
      limit: formatBytes(this.#options.plan.limit_bytes),
    }
  }
}
