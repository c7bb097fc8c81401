/** Owns telling what a blockpack consists of: its sections, groups and columns, from the table, the index and the directories. */
import type { AttributeKey } from '../../otlp/columns.js'
import type { BackendReader } from '../backend/backend.js'
import { objectPath } from './meta.js'
import { compareBytes } from '../../lib/bytes.js'
import {
  shownBytes,
  type BlockAnatomy,
  type ColumnAnatomy,
  type GroupAnatomy,
  type SectionAnatomy,
} from './anatomy.js'
import { TRAILER_BYTES, guarded, openSection, readTable, readTrailer } from './blockpack-container.js' // prettier-ignore
import { BlockDictionary } from './blockpack-dictionary.js'
import { readDirectory, type ColumnEntry, type Directory } from './blockpack-directory.js'
import { CODEC, DATA_OBJECT, MAGIC, SECTION, columnText, levelOfColumn } from './blockpack-format.js' // prettier-ignore
import { decodeIndex, type GroupEntry } from './blockpack-index.js'
import { RangeReader } from './blockpack-ranges.js'
import { CorruptBlock, type BlockMeta } from './encoding.js'

const SECTION_NAMES = new Map<number, string>(
  Object.entries(SECTION).map(([name, id]) => [id, name]),
)
const CODEC_NAMES = new Map<number, string>(Object.entries(CODEC).map(([name, code]) => [code, name])) // prettier-ignore
const TIME_FIELDS: ReadonlySet<string> = new Set([
  'trace.start',
  'trace.end',
  'span.start',
  'event.time',
])

/** Every checksum on the way is looked at. Throws `CorruptBlock`, `UnsupportedBlock`. */
export async function blockpackAnatomy(
  meta: BlockMeta,
  backend: BackendReader,
): Promise<BlockAnatomy> {
  const { blockID: blockId, size } = meta
  const ranges = new RangeReader(backend, objectPath(meta.tenantID, blockId, DATA_OBJECT), blockId, size) // prettier-ignore
  if (size < MAGIC.length + TRAILER_BYTES) {
    throw new CorruptBlock(blockId, 'trailer', 0, `an object of ${size} bytes is too short`)
  }
  const magic = await ranges.read(0, MAGIC.length)
  if (compareBytes(magic, MAGIC) !== 0) {
    throw new CorruptBlock(blockId, 'object', 0, 'it does not begin as a blockpack does')
  }
  const trailer = await ranges.read(size - TRAILER_BYTES, TRAILER_BYTES)
  const footerLength = readTrailer(trailer, blockId, size)
  const table = readTable(await ranges.read(size - footerLength, footerLength), blockId, size)
  const raw = new Map<number, Uint8Array>()
  const sections: SectionAnatomy[] = []
  for (const section of table.sections.values()) {
    const name = SECTION_NAMES.get(section.id) ?? `section ${section.id}`
    const { offset, length, rawLength } = section
    const bytes = openSection(await ranges.read(offset, length), section, blockId, name)
    if (section.id === SECTION.groups || section.id === SECTION.dictionary) raw.set(section.id, bytes) // prettier-ignore
    sections.push({ name, offset, stored_bytes: length, raw_bytes: rawLength })
  }
  const sectionBytes = (id: number, name: string): Uint8Array => {
    const bytes = raw.get(id)
    if (bytes) return bytes
    throw new CorruptBlock(blockId, 'table', size - footerLength, `section ${id} (${name}) is missing`) // prettier-ignore
  }
  const index = sectionBytes(SECTION.groups, 'index')
  const groups = guarded(blockId, 'index', 0, () => decodeIndex(index, size - footerLength))
  const strings = sectionBytes(SECTION.dictionary, 'dictionary').slice()
  const dictionary = guarded(blockId, 'dictionary', 0, () => new BlockDictionary(strings, true))
  const footer = { name: 'table and trailer', offset: size - footerLength, stored_bytes: footerLength, raw_bytes: footerLength } // prettier-ignore
  return {
    createdBy: undefined,
    sections: [...containers(groups), ...sections, footer].sort((a, b) => a.offset - b.offset),
    groupCount: groups.length,
    group: async (i) => {
      const entry = groups[i]
      if (!entry) throw new RangeError(`group ${i} is not in 0..${groups.length - 1}`)
      const section = { id: 0, ...entry.directory }
      const stored = await ranges.read(section.offset, section.length)
      const bytes = openSection(stored, section, blockId, 'directory')
      const directory = guarded(blockId, 'directory', section.offset, () =>
        readDirectory(bytes, entry.length, dictionary.stored),
      )
      return groupAnatomy(i, entry, directory, dictionary)
    },
  }
}

function containers(groups: readonly GroupEntry[]): SectionAnatomy[] {
  const whole = (name: string, parts: readonly { offset: number; length: number }[], raw?: number) => {
    const stored_bytes = parts.reduce((sum, { length }) => sum + length, 0)
    return { name, offset: parts[0]?.offset ?? MAGIC.length, stored_bytes, raw_bytes: raw }
  } // prettier-ignore
  const directories = groups.map(({ directory }) => directory)
  const raw = directories.reduce((sum, { rawLength }) => sum + rawLength, 0)
  return [whole('columns', groups), whole('directories', directories, raw)]
}

function groupAnatomy(
  index: number,
  entry: GroupEntry,
  directory: Directory,
  dictionary: BlockDictionary,
): GroupAnatomy {
  return {
    index,
    offset: entry.offset,
    stored_bytes: entry.length,
    spans: entry.spans,
    traces: directory.counts.trace,
    minStart_ns: entry.minStart_ns,
    maxEnd_ns: entry.maxEnd_ns,
    columns: directory.columns.map((column) => columnAnatomy(column, directory, dictionary)),
  }
}

function columnAnatomy(
  entry: ColumnEntry,
  { counts }: Directory,
  dictionary: BlockDictionary,
): ColumnAnatomy {
  const { name, codes, length } = entry
  const level = levelOfColumn(name)
  const codec = CODEC_NAMES.get(entry.codec) ?? String(entry.codec)
  const pages = entry.pages.lengths.length
  return {
    name: columnText(name),
    level,
    attribute: name.kind === 'attribute' ? name.key : undefined,
    values: counts[level],
    nulls: entry.mask === undefined ? 0 : undefined,
    stored_bytes: length,
    raw_bytes: undefined,
    codec: `${codec}, ${pages} ${pages === 1 ? 'page' : 'pages'}`,
    distinct: codes?.length,
    ...(codes ? textBounds(codes, dictionary) : numberBounds(entry)),
    isTime: name.kind === 'field' && TIME_FIELDS.has(name.field),
  }
}

type Bounds = Pick<ColumnAnatomy, 'min' | 'max'>

function textBounds(codes: Uint32Array, dictionary: BlockDictionary): Bounds {
  let min: Uint8Array | undefined
  let max: Uint8Array | undefined
  for (const code of codes) {
    const bytes = dictionary.bytes(code)
    if (!min || compareBytes(bytes, min) < 0) min = bytes
    if (!max || compareBytes(bytes, max) > 0) max = bytes
  }
  return { min: min && shownBytes(min), max: max && shownBytes(max) }
}

function numberBounds({ name, range }: ColumnEntry): Bounds {
  if (!range) return { min: undefined, max: undefined }
  const value = (bits: bigint) =>
    name.kind === 'attribute' ? attributeNumber(name.key, bits) : bits
  return { min: value(range.min), max: value(range.max) }
}

/** Integers are signed; doubles stand by their bits. */
function attributeNumber({ type }: AttributeKey, bits: bigint): bigint | number {
  if (type !== 'float') return BigInt.asIntN(64, bits)
  return new Float64Array(BigUint64Array.of(bits).buffer)[0]!
}
