/**
 * Owns Tempo's sharded bloom filters of trace ids: what bits-and-blooms/bloom v3 makes of them, byte by byte. The reader of
 * another Tempo asks only the shard of an id before it looks into a block.
 */

const FALSE_POSITIVES = 0.01
/** Tempo's defaults: every shard has this size, however few ids it has. */
const SHARD_BYTES = 100 * 1024
const SHARDS_MAX = 1000
const MASK = (1n << 64n) - 1n
const C1 = 0x87c37b91114253d5n
const C2 = 0x4cf5ad432745937fn
const ID_BYTES = 16
const ONE = Uint8Array.of(1)

export const bloomName = (shard: number): string => `bloom-${shard}`

/** The shards over ids of 16 bytes each, back to back. */
export function bloomShards(ids: readonly Uint8Array[]): Uint8Array[] {
  const count = ids.reduce((sum, { length }) => sum + length / ID_BYTES, 0)
  const { bits, hashes } = estimate(count)
  const shardBits = SHARD_BYTES * 8
  const shards = Math.min(SHARDS_MAX, Math.max(1, Math.ceil(bits / shardBits)))
  const blooms = Array.from({ length: shards }, () => new Bloom(shardBits, hashes))
  for (const part of ids) {
    for (let at = 0; at < part.length; at += ID_BYTES) {
      const id = part.subarray(at, at + ID_BYTES)
      blooms[shardOf(id, shards)]!.add(id)
    }
  }
  return blooms.map((bloom) => bloom.bytes)
}

/** FNV-1 (not 1a) of the id. */
export function shardOf(id: Uint8Array, shards: number): number {
  let hash = 0x811c9dc5
  for (const byte of id) hash = Math.imul(hash, 0x01000193) ^ byte
  return (hash >>> 0) % shards
}

function estimate(count: number): { bits: number; hashes: number } {
  const bits = Math.ceil((-count * Math.log(FALSE_POSITIVES)) / Math.log(2) ** 2)
  return { bits, hashes: Math.ceil((Math.log(2) * bits) / count) }
}

class Bloom {
  /** m, k and the length of the bit set, then its words; all big endian. */
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #bits: bigint

  constructor(
    bits: number,
    readonly hashes: number,
  ) {
    this.bytes = new Uint8Array(24 + bits / 8)
    this.#view = new DataView(this.bytes.buffer)
    this.#view.setBigUint64(0, BigInt(bits))
    this.#view.setBigUint64(8, BigInt(hashes))
    this.#view.setBigUint64(16, BigInt(bits))
    this.#bits = BigInt(bits)
  }

  add(id: Uint8Array): void {
    const h = [...murmur128(id), ...murmur128(Buffer.concat([id, ONE]))]
    for (let i = 0; i < this.hashes; i++) {
      const mixed = h[i % 2]! + BigInt(i) * h[2 + ((i + (i % 2)) % 4) / 2]!
      const bit = Number((mixed & MASK) % this.#bits)
      // Words are big endian, bits in a word count from its least.
      const at = 24 + (bit >>> 6) * 8 + 7 - ((bit & 63) >>> 3)
      this.bytes[at]! |= 1 << (bit & 7)
    }
  }
}

const rotl = (x: bigint, r: bigint): bigint => ((x << r) | (x >> (64n - r))) & MASK

function finish(k: bigint): bigint {
  k = ((k ^ (k >> 33n)) * 0xff51afd7ed558ccdn) & MASK
  k = ((k ^ (k >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK
  return k ^ (k >> 33n)
}

/** MurmurHash3 x64 128 with seed 0, of 16 bytes and at most 8 more. */
function murmur128(bytes: Uint8Array): [bigint, bigint] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let h1 = 0n
  let h2 = 0n
  const k1 = view.getBigUint64(0, true)
  const k2 = view.getBigUint64(8, true)
  h1 ^= (rotl((k1 * C1) & MASK, 31n) * C2) & MASK
  h1 = ((rotl(h1, 27n) + h2) * 5n + 0x52dce729n) & MASK
  h2 ^= (rotl((k2 * C2) & MASK, 33n) * C1) & MASK
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
