/** Owns arithmetic on 64-bit words held as two halves in typed arrays, modulo 2^64. */

export interface Words {
  readonly lo: Uint32Array
  readonly hi: Uint32Array
}

/** a - b, row by row. */
export function differences(a: Words, b: Words): Words {
  const count = a.lo.length
  const lo = new Uint32Array(count)
  const hi = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const al = a.lo[i]!
    const bl = b.lo[i]!
    lo[i] = al - bl
    hi[i] = a.hi[i]! - b.hi[i]! - (al < bl ? 1 : 0)
  }
  return { lo, hi }
}

/** target[row] += (lo, hi) */
export function addTo(target: Words, row: number, lo: number, hi: number): void {
  const sum = target.lo[row]! + lo
  target.lo[row] = sum
  target.hi[row] = target.hi[row]! + hi + (sum > 0xffffffff ? 1 : 0)
}

/** Signed words as unsigned ones of which small means near zero, in place. */
export function toZigzag({ lo, hi }: Words): void {
  for (let i = 0; i < lo.length; i++) {
    const sign = hi[i]! & 0x80000000 ? 0xffffffff : 0
    const h = (hi[i]! << 1) | (lo[i]! >>> 31)
    lo[i] = (lo[i]! << 1) ^ sign
    hi[i] = h ^ sign
  }
}

/** Undoes `toZigzag`. */
export function fromZigzag({ lo, hi }: Words): void {
  for (let i = 0; i < lo.length; i++) {
    const sign = lo[i]! & 1 ? 0xffffffff : 0
    const l = ((lo[i]! >>> 1) | (hi[i]! << 31)) >>> 0
    hi[i] = (hi[i]! >>> 1) ^ sign
    lo[i] = l ^ sign
  }
}
