import { describe, expect, it } from 'vitest'
import { HashIndex } from '../../../src/storage/head/hash-index.js'
import { Random } from '../../support/otlp-gen.js'

/** Rows under a hash. */
function rows(index: HashIndex, hash: number): number[] {
  const found: number[] = []
  for (let slot = index.first(hash); slot >= 0; slot = index.next(hash, slot))
    found.push(index.row(slot))
  return found.sort((a, b) => a - b)
}

describe('the hash index', () => {
  it('agrees with a list over random adds, rollbacks and commits, many hashes shared', () => {
    const random = new Random(1)
    const index = new HashIndex()
    let model: number[] = []
    let committed = 0
    for (let step = 0; step < 3000; step++) {
      const draw = random.below(100)
      if (draw < 85) {
        // Few different low bits: long chains that wrap.
        const hash = (random.below(50) * 0x01000000 + random.below(3) - 1) | 0
        index.add(hash)
        model.push(hash)
      } else if (draw < 95) {
        const to = committed + random.below(model.length - committed + 1)
        index.truncate(to)
        model = model.slice(0, to)
      } else {
        index.commit()
        committed = model.length
      }
      if (step % 100 === 0) {
        for (const hash of new Set(model)) {
          expect(rows(index, hash)).toEqual(
            model.flatMap((other, row) => (other === hash ? [row] : [])),
          )
        }
      }
    }
    expect(model.length).toBeGreaterThan(700)
  })

  it('a rollback over a growth removes exactly what was added since', () => {
    const index = new HashIndex()
    for (let i = 0; i < 100; i++) index.add(i % 7)
    index.commit()
    const scattered = (i: number) => Math.imul(i + 100, 0x9e3779b1)
    for (let i = 0; i < 5000; i++) index.add(scattered(i))
    index.truncate(100)
    expect(index.count).toBe(100)
    for (let i = 0; i < 5000; i++) expect(rows(index, scattered(i))).toEqual([])
    for (let hash = 0; hash < 7; hash++) expect(rows(index, hash).length).toBeGreaterThanOrEqual(14)
    expect(() => index.truncate(99)).toThrow(/committed/)
  })
})
