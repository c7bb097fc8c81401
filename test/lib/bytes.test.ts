import { describe, expect, it } from 'vitest'
import { compareBytes, concatBytes, fromHex, toHex } from '../../src/lib/bytes.js'
import { Random } from '../support/random.js'

describe('bytes', () => {
  it('go to hex and back, whatever they are', () => {
    const random = new Random(1)
    for (let n = 0; n < 50; n++) {
      const bytes = random.bytes(n)
      expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'))
      expect(fromHex(toHex(bytes).toUpperCase())).toEqual(bytes)
    }
  })

  it('are not made of half a byte nor of anything but hex digits', () => {
    for (const text of ['a', 'abc', 'zz', '0x', ' 1', '1_']) expect(fromHex(text)).toBeUndefined()
  })

  it('sort unsigned, a prefix first', () => {
    const random = new Random(2)
    for (let n = 0; n < 200; n++) {
      const [a, b] = [random.bytes(random.below(4)), random.bytes(random.below(4))]
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b))
    }
  })

  it('are put together in order', () => {
    const parts = [Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)]
    expect(concatBytes(parts)).toEqual(Uint8Array.of(1, 2, 3))
    expect(concatBytes([])).toEqual(new Uint8Array(0))
  })
})
