/**
 * Owns the bytes of the write-ahead log: the keys of a segment's LMDB file and the layouts of its values.
 *
 * A segment is one LMDB file with one tree; the first byte of a key says what it is:
 *
 *   01                header     JSON: format version, partition, seq, base offset, time of creation; written first, never again
 *   02                progress   the offset up to which the ring is applied, and the counts that must agree with it
 *   03 | index u32    tenant     block UUID (36 bytes) and name of the tenant with this index
 *   04 | index u64    frame      records, in offset order; frames are numbered 0.. without a hole
 *
 * Key integers are big endian (LMDB sorts keys as bytes), values little endian. One append is one transaction of its frames, its new
 * tenants and `progress`, so that offset and data can never disagree.
 *
 *   PROGRESS   0 applied f64 | 8 frames f64 | 16 records f64 | 24 bytes f64 | 32 tenants u32 | 36 closed u32
 *   FRAME      0 kind u8 | reserved u8 | records u16 | 4 crc32 u32 of all that follows | 8 records
 *   RECORD     0 length u32 | 4 tenant index u32 | 8 start offset f64 | 16 end offset f64 | 24 timestamp_ms f64 | 32 OTLP bytes
 *
 * A frame gathers small records (an LMDB value above half a page has pages of its own, so that a gathered frame neither fills tree pages
 * nor the mapped memory). A record too long for one frame is cut into frames of kind `part`, all but the last, which is `lastPart`.
 */

/**
 * What this program writes. It reads that and the version before, and refuses a newer one. Whoever raises it keeps the recorded folders
 * in test/fixtures/data-folders readable and records one of the new version.
 */
export const FORMAT_VERSION = 1

/** Above this, glibc maps and unmaps each of LMDB's page runs anew: 0.7 ms of CPU per MB at 320 KB, 1.8 ms at 1.3 MB. */
export const FRAME_BYTES = 256 * 1024
/** Far below the 16 MiB from which lmdb-js answers a read with a view on the map instead of a copy. */
export const PART_BYTES = 8 * 1024 * 1024

export const FRAME_HEADER_BYTES = 8
export const RECORD_HEADER_BYTES = 32
export const MAX_FRAME_RECORDS = 0xffff
export const PROGRESS_BYTES = 40
const UUID_BYTES = 36

export const FrameKind = { records: 1, part: 2, lastPart: 3 } as const

const HEADER = 1
const PROGRESS = 2
const TENANT = 3
const FRAME = 4

export const HEADER_KEY = Uint8Array.of(HEADER)
export const PROGRESS_KEY = Uint8Array.of(PROGRESS)

export function tenantKey(index: number): Uint8Array {
  const key = new Uint8Array(5)
  key[0] = TENANT
  new DataView(key.buffer).setUint32(1, index)
  return key
}

export function frameKey(index: number): Uint8Array {
  const key = new Uint8Array(9)
  key[0] = FRAME
  const view = new DataView(key.buffer)
  view.setUint32(1, Math.floor(index / 2 ** 32))
  view.setUint32(5, index >>> 0)
  return key
}

export interface SegmentHeader {
  format: number
  partition: number
  seq: number
  baseOffset: number
  createdAt_ms: number
}

export function encodeHeader(header: SegmentHeader): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(header))
}

/** The header, or undefined when the bytes are none. Only `format` is sure to be understood when it is newer than ours. */
export function decodeHeader(bytes: Uint8Array): SegmentHeader | undefined {
  try {
    const header = JSON.parse(new TextDecoder().decode(bytes)) as SegmentHeader
    return Number.isInteger(header.format) && header.format > 0 ? header : undefined
  } catch {
    return undefined
  }
}

/** What a segment holds so far; committed in the same transaction as what it counts. */
export interface Progress {
  appliedOffset: number
  frameCount: number
  recordCount: number
  /** OTLP bytes, without headers. */
  size_bytes: number
  tenantCount: number
  closed: boolean
}

export function encodeProgress(progress: Progress): Uint8Array {
  const bytes = new Uint8Array(PROGRESS_BYTES)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, progress.appliedOffset, true)
  view.setFloat64(8, progress.frameCount, true)
  view.setFloat64(16, progress.recordCount, true)
  view.setFloat64(24, progress.size_bytes, true)
  view.setUint32(32, progress.tenantCount, true)
  view.setUint32(36, progress.closed ? 1 : 0, true)
  return bytes
}

export function decodeProgress(bytes: Uint8Array): Progress | undefined {
  if (bytes.length < PROGRESS_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    appliedOffset: view.getFloat64(0, true),
    frameCount: view.getFloat64(8, true),
    recordCount: view.getFloat64(16, true),
    size_bytes: view.getFloat64(24, true),
    tenantCount: view.getUint32(32, true),
    closed: view.getUint32(36, true) === 1,
  }
}

export interface TenantBlock {
  tenant: string
  blockId: string
}

export function encodeTenant(entry: TenantBlock): Uint8Array {
  return new TextEncoder().encode(entry.blockId + entry.tenant)
}

export function decodeTenant(bytes: Uint8Array): TenantBlock {
  const text = new TextDecoder().decode(bytes)
  return { blockId: text.slice(0, UUID_BYTES), tenant: text.slice(UUID_BYTES) }
}

/** True for the canonical text of a UUID, which is what `encodeTenant` can hold. */
export function isUuid(text: string): boolean {
  return text.length === UUID_BYTES && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
}
