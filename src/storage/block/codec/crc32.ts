/** Owns CRC-32 (IEEE, as zlib and PNG have it): Node's own where there is one, a table otherwise. */
import * as zlib from 'node:zlib'

type Crc32 = (bytes: Uint8Array) => number

const TABLES = makeTables()

/** Slices of 8: eight tables let the loop take eight bytes a turn. */
function makeTables(): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256))
  for (let i = 0; i < 256; i++) {
    let c = i
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
    tables[0]![i] = c
  }
  for (let t = 1; t < 8; t++) {
    for (let i = 0; i < 256; i++) {
      const c = tables[t - 1]![i]!
      tables[t]![i] = (c >>> 8) ^ tables[0]![c & 255]!
    }
  }
  return tables
}

export const tableCrc32: Crc32 = (bytes) => {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Uint32Array, Uint32Array, Uint32Array, Uint32Array,
    Uint32Array, Uint32Array, Uint32Array, Uint32Array,
  ] // prettier-ignore
  let c = -1
  let i = 0
  for (const end = bytes.length - 7; i < end; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    c =
      t7[c & 255]! ^ t6[(c >>> 8) & 255]! ^ t5[(c >>> 16) & 255]! ^ t4[c >>> 24]! ^
      t3[bytes[i + 4]!]! ^ t2[bytes[i + 5]!]! ^ t1[bytes[i + 6]!]! ^ t0[bytes[i + 7]!]! // prettier-ignore
  }
  for (; i < bytes.length; i++) c = (c >>> 8) ^ t0[(c ^ bytes[i]!) & 255]!
  return ~c >>> 0
}

/** From Node 20.15 on; the types of Node 20 may not list it. */
const nodeCrc32 = (zlib as unknown as { crc32?: Crc32 }).crc32

export const crc32: Crc32 = nodeCrc32 ? (bytes) => nodeCrc32(bytes) : tableCrc32
