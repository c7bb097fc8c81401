/**
 * Owns the writer's private hash table from 32-bit hashes to dense row numbers: open addressing, pairs in one Int32Array.
 *
 * Rows are added in order and each exactly once, so rows can be taken back in reverse order without tombstones: removing
 * the last one inserted restores the table that was. Growing reinserts in row order to keep that true.
 */
import { assert } from '../../lib/assert.js'

const INITIAL_SLOTS = 256

export class HashIndex {
  /** Pairs: hash, row + 1 (0 = empty). */
  pairs = new Int32Array(INITIAL_SLOTS * 2)
  count = 0
  #mask = INITIAL_SLOTS - 1
  #limit = INITIAL_SLOTS * 0.7
  /** The slots of rows since `commit`. */
  #log = new Int32Array(64)
  #committed = 0

  /** A slot whose hash matches (the caller compares what is behind it, then goes on with `next`), or ~slot to insert at. */
  first(hash: number): number {
    const { pairs } = this
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      if (pairs[slot * 2 + 1] === 0) return ~slot
      if (pairs[slot * 2] === hash) return slot
    }
  }

  next(hash: number, after: number): number {
    const { pairs } = this
    for (let slot = (after + 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      if (pairs[slot * 2 + 1] === 0) return ~slot
      if (pairs[slot * 2] === hash) return slot
    }
  }

  row(slot: number): number {
    return this.pairs[slot * 2 + 1]! - 1
  }

  /** Adds row `count` at the free slot that `first` or `next` ended on (as they returned it). */
  insert(missed: number, hash: number): void {
    const slot = ~missed
    this.pairs[slot * 2] = hash
    this.pairs[slot * 2 + 1] = ++this.count
    this.#record(slot)
    if (this.count > this.#limit) this.#grow()
  }

  /** Adds row `count` under a hash, whatever rows have the same. */
  add(hash: number): void {
    let slot = this.first(hash)
    while (slot >= 0) slot = this.next(hash, slot)
    this.insert(slot, hash)
  }

  /** Rows so far are there to stay. */
  commit(): void {
    this.#committed = this.count
  }

  /** Takes back all rows from `rows` on; none of them may be committed. */
  truncate(rows: number): void {
    assert(
      rows >= this.#committed,
      `cannot take back row ${rows}: ${this.#committed} rows are committed`,
    )
    while (this.count > rows) this.pairs[this.#log[--this.count - this.#committed]! * 2 + 1] = 0
  }

  get memory_bytes(): number {
    return this.pairs.byteLength + this.#log.byteLength
  }

  #record(slot: number): void {
    const at = this.count - 1 - this.#committed
    if (at >= this.#log.length) {
      const grown = new Int32Array(this.#log.length * 2)
      grown.set(this.#log)
      this.#log = grown
    }
    this.#log[at] = slot
  }

  #grow(): void {
    const rows = this.count
    const old = this.pairs
    const hashes = new Int32Array(rows)
    for (let i = 0; i < old.length; i += 2) {
      const row = old[i + 1]!
      if (row !== 0) hashes[row - 1] = old[i]!
    }
    const slots = old.length
    const pairs = new Int32Array(slots * 2)
    const mask = slots - 1
    this.pairs = pairs
    this.#mask = mask
    this.#limit = slots * 0.7
    for (let row = 0; row < rows; row++) {
      const hash = hashes[row]!
      let slot = hash & mask
      while (pairs[slot * 2 + 1] !== 0) slot = (slot + 1) & mask
      pairs[slot * 2] = hash
      pairs[slot * 2 + 1] = row + 1
      if (row >= this.#committed) this.#log[row - this.#committed] = slot
    }
  }
}
