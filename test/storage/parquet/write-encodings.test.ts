import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../../../src/storage/block/codec/bytes.js'
import {
  readDeltaLengths,
  readDeltas,
  readDeltas32,
} from '../../../src/storage/parquet/read-delta.js'
import { readRuns } from '../../../src/storage/parquet/read-levels.js'
import { uncompressSnappy } from '../../../src/storage/parquet/read-snappy.js'
import { bitWidth, writeHybrid } from '../../../src/storage/parquet/write-bits.js'
import {
  writeDelta32,
  writeDelta64,
  writeDeltaLengths,
} from '../../../src/storage/parquet/write-delta.js'
import { compressSnappy } from '../../../src/storage/parquet/write-snappy.js'
import { Random } from '../../support/random.js' // prettier-ignore

const LENGTHS = [0, 1, 2, 7, 8, 9, 31, 32, 33, 128, 129, 130, 257, 1000]

describe('runs and packed groups', () => {
  test.each([1, 2, 3, 7, 8, 9, 13, 16, 24, 31, 32])('of %i bits come back', (width) => {
    const random = new Random(width)
    for (const length of LENGTHS) {
      const values = new Uint32Array(length)
      for (let i = 0; i < length; i++) {
        const value = width === 32 ? random.below(2 ** 32) : random.below(2 ** width)
        values[i] = i > 0 && random.below(4) > 0 ? values[i - 1]! : value
      }
      const out = new ByteWriter()
      writeHybrid(out, values, 0, length, width)
      const read = new Uint32Array(length)
      readRuns(out.view(), 0, width, read)
      expect(read).toEqual(values)
    }
  })

  test('a packed group is whole before a run begins, wherever the run starts', () => {
    for (let before = 0; before < 20; before++) {
      const values = Uint8Array.from({ length: before + 40 }, (_, i) => (i < before ? i % 3 : 3))
      const out = new ByteWriter()
      writeHybrid(out, values, 0, values.length, 2)
      const read = new Uint8Array(values.length)
      readRuns(out.view(), 0, 2, read)
      expect(read).toEqual(values)
    }
  })

  test('the width of a value is the place of its highest bit', () => {
    expect([0, 1, 2, 3, 4, 255, 256].map(bitWidth)).toEqual([0, 1, 2, 2, 3, 8, 9])
  })
})

/** Values near each other, far apart, and at the ends of the type. */
function numbers(random: Random, length: number, bits: number): bigint[] {
  const far = () => BigInt.asIntN(bits, (BigInt(random.bits()) << 32n) | BigInt(random.bits()))
  const ends = [0n, -1n, 2n ** BigInt(bits - 1) - 1n, -(2n ** BigInt(bits - 1))]
  const mode = random.below(3)
  const base = far()
  return Array.from({ length }, (_, i) => {
    if (mode === 0) return BigInt.asIntN(bits, base + BigInt(i * 1000 + random.below(50)))
    if (mode === 1) return random.below(3) === 0 ? random.pick(ends) : far()
    return BigInt(random.below(2))
  })
}

test('differences of 32-bit numbers come back, ends of the range included', () => {
  const random = new Random(1)
  for (let round = 0; round < 60; round++) {
    const length = random.pick(LENGTHS)
    const values = Int32Array.from(numbers(random, length, 32), Number)
    const out = new ByteWriter()
    writeDelta32(out, values, 0, length)
    const read = readDeltas32(out.view(), 0, length)
    expect(read.values.values).toEqual(values)
    if (length > 0) expect(read.end).toBe(out.length)
  }
})

test('differences of 64-bit numbers come back, also those that no double holds', () => {
  const random = new Random(2)
  for (let round = 0; round < 90; round++) {
    const length = random.pick(LENGTHS)
    const values = numbers(random, length, 64)
    const lo = Uint32Array.from(values, (value) => Number(BigInt.asUintN(32, value)))
    const hi = Uint32Array.from(values, (value) => Number(BigInt.asUintN(32, value >> 32n)))
    const out = new ByteWriter()
    writeDelta64(out, lo, hi, 0, length)
    const read = readDeltas(out.view(), 0, length)
    expect(read.values.lo).toEqual(lo)
    expect(read.values.hi).toEqual(hi)
    if (length > 0) expect(read.end).toBe(out.length)
  }
})

test('a part of the strings is written with their lengths', () => {
  const words = ['', 'a', 'bc', '', 'x'.repeat(300), 'end']
  const bytes = Buffer.from(words.join(''))
  let at = 0
  const ends = Uint32Array.from(words, (word) => (at += word.length))
  const out = new ByteWriter()
  writeDeltaLengths(out, bytes, ends, 2, 6)
  const { values } = readDeltaLengths(out.view(), 0, 4)
  const read = [...values.starts].map((start, i) =>
    Buffer.from(values.bytes.subarray(start, values.ends[i])).toString(),
  )
  expect(read).toEqual(words.slice(2))
})

describe('snappy', () => {
  const random = new Random(3)
  const inputs: [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['one byte', Uint8Array.of(7)],
    ['random bytes', random.bytes(100_000)],
    ['one byte over and over', new Uint8Array(200_000).fill(9)],
    ['text', Buffer.from('GET /api/cart HTTP/1.1\nPOST /api/orders\n'.repeat(5000))],
    ['two fragments that repeat each other', Buffer.concat([random.bytes(65_536), random.bytes(10)])],
    ['numbers of 8 bytes', new Uint8Array(Float64Array.from({ length: 20_000 }, () => random.below(500)).buffer)],
    ['pieces of all lengths', pieces(random)],
  ] // prettier-ignore

  test.each(inputs)('%s come back', (_, input) => {
    const stored = compressSnappy(input).slice()
    const out = new Uint8Array(input.length)
    uncompressSnappy(stored, out)
    expect(Buffer.compare(out, input)).toBe(0)
  })

  test('what repeats gets small, what does not grows by little', () => {
    expect(compressSnappy(new Uint8Array(200_000)).length).toBeLessThan(10_000)
    expect(compressSnappy(random.bytes(200_000)).length).toBeLessThan(200_100)
  })
})

/** Literals and matches of every length up to 140, at every distance. */
function pieces(random: Random): Uint8Array {
  const parts: Uint8Array[] = []
  for (let length = 1; length < 140; length++) {
    parts.push(random.bytes(length))
    const whole = Buffer.concat(parts)
    const from = random.below(whole.length)
    parts.push(Uint8Array.from(whole.subarray(from, from + length)))
  }
  return Buffer.concat(parts)
}
