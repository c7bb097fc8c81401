/** Owns taking a blockpack object apart and putting it together again with right checksums, so that a test can lie in it. */
import { ByteReader, ByteWriter } from '../../../src/storage/block/codec/bytes.js'
import { crc32 } from '../../../src/storage/block/codec/crc32.js'
import { readPacket, writePacket } from '../../../src/storage/block/codec/packet.js'
import {
  TRAILER_BYTES,
  encodeTable,
  readTable,
  type Section,
  type Totals,
} from '../../../src/storage/block/blockpack-container.js'
import {
  readDirectory,
  writeDirectory,
  type ColumnEntry,
  type Directory,
} from '../../../src/storage/block/blockpack-directory.js'
import {
  FIELDS,
  KIND,
  MAGIC,
  MAX_DICTIONARY_STRINGS,
  SECTION,
} from '../../../src/storage/block/blockpack-format.js'
import {
  decodeIndex,
  encodeIndex,
  type GroupEntry,
} from '../../../src/storage/block/blockpack-index.js'
import type { FieldName } from '../../../src/otlp/columns.js'
import { lie } from '../../support/lies.js'
import type { Random } from '../../support/random.js'
import { scramble } from '../../support/scramble.js'

export const PARTS = ['page', 'directory', 'index', 'dictionary', 'filters', 'table'] as const
export type Part = (typeof PARTS)[number]

interface Group {
  entry: GroupEntry
  data: Uint8Array
  directory: Directory
  /** The directory's raw bytes; undefined = to be made from `directory`. */
  raw: Uint8Array | undefined
}

function unpack(data: Uint8Array, section: Omit<Section, 'id'>): Uint8Array {
  const stored = data.subarray(section.offset, section.offset + section.length)
  return readPacket(new ByteReader(stored), section.rawLength).slice()
}

export class Rebuilt {
  readonly totals: Totals
  readonly groups: Group[]
  dictionary: Uint8Array
  readonly filters: Uint8Array | undefined
  index: Uint8Array | undefined
  table: ((bytes: Uint8Array) => void) | undefined
  readonly extra: { id: number; bytes: Uint8Array }[] = []
  version = 1

  constructor(data: Uint8Array) {
    const tableLength = new DataView(data.buffer, data.byteOffset).getUint32(
      data.length - TRAILER_BYTES,
      true,
    )
    const footer = data.subarray(data.length - TRAILER_BYTES - tableLength)
    const { totals, sections } = readTable(footer, 'test', data.length)
    this.totals = totals
    this.dictionary = unpack(data, sections.get(SECTION.dictionary)!)
    const filters = sections.get(SECTION.traceFilters)
    this.filters = filters && unpack(data, filters)
    const entries = decodeIndex(unpack(data, sections.get(SECTION.groups)!), data.length)
    this.groups = entries.map((entry) => {
      const raw = unpack(data, entry.directory)
      const directory = readDirectory(raw, entry.length, MAX_DICTIONARY_STRINGS)
      return {
        entry,
        directory,
        raw: undefined,
        data: data.slice(entry.offset, entry.offset + entry.length),
      }
    })
  }

  mutate(part: Part, random: Random): void {
    const group = random.pick(this.groups)
    switch (part) {
      case 'page': {
        const column = random.pick(group.directory.columns.filter(({ length }) => length > 0))
        scramble(group.data.subarray(column.offset, column.offset + column.length), random)
        break
      }
      case 'directory': {
        const out = new ByteWriter()
        writeDirectory(out, group.directory)
        group.raw = scramble(out.view().slice(), random)
        break
      }
      case 'index':
        this.index = scramble(this.#index(this.groups.map(({ entry }) => entry)), random)
        break
      case 'dictionary':
        scramble(this.dictionary, random)
        break
      case 'filters':
        if (this.filters) scramble(this.filters, random)
        break
      case 'table':
        this.table = (bytes) => void scramble(bytes, random)
    }
  }

  /** One number of what the file says of itself becomes another; answers which. */
  lie(random: Random): string {
    const group = random.pick(this.groups)
    const kind = random.below(3)
    if (kind === 0) return lie(random, this.totals)
    if (kind === 1) {
      // Of the directory's own place no lie is left: it is written anew.
      const entries = this.groups.map(({ entry }) => structuredClone(entry))
      const where = lie(random, entries)
      this.index = this.#index(entries)
      return `index${where}`
    }
    const directory = structuredClone(group.directory)
    const where = lie(random, directory)
    const out = new ByteWriter()
    writeDirectory(out, directory)
    group.raw = out.view().slice()
    return `directory${where}`
  }

  /** Gives a field's column another kind or codec in every group's directory. */
  relabel(field: FieldName, what: 'kind' | 'codec', value: number): void {
    for (const group of this.groups) {
      const isIt = ({ name }: ColumnEntry) => name.kind === 'field' && name.field === field
      const { length, codec } = group.directory.columns.find(isIt)!
      const entry = new ByteWriter()
      entry.varint(length)
      const at = entry.length
      entry.u8(KIND.field)
      entry.varint(FIELDS.findIndex(([name]) => name === field))
      entry.u8(codec)
      const out = new ByteWriter()
      writeDirectory(out, group.directory)
      group.raw = out.view().slice()
      const start = Buffer.from(group.raw).indexOf(entry.view())
      group.raw[start + (what === 'kind' ? at : entry.length - 1)] = value
    }
  }

  #index(entries: readonly GroupEntry[]): Uint8Array {
    const out = new ByteWriter()
    encodeIndex(out, entries)
    return out.view().slice()
  }

  encode(): Uint8Array {
    const out = new ByteWriter()
    out.bytes(MAGIC)
    const offsets = this.groups.map(({ data }) => {
      const offset = out.length
      out.bytes(data)
      return offset
    })
    const entries = this.groups.map((group, i) => this.#group(out, group, offsets[i]!))
    const index = this.index ?? this.#index(entries)
    const sections = [
      section(out, SECTION.groups, index),
      section(out, SECTION.dictionary, this.dictionary),
      ...(this.filters ? [section(out, SECTION.traceFilters, this.filters)] : []),
      ...this.extra.map(({ id, bytes }) => section(out, id, bytes)),
    ]
    const footer = encodeTable(this.totals, sections)
    const table = footer.subarray(0, -TRAILER_BYTES)
    this.table?.(table)
    const trailer = new DataView(footer.buffer, footer.byteOffset + table.length)
    trailer.setUint32(4, crc32(table), true)
    trailer.setUint16(8, this.version, true)
    trailer.setUint32(12, crc32(footer.subarray(table.length, table.length + 12)), true)
    out.bytes(footer)
    return out.view().slice()
  }

  /** Writes the group's directory; returns its entry in the index. */
  #group(out: ByteWriter, { entry, data, directory, raw }: Group, offset: number): GroupEntry {
    const columns = directory.columns.map((column) => {
      let at = column.offset
      const crcs = column.pages.lengths.map((length) => crc32(data.subarray(at, (at += length))))
      return { ...column, pages: { lengths: column.pages.lengths, crcs } }
    })
    const bytes = new ByteWriter()
    writeDirectory(bytes, { ...directory, columns })
    const { offset: at, length, rawLength, crc } = section(out, 0, raw ?? bytes.view())
    const ids = columns[0]!.pages.crcs
    const pages = entry.pages.map((page, p) => ({ ...page, crc: ids[p]! }))
    return { ...entry, offset, directory: { offset: at, length, rawLength, crc }, pages }
  }
}

function section(out: ByteWriter, id: number, raw: Uint8Array): Section {
  const offset = out.length
  writePacket(out, raw)
  const length = out.length - offset
  return { id, offset, length, rawLength: raw.length, crc: crc32(out.view().subarray(offset)) }
}
