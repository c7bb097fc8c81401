/**
 * Owns where a trace id stands in Tempo's bloom filters: its shard, and its bits as bits-and-blooms/bloom v3 has them. An
 * object `bloom-N` is m, k and the number of bits as words of 64 bits, big endian, then the bits in words.
 */

export const BLOOM_HEADER_BYTES = 24
const MASK = (1n << 64n) - 1n
const C1 = 0x87c37b91114253d5n
const C2 = 0x4cf5ad432745937fn
const ONE = Uint8Array.of(1)

export const bloomName = (shard: number): string => `bloom-${shard}`
export const isBloomName = (name: string): boolean => /^bloom-\d+$/.test(name)

/** FNV-1 (not 1a) of the id. */
export function shardOf(id: Uint8Array, shards: number): number {
  let hash = 0x811c9dc5
  for (const byte of id) hash = Math.imul(hash, 0x01000193) ^ byte
  return (hash >>> 0) % shards
}

/** The bits of an id of 16 bytes in a filter of `bits` bits with `hashes` hashes. */
export function bitsOf(id: Uint8Array, bits: bigint, hashes: number): number[] {
  const h = [...murmur128(id), ...murmur128(Buffer.concat([id, ONE]))]
  return Array.from({ length: hashes }, (_, i) => {
    const mixed = h[i % 2]! + BigInt(i) * h[2 + ((i + (i % 2)) % 4) / 2]!
    return Number((mixed & MASK) % bits)
  })
}

/** Words are big endian, bits in a word count from its least. */
export const byteOfBit = (bit: number): number =>
  BLOOM_HEADER_BYTES + Math.floor(bit / 64) * 8 + 7 - ((bit % 64) >>> 3)

const rotl = (x: bigint, r: bigint): bigint => ((x << r) | (x >> (64n - r))) & MASK

function finish(k: bigint): bigint {
  k = ((k ^ (k >> 33n)) * 0xff51afd7ed558ccdn) & MASK
  k = ((k ^ (k >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK
  return k ^ (k >> 33n)
}

/** MurmurHash3 x64 128 with seed 0, of 16 bytes and at most 8 more. */
function murmur128(bytes: Uint8Array): [bigint, bigint] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let h1 = (rotl((view.getBigUint64(0, true) * C1) & MASK, 31n) * C2) & MASK
  h1 = (rotl(h1, 27n) * 5n + 0x52dce729n) & MASK
  let h2 = (rotl((view.getBigUint64(8, true) * C2) & MASK, 33n) * C1) & MASK
  h2 = ((rotl(h2, 31n) + h1) * 5n + 0x38495ab5n) & MASK
  let tail = 0n
  for (let i = bytes.length - 1; i >= 16; i--) tail = (tail << 8n) | BigInt(bytes[i]!)
  if (tail !== 0n) h1 ^= (rotl((tail * C1) & MASK, 31n) * C2) & MASK
  const length = BigInt(bytes.length)
  h1 ^= length
  h2 ^= length
  h1 = (h1 + h2) & MASK
  h2 = (h2 + h1) & MASK
  h1 = finish(h1)
  h2 = finish(h2)
  h1 = (h1 + h2) & MASK
  h2 = (h2 + h1) & MASK
  return [h1, h2]
}
