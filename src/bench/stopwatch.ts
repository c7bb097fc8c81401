/** Owns timing work in this process: CPU seconds of all its threads (garbage collection is work too) and time on the wall. */
import { systemClock } from '../lib/time.js'

export interface Lap {
  readonly cpu_s: number
  readonly wall_ms: number
}

export async function timed<T>(work: () => Promise<T>): Promise<Lap & { readonly result: T }> {
  const started_ms = systemClock.monotonic()
  const before = process.cpuUsage()
  const result = await work()
  const used = process.cpuUsage(before)
  return {
    result,
    cpu_s: (used.user + used.system) / 1e6,
    wall_ms: systemClock.monotonic() - started_ms,
  }
}

/** The lap with the least CPU of several: what the others have more is compilation and the machine's neighbours. */
export async function bestOf<T>(
  runs: number,
  work: () => Promise<T>,
): Promise<Lap & { readonly result: T }> {
  let best = await timed(work)
  for (let run = 1; run < runs; run++) {
    const lap = await timed(work)
    if (lap.cpu_s < best.cpu_s) best = lap
  }
  return best
}

/** Of several short laps: the middle time on the wall, and the mean CPU. */
export interface Laps {
  readonly runs: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly cpu_ms: number
}

export function summary(wall_ms: readonly number[], cpu_s: number): Laps {
  const sorted = [...wall_ms].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0 // prettier-ignore
  return {
    runs: sorted.length,
    p50_ms: at(0.5),
    p99_ms: at(0.99),
    cpu_ms: sorted.length === 0 ? 0 : (cpu_s * 1000) / sorted.length,
  }
}
