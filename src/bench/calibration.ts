/** Owns the bench's measure of the machine itself: one fixed piece of work, so that a reader sees when the machine was slower. */

const WORDS = 1 << 22
const ROUNDS = 6

/** CPU milliseconds of a fixed loop over 16 MiB of memory, always the same work. Blocks the thread for as long. */
export function calibrate(): number {
  const words = new Uint32Array(WORDS)
  const before = process.cpuUsage()
  let x = 1
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < WORDS; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0
      words[x & (WORDS - 1)]! += i
    }
  }
  return Math.round(process.cpuUsage(before).user / 1000)
}

export interface Calibration {
  readonly before_ms: number
  readonly after_ms: number
}

/** Runs some work between two calibrations. */
export async function calibrated<T>(work: () => Promise<T>): Promise<[T, Calibration]> {
  const before_ms = calibrate()
  const result = await work()
  return [result, { before_ms, after_ms: calibrate() }]
}
