/**
 * Owns the shared memory by which the tenants' limits reach every thread: one writer publishes a text, any number of
 * readers take the last one whole. It outlives its users, so the last good limits do too.
 *
 *   HEADER, 64 bytes
 *      0  magic u32 | version u32 | capacity u32 | sequence i32        texts published so far, 0 = none
 *     16  length i32 [2] | loaded i32 | padding                        loaded: 1 the file's last reading was good, 0 not, -1 no file
 *     32  loaded at f64                                                 ms since 1970, of the last good reading
 *   TEXT, capacity bytes, twice: the text of sequence n is in place n & 1
 *
 * The writer writes the place that is not in use, then the sequence. A reader whose sequence moved on while it copied
 * copies again: the writer may have come round to its place.
 */
import { assert } from '../lib/assert.js'

/** More than a file of the largest size that is read can say. */
export const LIMITS_CAPACITY_BYTES = 2 * 1024 * 1024

const MAGIC = 0x314d494c // "LIM1"
const VERSION = 1
const HEADER_BYTES = 64
const SEQUENCE_WORD = 3
const LENGTH_WORD = 4
const LOADED_WORD = 6
const LOADED_AT = 4

export type LoadState = 'none' | 'good' | 'bad'
const LOAD_STATES: Readonly<Record<LoadState, number>> = { none: -1, good: 1, bad: 0 }

export class LimitsPage {
  readonly #words: Int32Array
  readonly #times: Float64Array
  readonly #bytes: Uint8Array
  readonly #capacity: number

  static create(capacity_bytes = LIMITS_CAPACITY_BYTES): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(HEADER_BYTES + 2 * capacity_bytes)
    const words = new Int32Array(buffer)
    words.set([MAGIC, VERSION, capacity_bytes])
    words[LOADED_WORD] = LOAD_STATES.none
    return buffer
  }

  constructor(buffer: SharedArrayBuffer) {
    const words = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    assert(words[0] === MAGIC && words[1] === VERSION, 'not a page of limits of this version')
    this.#words = words
    this.#times = new Float64Array(buffer, 0, HEADER_BYTES / 8)
    this.#bytes = new Uint8Array(buffer, HEADER_BYTES)
    this.#capacity = words[2]!
  }

  /** Grows with each text. */
  get sequence(): number {
    return Atomics.load(this.#words, SEQUENCE_WORD)
  }

  get loaded(): LoadState {
    const state = Atomics.load(this.#words, LOADED_WORD)
    return state < 0 ? 'none' : state > 0 ? 'good' : 'bad'
  }

  /** When the file was last read and good; 0 = never. */
  get loadedAt_ms(): number {
    return this.#times[LOADED_AT]!
  }

  /** The last text and its sequence; an empty one when none was published. */
  read(): { sequence: number; text: string } {
    for (;;) {
      const sequence = this.sequence
      if (sequence === 0) return { sequence, text: '' }
      const place = sequence & 1
      const length = Math.min(this.#words[LENGTH_WORD + place]!, this.#capacity)
      const from = place * this.#capacity
      const copy = Buffer.from(this.#bytes.slice(from, from + length))
      if (this.sequence === sequence) return { sequence, text: copy.toString('utf8') }
    }
  }

  /** Thread contract: one writer. False when the text has no room; then the last one stands. */
  publish(text: string): boolean {
    const bytes = Buffer.from(text, 'utf8')
    if (bytes.length > this.#capacity) return false
    const sequence = this.sequence + 1
    const place = sequence & 1
    this.#bytes.set(bytes, place * this.#capacity)
    this.#words[LENGTH_WORD + place] = bytes.length
    Atomics.store(this.#words, SEQUENCE_WORD, sequence)
    return true
  }

  /** How the last reading of the file went. Thread contract: the writer. */
  note(state: 'good' | 'bad', now_ms: number): void {
    if (state === 'good') this.#times[LOADED_AT] = now_ms
    Atomics.store(this.#words, LOADED_WORD, LOAD_STATES[state])
  }
}
