import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Malformed } from '../../../src/storage/block/codec/bytes.js'
import { compress } from '../../../src/storage/block/zstd.js'
import { CODEC, TYPE, type Codec } from '../../../src/storage/parquet/metadata.js'
import {
  readDeltaLengths,
  readDeltaStrings,
  readDeltas,
  readDeltas32,
} from '../../../src/storage/parquet/read-delta.js'
import { levelWidth, readLevels, readRuns } from '../../../src/storage/parquet/read-levels.js'
import { readPlain, readStreamSplit } from '../../../src/storage/parquet/read-plain.js'
import { uncompress } from '../../../src/storage/parquet/uncompress.js'
import type { ByteValues, Int64Values } from '../../../src/storage/parquet/values.js'
import { Random } from '../../support/random.js'

/** Written apart from src, slowly and with BigInt, so that it can judge it. */
class Bits {
  readonly out: number[] = []
  varint(value: bigint): void {
    for (; value > 127n; value >>= 7n) this.out.push(Number(value & 127n) | 128)
    this.out.push(Number(value))
  }
  zigzag(value: bigint): void {
    this.varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)))
  }
  pack(values: readonly bigint[], width: number): void {
    let word = 0n
    for (const [i, value] of values.entries()) word |= value << BigInt(i * width)
    for (let b = 0; b < (values.length * width) / 8; b++)
      this.out.push(Number((word >> BigInt(8 * b)) & 255n))
  }
}

/** DELTA_BINARY_PACKED with blocks of 128 values in 4 parts. */
function deltas(values: readonly bigint[]): Uint8Array {
  const bits = new Bits()
  for (const head of [128n, 4n, BigInt(values.length)]) bits.varint(head)
  bits.zigzag(values[0] ?? 0n)
  const steps = values.slice(1).map((value, i) => BigInt.asIntN(64, value - values[i]!))
  for (let at = 0; at < steps.length; at += 128) {
    const block = steps.slice(at, at + 128)
    const least = block.reduce((a, b) => (a < b ? a : b))
    bits.zigzag(least)
    const parts = [0, 32, 64, 96].map((from) =>
      block.slice(from, from + 32).map((step) => BigInt.asUintN(64, step - least)),
    )
    const widths = parts.map((part) =>
      Math.max(0, ...part.map((step) => (step === 0n ? 0 : step.toString(2).length))),
    )
    bits.out.push(...widths)
    parts.forEach((part, p) => {
      if (part.length > 0)
        bits.pack([...part, ...Array<bigint>(32 - part.length).fill(0n)], widths[p]!)
    })
  }
  return Uint8Array.from(bits.out)
}

const bigints = ({ lo, hi }: Int64Values): bigint[] =>
  [...lo].map((low, i) => BigInt.asIntN(64, (BigInt(hi[i]!) << 32n) | BigInt(low)))
const texts = ({ bytes, starts, ends }: ByteValues): string[] =>
  [...starts].map((start, i) => Buffer.from(bytes.subarray(start, ends[i])).toString())

describe('integers by their differences', () => {
  const random = new Random(11)
  const word = (bits: number) =>
    BigInt.asIntN(bits, (BigInt(random.bits()) << 32n) | BigInt(random.bits()))

  test.each([1, 2, 3, 8, 20, 24, 25, 31, 32, 33, 40, 57, 63, 64])(
    'are exact where they differ by %i bits',
    (width) => {
      for (const count of [1, 2, 33, 128, 129, 300]) {
        let value = word(64)
        const values = Array.from(
          { length: count },
          () => (value = BigInt.asIntN(64, value + word(width))),
        )
        expect(bigints(readDeltas(deltas(values), 0, count).values)).toEqual(values)
      }
    },
  )

  test('are exact from the least to the greatest', () => {
    const values = [-(2n ** 63n), 2n ** 63n - 1n, 0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]
    expect(bigints(readDeltas(deltas(values), 0, values.length).values)).toEqual(values)
  })

  test('of 32 bits keep their sign', () => {
    const values = [-5n, 7n, -(2n ** 31n), 2n ** 31n - 1n]
    expect([...readDeltas32(deltas(values), 0, 4).values.values].map(BigInt)).toEqual(values)
  })

  test('that are fewer, cut off or packed impossibly are malformed', () => {
    const whole = deltas(Array.from({ length: 200 }, (_, i) => BigInt(i * i)))
    expect(() => readDeltas(whole, 0, 201)).toThrow(Malformed)
    for (let length = 0; length < whole.length / 2; length += 7) {
      expect(() => readDeltas(whole.subarray(0, length), 0, 200)).toThrow(Malformed)
    }
    expect(() => readDeltas(Uint8Array.of(128, 1, 0, 4, 0), 0, 4)).toThrow(/0 parts/)
  })
})

test('byte strings by their lengths, and by what they share, are those that were written', () => {
  const words = ['', 'span', 'spanner', 'spa', '', 'žluťoučký 🐎', 'žluť']
  const lengths = deltas(words.map((text) => BigInt(Buffer.byteLength(text))))
  const plain = Buffer.concat([lengths, Buffer.from(words.join(''))])
  expect(texts(readDeltaLengths(plain, 0, words.length).values)).toEqual(words)
  const buffers = words.map((text) => Buffer.from(text))
  const shared = buffers.map((text, i) => {
    const before = buffers[i - 1] ?? Buffer.alloc(0)
    let n = 0
    while (n < text.length && n < before.length && text[n] === before[n]) n++
    return n
  })
  const rest = buffers.map((text, i) => text.subarray(shared[i]))
  const strings = Buffer.concat([
    deltas(shared.map(BigInt)),
    deltas(rest.map(({ length }) => BigInt(length))),
    ...rest,
  ])
  expect(texts(readDeltaStrings(strings, 0, words.length, 1000))).toEqual(words)
  expect(() => readDeltaStrings(strings, 0, words.length, 5)).toThrow(/more than 5 bytes/)
  expect(() => readDeltaLengths(plain.subarray(0, -1), 0, words.length)).toThrow(Malformed)
})

test('levels are read from runs and packed groups, and none may be above the greatest', () => {
  // Five threes, then eight packed values of two bits, then a run that is longer than what is left.
  const input = Uint8Array.of(5 << 1, 3, (1 << 1) | 1, 0b11100100, 0b00011011, 50 << 1, 2)
  const out = new Uint8Array(16)
  readLevels(input, 3, out)
  expect([...out]).toEqual([3, 3, 3, 3, 3, 0, 1, 2, 3, 3, 2, 1, 0, 2, 2, 2])
  expect(() => {
    readLevels(input, 2, out)
  }).toThrow(/level 3 is above 2/)
  expect(() => {
    readLevels(input.subarray(0, 4), 3, out)
  }).toThrow(Malformed)
  expect(() => {
    readLevels(Uint8Array.of(0, 1), 3, out)
  }).toThrow(/run of nothing/)
})

test.each([1, 3, 7, 8, 12, 17, 24, 25, 31, 32])(
  'indexes of %i bits are read as they were packed',
  (width) => {
    const random = new Random(width)
    const values = Array.from(
      { length: 64 },
      () => BigInt(random.bits() >>> 0) & (2n ** BigInt(width) - 1n),
    )
    const bits = new Bits()
    bits.out.push((8 << 1) | 1)
    bits.pack(values, width)
    const out = new Uint32Array(61)
    readRuns(Uint8Array.from(bits.out), 0, width, out)
    expect([...out].map(BigInt)).toEqual(values.slice(0, 61))
    expect(levelWidth(4)).toBe(3)
  },
)

test('split streams of doubles and integers come together', () => {
  const doubles = Float64Array.of(1.5, -0, 1e308)
  const bytes = new Uint8Array(doubles.buffer)
  const streams = Uint8Array.from({ length: 24 }, (_, i) => bytes[(i % 3) * 8 + Math.floor(i / 3)]!)
  const values = readStreamSplit(TYPE.DOUBLE, 0, streams, 0, 3)
  expect(values).toEqual({ kind: 'float', values: doubles })
  expect(() => readStreamSplit(TYPE.BYTE_ARRAY, 0, streams, 0, 3)).toThrow(Malformed)
  expect(() => readPlain(TYPE.INT64, 0, streams, 0, 4)).toThrow(/32 bytes of values, 24 are left/)
})

describe('a page in each codec', () => {
  const random = new Random(3)
  const page = Buffer.concat([
    Buffer.alloc(5000, 'service.name'),
    random.bytes(3000),
    Buffer.alloc(70_000, 7),
  ])
  /** Hand-made: a literal, a copy that repeats itself, and one with an offset of two bytes. */
  const snappy = Uint8Array.of(
    24,
    (3 - 1) << 2,
    97,
    98,
    99,
    ((7 - 4) << 2) | 1,
    3,
    ((14 - 1) << 2) | 2,
    10,
    0,
  )
  const lz4 = Uint8Array.of((3 << 4) | 15, 97, 98, 99, 3, 0, 2, 0)

  test.each<[string, Codec, Uint8Array, Uint8Array]>([
    ['none', CODEC.UNCOMPRESSED, page, page],
    ['gzip', CODEC.GZIP, gzipSync(page), page],
    ['brotli', CODEC.BROTLI, brotliCompressSync(page), page],
    ['zstd', CODEC.ZSTD, compress(page), page],
    ['snappy', CODEC.SNAPPY, snappy, Buffer.from('abcabcabca' + 'abcabcabcaabca')],
    ['lz4', CODEC.LZ4_RAW, lz4, Buffer.from('abc'.repeat(8))],
  ])('%s comes back whole, and never with another length', (_, codec, stored, whole) => {
    expect(Buffer.from(uncompress(codec, stored, whole.length)).equals(whole)).toBe(true)
    for (const length of [whole.length - 1, whole.length + 1, 0]) {
      const wrong = () => uncompress(codec, stored, length)
      if (length === 0 && codec !== CODEC.UNCOMPRESSED) expect(wrong()).toHaveLength(0)
      else expect(wrong).toThrow(Malformed)
    }
    expect(() => uncompress(codec, stored.subarray(0, stored.length >> 1), whole.length)).toThrow(
      Malformed,
    )
  })

  test('that says it grows beyond measure is refused before memory is taken', () => {
    for (const codec of [CODEC.SNAPPY, CODEC.GZIP, CODEC.ZSTD, CODEC.LZ4_RAW]) {
      expect(() => uncompress(codec, new Uint8Array(100), 2 ** 31)).toThrow(/says it holds/)
    }
    expect(() => uncompress(CODEC.SNAPPY, Uint8Array.of(255, 255, 255, 127, 0), 2 ** 20)).toThrow(
      /cannot hold/,
    )
    expect(() => uncompress(CODEC.LZO, page, 10)).toThrow(/codec 3 is not known/)
  })
})
