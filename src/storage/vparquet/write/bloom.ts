/** Owns writing Tempo's bloom filters of trace ids: how many shards there are, and their bytes. */
import { BLOOM_HEADER_BYTES, bitsOf, byteOfBit, shardOf } from '../bloom-hash.js'

const FALSE_POSITIVES = 0.01
/** Tempo's defaults: every shard has this size, however few ids it has. */
const SHARD_BYTES = 100 * 1024
const SHARDS_MAX = 1000
const ID_BYTES = 16

/** The shards over ids of 16 bytes each, back to back. */
export function bloomShards(ids: readonly Uint8Array[]): Uint8Array[] {
  const count = ids.reduce((sum, { length }) => sum + length / ID_BYTES, 0)
  const { bits, hashes } = estimate(count)
  const shardBits = SHARD_BYTES * 8
  const shards = Math.min(SHARDS_MAX, Math.max(1, Math.ceil(bits / shardBits)))
  const blooms = Array.from({ length: shards }, () => emptyShard(BigInt(shardBits), hashes))
  for (const part of ids) {
    for (let at = 0; at < part.length; at += ID_BYTES) {
      const id = part.subarray(at, at + ID_BYTES)
      const bloom = blooms[shardOf(id, shards)]!
      for (const bit of bitsOf(id, BigInt(shardBits), hashes)) {
        bloom[byteOfBit(bit)]! |= 1 << (bit & 7)
      }
    }
  }
  return blooms
}

/** The size that the false positives ask for decides on shards and hashes; a shard's own size is fixed. */
function estimate(count: number): { bits: number; hashes: number } {
  const bits = Math.ceil((-count * Math.log(FALSE_POSITIVES)) / Math.log(2) ** 2)
  return { bits, hashes: Math.ceil((Math.log(2) * bits) / count) }
}

/** m, k and the length of the bit set, then its words. */
function emptyShard(bits: bigint, hashes: number): Uint8Array {
  const bytes = new Uint8Array(BLOOM_HEADER_BYTES + Number(bits / 8n))
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, bits)
  view.setBigUint64(8, BigInt(hashes))
  view.setBigUint64(16, bits)
  return bytes
}
