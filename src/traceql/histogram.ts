/** Owns Tempo's histograms: buckets at powers of two and quantiles interpolated between them. */

/** The power of two at or above a value of 2 or more. */
export function log2Bucket(value: number): number {
  let exponent = Math.ceil(Math.log2(value))
  while (2 ** exponent < value) exponent++
  while (2 ** (exponent - 1) >= value) exponent--
  return 2 ** exponent
}

export interface Bucket {
  /** Upper bound. */
  readonly max: number
  readonly count: number
}

/** The quantile of buckets sorted by bound; 0 of none. */
export function log2Quantile(q: number, buckets: readonly Bucket[]): number {
  const total = buckets.reduce((sum, b) => sum + b.count, 0)
  if (Number.isNaN(q) || q < 0 || q > 1 || total === 0) return 0
  // Rounded up, for better answers from few samples; at least one sample is read.
  const wanted = Math.max(1, Math.ceil(q * total))
  let seen = 0
  let at = 0
  for (const [i, bucket] of buckets.entries()) {
    at = i
    if (seen + bucket.count > wanted) break
    seen += bucket.count
    if (seen === wanted) return bucket.max
  }
  const part = (wanted - seen) / buckets[at]!.count
  const high = Math.log2(buckets[at]!.max)
  const low = at > 0 ? Math.log2(buckets[at - 1]!.max) : high - 1
  return Math.pow(2, low + (high - low) * part)
}
