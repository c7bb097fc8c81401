/**
 * Owns reading the columns of a published snapshot of a head: the pages of each table, gathering a column for a list of
 * rows, and what is derived from the snapshot as a whole. Valid while its reader holds the head.
 */
import type { HeadArena } from './arena.js'
import { width } from './attributes.js'
import {
  ENTRY,
  EVENT,
  EVENT_COLUMN,
  INT32,
  INT64,
  LINK,
  LINK_COLUMN,
  ROW_SHIFTS,
  SHAPE,
  SHAPE_COLUMN,
  SPAN,
  TABLES,
  TRACE,
  VALUE,
} from './layout.js'
import { reservedRows, type Snapshot } from './snapshot.js'
import { pageEntry } from './table.js'

/** Attribute columns whose places in the shapes are remembered. */
const SLOTS_MAX = 64
/** Asked for fewer than one in so many spans, events are searched for instead of indexed. */
const FEW = 64

export class HeadView {
  readonly arena: HeadArena
  readonly words: Int32Array
  readonly headerChunk: number
  readonly snapshot: Snapshot
  readonly #pages: Int32Array[] = []
  readonly #slots = new Map<number, Int32Array>()
  #eventStarts: Uint32Array | undefined
  #linkStarts: Uint32Array | undefined

  constructor(arena: HeadArena, headerChunk: number, snapshot: Snapshot) {
    this.arena = arena
    this.words = arena.words
    this.headerChunk = headerChunk
    this.snapshot = snapshot
    for (let table = 0; table < TABLES; table++) this.#pages.push(this.#loadPages(table))
  }

  count(table: number): number {
    return this.snapshot.count(table)
  }

  /** Word address of each page of a table. */
  pages(table: number): Int32Array {
    return this.#pages[table]!
  }

  /** One word. */
  word(table: number, column: number, row: number): number {
    const shift = ROW_SHIFTS[table]!
    const page = this.#pages[table]![row >>> shift]!
    return this.words[page + (column << shift) + (row & ((1 << shift) - 1))]!
  }

  /** A column of the given rows; true when any word is not 0. */
  gather(table: number, column: number, rows: Uint32Array, into: Uint32Array): boolean {
    const { words } = this
    const pages = this.#pages[table]!
    const shift = ROW_SHIFTS[table]!
    const mask = (1 << shift) - 1
    const base = column << shift
    let any = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      const word = words[pages[row >>> shift]! + base + (row & mask)]!
      into[i] = word
      any |= word
    }
    return any !== 0
  }

  /** A column of all rows from `from` on, page by page. */
  column(table: number, column: number, from = 0): Uint32Array {
    const count = this.count(table)
    const out = new Uint32Array(count - from)
    const shift = ROW_SHIFTS[table]!
    const rows = 1 << shift
    const pages = this.#pages[table]!
    for (let row = from; row < count;) {
      const inPage = row & (rows - 1)
      const end = Math.min(count, row - inPage + rows)
      const at = pages[row >>> shift]! + (column << shift) + inPage
      out.set(this.words.subarray(at, at + end - row), row - from)
      row = end
    }
    return out
  }

  /**
   * Where an attribute stands among the values of a row, by shape: slot << 1, plus 1 when it takes two words; -1 = the
   * shape has none. Of several with one key the last counts. INT32 asks for integers of both widths.
   */
  slots(key: number, type: number): Int32Array {
    const item = (key << 3) | type
    const known = this.#slots.get(item)
    if (known) return known
    const count = this.count(SHAPE)
    const slots = new Int32Array(count).fill(-1)
    const wide = type === INT32 ? (key << 3) | INT64 : item
    for (let shape = 1; shape < count; shape++) {
      let slot = 0
      const items = this.word(SHAPE, SHAPE_COLUMN.items, shape)
      const end = items + this.word(SHAPE, SHAPE_COLUMN.count, shape)
      for (let at = items; at < end; at++) {
        const found = this.word(VALUE, 0, at)
        const words = width(found)
        if (found === item || found === wide) slots[shape] = (slot << 1) | (words - 1)
        slot += words
      }
    }
    if (this.#slots.size >= SLOTS_MAX) this.#slots.clear()
    this.#slots.set(item, slots)
    return slots
  }

  /** Items (key code << 3 | type) of a shape. */
  items(shape: number): number[] {
    const first = this.word(SHAPE, SHAPE_COLUMN.items, shape)
    const count = this.word(SHAPE, SHAPE_COLUMN.count, shape)
    return Array.from({ length: count }, (_, i) => this.word(VALUE, 0, first + i))
  }

  /** First event (or link) row of each of the spans; fills `offsets` with how many there are before each of them. */
  nestedStarts(level: 'event' | 'link', spans: Uint32Array, offsets: Uint32Array): Uint32Array {
    const firsts = new Uint32Array(spans.length)
    const starts = spans.length * FEW < this.count(SPAN) ? undefined : this.#starts(level)
    for (let i = 0; i < spans.length; i++) {
      const span = spans[i]!
      firsts[i] = starts ? starts[span]! : this.#firstOf(level, span)
      const end = starts ? starts[span + 1]! : this.#firstOf(level, span + 1)
      offsets[i + 1] = offsets[i]! + end - firsts[i]!
    }
    return firsts
  }

  /** The row of a trace by its 16 bytes; -1 when it is not here. A scan of one column: tens of microseconds. */
  findTrace(traceId: Uint8Array): number {
    if (traceId.length !== 16) return -1
    const view = new DataView(traceId.buffer, traceId.byteOffset, 16)
    const id = [0, 4, 8, 12].map((at) => view.getInt32(at, true))
    const { words } = this
    const shift = ROW_SHIFTS[TRACE]!
    const rows = 1 << shift
    const count = this.count(TRACE)
    const first = id[0]
    for (let row = 0; row < count; row += rows) {
      const page = this.#pages[TRACE]![row >>> shift]!
      const end = page + Math.min(rows, count - row)
      for (let at = page; at < end; at++) {
        if (words[at] !== first) continue
        if (id.every((word, part) => words[at + part * rows] === word)) return row + at - page
      }
    }
    return -1
  }

  /** Rows of spans that the span table has for a trace, in the order of arrival. */
  spansOfTrace(trace: number, firstSpan: number): Uint32Array {
    const { words } = this
    const shift = ROW_SHIFTS[SPAN]!
    const rows = 1 << shift
    const count = this.count(SPAN)
    const found: number[] = []
    for (let row = firstSpan; row < count;) {
      const inPage = row & (rows - 1)
      const end = Math.min(count, row - inPage + rows)
      const page = this.#pages[SPAN]![row >>> shift]! + inPage - row
      for (; row < end; row++) if (words[page + row] === trace) found.push(row)
    }
    return Uint32Array.from(found)
  }

  #starts(level: 'event' | 'link'): Uint32Array {
    if (level === 'event') return (this.#eventStarts ??= this.#startsOf(EVENT, EVENT_COLUMN.span))
    return (this.#linkStarts ??= this.#startsOf(LINK, LINK_COLUMN.span))
  }

  /** The first event (or link) row of this span or a later one: they stand in the order of their spans. */
  #firstOf(level: 'event' | 'link', span: number): number {
    const table = level === 'event' ? EVENT : LINK
    let low = 0
    let high = this.count(table)
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.word(table, EVENT_COLUMN.span, middle) < span) low = middle + 1
      else high = middle
    }
    return low
  }

  #startsOf(table: number, spanColumn: number): Uint32Array {
    const spans = this.count(SPAN)
    const starts = new Uint32Array(spans + 1)
    const owners = this.column(table, spanColumn)
    for (const span of owners) starts[span + 1]!++
    for (let span = 0; span < spans; span++) starts[span + 1]! += starts[span]!
    return starts
  }

  #loadPages(table: number): Int32Array {
    const rows = reservedRows(this.snapshot, table)
    const pages = new Int32Array(Math.ceil(rows / (1 << ROW_SHIFTS[table]!)))
    for (let page = 0; page < pages.length; page++) {
      const entry = pageEntry(this.words, this.headerChunk, table, page)
      pages[page] = this.words[entry]! << ROW_SHIFTS[VALUE]!
    }
    return pages
  }
}

/** Codes of a head's dictionary: rows of ENTRY without row 0. */
export function dictionarySize(view: HeadView): number {
  return Math.max(0, view.count(ENTRY) - 1)
}
