/**
 * Owns the coding of whole numbers up to 64 bits: less their least, cut into planes of one byte each, the lowest first.
 * Planes of noise stay raw, planes of habit compress, and planes above the greatest value are not there.
 *
 *     u8 planes (0..8) | u64 base | planes x packet        value = base + planes, modulo 2^64
 *
 * A list of none is no bytes at all.
 */
import type { ByteReader, ByteWriter } from './bytes.js'
import { readPacket, writePacket } from './packet.js'

let scratch = new Uint8Array(1 << 16)

/** Numbers of `lo` and, when given, `hi` halves; `signed` says how they are to be ordered when the least is sought. */
export function writeNumbers(
  out: ByteWriter,
  lo: Uint32Array,
  hi?: Uint32Array,
  signed = false,
): void {
  const count = lo.length
  if (count === 0) return
  const bias = signed ? 0x80000000 : 0
  let minLo = lo[0]!
  let maxLo = minLo
  let minHi = hi ? (hi[0]! ^ bias) >>> 0 : 0
  let maxHi = minHi
  if (hi) {
    for (let i = 1; i < count; i++) {
      const l = lo[i]!
      const h = (hi[i]! ^ bias) >>> 0
      if (h < minHi || (h === minHi && l < minLo)) [minLo, minHi] = [l, h]
      else if (h > maxHi || (h === maxHi && l > maxLo)) [maxLo, maxHi] = [l, h]
    }
  } else {
    for (let i = 1; i < count; i++) {
      const l = lo[i]!
      if (l < minLo) minLo = l
      else if (l > maxLo) maxLo = l
    }
  }
  const rangeHi = maxHi - minHi - (maxLo < minLo ? 1 : 0)
  const planes = rangeHi > 0 ? 4 + widthOf(rangeHi) : widthOf((maxLo - minLo) >>> 0)
  const baseHi = (minHi ^ bias) >>> 0
  out.u8(planes)
  out.u64(minLo, hi ? baseHi : 0)
  if (scratch.length < count) scratch = new Uint8Array(count)
  for (let plane = 0; plane < planes; plane++) {
    if (plane < 4) fillLow(scratch, lo, minLo, 8 * plane)
    else fillHigh(scratch, lo, hi!, minLo, baseHi, 8 * (plane - 4))
    writePacket(out, scratch.subarray(0, count))
  }
}

const widthOf = (value: number): number => (value === 0 ? 0 : 4 - (Math.clz32(value) >>> 3))

function fillLow(target: Uint8Array, lo: Uint32Array, base: number, shift: number): void {
  for (let i = 0; i < lo.length; i++) target[i] = (lo[i]! - base) >>> shift
}

function fillHigh(
  target: Uint8Array,
  lo: Uint32Array,
  hi: Uint32Array,
  baseLo: number,
  baseHi: number,
  shift: number,
): void {
  for (let i = 0; i < lo.length; i++) {
    target[i] = (hi[i]! - baseHi - (lo[i]! < baseLo ? 1 : 0)) >>> shift
  }
}

/** Fills `lo` and `hi` whole, as many numbers as they are long. Without `hi`, a number above 32 bits is malformed. */
export function readNumbers(input: ByteReader, lo: Uint32Array, hi?: Uint32Array): void {
  const count = lo.length
  if (count === 0) return
  const planes = input.u8()
  if (planes > (hi ? 8 : 4)) input.fail(`${planes} byte planes for ${hi ? 64 : 32}-bit numbers`)
  const baseLo = input.u32()
  const baseHi = input.u32()
  if (!hi && baseHi !== 0) input.fail('base is above 32 bits')
  for (let plane = 0; plane < planes; plane++) {
    const bytes = readPacket(input, count)
    const target = plane < 4 ? lo : hi!
    const shift = 8 * (plane & 3)
    if (shift === 0) for (let i = 0; i < count; i++) target[i] = bytes[i]!
    else for (let i = 0; i < count; i++) target[i]! |= bytes[i]! << shift
  }
  if (planes === 0) lo.fill(0)
  if (hi && planes <= 4) hi.fill(0)
  if (baseLo === 0 && baseHi === 0) return
  addBase(lo, hi, baseLo, baseHi)
}

function addBase(
  lo: Uint32Array,
  hi: Uint32Array | undefined,
  baseLo: number,
  baseHi: number,
): void {
  if (!hi) {
    for (let i = 0; i < lo.length; i++) lo[i]! += baseLo
    return
  }
  for (let i = 0; i < lo.length; i++) {
    const sum = lo[i]! + baseLo
    lo[i] = sum
    hi[i] = hi[i]! + baseHi + (sum > 0xffffffff ? 1 : 0)
  }
}

/** Small numbers (codes, counts): `readNumbers` with a bound on each. */
export function readBounded(input: ByteReader, count: number, max: number): Uint32Array {
  const values = new Uint32Array(count)
  readNumbers(input, values)
  for (let i = 0; i < count; i++) {
    if (values[i]! > max) input.fail(`number ${values[i]!} of row ${i} is above its bound ${max}`)
  }
  return values
}
