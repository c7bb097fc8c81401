/** Owns the hash of strings and words in a head: seeded, four bytes a step, the same on the writer's side and the readers'. */

const MIX = 0x9e3779b1 | 0
const FINISH_1 = 0x85ebca6b | 0
const FINISH_2 = 0xc2b2ae35 | 0

/** Spreads the bits of a 32-bit word over all of it. */
export function finish(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), FINISH_1)
  h = Math.imul(h ^ (h >>> 13), FINISH_2)
  return h ^ (h >>> 16)
}

/** One step: order matters. Call `finish` on the last. */
export function mix(hash: number, word: number): number {
  const h = Math.imul(hash ^ word, MIX)
  return h ^ (h >>> 15)
}

export function traceHash(seed: number, a: number, b: number, c: number, d: number): number {
  return finish(mix(mix(mix(mix(seed, a), b), c), d))
}

/** Hash of `length` bytes at `at`; the caller has checked that they exist. */
export function hashBytes(view: DataView, at: number, length: number, seed: number): number {
  let h = seed ^ length
  if (length >= 4) {
    const last = at + length - 4
    for (let p = at; p < last; p += 4) {
      h = Math.imul(h ^ view.getInt32(p, true), MIX)
      h ^= h >>> 15
    }
    h = Math.imul(h ^ view.getInt32(last, true), MIX)
    h ^= h >>> 15
  } else {
    let word = 0
    for (let i = 0; i < length; i++) word = (word << 8) | view.getUint8(at + i)
    h = Math.imul(h ^ word, MIX)
    h ^= h >>> 15
  }
  return finish(h)
}
