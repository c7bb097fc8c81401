/** Owns telling which spans of one trace are copies of one another: same span id and kind, as everywhere in this store. */

const FIRST_SLOTS = 256
/** Up to here each is compared with all others, which costs less than a table. */
const FEW = 16

/** Spans of one trace that come one after the other; used again for the next trace. */
export class SpanDedup {
  #size = 0
  #hi = new Uint32Array(FIRST_SLOTS)
  #lo = new Uint32Array(FIRST_SLOTS)
  #kinds = new Uint32Array(FIRST_SLOTS)
  /** Number of the span + 1 by hash; filled once there are more than a few. */
  #slots = new Uint32Array(2 * FIRST_SLOTS)
  #isHashed = false

  clear(): void {
    this.#size = 0
    if (this.#isHashed) this.#slots.fill(0)
    this.#isHashed = false
  }

  /** False when the span was there already. An id of zeros is no id: such spans are never copies. */
  add(ids: Uint8Array, row: number, kind: number): boolean {
    const at = 8 * row
    const hi = (ids[at]! << 24) | (ids[at + 1]! << 16) | (ids[at + 2]! << 8) | ids[at + 3]!
    const lo = (ids[at + 4]! << 24) | (ids[at + 5]! << 16) | (ids[at + 6]! << 8) | ids[at + 7]!
    if (hi === 0 && lo === 0) return true
    return this.#isHashed ? this.#addHashed(hi >>> 0, lo >>> 0, kind) : this.#addFew(hi >>> 0, lo >>> 0, kind) // prettier-ignore
  }

  #addFew(hi: number, lo: number, kind: number): boolean {
    for (let i = 0; i < this.#size; i++) {
      if (this.#lo[i] === lo && this.#hi[i] === hi && this.#kinds[i] === kind) return false
    }
    this.#push(hi, lo, kind)
    if (this.#size > FEW) this.#hashAll()
    return true
  }

  #addHashed(hi: number, lo: number, kind: number): boolean {
    const mask = this.#slots.length - 1
    let slot = hash(hi, lo, kind) & mask
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const i = this.#slots[slot]! - 1
      if (this.#lo[i] === lo && this.#hi[i] === hi && this.#kinds[i] === kind) return false
    }
    this.#push(hi, lo, kind)
    this.#slots[slot] = this.#size
    if (2 * this.#size > this.#slots.length) this.#hashAll()
    return true
  }

  #push(hi: number, lo: number, kind: number): void {
    if (this.#size === this.#hi.length) {
      this.#hi = doubled(this.#hi)
      this.#lo = doubled(this.#lo)
      this.#kinds = doubled(this.#kinds)
    }
    this.#hi[this.#size] = hi
    this.#lo[this.#size] = lo
    this.#kinds[this.#size++] = kind
  }

  #hashAll(): void {
    if (2 * this.#size > this.#slots.length) this.#slots = new Uint32Array(2 * this.#slots.length)
    else this.#slots.fill(0)
    this.#isHashed = true
    const mask = this.#slots.length - 1
    for (let i = 0; i < this.#size; i++) {
      let slot = hash(this.#hi[i]!, this.#lo[i]!, this.#kinds[i]!) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = i + 1
    }
  }
}

function hash(hi: number, lo: number, kind: number): number {
  let h = Math.imul(hi ^ Math.imul(kind + 1, 0x9e3779b1), 0x85ebca6b) ^ lo
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  return (h ^ (h >>> 13)) >>> 0
}

function doubled(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(2 * values.length)
  out.set(values)
  return out
}
