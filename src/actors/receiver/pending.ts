/**
 * Owns the requests that wait for their ack: each is answered when every partition it touched has committed it, when it
 * is refused, or when its time is over.
 */
import type { AckOutcome, AckReceiver } from '../../bus/acks.js'
import { watch, type ParkingSpot } from '../../bus/parking.js'
import type { Clock } from '../../lib/time.js'

export type Verdict = AckOutcome | { kind: 'timeout'; text: string }

interface Waiting {
  readonly due_ms: number
  readonly resolve: (verdict: Verdict) => void
}

/** How often requests past their time are looked for. */
const SWEEP_MS = 250

export interface PendingOptions {
  readonly acks: AckReceiver
  /** Committed position of a partition of `traces`. */
  readonly committedOf: (partition: number) => number
  /** Where acks are announced: the ack table, and every partition's commits. */
  readonly spots: readonly ParkingSpot[]
  readonly timeout_ms: number
  readonly clock: Clock
}

export class Pending {
  readonly #options: PendingOptions
  readonly #waiting = new Map<number, Waiting>()
  readonly #stopping = new AbortController()
  /** Committed positions as of this look, so that a scan reads each ring once. */
  readonly #committed: number[] = []

  constructor(options: PendingOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Looks for acks until `stop`. Rejects when the shared memory is not what it should be: a crash. */
  async run(): Promise<void> {
    const { spots } = this.#options
    const { signal } = this.#stopping
    await Promise.all([
      ...spots.map((spot) => watch(spot, () => this.#look(), signal)),
      this.#sweep(signal),
    ])
  }

  /** Everything that still waits is told that its time is over. */
  stop(): void {
    this.#stopping.abort()
    for (const correlation of [...this.#waiting.keys()]) this.#expire(correlation)
  }

  /** Resolves with what became of the request, and gives its correlation back. */
  wait(correlation: number): Promise<Verdict> {
    const due_ms = this.#options.clock.monotonic() + this.#options.timeout_ms
    return new Promise((resolve) => {
      this.#waiting.set(correlation, { due_ms, resolve })
      // The ack may have come between the append and here, and nobody announces it twice.
      this.#check(correlation, this.#options.committedOf)
      // A split request may still have been waiting for room at the stop; nobody looks for its ack any more.
      if (this.#stopping.signal.aborted) this.#expire(correlation)
    })
  }

  #look(): void {
    if (this.#waiting.size === 0) return
    this.#committed.length = 0
    const committedOf = (partition: number) =>
      (this.#committed[partition] ??= this.#options.committedOf(partition))
    for (const correlation of this.#waiting.keys()) this.#check(correlation, committedOf)
  }

  #check(correlation: number, committedOf: (partition: number) => number): void {
    const outcome = this.#options.acks.poll(correlation, committedOf)
    if (outcome) this.#settle(correlation, outcome)
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(SWEEP_MS, signal)
      const now = this.#options.clock.monotonic()
      for (const [correlation, waiting] of this.#waiting)
        if (waiting.due_ms <= now) this.#expire(correlation)
    }
  }

  #expire(correlation: number): void {
    if (!this.#waiting.has(correlation)) return
    const text = this.#options.acks.describe(correlation, this.#options.committedOf)
    this.#settle(correlation, { kind: 'timeout', text })
  }

  #settle(correlation: number, verdict: Verdict): void {
    const waiting = this.#waiting.get(correlation)
    if (!waiting) return
    this.#waiting.delete(correlation)
    this.#options.acks.close(correlation)
    waiting.resolve(verdict)
  }
}
