/**
 * Owns the word by which every thread knows that the process is near its memory limit. The main thread writes it, whoever
 * takes new work reads it; it outlives them all. Plain loads and stores: a thread that sees it a moment late loses nothing.
 */
const BYTES = 64
const IS_HIGH = 0

export class Pressure {
  readonly #words: Int32Array

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(BYTES)
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  /** New work is to be refused, retryably. */
  get isHigh(): boolean {
    return this.#words[IS_HIGH] === 1
  }

  set isHigh(value: boolean) {
    this.#words[IS_HIGH] = value ? 1 : 0
  }
}
