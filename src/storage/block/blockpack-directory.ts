/** Owns the directory of a group: its tables' sizes, its pages, and each column's place, codec and what is known of it unread. */
import type { Level } from '../../otlp/columns.js'
import { ByteReader, ByteWriter } from './codec/bytes.js'
import {
  CODEC,
  FIELDS,
  KIND,
  LEVELS,
  MAX_COLUMNS,
  MAX_DICTIONARY_STRINGS,
  MAX_KEY_BYTES,
  MAX_PAGES,
  MAX_ROWS,
  MAX_ROWS_PER_BYTE,
  PAGED,
  STRUCTURES,
  TYPES,
  columnText,
  levelOfColumn,
} from './blockpack-format.js'
import type { Codec, ColumnName } from './blockpack-format.js'

/** Length and checksum of each page of a column, in order. */
export interface Pages {
  readonly lengths: Uint32Array
  readonly crcs: Uint32Array
}

/** 64-bit words of the least and greatest value: integers as they are, doubles by their bits. */
export interface Range {
  readonly min: bigint
  readonly max: bigint
}

export interface ColumnEntry {
  readonly name: ColumnName
  readonly codec: Codec
  /** Which mask says the rows that have a value; undefined = all rows. */
  readonly mask: number | undefined
  /** Codes of the block's dictionary that occur, ascending; a row stores an index into it. */
  readonly codes: Uint32Array | undefined
  readonly range: Range | undefined
  readonly pages: Pages
  /** Of the first page, from the start of the group; filled by the reader. */
  readonly offset: number
  readonly length: number
}

export interface Directory {
  readonly counts: Record<Level, number>
  /** First row of each page and the end, for the tables that are cut into pages. */
  readonly pageRows: Readonly<Record<Level, Uint32Array>>
  readonly pageCount: number
  readonly columns: readonly ColumnEntry[]
}

const FLAG_MASK = 1
const FLAG_CODES = 2
const FLAG_RANGE = 4
const CODECS: ReadonlySet<number> = new Set(Object.values(CODEC))

export function writeDirectory(out: ByteWriter, directory: Directory): void {
  for (const level of LEVELS) out.varint(directory.counts[level])
  out.varint(directory.pageCount)
  for (const level of PAGED) {
    const rows = directory.pageRows[level]
    for (let p = 0; p < directory.pageCount; p++) out.varint(rows[p + 1]! - rows[p]!)
  }
  out.varint(directory.columns.length)
  const entry = new ByteWriter(256)
  for (const column of directory.columns) {
    entry.clear()
    writeEntry(entry, column)
    out.varint(entry.length)
    out.bytes(entry.view())
  }
}

function writeEntry(out: ByteWriter, column: ColumnEntry): void {
  out.varint(column.length)
  writeName(out, column.name)
  out.u8(column.codec)
  const { mask, codes, range } = column
  out.u8((mask === undefined ? 0 : FLAG_MASK) | (codes ? FLAG_CODES : 0) | (range ? FLAG_RANGE : 0))
  if (mask !== undefined) out.varint(mask)
  if (codes) {
    out.varint(codes.length)
    for (let i = 0, before = 0; i < codes.length; i++) {
      out.varint(codes[i]! - before)
      before = codes[i]!
    }
  }
  if (range) {
    out.big(range.min)
    out.big(range.max)
  }
  for (const [p, length] of column.pages.lengths.entries()) {
    out.varint(length)
    out.u32(column.pages.crcs[p]!)
  }
}

function writeName(out: ByteWriter, name: ColumnName): void {
  out.u8(KIND[name.kind])
  switch (name.kind) {
    case 'structure':
      out.varint(STRUCTURES.indexOf(name.structure))
      break
    case 'field':
      out.varint(FIELDS.findIndex(([field]) => field === name.field))
      break
    case 'mask':
      out.varint(LEVELS.indexOf(name.level))
      break
    case 'attribute': {
      const key = Buffer.from(name.key.key)
      out.u8(LEVELS.indexOf(name.key.level))
      out.u8(TYPES.indexOf(name.key.type))
      out.varint(key.length)
      out.bytes(key)
    }
  }
}

/** Throws `Malformed`. `groupLength` is the bytes of the group's columns, `dictionarySize` the greatest code. */
export function readDirectory(
  bytes: Uint8Array,
  groupLength: number,
  dictionarySize: number,
): Directory {
  const input = new ByteReader(bytes)
  const maxRows = Math.min(MAX_ROWS, groupLength * MAX_ROWS_PER_BYTE)
  const counts = {} as Record<Level, number>
  for (const level of LEVELS) counts[level] = input.varint(maxRows)
  // Ids are stored as they are, so these tables cannot be larger than the bytes they stand on.
  if (counts.span * 8 + counts.trace * 16 > groupLength) {
    input.fail(`${counts.span} spans of ${counts.trace} traces in ${groupLength} bytes`)
  }
  if (counts.resource > counts.span || counts.scope > counts.span) input.fail('more resources or scopes than spans') // prettier-ignore
  if (counts.span > 0 && (counts.resource === 0 || counts.scope === 0)) input.fail('spans without a resource or a scope') // prettier-ignore
  const pageCount = input.varint(MAX_PAGES)
  const pageRows = {} as Record<Level, Uint32Array>
  for (const level of LEVELS) {
    pageRows[level] = PAGED.includes(level)
      ? readPageRows(input, pageCount, counts[level])
      : Uint32Array.of(0, counts[level])
  }
  const columnCount = input.varint(MAX_COLUMNS)
  const columns: ColumnEntry[] = []
  let offset = 0
  for (let i = 0; i < columnCount; i++) {
    const entry = new ByteReader(input.bytes(input.varint(bytes.length)))
    const length = entry.varint(groupLength - offset)
    const column = readEntry(entry, pageCount, offset, length, dictionarySize)
    if (column) columns.push(column)
    offset += length
  }
  input.end()
  return { counts, pageRows, pageCount, columns }
}

function readPageRows(input: ByteReader, pageCount: number, total: number): Uint32Array {
  const rows = new Uint32Array(pageCount + 1)
  for (let p = 0; p < pageCount; p++) rows[p + 1] = rows[p]! + input.varint(total - rows[p]!)
  if (rows[pageCount] !== total) input.fail(`pages have ${rows[pageCount]!} rows of ${total}`)
  return rows
}

/** Undefined for a kind or field that a later writer has added: it is skipped. A codec cannot be: the values would be lost. */
function readEntry(
  input: ByteReader,
  pageCount: number,
  offset: number,
  length: number,
  dictionarySize: number,
): ColumnEntry | undefined {
  const name = readName(input)
  if (!name) return undefined
  const codec = input.u8()
  const flags = input.u8()
  if (!CODECS.has(codec)) input.fail(`codec ${codec} of ${columnText(name)} is unknown: it needs a newer tempo-actors`) // prettier-ignore
  const mask = flags & FLAG_MASK ? input.varint(MAX_COLUMNS) : undefined
  const codes = flags & FLAG_CODES ? readCodes(input, dictionarySize) : undefined
  const range = flags & FLAG_RANGE ? { min: input.big(), max: input.big() } : undefined
  const count = PAGED.includes(levelOfColumn(name)) ? pageCount : 1
  const pages: Pages = { lengths: new Uint32Array(count), crcs: new Uint32Array(count) }
  let total = 0
  for (let p = 0; p < count; p++) {
    total += pages.lengths[p] = input.varint(length - total)
    pages.crcs[p] = input.u32()
  }
  if (total !== length) input.fail(`pages of ${total} bytes in a column of ${length}`)
  input.end()
  return { name, codec: codec as Codec, mask, codes, range, pages, offset, length }
}

function readCodes(input: ByteReader, dictionarySize: number): Uint32Array {
  const count = input.varint(Math.min(MAX_DICTIONARY_STRINGS, input.remaining))
  const codes = new Uint32Array(count)
  for (let i = 0, before = 0; i < count; i++) {
    before += input.varint(dictionarySize - before)
    if (before === 0) input.fail('code 0 in a code set')
    codes[i] = before
  }
  return codes
}

function readName(input: ByteReader): ColumnName | undefined {
  const kind = input.u8()
  switch (kind) {
    case KIND.structure: {
      const structure = STRUCTURES[input.varint(255)]
      return structure && { kind: 'structure', structure }
    }
    case KIND.field: {
      const field = FIELDS[input.varint(65_535)]?.[0]
      return field && { kind: 'field', field }
    }
    case KIND.mask: {
      const level = LEVELS[input.varint(255)]
      return level && { kind: 'mask', level }
    }
    case KIND.attribute: {
      const level = LEVELS[input.u8()]
      const type = TYPES[input.u8()]
      const key = Buffer.from(input.bytes(input.varint(MAX_KEY_BYTES))).toString()
      if (!level || level === 'trace' || !type) return undefined
      return { kind: 'attribute', key: { level, key, type } }
    }
    default:
      return undefined
  }
}
