/** Owns counting different values by their hashes, exactly up to a bound. */

/** Hashes that are kept of one attribute. */
const MAX_KEPT = 20_000
const HIGH = 2 ** 21

export class DistinctCount {
  readonly #seen = new Set<number>()
  /** There are more different values than were counted. */
  isCut = false

  get count(): number {
    return this.#seen.size
  }

  addBytes(bytes: Uint8Array): void {
    let a = 0x811c9dc5 ^ bytes.length
    let b = 0x9e3779b9
    for (const byte of bytes) {
      a = Math.imul(a ^ byte, 0x01000193)
      b = Math.imul(b ^ byte, 0x85ebca6b) ^ (b >>> 15)
    }
    this.#add(a, b)
  }

  addWords(lo: number, hi: number): void {
    const a = Math.imul(lo ^ 0x811c9dc5, 0x01000193) ^ Math.imul(hi, 0x85ebca6b)
    const b = Math.imul(hi ^ (lo >>> 16) ^ 0x9e3779b9, 0x2c1b3c6d) ^ lo
    this.#add(a, b)
  }

  /** 53 bits, which a number holds. */
  #add(a: number, b: number): void {
    const hash = (mixed(a) >>> 0) * HIGH + (mixed(b) >>> 11)
    if (this.#seen.size < MAX_KEPT) this.#seen.add(hash)
    else if (!this.#seen.has(hash)) this.isCut = true
  }
}

function mixed(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}
