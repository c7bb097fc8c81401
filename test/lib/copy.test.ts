/** Tests that copies are exact at every length and alignment, and touch nothing beside, in shared memory and out of it. */
import { describe, expect, it } from 'vitest'
import { copyBytes } from '../../src/lib/copy.js'

const LENGTHS = [0, 1, 7, 8, 31, 32, 33, 48, 255, 256, 257, 300, 1000, 5000]
const pattern = (b: Uint8Array) => {
  for (let i = 0; i < b.length; i++) b[i] = (i * 31 + (i >> 8)) & 0xff
  return b
}
const memory = {
  shared: (length: number) => new Uint8Array(new SharedArrayBuffer(length)),
  own: (length: number) => new Uint8Array(length),
  'a view': (length: number) => new Uint8Array(new SharedArrayBuffer(length + 13), 13, length),
}

describe('copyBytes', () => {
  const kinds = Object.keys(memory) as (keyof typeof memory)[]
  it.each(kinds.flatMap((a) => kinds.map((b) => [a, b] as const)))(
    'copies from %s to %s',
    (a, b) => {
      const source = pattern(memory[a](6000))
      for (const length of LENGTHS) {
        for (const from of [0, 3, 8]) {
          for (const at of [0, 1, 5, 8]) {
            const target = memory[b](length + 20)
            expect(copyBytes(source, from, from + length, target, at)).toBe(at + length)
            expect(
              Buffer.compare(target.slice(at, at + length), source.slice(from, from + length)),
            ).toBe(0)
            const beside = [...target.subarray(0, at), ...target.subarray(at + length)]
            expect(beside.every((byte) => byte === 0)).toBe(true)
          }
        }
      }
    },
  )

  it('refuses to write behind the target', () => {
    for (const length of [40, 400]) {
      const target = new Uint8Array(length)
      expect(() => copyBytes(new Uint8Array(length), 0, length, target, 3)).toThrow(RangeError)
    }
  })
})
