/** Owns what stands beside the data for finding a trace: blooms, which say that it is not there, and `index`, the last id of each row group. */
import { Malformed } from '../../block/codec/bytes.js'
import { BLOOM_HEADER_BYTES, bitsOf, byteOfBit } from '../bloom-hash.js'

/** Bits that an id has; Tempo's own filters have seven. */
const MAX_HASHES = 64
const MAX_FILTER_BITS = 2 ** 33

/** False only when the id is certainly not among those that the filter was made of. Throws `Malformed`. */
export function bloomMayHave(bloom: Uint8Array, id: Uint8Array): boolean {
  if (bloom.length < BLOOM_HEADER_BYTES) throw new Malformed(0, `a filter of ${bloom.length} bytes`)
  const view = new DataView(bloom.buffer, bloom.byteOffset, bloom.byteLength)
  const bits = view.getBigUint64(0)
  const hashes = view.getBigUint64(8)
  const stored = view.getBigUint64(16)
  const room = BigInt(bloom.length - BLOOM_HEADER_BYTES) * 8n
  if (bits === 0n || bits > stored || stored > room || bits > MAX_FILTER_BITS || hashes > MAX_HASHES) {
    throw new Malformed(0, `a filter of ${bits} bits with ${hashes} hashes in ${bloom.length} bytes`)
  }
  return bitsOf(id, bits, Number(hashes)).every((bit) => ((bloom[byteOfBit(bit)]! >>> (bit & 7)) & 1) === 1)
} // prettier-ignore

/** The last trace id of each row group. Throws `Malformed`. */
export function parseIndex(bytes: Uint8Array): Uint8Array[] {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    throw new Malformed(0, 'is no JSON')
  }
  const groups = typeof json === 'object' && json !== null && 'rowGroups' in json && json.rowGroups
  if (!Array.isArray(groups)) throw new Malformed(0, 'has no rowGroups')
  return groups.map((id: unknown) => {
    if (typeof id !== 'string') throw new Malformed(0, 'an id is no text')
    return Buffer.from(id, 'base64')
  })
}
