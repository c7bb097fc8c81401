/**
 * Owns the coding of byte strings that seldom repeat: their lengths as numbers, then their bytes in packets of at most 4 MiB.
 *
 *     numbers lengths[count] | packet ...
 */
import type { ByteReader, ByteWriter } from './bytes.js'
import { readNumbers, writeNumbers } from './planes.js'
import { readPacket, writePacket } from './packet.js'

const PACKET_BYTES = 4 * 2 ** 20
/** A page's strings together. */
export const MAX_STRINGS_BYTES = 2 ** 30

/** Strings back to back: string i is bytes[ends[i-1]..ends[i]), the first from 0. */
export interface Strings {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

export function writeStrings(out: ByteWriter, lengths: Uint32Array, bytes: Uint8Array): void {
  writeNumbers(out, lengths)
  for (let at = 0; at < bytes.length; at += PACKET_BYTES) {
    writePacket(out, bytes.subarray(at, at + PACKET_BYTES))
  }
}

export function readStrings(input: ByteReader, count: number): Strings {
  const ends = new Uint32Array(count)
  readNumbers(input, ends)
  let total = 0
  for (let i = 0; i < count; i++) {
    total += ends[i]!
    if (total > MAX_STRINGS_BYTES) input.fail(`strings are above ${MAX_STRINGS_BYTES} bytes`)
    ends[i] = total
  }
  if (total <= PACKET_BYTES)
    return { bytes: total > 0 ? readPacket(input, total) : new Uint8Array(0), ends }
  // Packets first, the whole after: a length alone must not be able to claim a gigabyte.
  const packets: Uint8Array[] = []
  for (let at = 0; at < total; at += PACKET_BYTES) {
    packets.push(readPacket(input, Math.min(PACKET_BYTES, total - at)))
  }
  return { bytes: Buffer.concat(packets), ends }
}
