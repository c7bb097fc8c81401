/**
 * Owns the words by which every thread knows how near the process is to its memory limit. The main thread writes them, who
 * takes new work and who can give memory back reads them; they outlive them all. Plain loads and stores: a thread that sees
 * them a moment late loses nothing.
 */
const BYTES = 64
const LEVEL = 0
const COLLECTIONS = 1
const HIGH = 2

/** `tight`: take little at once. `closed`: take nothing new. */
export type PressureLevel = 'none' | 'tight' | 'closed'
const LEVELS: readonly PressureLevel[] = ['none', 'tight', 'closed']

export class Pressure {
  readonly #words: Int32Array

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(BYTES)
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  get level(): PressureLevel {
    return LEVELS[this.#words[LEVEL]!]!
  }

  set level(level: PressureLevel) {
    this.#words[LEVEL] = LEVELS.indexOf(level)
  }

  /** Most of the memory is used: still nothing is refused, but who can do with less does. */
  get isHigh(): boolean {
    return this.#words[HIGH] === 1
  }

  set isHigh(isHigh: boolean) {
    this.#words[HIGH] = Number(isHigh)
  }

  /** How often every thread was asked to collect its garbage. */
  get collections(): number {
    return this.#words[COLLECTIONS]!
  }

  askToCollect(): void {
    this.#words[COLLECTIONS] = this.#words[COLLECTIONS]! + 1
  }
}
