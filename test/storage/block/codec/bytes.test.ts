import { expect, test } from 'vitest'
import { ByteTable } from '../../../../src/storage/block/codec/byte-table.js'
import { ByteReader, ByteWriter, Malformed } from '../../../../src/storage/block/codec/bytes.js'
import { crc32, tableCrc32 } from '../../../../src/storage/block/codec/crc32.js'
import { readPacket, writePacket } from '../../../../src/storage/block/codec/packet.js'
import { readStrings, writeStrings } from '../../../../src/storage/block/codec/strings.js'
import { compress, decompress } from '../../../../src/storage/block/zstd.js'
import { Random } from '../../../support/random.js'

test('varints of every length come back, and one above its bound does not', () => {
  for (let bit = 0; bit <= 53; bit++) {
    const value = 2 ** bit - 1
    const out = new ByteWriter(1)
    out.varint(value)
    expect(new ByteReader(out.view()).varint(value)).toBe(value)
    if (value > 0)
      expect(() => new ByteReader(out.view()).varint(value - 1)).toThrow('above its bound')
  }
})

test('a varint without an end is malformed', () => {
  expect(() => new ByteReader(new Uint8Array(20).fill(255)).varint(1)).toThrow(
    'longer than 53 bits',
  )
  expect(() => new ByteReader(Uint8Array.of(128)).varint(1)).toThrow(Malformed)
})

test('both checksums are the one of the world', () => {
  const check = Buffer.from('123456789')
  expect([crc32(check), tableCrc32(check)]).toEqual([0xcbf43926, 0xcbf43926])
  const random = new Random(1)
  for (let length = 0; length < 40; length++) {
    const bytes = random.bytes(length)
    expect(tableCrc32(bytes)).toBe(crc32(bytes))
  }
})

test('packets choose: one byte for sameness, a frame for habit, the bytes for noise', () => {
  const sizeOf = (bytes: Uint8Array) => {
    const out = new ByteWriter()
    writePacket(out, bytes)
    const input = new ByteReader(out.view().slice())
    expect(Buffer.compare(readPacket(input, bytes.length), bytes)).toBe(0)
    input.end()
    return out.length
  }
  expect(sizeOf(new Uint8Array(5000).fill(7))).toBe(2)
  expect(sizeOf(Buffer.from('habit'.repeat(500)))).toBeLessThan(40)
  expect(sizeOf(new Random(1).bytes(5000))).toBe(5001)
  expect(sizeOf(new Uint8Array(0))).toBe(2)
})

test('a packet that claims more than its frame can hold is not believed', () => {
  const out = new ByteWriter()
  writePacket(out, Buffer.from('habit'.repeat(500)))
  expect(() => readPacket(new ByteReader(out.view()), 2 ** 26 + 1)).toThrow(Malformed)
  expect(() => readPacket(new ByteReader(out.view()), 2499)).toThrow('zstd frame is not 2499 bytes')
})

test('strings come back, and their lengths cannot claim a gigabyte', () => {
  const random = new Random(2)
  const strings = Array.from({ length: 300 }, () => random.bytes(random.below(40)))
  const out = new ByteWriter()
  writeStrings(
    out,
    Uint32Array.from(strings, (s) => s.length),
    Buffer.concat(strings),
  )
  const { bytes, ends } = readStrings(new ByteReader(out.view()), strings.length)
  strings.forEach((string, i) => {
    expect(Buffer.compare(bytes.subarray(ends[i - 1] ?? 0, ends[i]), string)).toBe(0)
  })
  const lie = new ByteWriter()
  writeStrings(lie, new Uint32Array(300).fill(2 ** 24), new Uint8Array(0))
  expect(() => readStrings(new ByteReader(lie.view()), 300)).toThrow(Malformed)
})

test('strings above one packet come back', () => {
  const big = new Random(3).bytes(5 * 2 ** 20)
  const out = new ByteWriter()
  writeStrings(out, Uint32Array.of(3, big.length - 3), big)
  const { bytes, ends } = readStrings(new ByteReader(out.view()), 2)
  expect(Buffer.compare(bytes, big)).toBe(0)
  expect([...ends]).toEqual([3, big.length])
})

test('zstd frames are the standard ones and are checked before they are opened', () => {
  const bytes = Buffer.from('the quick brown fox '.repeat(100))
  const frame = compress(bytes)
  expect(Buffer.from(frame.subarray(0, 4)).toString('hex')).toBe('28b52ffd')
  expect(Buffer.compare(decompress(frame, bytes.length)!, bytes)).toBe(0)
  expect(decompress(frame, bytes.length + 1)).toBeUndefined()
  expect(decompress(frame.subarray(0, 20), bytes.length)).toBeUndefined()
  expect(decompress(new Uint8Array(0), 5)).toBeUndefined()
})

test('a byte table gives one code to equal bytes through every growth', () => {
  const random = new Random(4)
  const table = new ByteTable()
  const codes = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.oneIn(50) ? random.bytes(100) : Buffer.from(`k${random.below(5000)}`)
    const key = Buffer.from(bytes).toString('hex')
    const code = table.intern(bytes)
    if (codes.has(key)) expect(code).toBe(codes.get(key))
    codes.set(key, code)
  }
  expect(table.size).toBe(codes.size)
  for (const [key, code] of codes) expect(Buffer.from(table.bytes(code)).toString('hex')).toBe(key)
  expect(table.find(Buffer.from('not there'))).toBe(0)
  expect(() => table.bytes(table.size + 1)).toThrow(RangeError)
})
