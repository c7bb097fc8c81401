/** Owns the watch over the process's resident memory, on the main thread: near the limit it asks for no new work, and says so once. */
import type { Log } from '../lib/log.js'
import type { Counter, Gauge, Metrics } from '../lib/metrics.js'
import type { Clock } from '../lib/time.js'
import { formatBytes } from '../lib/units.js'
import type { MemoryPlan } from './plan.js'
import type { Pressure } from './pressure.js'
import { residentMemory, type ResidentMemory } from './resident.js'

const INTERVAL_MS = 1000
/** While refusing: the sooner it is over, the better. */
const INTERVAL_HIGH_MS = 250

export interface MemoryWatchOptions {
  readonly plan: MemoryPlan
  readonly pressure: Pressure
  readonly metrics: Metrics
  readonly clock: Clock
  readonly log: Log
  readonly read?: () => ResidentMemory
}

export class MemoryWatch {
  readonly #options: MemoryWatchOptions
  readonly #stopping = new AbortController()
  readonly #resident: Gauge
  readonly #peak: Gauge
  readonly #refusing: Gauge
  readonly #passed: Counter
  readonly #refusing_seconds: Counter
  #peak_bytes = 0
  #highSince_ms: number | undefined

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
    this.#refusing = metrics.gauge(
      'tempo_actors_memory_refusing',
      '1 while new requests are refused because the limit is near.',
    )
    this.#passed = metrics.counter(
      'tempo_actors_memory_high_total',
      'Times that the resident memory came near the limit.',
    )
    this.#refusing_seconds = metrics.counter(
      'tempo_actors_memory_refusing_seconds_total',
      'Time in which new requests were refused because the limit was near.',
    )
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
    const resident = (this.#options.read ?? residentMemory)()
    this.#resident.labels('anonymous').set(resident.anonymous_bytes)
    this.#resident.labels('shared').set(resident.shared_bytes)
    this.#resident.labels('file').set(resident.file_bytes)
    this.#peak_bytes = Math.max(this.#peak_bytes, resident.total_bytes)
    this.#peak.set(this.#peak_bytes)
    this.#judge(resident)
  }

  #judge(resident: ResidentMemory): void {
    const { plan, pressure, clock, log } = this.#options
    const now_ms = clock.monotonic()
    const { total_bytes } = resident
    if (this.#highSince_ms === undefined) {
      if (total_bytes <= plan.refuseAbove_bytes) return
      this.#highSince_ms = now_ms
      this.#passed.inc()
      pressure.isHigh = true
      log.warn(
        'memory is near its limit, new requests are refused until it is not',
        facts(resident, plan),
      )
    } else if (total_bytes < plan.resumeBelow_bytes) {
      const after_ms = Math.round(now_ms - this.#highSince_ms)
      this.#refusing_seconds.inc(after_ms / 1000)
      this.#highSince_ms = undefined
      pressure.isHigh = false
      log.info('memory is well below its limit, requests are taken again', {
        after_ms,
        ...facts(resident, plan),
      })
    }
    this.#refusing.set(pressure.isHigh ? 1 : 0)
  }
}

function facts(resident: ResidentMemory, plan: MemoryPlan) {
  return {
    resident: formatBytes(resident.total_bytes),
    anonymous: formatBytes(resident.anonymous_bytes),
    file: formatBytes(resident.file_bytes),
    limit: formatBytes(plan.limit_bytes),
  }
}
