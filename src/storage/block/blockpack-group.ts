/**
 * Owns reading one group: each column is fetched, checked and decoded when it is asked for, and kept while the group object
 * lives. A group may be narrowed to the one page that holds a trace.
 */
import type {
  AttributeColumn,
  AttributeKey,
  Column,
  Dictionary,
  FieldName,
  Fields,
  FixedColumn,
  IntColumn,
  Level,
  Parents,
  RowGroup,
} from '../../otlp/columns.js'
import { readBits } from './codec/bits.js'
import { ByteReader } from './codec/bytes.js'
import { crc32 } from './codec/crc32.js'
import { readBounded, readNumbers } from './codec/planes.js'
import { readStrings } from './codec/strings.js'
import { addTo, fromZigzag, type Words } from './codec/words.js'
import { guarded } from './blockpack-container.js'
import { PageDictionary, type BlockDictionary } from './blockpack-dictionary.js'
import type { ColumnEntry, Directory } from './blockpack-directory.js'
import { CODEC, FIELDS, PAGED, columnText, levelOfColumn } from './blockpack-format.js'
import type { Structure } from './blockpack-format.js'
import type { GroupEntry } from './blockpack-index.js'
import { readParents } from './blockpack-parents.js'
import type { RangeReader } from './blockpack-ranges.js'
import { mayHave } from './blockpack-may-have.js'
import { CorruptBlock } from './encoding.js'

/** A dictionary that takes the strings of a page. */
export interface AdoptingDictionary extends Dictionary {
  /** Takes strings that stand back to back; each end becomes the string's code. */
  adopt(bytes: Uint8Array, ends: Uint32Array): void
}

export interface GroupContext {
  readonly ranges: RangeReader
  readonly entry: GroupEntry
  readonly directory: Directory
  readonly block: BlockDictionary
}

/** Rows of a column that have a value: 1 a row, and how many before each page of the range and at its end. */
interface MaskRows {
  readonly flags: Uint8Array
  readonly firsts: Uint32Array
}

/** Rows from..to of the range are one page, `count` of them with a value. */
interface PageRows {
  readonly from: number
  readonly to: number
  readonly count: number
  readonly flags: Uint8Array | undefined
}

const SHAPES = new Map(FIELDS)
const emptyInts = (rows: number): IntColumn => ({
  type: 'int', lo: new Uint32Array(rows), hi: new Uint32Array(rows), present: undefined,
}) // prettier-ignore

export class BlockGroup implements RowGroup {
  readonly counts: Record<Level, number>
  readonly #entries = new Map<string, ColumnEntry>()
  readonly #masks: ColumnEntry[] = []
  readonly #kept = new Map<string, Promise<unknown>>()

  /** The last page that a trace was asked for from: traces of one answer are often neighbours. */
  #narrowed: BlockGroup | undefined

  /** Pages `first`..`end` of the group; a range of pages is a group of its own. */
  constructor(
    readonly context: GroupContext,
    readonly dictionary: AdoptingDictionary,
    readonly first = 0,
    readonly end = context.directory.pageCount,
  ) {
    const { pageRows, columns } = context.directory
    this.counts = { ...context.directory.counts }
    for (const level of PAGED) this.counts[level] = pageRows[level][end]! - pageRows[level][first]!
    for (const entry of columns) {
      if (entry.name.kind === 'mask') this.#masks.push(entry)
      else this.#entries.set(columnText(entry.name), entry)
    }
  }

  get minStart_ns(): bigint {
    return this.context.entry.minStart_ns
  }
  get maxEnd_ns(): bigint {
    return this.context.entry.maxEnd_ns
  }

  /** The page of a trace as a group by itself, which costs a trace's reader a page and not a group; with the trace's row in it. */
  narrow(traceRow: number): { group: BlockGroup; row: number } {
    const firsts = this.context.directory.pageRows.trace
    const absolute = firsts[this.first]! + traceRow
    if (this.end - this.first <= 1) return { group: this, row: traceRow }
    let page = this.first
    while (page + 1 < this.end && firsts[page + 1]! <= absolute) page++
    if (this.#narrowed?.first !== page) {
      const dictionary = new PageDictionary(this.context.block)
      this.#narrowed = new BlockGroup(this.context, dictionary, page, page + 1)
    }
    return { group: this.#narrowed, row: absolute - firsts[page]! }
  }

  parents(): Promise<Parents> {
    return this.#once('parents', async () => {
      const [trace, resource, scope] = await Promise.all([
        this.#traceOfSpan(),
        this.#structure('resource', this.counts.resource - 1),
        this.#structure('scope', this.counts.scope - 1),
      ])
      return { trace, resource, scope }
    })
  }

  offsets(level: 'event' | 'link'): Promise<Uint32Array> {
    return this.#once(`offsets ${level}`, async () => {
      const counts = await this.#structure(level, this.counts[level])
      const offsets = sums(counts)
      const rows = this.context.directory.pageRows
      for (let p = this.first; p <= this.end; p++) {
        const at = offsets[rows.span[p]! - rows.span[this.first]!]!
        if (at !== rows[level][p]! - rows[level][this.first]!) this.#corrupt(`${level} offsets`, `page ${p} begins at row ${at}`) // prettier-ignore
      }
      return offsets
    })
  }

  attributes(level: AttributeKey['level']): Promise<readonly AttributeKey[]> {
    const keys: AttributeKey[] = []
    for (const { name } of this.#entries.values()) {
      if (name.kind === 'attribute' && name.key.level === level) keys.push(name.key)
    }
    return Promise.resolve(keys)
  }

  attribute(key: AttributeKey): Promise<AttributeColumn | undefined> {
    const entry = this.#entries.get(columnText({ kind: 'attribute', key }))
    if (!entry) return Promise.resolve(undefined)
    return this.#once(columnText(entry.name), () => {
      switch (key.type) {
        case 'string':
        case 'any':
          return this.#strings(entry, key.type)
        case 'int':
          return this.#ints(entry)
        case 'float':
          return this.#floats(entry)
        case 'bool':
          return this.#bools(entry)
      }
    })
  }

  async field<F extends FieldName>(name: F): Promise<Fields[F] | undefined> {
    const entry = this.#entries.get(name)
    return entry && ((await this.#once(name, () => this.#field(name, entry))) as Fields[F])
  }

  mayHave(key: AttributeKey | FieldName, text: string): Promise<boolean> {
    const name = typeof key === 'string' ? key : columnText({ kind: 'attribute', key })
    return Promise.resolve(mayHave(key, text, this.#entries.get(name), this.context.block))
  }

  #field(name: FieldName, entry: ColumnEntry): Promise<Column> {
    const shape = SHAPES.get(name)!
    if (shape.type === 'fixed') return this.#fixed(entry, shape.width)
    return shape.type === 'string' ? this.#strings(entry, 'string') : this.#intField(name, entry)
  }

  async #intField(name: FieldName, entry: ColumnEntry): Promise<IntColumn> {
    switch (entry.codec) {
      case CODEC.sinceTrace: {
        const [column, start] = await Promise.all([this.#ints(entry), this.field('trace.start')])
        for (let row = 0; start && row < column.lo.length; row++) addTo(column, row, start.lo[row]!, start.hi[row]!)
        return column
      }
      case CODEC.sincePrevious: {
        const [column, start, traces] = await Promise.all([this.#ints(entry), this.field('trace.start'), this.#traceOfSpan()])
        for (let row = 0; row < traces.length; row++) {
          const trace = traces[row]!
          if (row > 0 && traces[row - 1] === trace) addTo(column, row, column.lo[row - 1]!, column.hi[row - 1]!)
          else if (start) addTo(column, row, start.lo[trace]!, start.hi[trace]!)
        }
        return column
      }
      case CODEC.sinceSpan: {
        if (!name.startsWith('event.')) break
        const [column, start, offsets] = await Promise.all([this.#ints(entry), this.field('span.start'), this.offsets('event')])
        fromZigzag(column)
        for (let span = 0; start && span < start.lo.length; span++) {
          for (let row = offsets[span]!; row < offsets[span + 1]!; row++) addTo(column, row, start.lo[span]!, start.hi[span]!)
        }
        return column
      }
    }
    return this.#ints(entry)
  } // prettier-ignore

  /** The trace of each span, from the spans of each trace. */
  #traceOfSpan(): Promise<Uint32Array> {
    return this.#once('trace of span', async () => {
      const counts = await this.#structure('spansPerTrace', this.counts.span)
      const out = new Uint32Array(this.counts.span)
      const { span, trace } = this.context.directory.pageRows
      let row = 0
      for (let t = 0; t < counts.length; t++) {
        const end = row + counts[t]!
        if (end > out.length) this.#corrupt('spans of traces', `trace ${t} ends at span ${end} of ${out.length}`)
        out.fill(t, row, end)
        row = end
      }
      for (let p = this.first; p <= this.end; p++) {
        // A page begins with a trace: else what is told within a trace would reach over pages.
        const at = span[p]! - span[this.first]!
        const expected = trace[p]! - trace[this.first]!
        if (at < out.length ? out[at] !== expected || (at > 0 && out[at - 1] === expected) : row !== at) {
          this.#corrupt('spans of traces', `page ${p} does not begin with trace ${expected}`)
        }
      }
      return out
    })
  } // prettier-ignore

  /** Small numbers that say how tables hang together; a missing one is zeros. */
  #structure(structure: Structure, max: number): Promise<Uint32Array> {
    const entry = this.#entries.get(columnText({ kind: 'structure', structure }))
    const rows = this.counts[structure === 'spansPerTrace' ? 'trace' : 'span']
    if (!entry) return Promise.resolve(new Uint32Array(rows))
    return this.#once(columnText(entry.name), async () => {
      const out = new Uint32Array(rows)
      await this.#each(entry, (input, { from, to }) => {
        out.set(readBounded(input, to - from, max), from)
      })
      return out
    })
  }

  async #strings(entry: ColumnEntry, type: 'string' | 'any'): Promise<AttributeColumn> {
    const { dictionary } = this
    const codes = new Uint32Array(this.#rows(entry))
    const { codes: set } = entry
    if (entry.codec === CODEC.codes && set) {
      await this.#each(entry, (input, page) => {
        const dense = readBounded(input, page.count, set.length - 1)
        for (let i = 0; i < dense.length; i++) dense[i] = set[dense[i]!]!
        scatter(dense, codes, page)
      })
    } else if (entry.codec === CODEC.strings) {
      await this.#each(entry, (input, page) => {
        const { bytes, ends } = readStrings(input, page.count)
        dictionary.adopt(bytes, ends)
        scatter(ends, codes, page)
      })
    } else this.#wrongCodec(entry)
    return { type, codes, dictionary }
  }

  async #ints(entry: ColumnEntry): Promise<IntColumn> {
    const { codec } = entry
    if (codec !== CODEC.numbers && codec < CODEC.sincePrevious) this.#wrongCodec(entry)
    const out = emptyInts(this.#rows(entry))
    const present = await this.#words(entry, out)
    return { ...out, present }
  }

  async #floats(entry: ColumnEntry): Promise<AttributeColumn> {
    if (entry.codec !== CODEC.doubles) this.#wrongCodec(entry)
    const { lo, hi } = emptyInts(this.#rows(entry))
    const present = await this.#words(entry, { lo, hi })
    const values = new Float64Array(lo.length)
    const words = new Uint32Array(values.buffer)
    for (let row = 0; row < lo.length; row++) {
      words[2 * row] = lo[row]!
      words[2 * row + 1] = hi[row]!
    }
    return { type: 'float', values, present }
  }

  /** Fills the words of a column; returns which rows have one. */
  #words(entry: ColumnEntry, target: Words): Promise<Uint8Array | undefined> {
    return this.#each(entry, (input, page) => {
      const { from, to, count, flags } = page
      if (!flags) {
        readNumbers(input, target.lo.subarray(from, to), target.hi.subarray(from, to))
        return
      }
      const lo = new Uint32Array(count)
      const hi = new Uint32Array(count)
      readNumbers(input, lo, hi)
      scatter(lo, target.lo, page)
      scatter(hi, target.hi, page)
    })
  }

  async #bools(entry: ColumnEntry): Promise<AttributeColumn> {
    if (entry.codec !== CODEC.bits) this.#wrongCodec(entry)
    const values = new Uint8Array(this.#rows(entry))
    await this.#each(entry, (input, page) => {
      const dense = new Uint8Array(page.count)
      readBits(input, dense)
      for (let i = 0; i < dense.length; i++) dense[i]! += 1
      scatter(dense, values, page)
    })
    return { type: 'bool', values }
  }

  async #fixed(entry: ColumnEntry, width: number): Promise<FixedColumn> {
    const bytes = new Uint8Array(width * this.#rows(entry))
    if (entry.codec === CODEC.fixed) {
      await this.#each(entry, (input, { from, to }) => {
        bytes.set(input.bytes(width * (to - from)), width * from)
      })
    } else if (entry.codec === CODEC.parent && width === 8) {
      const ids = this.field('span.id')
      const pages = this.#read(entry)
      const [spanIds] = await Promise.all([ids, pages])
      await this.#each(entry, (input, { from, to }) => {
        const page = spanIds?.bytes.subarray(8 * from, 8 * to) ?? new Uint8Array(8 * (to - from))
        readParents(input, page, bytes.subarray(8 * from, 8 * to))
      })
    } else this.#wrongCodec(entry)
    return { type: 'fixed', width, bytes }
  }

  /** Decodes the pages of the range one after the other; returns which rows have a value, undefined = all. */
  async #each(
    entry: ColumnEntry,
    decode: (input: ByteReader, page: PageRows) => void,
  ): Promise<Uint8Array | undefined> {
    const [mask, bytes] = await Promise.all([this.#mask(entry), this.#read(entry)])
    const level = levelOfColumn(entry.name)
    const isPaged = PAGED.includes(level)
    const rows = this.context.directory.pageRows[level]
    const first = isPaged ? this.first : 0
    let at = 0
    for (let p = first; p < (isPaged ? this.end : 1); p++) {
      const from = rows[p]! - rows[first]!
      const to = rows[p + 1]! - rows[first]!
      const count = mask ? mask.firsts[p - first + 1]! - mask.firsts[p - first]! : to - from
      const length = entry.pages.lengths[p]!
      const page = bytes.subarray(at, at + length)
      const offset = this.#offsetOf(entry, p)
      if (crc32(page) !== entry.pages.crcs[p]) this.#corrupt(entry, `checksum of page ${p} does not match`, offset)
      guarded(this.context.ranges.blockId, columnText(entry.name), offset, () => {
        const input = new ByteReader(page)
        decode(input, { from, to, count, flags: mask?.flags })
        input.end()
      })
      at += length
    }
    return mask?.flags
  } // prettier-ignore

  /** The stored bytes of the column's pages in the range, back to back. */
  #read(entry: ColumnEntry): Promise<Uint8Array> {
    return this.#once(`bytes ${entry.offset}`, () => {
      const isPaged = PAGED.includes(levelOfColumn(entry.name))
      const { lengths } = entry.pages
      const first = isPaged ? this.first : 0
      const offset = this.#offsetOf(entry, first)
      let length = 0
      for (let p = first; p < (isPaged ? this.end : 1); p++) length += lengths[p]!
      return this.context.ranges.read(offset, length)
    })
  }

  /** Of a page in the object. */
  #offsetOf(entry: ColumnEntry, page: number): number {
    let offset = this.context.entry.offset + entry.offset
    for (let p = 0; p < page; p++) offset += entry.pages.lengths[p]!
    return offset
  }

  #mask({ name, mask }: ColumnEntry): Promise<MaskRows | undefined> {
    if (mask === undefined) return Promise.resolve(undefined)
    const entry = this.#masks[mask]
    if (entry?.codec !== CODEC.bits || levelOfColumn(entry.name) !== levelOfColumn(name)) {
      this.#corrupt(columnText(name), `mask ${mask} is not one of its table`)
    }
    return this.#once(`mask ${mask}`, async () => {
      const flags = new Uint8Array(this.#rows(entry))
      const firsts = [0]
      await this.#each(entry, (input, { from, to }) => {
        firsts.push(firsts.at(-1)! + readBits(input, flags.subarray(from, to)))
      })
      return { flags, firsts: Uint32Array.from(firsts) }
    })
  }

  #rows(entry: ColumnEntry): number {
    return this.counts[levelOfColumn(entry.name)]
  }

  #wrongCodec(entry: ColumnEntry): never {
    this.#corrupt(entry, `codec ${entry.codec} cannot hold its type`)
  }

  #corrupt(where: ColumnEntry | string, detail: string, offset?: number): never {
    const { context } = this
    const text = typeof where === 'string' ? where : columnText(where.name)
    const at = offset ?? context.entry.offset + (typeof where === 'string' ? 0 : where.offset)
    throw new CorruptBlock(context.ranges.blockId, text, at, detail)
  }

  /** What was decoded stays for the life of the group object; a failed try is not kept. */
  #once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(name)
    if (known) return known as Promise<T>
    const made = make()
    this.#kept.set(name, made)
    made.catch(() => this.#kept.delete(name))
    return made
  }
}

/** Spreads the values of the rows that have one over all rows of the page. */
function scatter<T extends Uint32Array | Uint8Array>(dense: T, target: T, page: PageRows): void {
  const { from, to, flags } = page
  if (!flags) {
    target.set(dense, from)
    return
  }
  for (let row = from, i = 0; row < to; row++) if (flags[row] === 1) target[row] = dense[i++]!
}

/** 0, a, a+b, a+b+c, ... */
function sums(counts: Uint32Array): Uint32Array {
  const out = new Uint32Array(counts.length + 1)
  for (let i = 0; i < counts.length; i++) out[i + 1] = out[i]! + counts[i]!
  return out
}
