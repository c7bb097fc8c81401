/**
 * Owns the vital signs of a child: a few words of shared memory its thread writes and the supervisor reads without
 * asking, so that an actor that is busy, hung or dead can still be looked at. The words outlive the thread: counters go on.
 *
 *       0  progress   i32   moves while the thread lives
 *     128  gauges     f64   heap_used, heap_limit, external, loop lag mean and p99, serving, asking
 *     192  counters   f64   asks handled, asks failed
 *
 * One writer; a reader may see a gauge of this beat beside one of the last, which is good enough for a gauge.
 */
const PROGRESS = 0
const GAUGES_OFFSET = 128
const VITALS_BYTES = 256

const HEAP_USED = 0
const HEAP_LIMIT = 1
const EXTERNAL = 2
const LAG_MEAN = 3
const LAG_P99 = 4
const SERVING = 5
const ASKING = 6
const ASKS_HANDLED = 8
const ASKS_FAILED = 9

/** What a thread publishes with each beat. */
export interface Gauges {
  heap_used_bytes: number
  heap_limit_bytes: number
  /** ArrayBuffers and what addons hold for JavaScript; not counted by the heap limit. */
  external_bytes: number
  loop_lag_mean_ms: number
  loop_lag_p99_ms: number
  /** Asks it is answering: the depth of its mailbox. */
  asks_serving: number
  /** Asks it waits for. */
  asks_in_flight: number
}

export interface Vitals extends Gauges {
  asks_handled: number
  asks_failed: number
}

export function createVitals(): SharedArrayBuffer {
  return new SharedArrayBuffer(VITALS_BYTES)
}

/** The writing side, held by the thread. */
export class VitalsWriter {
  readonly #progress: Int32Array
  readonly #words: Float64Array

  constructor(shared: SharedArrayBuffer) {
    this.#progress = new Int32Array(shared, PROGRESS, 1)
    this.#words = new Float64Array(shared, GAUGES_OFFSET)
  }

  /** A sign of life. */
  progress(): void {
    Atomics.add(this.#progress, 0, 1)
  }

  gauges(gauges: Gauges): void {
    this.#words[HEAP_USED] = gauges.heap_used_bytes
    this.#words[HEAP_LIMIT] = gauges.heap_limit_bytes
    this.#words[EXTERNAL] = gauges.external_bytes
    this.#words[LAG_MEAN] = gauges.loop_lag_mean_ms
    this.#words[LAG_P99] = gauges.loop_lag_p99_ms
    this.#words[SERVING] = gauges.asks_serving
    this.#words[ASKING] = gauges.asks_in_flight
  }

  count(asksHandled: number, asksFailed: number): void {
    this.#words[ASKS_HANDLED] = this.#words[ASKS_HANDLED]! + asksHandled
    this.#words[ASKS_FAILED] = this.#words[ASKS_FAILED]! + asksFailed
  }
}

/** The reading side, held by the supervisor. */
export class VitalsReader {
  readonly #progress: Int32Array
  readonly #words: Float64Array

  constructor(shared: SharedArrayBuffer) {
    this.#progress = new Int32Array(shared, PROGRESS, 1)
    this.#words = new Float64Array(shared, GAUGES_OFFSET)
  }

  /** Wraps around; only a change of it means something. */
  progress(): number {
    return Atomics.load(this.#progress, 0)
  }

  read(): Vitals {
    return {
      heap_used_bytes: this.#words[HEAP_USED]!,
      heap_limit_bytes: this.#words[HEAP_LIMIT]!,
      external_bytes: this.#words[EXTERNAL]!,
      loop_lag_mean_ms: this.#words[LAG_MEAN]!,
      loop_lag_p99_ms: this.#words[LAG_P99]!,
      asks_serving: this.#words[SERVING]!,
      asks_in_flight: this.#words[ASKING]!,
      asks_handled: this.#words[ASKS_HANDLED]!,
      asks_failed: this.#words[ASKS_FAILED]!,
    }
  }

  /** A dead thread uses no heap and answers nothing; its counters stay. */
  clearGauges(): void {
    this.#words.fill(0, HEAP_USED, ASKS_HANDLED)
  }
}
