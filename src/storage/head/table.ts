/** Owns a table of a head as its writer sees it: where the next row goes, and the pages under it. */
import type { HeadArena } from './arena.js'
import { ARENA_IS_FULL, HEAD_IS_FULL } from './errors.js'
import {
  CHUNK_SHIFT,
  CHUNK_WORDS,
  DIRECT_PAGES,
  HEAD,
  INDIRECT_PAGES,
  PAGES_MAX,
  ROW_SHIFTS,
  TABLES,
  WORD_SHIFT,
} from './layout.js'

/** Word address of a head's page directory for one table: its direct part. */
export function directPages(headerChunk: number, table: number): number {
  return (headerChunk << WORD_SHIFT) + HEAD.pages + table * DIRECT_PAGES
}

/** The same for its chunks full of page numbers. */
export function indirectPages(headerChunk: number, table: number): number {
  return (headerChunk << WORD_SHIFT) + HEAD.pages + TABLES * DIRECT_PAGES + table * INDIRECT_PAGES
}

/** Word address of the directory entry of a page; 0 when its indirect chunk is missing. */
export function pageEntry(
  words: Int32Array,
  headerChunk: number,
  table: number,
  page: number,
): number {
  if (page < DIRECT_PAGES) return directPages(headerChunk, table) + page
  const beyond = page - DIRECT_PAGES
  const chunk = words[indirectPages(headerChunk, table) + (beyond >>> WORD_SHIFT)]!
  return chunk === 0 ? 0 : (chunk << WORD_SHIFT) + (beyond & (CHUNK_WORDS - 1))
}

export class Table {
  /** Rows written, staged ones included. */
  count = 0
  /** Word address of each page. */
  pages = new Int32Array(16)
  pageCount = 0
  readonly shift: number
  readonly mask: number
  readonly rows: number
  readonly #arena: HeadArena
  readonly #headerChunk: number
  readonly #tag: number
  readonly #table: number

  constructor(arena: HeadArena, headerChunk: number, table: number) {
    this.#arena = arena
    this.#headerChunk = headerChunk
    this.#tag = arena.tag(headerChunk)
    this.#table = table
    this.shift = ROW_SHIFTS[table]!
    this.rows = 1 << this.shift
    this.mask = this.rows - 1
  }

  /** Word address of row `count` in column 0. The caller fills the row's columns and counts it. */
  next(): number {
    const page = this.count >>> this.shift
    if (page >= this.pageCount) this.#addPage()
    return this.pages[page]! + (this.count & this.mask)
  }

  /** Word address of a row in column 0; pages are added up to it. */
  reserve(row: number): number {
    const page = row >>> this.shift
    while (page >= this.pageCount) this.#addPage()
    return this.pages[page]! + (row & this.mask)
  }

  /** Word address of a written row in column 0. */
  at(row: number): number {
    return this.pages[row >>> this.shift]! + (row & this.mask)
  }

  /** Takes over the pages that `rows` published rows need, and unlinks any further ones. */
  adopt(count: number, rowsReserved: number, keep: (chunk: number) => void): void {
    const { words } = this.#arena
    const pages = Math.ceil(rowsReserved / this.rows)
    this.count = count
    for (let page = 0; page < pages; page++) {
      const chunk = words[pageEntry(words, this.#headerChunk, this.#table, page)]!
      this.#push(chunk)
      keep(chunk)
    }
    const direct = directPages(this.#headerChunk, this.#table)
    if (pages < DIRECT_PAGES) words.fill(0, direct + pages, direct + DIRECT_PAGES)
    const indirect = indirectPages(this.#headerChunk, this.#table)
    const used = Math.ceil(Math.max(0, pages - DIRECT_PAGES) / CHUNK_WORDS)
    for (let i = 0; i < used; i++) keep(words[indirect + i]!)
    words.fill(0, indirect + used, indirect + INDIRECT_PAGES)
  }

  #addPage(): void {
    const page = this.pageCount
    if (page >= PAGES_MAX) throw HEAD_IS_FULL
    const { words } = this.#arena
    let entry = pageEntry(words, this.#headerChunk, this.#table, page)
    if (entry === 0) {
      const chunk = this.#arena.take(this.#tag)
      if (chunk === 0) throw ARENA_IS_FULL
      const slot = (page - DIRECT_PAGES) >>> WORD_SHIFT
      words[indirectPages(this.#headerChunk, this.#table) + slot] = chunk
      entry = pageEntry(words, this.#headerChunk, this.#table, page)
    }
    const chunk = this.#arena.take(this.#tag)
    if (chunk === 0) throw ARENA_IS_FULL
    words[entry] = chunk
    this.#push(chunk)
  }

  #push(chunk: number): void {
    if (this.pageCount === this.pages.length) {
      const grown = new Int32Array(this.pages.length * 2)
      grown.set(this.pages)
      this.pages = grown
    }
    this.pages[this.pageCount++] = chunk << (CHUNK_SHIFT - 2)
  }
}
