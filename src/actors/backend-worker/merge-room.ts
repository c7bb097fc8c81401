/**
 * Owns how much memory a merge of blocks may take. Spans come first: what is free at this moment may be what they take in the next (a head that
 * fills, a block that is built), so the busiest of the last moments counts for a merge that would begin, and a merge that is under way
 * ends as soon as the process is above its mark.
 */
import type { Clock } from '../../lib/time.js'

/** So often the resident memory is looked at. */
const LOOK_MS = 1000
/** Longer than it takes to fill a head and to build its block under full load. */
const LOOKS_KEPT = 15

export interface MergeRoomOptions {
  /** Below this the process has all it needs; see `MemoryPlan.resumeBelow_bytes`. */
  readonly mark_bytes: number
  readonly resident_bytes: () => number
  /** While a merge takes memory itself, nothing is learned of what the spans take. */
  readonly isMerging: () => boolean
  readonly clock: Clock
}

export class MergeRoom {
  readonly #options: MergeRoomOptions
  readonly #looks: number[] = []

  constructor(options: MergeRoomOptions) {
    this.#options = options
  }

  /** Looks until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.look()
      await this.#options.clock.sleep(LOOK_MS, signal)
    }
  }

  look(): void {
    if (this.#options.isMerging()) return
    this.#looks.push(this.#options.resident_bytes())
    if (this.#looks.length > LOOKS_KEPT) this.#looks.shift()
  }

  /** What a merge may take that begins now; below 0 when there is less than none. */
  get free_bytes(): number {
    const { mark_bytes, resident_bytes } = this.#options
    return mark_bytes - Math.max(resident_bytes(), ...this.#looks)
  }

  /** A merge that is under way has to end. */
  get isOver(): boolean {
    return this.#options.resident_bytes() > this.#options.mark_bytes
  }
}
