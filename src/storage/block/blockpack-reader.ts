/** Owns opening a block: its trailer, table, index and dictionary; groups are read when asked for. */
import { ownBytes } from '../../lib/own-bytes.js'
import type { ColumnSource, RowGroup, TraceFilter } from '../../otlp/columns.js'
import type { BackendReader } from '../backend/backend.js'
import { crc32 } from './codec/crc32.js'
import {
  TRAILER_BYTES,
  guarded,
  openSection,
  readTable,
  readTrailer,
  type Section,
  type Totals,
} from './blockpack-container.js'
import { BlockDictionary } from './blockpack-dictionary.js'
import { readDirectory, type Directory } from './blockpack-directory.js'
import { DATA_OBJECT, MAGIC, SECTION } from './blockpack-format.js'
import { BlockGroup } from './blockpack-group.js'
import { TraceIndex, decodeIndex, findId, type GroupEntry } from './blockpack-index.js'
import { RangeReader } from './blockpack-ranges.js'
import { ByteReader, Malformed } from './codec/bytes.js'
import { CorruptBlock, type BlockMeta } from './encoding.js'
import { objectPath } from './meta.js'
import { decodeFilters } from './trace-filter.js'

/** The first read from the end: has the index and dictionary of most blocks in it. */
const TAIL_BYTES = 128 * 1024
/** Directories kept parsed, so that a second question about a group does not read its directory again. */
const KEPT_DIRECTORIES = 4
/** What a parsed directory, and an entry of the index, take about. */
const KEPT_DIRECTORY_BYTES = 64 * 1024
const KEPT_PAGE_BYTES = 160
const ID_BYTES = 16
/** Strings taken from pages after which new groups start a new dictionary, so that a long scan does not collect the block. */
const MAX_INTERNED_BYTES = 4 * 2 ** 20

interface Opened {
  readonly meta: BlockMeta
  readonly ranges: RangeReader
  readonly totals: Totals
  readonly groups: readonly GroupEntry[]
  /** The dictionary's section, from which each generation starts. */
  readonly strings: Uint8Array
  /** Absent in blocks written before there were any. */
  readonly filters: Section | undefined
}

export async function openBlockpack(meta: BlockMeta, backend: BackendReader): Promise<ColumnSource> {
  const { blockID: blockId, size } = meta
  const ranges = new RangeReader(backend, objectPath(meta.tenantID, blockId, DATA_OBJECT), blockId, size)
  if (size < MAGIC.length + TRAILER_BYTES) {
    throw new CorruptBlock(blockId, 'trailer', 0, `an object of ${size} bytes is too short`)
  }
  const tailLength = Math.min(size, Math.max(TAIL_BYTES, meta.footerSize))
  const tailAt = size - tailLength
  const tail = await ranges.read(tailAt, tailLength)
  const footerLength = readTrailer(tail.subarray(-TRAILER_BYTES), blockId, size)
  const footer =
    footerLength <= tailLength
      ? tail.subarray(tailLength - footerLength)
      : await ranges.read(size - footerLength, footerLength)
  const { totals, sections } = readTable(footer, blockId, size)
  const load = async (id: number, name: string): Promise<Uint8Array> => {
    const section = sections.get(id)
    if (!section) throw new CorruptBlock(blockId, 'table', size - footerLength, `section ${id} (${name}) is missing`)
    const { offset, length } = section
    const stored = offset >= tailAt ? tail.subarray(offset - tailAt, offset - tailAt + length) : await ranges.read(offset, length)
    // What is kept must not keep the tail with it.
    return ownBytes(openSection(stored, section, blockId, name))
  }
  const [index, strings] = await Promise.all([load(SECTION.groups, 'index'), load(SECTION.dictionary, 'dictionary')])
  const groups = guarded(blockId, 'index', sections.get(SECTION.groups)!.offset, () => decodeIndex(index, size - footerLength))
  const filters = sections.get(SECTION.traceFilters)
  const source = new BlockpackSource({ meta, ranges, totals, groups, strings, filters })
  source.check(sections.get(SECTION.groups)!)
  return source
} // prettier-ignore

class BlockpackSource implements ColumnSource {
  readonly #opened: Opened
  readonly #traces: TraceIndex
  readonly #directories = new Map<number, Promise<Directory>>()
  #dictionary: BlockDictionary

  constructor(opened: Opened) {
    this.#opened = opened
    this.#traces = new TraceIndex(opened.groups)
    this.#dictionary = this.#newDictionary()
  }

  get id(): string {
    return this.#opened.meta.blockID
  }
  get tenant(): string {
    return this.#opened.meta.tenantID
  }
  get spanCount(): number {
    return this.#opened.totals.spans
  }
  get traceCount(): number {
    return this.#opened.totals.traces
  }
  get minStart_ns(): bigint {
    return this.#opened.totals.minStart_ns
  }
  get maxEnd_ns(): bigint {
    return this.#opened.totals.maxEnd_ns
  }
  get size_bytes(): number {
    return this.#opened.meta.size
  }
  get groupCount(): number {
    return this.#opened.groups.length
  }
  /** Of the groups made from now on; a column has the one its codes are of. */
  get dictionary(): BlockDictionary {
    return this.#dictionary
  }

  /** The index must say as many spans and traces as the table does. Throws `CorruptBlock`. */
  check(section: Section): void {
    const { groups, totals } = this.#opened
    let spans = 0
    let traces = 0
    for (const group of groups) {
      spans += group.spans
      for (const page of group.pages) traces += page.traces
    }
    if (spans === totals.spans && traces === totals.traces) return
    const detail = `${spans} spans of ${traces} traces, the table says ${totals.spans} of ${totals.traces}`
    throw new CorruptBlock(this.id, 'index', section.offset, detail)
  }

  async group(index: number): Promise<RowGroup> {
    const entry = this.#opened.groups[index]
    if (!entry) throw new RangeError(`group ${index} is not in 0..${this.groupCount - 1}`)
    const directory = await this.#directory(index, entry)
    const interned = this.#dictionary.length_bytes - this.#opened.strings.length
    if (interned > MAX_INTERNED_BYTES) this.#dictionary = this.#newDictionary()
    const context = { ranges: this.#opened.ranges, entry, directory, block: this.#dictionary }
    return new BlockGroup(context, this.#dictionary)
  }

  async locate(traceId: Uint8Array): Promise<{ group: number; row: number } | undefined> {
    const place = this.#traces.pageOf(traceId)
    if (!place) return undefined
    const { group, page } = place
    const offset = this.#opened.groups[group]!.offset + ID_BYTES * page.row
    const ids = await this.#opened.ranges.read(offset, ID_BYTES * page.traces)
    if (crc32(ids) !== page.crc) {
      throw new CorruptBlock(this.id, 'trace.id', offset, 'checksum does not match')
    }
    const found = findId(ids, traceId)
    return found < 0 ? undefined : { group, row: page.row + found }
  }

  /** To be kept by the caller: a source does not remember it. Throws `CorruptBlock`. */
  async traceFilter(): Promise<TraceFilter | undefined> {
    const { filters, groups, ranges } = this.#opened
    if (!filters) return undefined
    const stored = await ranges.read(filters.offset, filters.length)
    const raw = openSection(stored, filters, this.id, 'trace filters')
    const firstIds = new Uint8Array(ID_BYTES * groups.length)
    return guarded(this.id, 'trace filters', filters.offset, () => {
      for (const [i, { pages }] of groups.entries()) {
        const [page] = pages
        if (!page) throw new Malformed(0, `group ${i} has no traces`)
        firstIds.set(page.firstId, ID_BYTES * i)
      }
      return decodeFilters(new ByteReader(raw), firstIds)
    })
  }

  inspected_bytes(): number {
    return this.#opened.ranges.read_bytes
  }

  retained_bytes(): number {
    const { strings, groups } = this.#opened
    const pages = groups.reduce((sum, group) => sum + group.pages.length, 0)
    const directories = this.#directories.size * KEPT_DIRECTORY_BYTES
    return strings.length + this.#dictionary.retained_bytes + pages * KEPT_PAGE_BYTES + directories
  }

  close(): Promise<void> {
    this.#directories.clear()
    this.#dictionary = this.#newDictionary()
    return Promise.resolve()
  }

  #newDictionary(): BlockDictionary {
    const { strings, totals } = this.#opened
    return guarded(this.id, 'dictionary', 0, () => new BlockDictionary(strings, !totals.hasStringsInPlace))
  } // prettier-ignore

  #directory(index: number, entry: GroupEntry): Promise<Directory> {
    const known = this.#directories.get(index)
    if (known) return known
    const directory = this.#readDirectory(entry)
    this.#directories.set(index, directory)
    directory.catch(() => this.#directories.delete(index))
    if (this.#directories.size > KEPT_DIRECTORIES) {
      this.#directories.delete(this.#directories.keys().next().value!)
    }
    return directory
  }

  async #readDirectory(entry: GroupEntry): Promise<Directory> {
    const { ranges } = this.#opened
    const section = { id: 0, ...entry.directory }
    const stored = await ranges.read(section.offset, section.length)
    const raw = openSection(stored, section, this.id, 'directory')
    return guarded(this.id, 'directory', section.offset, () => {
      const directory = readDirectory(raw, entry.length, this.#dictionary.stored)
      const traces = entry.pages.map((page) => page.row)
      const agrees =
        directory.counts.span === entry.spans &&
        traces.length === directory.pageCount &&
        traces.every((row, p) => row === directory.pageRows.trace[p])
      if (!agrees) throw new Malformed(0, 'its spans and pages are not those of the index')
      return directory
    })
  }
}
