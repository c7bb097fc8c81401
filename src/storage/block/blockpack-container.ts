/**
 * Owns the end of the object: the table of sections and the trailer that says where it is.
 *
 *     "BLKPACK1" | groups' columns | directories | sections | table | trailer
 *     trailer, 24 bytes: u32 table length | u32 table crc | u16 format version | u16 0 | u32 crc of the 12 bytes before | "BLKPACK1"
 */
import { CorruptBlock, UnsupportedBlock } from './encoding.js'
import { ByteReader, ByteWriter, Malformed } from './codec/bytes.js'
import { crc32 } from './codec/crc32.js'
import { readPacket } from './codec/packet.js'
import { FORMAT_VERSION, MAGIC, MAX_SECTION_BYTES } from './blockpack-format.js'

export const TRAILER_BYTES = 24
/** More sections than any version will have. */
const MAX_SECTIONS = 1024

/** A stored piece with its checksum: a packet of `rawLength` bytes. */
export interface Section {
  readonly id: number
  readonly offset: number
  readonly length: number
  readonly rawLength: number
  readonly crc: number
}

export interface Totals {
  readonly spans: number
  readonly traces: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  /** Some strings stand in their columns' pages, not in the dictionary. */
  readonly hasStringsInPlace: boolean
}

export interface Table {
  readonly totals: Totals
  readonly sections: ReadonlyMap<number, Section>
}

/** The table with its trailer, as they stand at the object's end. */
export function encodeTable(totals: Totals, sections: readonly Section[]): Uint8Array {
  const out = new ByteWriter()
  out.varint(totals.spans)
  out.varint(totals.traces)
  out.big(totals.minStart_ns)
  out.big(totals.maxEnd_ns)
  out.u8(totals.hasStringsInPlace ? 1 : 0)
  out.varint(sections.length)
  for (const section of sections) {
    out.varint(section.id)
    writeSection(out, section)
  }
  const { length } = out
  const crc = crc32(out.view())
  out.u32(length)
  out.u32(crc)
  out.u16(FORMAT_VERSION)
  out.u16(0)
  out.u32(crc32(out.view().subarray(length)))
  out.bytes(MAGIC)
  return out.view().slice()
}

export function writeSection(out: ByteWriter, section: Omit<Section, 'id'>): void {
  out.varint(section.offset)
  out.varint(section.length)
  out.varint(section.rawLength)
  out.u32(section.crc)
}

/** `end` is where sections may end at most. */
export function readSection(input: ByteReader, id: number, end: number): Section {
  const offset = input.varint(end)
  const length = input.varint(Math.min(MAX_SECTION_BYTES, end - offset))
  return { id, offset, length, rawLength: input.varint(MAX_SECTION_BYTES), crc: input.u32() }
}

/** Bytes of table and trailer, from the object's last 24 bytes. Throws `CorruptBlock`, `UnsupportedBlock`. */
export function readTrailer(trailer: Uint8Array, blockId: string, size: number): number {
  const at = size - TRAILER_BYTES
  const corrupt = (detail: string) => new CorruptBlock(blockId, 'trailer', at, detail)
  const input = new ByteReader(trailer)
  if (Buffer.compare(trailer.subarray(16), MAGIC) !== 0) throw corrupt('the end of the object is not a blockpack')
  const tableLength = input.u32()
  input.u32()
  const version = input.u16()
  input.u16()
  if (crc32(trailer.subarray(0, 12)) !== input.u32()) throw corrupt('checksum does not match')
  if (version !== FORMAT_VERSION) {
    throw new UnsupportedBlock(blockId, `version ${version} of blockpack`, [`version ${FORMAT_VERSION}`])
  }
  if (tableLength + TRAILER_BYTES + MAGIC.length > size) {
    throw corrupt(`table of ${tableLength} bytes in an object of ${size}`)
  }
  return tableLength + TRAILER_BYTES
} // prettier-ignore

/** Of the object's last bytes, as many as `readTrailer` says. Throws `CorruptBlock`. */
export function readTable(footer: Uint8Array, blockId: string, size: number): Table {
  const bytes = footer.subarray(0, footer.length - TRAILER_BYTES)
  const at = size - footer.length
  const trailer = new ByteReader(footer.subarray(bytes.length + 4))
  if (crc32(bytes) !== trailer.u32()) {
    throw new CorruptBlock(blockId, 'table', at, 'checksum does not match')
  }
  return guarded(blockId, 'table', at, () => {
    const input = new ByteReader(bytes)
    const totals: Totals = {
      spans: input.varint(Number.MAX_SAFE_INTEGER),
      traces: input.varint(Number.MAX_SAFE_INTEGER),
      minStart_ns: input.big(),
      maxEnd_ns: input.big(),
      hasStringsInPlace: input.u8() !== 0,
    }
    const sections = new Map<number, Section>()
    for (let left = input.varint(MAX_SECTIONS); left > 0; left--) {
      const id = input.varint(Number.MAX_SAFE_INTEGER)
      sections.set(id, readSection(input, id, at))
    }
    return { totals, sections }
  })
}

/** A section's raw bytes from its stored ones. Throws `CorruptBlock`. */
export function openSection(
  stored: Uint8Array,
  section: Section,
  blockId: string,
  name: string,
): Uint8Array {
  if (crc32(stored) !== section.crc) {
    throw new CorruptBlock(blockId, name, section.offset, 'checksum does not match')
  }
  return guarded(blockId, name, section.offset, () => {
    const input = new ByteReader(stored)
    const raw = readPacket(input, section.rawLength)
    input.end()
    return raw
  })
}

/** Runs `read`; what it finds malformed becomes `CorruptBlock` at `offset` plus the place in the bytes. */
export function guarded<T>(blockId: string, section: string, offset: number, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new CorruptBlock(blockId, section, offset + error.offset, error.message)
  }
}
