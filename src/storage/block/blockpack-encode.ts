/** Owns the writing of one group: chooses each column's codec from its data and cuts it into pages. */
import type { Column, FieldName, IntColumn, Level } from '../../otlp/columns.js'
import { writeBits } from './codec/bits.js'
import { ByteWriter } from './codec/bytes.js'
import { crc32 } from './codec/crc32.js'
import { writeNumbers } from './codec/planes.js'
import { writeStrings } from './codec/strings.js'
import { CODEC, FIELDS, PAGED, PAGE_SPANS, columnText, levelOfColumn } from './blockpack-format.js'
import type { Codec, ColumnName } from './blockpack-format.js'
import type { ColumnEntry, Directory, Range } from './blockpack-directory.js'
import type { GroupImage } from './blockpack-image.js'
import { parentRows } from './blockpack-parents.js'
import { StringCoder } from './blockpack-strings.js'
import { differences, toZigzag, type Words } from './codec/words.js'

/** Writes the pages of rows from..to of the column's dense values. */
type WritePage = (out: ByteWriter, from: number, to: number) => void

interface Known {
  readonly mask?: number | undefined
  readonly codes?: Uint32Array | undefined
  readonly range?: Range | undefined
}

interface Mask {
  readonly level: Level
  readonly flags: Uint8Array
  /** Dense rows before each page, and the end. */
  readonly pageRows: Uint32Array
}

export interface EncodedGroup {
  readonly directory: Directory
  /** The columns back to back, valid until the next group is encoded. */
  readonly data: Uint8Array
  /** 16 bytes a trace. */
  readonly traceIds: Uint8Array
}

export class GroupEncoder {
  readonly #out = new ByteWriter(1 << 20)
  constructor(readonly strings: StringCoder) {}

  async encode(image: GroupImage): Promise<EncodedGroup> {
    this.#out.clear()
    const run = new GroupRun(image, this.#out, this.strings)
    await run.all()
    return { directory: run.directory(), data: this.#out.view(), traceIds: run.traceIds }
  }
}

/** The state of encoding one group. */
class GroupRun {
  readonly #columns: ColumnEntry[] = []
  readonly #masks: Mask[] = []
  readonly #pageRows: Record<Level, Uint32Array>
  readonly #pageCount: number
  /** First span of each trace, first event and link of each span; with the end. */
  readonly #firstSpan: Uint32Array
  traceIds: Uint8Array
  #spanIds: Uint8Array
  #traceStart: IntColumn
  #spanStart: IntColumn

  constructor(
    readonly image: GroupImage,
    readonly out: ByteWriter,
    readonly strings: StringCoder,
  ) {
    this.#firstSpan = sums(image.spansPerTrace)
    this.#pageRows = cutPages(image, this.#firstSpan)
    this.#pageCount = this.#pageRows.trace.length - 1
    this.traceIds = new Uint8Array(16 * image.counts.trace)
    this.#spanIds = new Uint8Array(8 * image.counts.span)
    this.#traceStart = zeros(image.counts.trace)
    this.#spanStart = zeros(image.counts.span)
  }

  directory(): Directory {
    const { counts } = this.image
    return { counts, pageRows: this.#pageRows, pageCount: this.#pageCount, columns: this.#columns }
  }

  async all(): Promise<void> {
    const { image } = this
    await this.#field('trace.id')
    this.#numbers({ kind: 'structure', structure: 'spansPerTrace' }, image.spansPerTrace)
    if (image.counts.resource > 1) this.#numbers({ kind: 'structure', structure: 'resource' }, image.resourceRows)
    if (image.counts.scope > 1) this.#numbers({ kind: 'structure', structure: 'scope' }, image.scopeRows)
    if (image.counts.event > 0) this.#numbers({ kind: 'structure', structure: 'event' }, image.eventsPerSpan)
    if (image.counts.link > 0) this.#numbers({ kind: 'structure', structure: 'link' }, image.linksPerSpan)
    for (const [name] of FIELDS) if (name !== 'trace.id') await this.#field(name)
    for (const key of image.attributes()) {
      const column = await image.column({ kind: 'attribute', key })
      if (column) this.#plain({ kind: 'attribute', key }, column)
    }
  } // prettier-ignore

  async #field(field: FieldName): Promise<void> {
    const column = await this.image.column({ kind: 'field', name: field })
    const name: ColumnName = { kind: 'field', field }
    // Both id columns are always there, as they are: a reader bounds what a group may claim by them.
    if (field === 'trace.id') {
      if (column?.type === 'fixed') this.traceIds = column.bytes
      this.#raw(name, 16, this.traceIds)
    } else if (field === 'span.id') {
      if (column?.type === 'fixed') this.#spanIds = column.bytes
      this.#raw(name, 8, this.#spanIds)
    } else if (column?.type === 'fixed') {
      if (field === 'span.parentId') this.#parents(name, column.bytes)
    } else if (TIMES.has(field)) {
      if (column?.type === 'int') this.#time(name, field, column)
    } else if (column) {
      this.#plain(name, column)
    }
  }

  /** A time as what has passed since one nearby. */
  #time(name: ColumnName, field: FieldName, column: IntColumn): void {
    const { spansPerTrace, eventsPerSpan, counts } = this.image
    if (field === 'trace.start') {
      this.#traceStart = column
      this.#words(name, CODEC.numbers, column)
    } else if (field === 'trace.end') {
      this.#words(name, CODEC.sinceTrace, differences(column, this.#traceStart))
    } else if (field === 'span.start') {
      this.#spanStart = column
      const before = previous(column, this.#traceStart, spansPerTrace)
      this.#words(name, CODEC.sincePrevious, differences(column, before))
    } else {
      const since = differences(column, repeated(this.#spanStart, eventsPerSpan, counts.event))
      toZigzag(since)
      this.#words(name, CODEC.sinceSpan, since)
    }
  }

  /** A column of one of the general codecs; one without any value is left out. */
  #plain(name: ColumnName, column: Column): void {
    if (column.type === 'fixed') {
      this.#raw(name, column.width, column.bytes)
      return
    }
    if (column.type === 'string' || column.type === 'any') {
      this.#strings(name, column.codes, column)
      return
    }
    if (name.kind === 'field' && column.type === 'int' && isZero(column)) return
    const present = column.type === 'bool' ? flagsOf(column.values) : column.present
    const mask = this.#mask(name, present)
    if (mask === 'none') return
    if (column.type === 'bool') {
      const values = dense(column.values, mask?.flags)
      this.#write(name, CODEC.bits, (out, from, to) => writeBits(out, values, from, to, 2), mask)
    } else if (column.type === 'int') {
      const words = { lo: dense(column.lo, mask?.flags), hi: dense(column.hi, mask?.flags) }
      const signed = name.kind === 'attribute'
      this.#words(name, CODEC.numbers, words, mask, signed, intRange(words, signed))
    } else {
      const values = dense(column.values, mask?.flags)
      this.#words(name, CODEC.doubles, wordsOf(values), mask, false, floatRange(values))
    }
  }

  #strings(
    name: ColumnName,
    codes: Uint32Array,
    column: Column & { type: 'string' | 'any' },
  ): void {
    const coded = this.strings.code(columnText(name), codes, column.dictionary)
    if (coded.present === 0) return
    const mask = coded.present < codes.length ? this.#mask(name, coded.flags) : undefined
    if (mask === 'none') return
    if (coded.set) {
      const write: WritePage = (out, from, to) =>
        writeNumbers(out, coded.indexes.subarray(from, to))
      this.#write(name, CODEC.codes, write, mask, { codes: coded.set })
      return
    }
    this.#write(name, CODEC.strings, (out, from, to) => {
      const { lengths, bytes } = this.strings.strings(coded.indexes.subarray(from, to), column.dictionary)
      writeStrings(out, lengths, bytes)
    }, mask) // prettier-ignore
  }

  #parents(name: ColumnName, parentIds: Uint8Array): void {
    const rows = parentRows(this.#spanIds, parentIds, this.#firstSpan)
    if (!rows.distances.some(Boolean)) return
    this.#write(name, CODEC.parent, (out, from, to) => {
      writeNumbers(out, rows.distances.subarray(from, to))
      for (let row = from; row < to; row++) {
        if (rows.distances[row] === 1) out.bytes(parentIds.subarray(8 * row, 8 * row + 8))
      }
    })
  }

  #numbers(name: ColumnName, values: Uint32Array): void {
    this.#write(name, CODEC.numbers, (out, from, to) =>
      writeNumbers(out, values.subarray(from, to)),
    )
  }

  #words(
    name: ColumnName,
    codec: Codec,
    { lo, hi }: Words,
    mask?: Mask,
    signed = false,
    range?: Range,
  ): void {
    const write: WritePage = (out, from, to) =>
      writeNumbers(out, lo.subarray(from, to), hi.subarray(from, to), signed)
    this.#write(name, codec, write, mask, { range })
  }

  /** Fixed-width bytes as they are. */
  #raw(name: ColumnName, width: number, bytes: Uint8Array): void {
    const write: WritePage = (out, from, to) => out.bytes(bytes.subarray(width * from, width * to))
    this.#write(name, CODEC.fixed, write)
  }

  /** The mask that says the rows whose flag is 1: undefined when all are, 'none' when none is. */
  #mask(name: ColumnName, flags: Uint8Array | undefined): Mask | undefined | 'none' {
    if (!flags?.includes(0)) return undefined
    if (!flags.includes(1)) return 'none'
    const level = levelOfColumn(name)
    // Attributes of one kind of span come and go together, so masks repeat: one stands for all.
    const known = this.#masks.find((mask) => mask.level === level && sameBytes(mask.flags, flags))
    if (known) return known
    const rows = this.#pageRows[level]
    const pageRows = new Uint32Array(rows.length)
    for (let p = 0; p + 1 < rows.length; p++) {
      let count = 0
      for (let row = rows[p]!; row < rows[p + 1]!; row++) count += flags[row]!
      pageRows[p + 1] = pageRows[p]! + count
    }
    const mask: Mask = { level, flags: flags.slice(), pageRows }
    const write: WritePage = (out, from, to) => writeBits(out, flags, from, to, 1)
    this.#write({ kind: 'mask', level }, CODEC.bits, write)
    this.#masks.push(mask)
    return mask
  }

  #write(name: ColumnName, codec: Codec, write: WritePage, mask?: Mask, known: Known = {}): void {
    const level = levelOfColumn(name)
    const rows = mask?.pageRows ?? this.#pageRows[level]
    const count = PAGED.includes(level) ? this.#pageCount : 1
    const pages = { lengths: new Uint32Array(count), crcs: new Uint32Array(count) }
    const offset = this.out.length
    for (let p = 0; p < count; p++) {
      const start = this.out.length
      write(this.out, rows[p]!, rows[p + 1]!)
      pages.lengths[p] = this.out.length - start
      pages.crcs[p] = crc32(this.out.view().subarray(start))
    }
    this.#columns.push({
      name,
      codec,
      mask: mask && this.#masks.indexOf(mask),
      codes: known.codes,
      range: known.range,
      pages,
      offset,
      length: this.out.length - offset,
    })
  }
}

const zeros = (rows: number): IntColumn => ({
  type: 'int', lo: new Uint32Array(rows), hi: new Uint32Array(rows), present: undefined,
}) // prettier-ignore

const TIMES: ReadonlySet<FieldName> = new Set<FieldName>([
  'trace.start',
  'trace.end',
  'span.start',
  'event.time',
])

const flagsOf = (values: Uint8Array): Uint8Array => values.map((value) => (value === 0 ? 0 : 1))

/** The bits of doubles. */
function wordsOf(values: Float64Array): Words {
  const words = new Uint32Array(values.slice().buffer)
  const lo = new Uint32Array(values.length)
  const hi = new Uint32Array(values.length)
  for (let i = 0; i < values.length; i++) {
    lo[i] = words[2 * i]!
    hi[i] = words[2 * i + 1]!
  }
  return { lo, hi }
}

const isZero = ({ lo, hi }: IntColumn): boolean => !lo.some(Boolean) && !hi.some(Boolean)

/** 0, a, a+b, a+b+c, ... */
function sums(counts: Uint32Array): Uint32Array {
  const out = new Uint32Array(counts.length + 1)
  for (let i = 0; i < counts.length; i++) out[i + 1] = out[i]! + counts[i]!
  return out
}

/** First rows of each page, by whole traces, for the paged tables; the others are one page. */
function cutPages(image: GroupImage, firstSpan: Uint32Array): Record<Level, Uint32Array> {
  const traces: number[] = [0]
  const spans: number[] = [0]
  for (let trace = 1; trace < firstSpan.length; trace++) {
    const rows = firstSpan[trace]! - spans.at(-1)!
    if (rows < PAGE_SPANS && trace + 1 < firstSpan.length) continue
    traces.push(trace)
    spans.push(firstSpan[trace]!)
  }
  const events = sums(image.eventsPerSpan)
  const links = sums(image.linksPerSpan)
  return {
    trace: Uint32Array.from(traces),
    span: Uint32Array.from(spans),
    event: Uint32Array.from(spans, (row) => events[row]!),
    link: Uint32Array.from(spans, (row) => links[row]!),
    resource: Uint32Array.of(0, image.counts.resource),
    scope: Uint32Array.of(0, image.counts.scope),
  }
}

/** The values of the rows of which the flag is 1, which is all without flags. */
function dense<T extends Uint32Array | Uint8Array | Float64Array>(
  values: T,
  flags?: Uint8Array,
): T {
  if (!flags) return values
  const out = values.slice() as T
  let at = 0
  for (let row = 0; row < flags.length; row++) if (flags[row] === 1) out[at++] = values[row]!
  return out.subarray(0, at) as T
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** The start of the span before in the same trace, of the first one the trace's. */
function previous(start: IntColumn, traceStart: IntColumn, spansPerTrace: Uint32Array): IntColumn {
  const out = zeros(start.lo.length)
  let row = 0
  for (let trace = 0; trace < spansPerTrace.length; trace++) {
    const end = row + spansPerTrace[trace]!
    for (let first = row; row < end; row++) {
      out.lo[row] = row === first ? traceStart.lo[trace]! : start.lo[row - 1]!
      out.hi[row] = row === first ? traceStart.hi[trace]! : start.hi[row - 1]!
    }
  }
  return out
}

/** Each value as often as its count says. */
function repeated(values: IntColumn, counts: Uint32Array, total: number): IntColumn {
  const out = zeros(total)
  let at = 0
  for (let row = 0; row < counts.length; row++) {
    for (let n = counts[row]!; n > 0; n--, at++) {
      out.lo[at] = values.lo[row]!
      out.hi[at] = values.hi[row]!
    }
  }
  return out
}

function intRange({ lo, hi }: Words, signed: boolean): Range {
  const bias = signed ? 0x80000000 : 0
  let min = 0
  let max = 0
  const above = (a: number, b: number) => {
    const x = (hi[a]! ^ bias) >>> 0
    const y = (hi[b]! ^ bias) >>> 0
    return x > y || (x === y && lo[a]! > lo[b]!)
  }
  for (let row = 1; row < lo.length; row++) {
    if (above(min, row)) min = row
    else if (above(row, max)) max = row
  }
  const word = (row: number) => (BigInt(hi[row]!) << 32n) | BigInt(lo[row]!)
  return { min: word(min), max: word(max) }
}

/** Undefined when a NaN has no place in an order. */
function floatRange(values: Float64Array): Range | undefined {
  let min = values[0]!
  let max = values[0]!
  for (const value of values) {
    if (Number.isNaN(value)) return undefined
    if (value < min) min = value
    else if (value > max) max = value
  }
  const [a, b] = new BigUint64Array(Float64Array.of(min, max).buffer)
  return { min: a!, max: b! }
}
