import { expect, test } from 'vitest'
import { ByteReader, ByteWriter, Malformed } from '../../../../src/storage/block/codec/bytes.js'
import {
  readBounded,
  readNumbers,
  writeNumbers,
} from '../../../../src/storage/block/codec/planes.js'
import { fromZigzag, toZigzag } from '../../../../src/storage/block/codec/words.js'
import { Random } from '../../../support/random.js'

function words(values: readonly bigint[]) {
  return {
    lo: Uint32Array.from(values, (v) => Number(v & 0xffffffffn)),
    hi: Uint32Array.from(values, (v) => Number(BigInt.asUintN(32, v >> 32n))),
  }
}

function roundTrip(values: readonly bigint[], signed: boolean) {
  const { lo, hi } = words(values)
  const out = new ByteWriter()
  writeNumbers(out, lo, hi, signed)
  const back = { lo: new Uint32Array(values.length), hi: new Uint32Array(values.length) }
  const input = new ByteReader(out.view().slice())
  readNumbers(input, back.lo, back.hi)
  input.end()
  expect(back).toEqual({ lo, hi })
  return out.length
}

test('numbers around every power of two come back, signed and unsigned', () => {
  const edges = Array.from({ length: 65 }, (_, bit) => [2n ** BigInt(bit), -(2n ** BigInt(bit)), 2n ** BigInt(bit) - 1n]).flat() // prettier-ignore
  for (const a of edges) {
    for (const b of [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n]) {
      for (const signed of [true, false]) roundTrip([a, b, a], signed)
    }
  }
})

test('equal numbers cost the same however many they are', () => {
  const few = roundTrip(
    Array.from({ length: 10 }, () => 1_700_000_000_000_000_000n),
    false,
  )
  const many = roundTrip(
    Array.from({ length: 10_000 }, () => 1_700_000_000_000_000_000n),
    false,
  )
  expect(many).toBe(few)
})

test('small signed numbers around zero take one plane', () => {
  const random = new Random(1)
  const values = Array.from({ length: 1000 }, () => BigInt(random.below(200) - 100))
  expect(roundTrip(values, true)).toBeLessThan(1100)
})

test('a code above its bound is malformed', () => {
  const out = new ByteWriter()
  writeNumbers(out, Uint32Array.of(1, 2, 9))
  expect(() => readBounded(new ByteReader(out.view()), 3, 8)).toThrow(Malformed)
})

test('64-bit planes for 32-bit numbers are malformed', () => {
  const out = new ByteWriter()
  writeNumbers(out, Uint32Array.of(1, 2), Uint32Array.of(1, 7))
  expect(() => readNumbers(new ByteReader(out.view()), new Uint32Array(2))).toThrow(Malformed)
})

test('zigzag undoes itself at the extremes', () => {
  const values = words([0n, -1n, 1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 31n), 2n ** 31n])
  const copy = { lo: values.lo.slice(), hi: values.hi.slice() }
  toZigzag(copy)
  expect([copy.lo[1], copy.hi[1], copy.lo[2]]).toEqual([1, 0, 2])
  fromZigzag(copy)
  expect(copy).toEqual(values)
})
