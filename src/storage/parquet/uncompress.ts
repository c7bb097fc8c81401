/** Owns the codecs of pages, for reading: what a page may grow to is judged before memory is taken for it. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { decompress as decompressZstd } from '../block/zstd.js'
import { Malformed } from '../block/codec/bytes.js'
import { CODEC, type Codec } from './metadata.js'
import { uncompressLz4 } from './read-lz4.js'
import { uncompressSnappy } from './read-snappy.js'

/** A page of a dictionary may be as large as a row group's strings. */
export const MAX_PAGE_BYTES = 256 * 2 ** 20
/** Any page may be this large; a larger one must not be stored in a tiny fraction of it. */
const FREE_PAGE_BYTES = 16 * 2 ** 20
const MAX_GROWTH = 256

/** Exactly `length` bytes. Throws `Malformed`. */
export function uncompress(codec: Codec, stored: Uint8Array, length: number): Uint8Array {
  if (codec === CODEC.UNCOMPRESSED) {
    if (stored.length !== length) {
      throw new Malformed(0, `${stored.length} bytes where ${length} belong`)
    }
    return stored
  }
  if (length > MAX_PAGE_BYTES || (length > FREE_PAGE_BYTES && length > stored.length * MAX_GROWTH)) {
    throw new Malformed(0, `a page of ${stored.length} bytes that says it holds ${length}`)
  }
  if (length === 0) return new Uint8Array(0)
  switch (codec) {
    case CODEC.SNAPPY:
      return filled(length, (out) => {
        uncompressSnappy(stored, out)
      })
    case CODEC.LZ4_RAW:
      return filled(length, (out) => {
        uncompressLz4(stored, out)
      })
    case CODEC.GZIP:
      return whole('gzip', length, () => gunzipSync(stored, { maxOutputLength: length }))
    case CODEC.BROTLI:
      return whole('brotli', length, () => brotliDecompressSync(stored, { maxOutputLength: length }))
    case CODEC.ZSTD:
      return whole('zstd', length, () => decompressZstd(stored, length))
    default:
      throw new Malformed(0, `codec ${codec} is not known`)
  }
} // prettier-ignore

function filled(length: number, fill: (out: Uint8Array) => void): Uint8Array {
  const out = new Uint8Array(length)
  fill(out)
  return out
}

function whole(name: string, length: number, make: () => Uint8Array | undefined): Uint8Array {
  let out: Uint8Array | undefined
  try {
    out = make()
  } catch {
    // Node's reasons differ by version; the place says more than they do.
  }
  if (out?.length !== length) throw new Malformed(0, `${name}: does not hold ${length} bytes`)
  return out
}
