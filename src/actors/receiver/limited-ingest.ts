/** Owns the ingestion rate of tenants: a request over it is refused as a whole, before anything of it is stored. */
import type { Counter } from '../../lib/metrics.js'
import type { Clock } from '../../lib/time.js'
import { RateLimiter } from '../../limits/rate.js'
import type { LimitsSource } from '../../limits/view.js'
import { countSpans } from '../../otlp/count-spans.js'
import type { Ingest, PushRequest, PushResult } from './contract.js'
import { rateText } from './rejections.js'

export interface LimitedIngestOptions {
  readonly limits: LimitsSource
  /** `tempo_discarded_spans_total`, by tenant and reason. */
  readonly discarded: Counter
  /** What a refused client is told to wait at least; 0 tells it nothing. */
  readonly retryAfter_ms: number
  readonly clock: Clock
}

export class LimitedIngest implements Ingest {
  readonly #next: Ingest
  readonly #options: LimitedIngestOptions
  readonly #rates = new RateLimiter()

  constructor(next: Ingest, options: LimitedIngestOptions) {
    this.#next = next
    this.#options = options
  }

  async push(request: PushRequest): Promise<PushResult> {
    const { tenant, body } = request
    if (body.length > 0) {
      const refusal = this.#overRate(tenant, body)
      if (refusal) return refusal
    }
    const result = await this.#next.push(request)
    // What the store had no room for comes again, and is not to be paid for twice.
    if (!result.ok && result.refused === 'rate_limited') this.#rates.giveBack(tenant, body.length)
    return result
  }

  #overRate(tenant: string, body: Uint8Array): PushResult | undefined {
    const { limits, clock, discarded, retryAfter_ms } = this.#options
    const own = limits.of(tenant)
    const wait_ms = this.#rates.take(tenant, own, body.length, clock.monotonic())
    if (wait_ms === 0) return undefined
    discarded.labels(tenant, 'rate_limited').inc(countSpans(body))
    const message = rateText(limits, tenant, body.length, wait_ms)
    if (!Number.isFinite(wait_ms)) return { ok: false, refused: 'too_large', message }
    const isTold = own.retry_info_enabled && retryAfter_ms > 0
    return {
      ok: false,
      refused: 'rate_limited',
      message,
      retryAfter_ms: isTold ? Math.max(retryAfter_ms, wait_ms) : 0,
    }
  }
}
