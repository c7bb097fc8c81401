/** Owns the times that Tempo's schema derives: those of a trace, and span starts rounded for metrics. */
import type { IntColumn } from '../../../otlp/columns.js'
import type { Halves } from './columns.js'
import type { Structure } from './structure.js'

const NS_PER_S = 1e9
const HALF = 65_536

/** a - b modulo 2^64. */
export function difference64(a: Halves, b: Halves): Halves {
  const lo = new Uint32Array(a.lo.length)
  const hi = new Uint32Array(a.lo.length)
  for (let i = 0; i < lo.length; i++) {
    lo[i] = a.lo[i]! - b.lo[i]!
    hi[i] = a.hi[i]! - b.hi[i]! - (a.lo[i]! < b.lo[i]! ? 1 : 0)
  }
  return { lo, hi }
}

/** Start, end and duration of each trace. A start of 0 is one that nobody knew: it does not count, as in Tempo. */
export function traceTimes(
  traces: number,
  spanStarts: IntColumn | undefined,
  traceEnds: IntColumn | undefined,
  { traceOffsets }: Structure,
): { start: Halves; end: Halves; duration: Halves } {
  const start = { lo: new Uint32Array(traces), hi: new Uint32Array(traces) }
  const end = { lo: new Uint32Array(traces), hi: new Uint32Array(traces) }
  if (traceEnds) {
    end.lo.set(traceEnds.lo.subarray(0, traces))
    end.hi.set(traceEnds.hi.subarray(0, traces))
  }
  if (spanStarts) {
    const { lo, hi } = spanStarts
    for (let trace = 0; trace < traces; trace++) {
      let best = -1
      // A trace's spans are contiguous rows of the input in whatever order.
      for (let span = traceOffsets[trace]!; span < traceOffsets[trace + 1]!; span++) {
        if (lo[span] === 0 && hi[span] === 0) continue
        const isLess = best < 0 || hi[span]! < hi[best]! || (hi[span] === hi[best] && lo[span]! < lo[best]!) // prettier-ignore
        if (isLess) best = span
      }
      if (best < 0) continue
      start.lo[trace] = lo[best]!
      start.hi[trace] = hi[best]!
    }
  }
  return { start, end, duration: difference64(end, start) }
}

/** How many whole steps lie before each start, which belongs to the interval that it ends; 0 for a start of 0. */
export function roundedStarts({ lo, hi }: Halves, steps_s: readonly number[]): Int32Array[] {
  const out = steps_s.map(() => new Int32Array(lo.length))
  for (let i = 0; i < lo.length; i++) {
    if (lo[i] === 0 && hi[i] === 0) continue
    const seconds = wholeSeconds(lo[i] === 0 ? 0xffffffff : lo[i]! - 1, lo[i] === 0 ? hi[i]! - 1 : hi[i]!) // prettier-ignore
    for (let s = 0; s < steps_s.length; s++) out[s]![i] = Math.floor(seconds / steps_s[s]!)
  }
  return out
}

/** Long division by a billion in digits of 16 bits, because 64 bits are too many for a double. */
function wholeSeconds(lo: number, hi: number): number {
  const upper = (hi % NS_PER_S) * HALF + (lo >>> 16)
  const lower = (upper % NS_PER_S) * HALF + (lo & 0xffff)
  const quotient = Math.floor(hi / NS_PER_S) * HALF + Math.floor(upper / NS_PER_S)
  return quotient * HALF + Math.floor(lower / NS_PER_S)
}
