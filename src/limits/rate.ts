/**
 * Owns the tenants' ingestion rates: a bucket each, filled by `rate_limit_bytes` a second up to `burst_size_bytes`. A
 * request is taken whole or not at all; one that is refused takes nothing out.
 */
import type { TenantLimits } from '../config/limits.js'

/** Tenants whose bucket is kept. A bucket that is full is as good as none, so only those who sent lately count. */
export const BUCKETS_MAX = 10_000
/** Full buckets are looked for no more often than this. */
const SWEEP_MS = 1000

interface Bucket {
  tokens: number
  filledAt_ms: number
  limits: TenantLimits
}

export class RateLimiter {
  readonly #buckets = new Map<string, Bucket>()
  readonly #max: number
  #sweptAt_ms = -Infinity

  constructor(bucketsMax = BUCKETS_MAX) {
    this.#max = bucketsMax
  }

  /** Tenants whose bucket is kept now. */
  get size(): number {
    return this.#buckets.size
  }

  /**
   * Takes so many bytes out of the tenant's bucket. Answers 0, or the milliseconds after which there could be enough;
   * Infinity when there never will be.
   */
  take(tenant: string, limits: TenantLimits, bytes: number, now_ms: number): number {
    if (bytes > limits.burst_size_bytes) return Infinity
    const bucket = this.#buckets.get(tenant) ?? this.#add(tenant, limits, now_ms)
    fill(bucket, limits, now_ms)
    if (bucket.tokens >= bytes) {
      bucket.tokens -= bytes
      return 0
    }
    const { rate_limit_bytes } = limits
    if (rate_limit_bytes <= 0) return Infinity
    return Math.max(1, Math.ceil(((bytes - bucket.tokens) / rate_limit_bytes) * 1000))
  }

  /** Puts back what was taken for a request that the store had no room for. */
  giveBack(tenant: string, bytes: number): void {
    const bucket = this.#buckets.get(tenant)
    if (!bucket) return
    bucket.tokens = Math.min(bucket.limits.burst_size_bytes, bucket.tokens + bytes)
  }

  #add(tenant: string, limits: TenantLimits, now_ms: number): Bucket {
    if (this.#buckets.size >= this.#max) this.#makeRoom(now_ms)
    const bucket = { tokens: limits.burst_size_bytes, filledAt_ms: now_ms, limits }
    this.#buckets.set(tenant, bucket)
    return bucket
  }

  #makeRoom(now_ms: number): void {
    if (now_ms - this.#sweptAt_ms >= SWEEP_MS) {
      this.#sweptAt_ms = now_ms
      for (const [tenant, bucket] of this.#buckets) {
        fill(bucket, bucket.limits, now_ms)
        if (bucket.tokens >= bucket.limits.burst_size_bytes) this.#buckets.delete(tenant)
      }
    }
    // So many tenants at once: the one that was seen first begins anew.
    if (this.#buckets.size < this.#max) return
    const [first] = this.#buckets.keys()
    if (first !== undefined) this.#buckets.delete(first)
  }
}

function fill(bucket: Bucket, limits: TenantLimits, now_ms: number): void {
  const elapsed_ms = Math.max(0, now_ms - bucket.filledAt_ms)
  const filled = bucket.tokens + (elapsed_ms * limits.rate_limit_bytes) / 1000
  bucket.tokens = Math.min(limits.burst_size_bytes, filled)
  bucket.filledAt_ms = now_ms
  bucket.limits = limits
}
