/** Owns how time is cut for metrics: which interval a span's start falls into and what time its sample has. */

export interface Range {
  readonly start_ns: bigint
  readonly end_ns: bigint
  /** Instant queries have one interval over the whole range. */
  readonly step_ns: bigint
  readonly isInstant: boolean
}

/** Ends move out to whole steps, and one more step before them, so that a refresh a second later sees the same intervals. */
export function alignRange(start_ns: bigint, end_ns: bigint, step_ns: bigint): Range {
  if (step_ns === 0n) return { start_ns, end_ns, step_ns: end_ns - start_ns, isInstant: true }
  let start = start_ns - (start_ns % step_ns)
  const over = end_ns % step_ns
  const end = over === 0n ? end_ns : end_ns + step_ns - over
  if (start > step_ns) start -= step_ns
  return { start_ns: start, end_ns: end, step_ns, isInstant: false }
}

/** Steps of a graph when the caller names none: about 240 points, in round numbers. */
export function defaultStep_ns(start_ns: bigint, end_ns: bigint): bigint {
  const second = 1_000_000_000n
  const span = end_ns - start_ns
  const baseline = span / 240n
  const steps =
    span < 60n * second
      ? [50_000_000n]
      : [3600n, 300n, 60n, 15n, 5n, 1n].map((seconds) => seconds * second)
  const grain = steps.find((step) => baseline > step)
  return grain === undefined ? steps.at(-1)! : (baseline / grain) * grain
}

/** Intervals are open at their start and closed at their end: (start, start + step]. */
export class IntervalMapper {
  readonly range: Range
  readonly count: number
  readonly #startHi: number
  readonly #startLo: number
  readonly #total: number
  readonly #step: number
  constructor(range: Range) {
    this.range = range
    this.#startHi = Number(range.start_ns >> 32n)
    this.#startLo = Number(range.start_ns & 0xffffffffn)
    this.#total = Number(range.end_ns - range.start_ns)
    this.#step = Number(range.step_ns)
    this.count = range.isInstant ? 1 : Math.round(this.#total / this.#step)
  }

  /** -1 when the time is out of range. Exact over ranges up to 2^53 ns (104 days). */
  of(hi: number, lo: number): number {
    const offset = (hi - this.#startHi) * 2 ** 32 + (lo - this.#startLo)
    if (!(offset > 0) || offset > this.#total) return -1
    if (this.count === 1) return 0
    const interval = Math.floor((offset - 1) / this.#step)
    return interval * this.#step >= offset ? interval - 1 : interval
  }

  /** Interval of a time in ms, -1 when out of range. */
  ofMs(time_ms: number): number {
    const ns = BigInt(time_ms) * 1_000_000n
    return this.of(Number(ns >> 32n), Number(ns & 0xffffffffn))
  }

  timestamp_ms(interval: number): number {
    const { start_ns, end_ns, step_ns, isInstant } = this.range
    const ns = isInstant ? end_ns : start_ns + BigInt(interval + 1) * step_ns
    return Number(ns / 1_000_000n)
  }
}
