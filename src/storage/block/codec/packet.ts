/**
 * Owns the packet, blockpack's smallest stored unit: bytes whose length the reader knows, kept in the cheapest of three ways.
 *
 *     u8 0 | u8 value                        every byte is `value`
 *     u8 1 | bytes                           as they are: random, or too few to be worth a frame
 *     u8 2 | varint length | zstd frame      a frame that states its content size
 */
import { compress, decompress } from '../zstd.js'
import type { ByteReader, ByteWriter } from './bytes.js'

const SAME = 0
const RAW = 1
const ZSTD = 2

/** Below this a zstd frame with its header seldom wins. */
const MIN_ZSTD_BYTES = 24
/** Order-0 entropy above this many bits a byte is called random and stored raw, without asking zstd. */
const RANDOM_BITS = 7.85
const MIN_RANDOM_BYTES = 1024
/** A packet's bound, so that no length in a file can ask for more memory at once. */
export const MAX_PACKET_BYTES = 64 * 2 ** 20
/** zstd makes at most 128 KiB of a 4-byte block. */
const MAX_ZSTD_RATIO = 32_768

const histogram = new Uint32Array(256)

export function writePacket(out: ByteWriter, bytes: Uint8Array): void {
  if (isSame(bytes)) {
    out.u8(SAME)
    out.u8(bytes[0] ?? 0)
    return
  }
  if (bytes.length >= MIN_ZSTD_BYTES && !looksRandom(bytes)) {
    const frame = compress(bytes)
    if (frame.length + 2 < bytes.length) {
      out.u8(ZSTD)
      out.varint(frame.length)
      out.bytes(frame)
      return
    }
  }
  out.u8(RAW)
  out.bytes(bytes)
}

/** The packet's `length` bytes; may be a view of the source. */
export function readPacket(input: ByteReader, length: number): Uint8Array {
  if (length > MAX_PACKET_BYTES)
    input.fail(`packet of ${length} bytes is above ${MAX_PACKET_BYTES}`)
  const method = input.u8()
  if (method === SAME) return new Uint8Array(length).fill(input.u8())
  if (method === RAW) return input.bytes(length)
  if (method !== ZSTD) input.fail(`packet method ${method} is unknown`)
  const frame = input.bytes(input.varint(MAX_PACKET_BYTES))
  if (length > frame.length * MAX_ZSTD_RATIO)
    input.fail(`packet of ${length} bytes in ${frame.length}`)
  return decompress(frame, length) ?? input.fail(`zstd frame is not ${length} bytes`)
}

function isSame(bytes: Uint8Array): boolean {
  const first = bytes[0]
  for (let i = 1; i < bytes.length; i++) if (bytes[i] !== first) return false
  return true
}

function looksRandom(bytes: Uint8Array): boolean {
  if (bytes.length < MIN_RANDOM_BYTES) return false
  histogram.fill(0)
  for (let i = 0; i < bytes.length; i++) histogram[bytes[i]!]!++
  let bits = 0
  for (let i = 0; i < 256; i++) {
    const count = histogram[i]!
    if (count > 0) bits -= count * Math.log2(count / bytes.length)
  }
  // A sample of n random bytes over 256 values seems to have about 184/n bits a byte less than eight.
  return bits / bytes.length > RANDOM_BITS - 184 / bytes.length
}
