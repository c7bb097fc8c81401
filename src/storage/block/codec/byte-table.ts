/** Owns a set of byte strings with codes 1..size in order of arrival: one buffer, one hash table, no object a string. */

const FIRST_SLOTS = 256
const MAX_DATA_BYTES = 2 ** 32 - 1

export class ByteTable {
  size = 0
  #data = new Uint8Array(4096)
  /** Start of the code's bytes is #ends[code - 1]. */
  #ends = new Uint32Array(FIRST_SLOTS)
  #hashes = new Uint32Array(FIRST_SLOTS)
  #slots = new Uint32Array(FIRST_SLOTS)

  get length_bytes(): number {
    return this.#ends[this.size]!
  }

  /** A view of the code's bytes, valid until the next `intern`. */
  bytes(code: number): Uint8Array {
    if (code < 1 || code > this.size) throw new RangeError(`code ${code} is not in 1..${this.size}`)
    return this.#data.subarray(this.#ends[code - 1], this.#ends[code])
  }

  /** The code of `source[from..to)`, 0 when it is not in the table. */
  find(source: Uint8Array, from = 0, to = source.length): number {
    return this.#slots[this.#slotOf(source, from, to, hash(source, from, to))]!
  }

  /** The code of `source[from..to)`, which is added when new. */
  intern(source: Uint8Array, from = 0, to = source.length): number {
    const hashed = hash(source, from, to)
    const slot = this.#slotOf(source, from, to, hashed)
    const known = this.#slots[slot]!
    if (known !== 0) return known
    const start = this.length_bytes
    const end = start + (to - from)
    if (end > MAX_DATA_BYTES) throw new RangeError(`byte table would grow to ${end} bytes`)
    this.#room(end)
    copy(source, from, to, this.#data, start)
    const code = ++this.size
    this.#ends[code] = end
    this.#hashes[code] = hashed
    this.#slots[slot] = code
    if (2 * this.size > this.#slots.length) this.#rehash()
    return code
  }

  #slotOf(source: Uint8Array, from: number, to: number, hashed: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hashed & mask; ; slot = (slot + 1) & mask) {
      const code = this.#slots[slot]!
      if (code === 0) return slot
      if (this.#hashes[code] === hashed && this.#equals(code, source, from, to)) return slot
    }
  }

  #equals(code: number, source: Uint8Array, from: number, to: number): boolean {
    let at = this.#ends[code - 1]!
    if (this.#ends[code]! - at !== to - from) return false
    for (let i = from; i < to; i++, at++) if (source[i] !== this.#data[at]) return false
    return true
  }

  #room(end: number): void {
    if (end > this.#data.length) {
      const grown = new Uint8Array(Math.min(MAX_DATA_BYTES, Math.max(end, 2 * this.#data.length)))
      grown.set(this.#data.subarray(0, this.length_bytes))
      this.#data = grown
    }
    if (this.size + 2 > this.#ends.length) {
      const ends = new Uint32Array(2 * this.#ends.length)
      ends.set(this.#ends)
      this.#ends = ends
      const hashes = new Uint32Array(2 * this.#hashes.length)
      hashes.set(this.#hashes)
      this.#hashes = hashes
    }
  }

  #rehash(): void {
    const slots = new Uint32Array(2 * this.#slots.length)
    const mask = slots.length - 1
    for (let code = 1; code <= this.size; code++) {
      let slot = this.#hashes[code]! & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = code
    }
    this.#slots = slots
  }
}

/** FNV-1a, mixed at the end so that the low bits that choose the slot depend on all of it. */
function hash(source: Uint8Array, from: number, to: number): number {
  let h = 0x811c9dc5
  for (let i = from; i < to; i++) h = Math.imul(h ^ source[i]!, 0x01000193)
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}

/** Short copies by loop: below some thirty bytes it beats `set` with its view. */
function copy(source: Uint8Array, from: number, to: number, target: Uint8Array, at: number): void {
  if (to - from > 32) target.set(source.subarray(from, to), at)
  else for (let i = from; i < to; i++) target[at++] = source[i]!
}
