/** Owns the readers' side of a head's dictionary: bytes and text of a code, and the code of a text. */
import type { Dictionary } from '../../otlp/columns.js'
import type { HeadArena } from './arena.js'
import { hashBytes } from './hash.js'
import { dictionarySize, type HeadView } from './head-view.js'
import { CHUNK_BYTES, CHUNK_SHIFT, ENTRY, ENTRY_COLUMN, ROW_SHIFTS, TEXT } from './layout.js'

/** Texts and searches remembered a head; past it the memory starts anew. */
const TEXTS_MAX = 32_768
const TEXT_LENGTH_MAX = 1024
const FINDS_MAX = 1024

/** What outlives a snapshot: codes keep their meaning as long as the head lives. */
export class DictionaryCache {
  readonly texts = new Map<number, string>()
  /** Code found, or minus the number of codes that were searched in vain. */
  readonly finds = new Map<string, number>()
  readonly buffer: Buffer

  constructor(arena: HeadArena) {
    this.buffer = Buffer.from(arena.memory)
  }
}

export class HeadDictionary implements Dictionary {
  readonly size: number
  readonly #view: HeadView
  readonly #cache: DictionaryCache

  constructor(view: HeadView, cache: DictionaryCache) {
    this.size = dictionarySize(view)
    this.#view = view
    this.#cache = cache
  }

  /** A copy: the arena's own bytes must not leave, and may be recycled once the source is closed. */
  bytes(code: number): Uint8Array {
    if (!this.#has(code)) return new Uint8Array(0)
    const offset = this.#offset(code)
    return this.#slice(offset, this.#offset(code + 1) - offset)
  }

  text(code: number): string {
    if (!this.#has(code)) return ''
    const { texts, buffer } = this.#cache
    const known = texts.get(code)
    if (known !== undefined) return known
    const offset = this.#offset(code)
    const length = this.#offset(code + 1) - offset
    const inChunk = offset & (CHUNK_BYTES - 1)
    let text: string
    if (inChunk + length <= CHUNK_BYTES) {
      const at = length === 0 ? 0 : this.#address(offset)
      text = buffer.toString('utf8', at, at + length)
    } else {
      text = Buffer.from(this.#slice(offset, length).buffer).toString('utf8')
    }
    if (length > TEXT_LENGTH_MAX) return text
    if (texts.size >= TEXTS_MAX) texts.clear()
    texts.set(code, text)
    return text
  }

  find(text: string): number {
    const { finds } = this.#cache
    const known = finds.get(text) ?? 0
    // A code beyond this snapshot was found for a newer one.
    if (known > 0) return known <= this.size ? known : 0
    if (-known >= this.size) return 0
    const found = this.#search(Buffer.from(text, 'utf8'), -known + 1)
    if (finds.size >= FINDS_MAX) finds.clear()
    finds.set(text, found === 0 ? -this.size : found)
    return found
  }

  #search(sought: Uint8Array, from: number): number {
    const { words, arena } = this.#view
    const view = new DataView(sought.buffer, sought.byteOffset, sought.byteLength)
    const hash = hashBytes(view, 0, sought.length, arena.seed)
    const shift = ROW_SHIFTS[ENTRY]!
    const rows = 1 << shift
    const pages = this.#view.pages(ENTRY)
    for (let code = from; code <= this.size;) {
      const inPage = code & (rows - 1)
      const end = Math.min(this.size + 1, code - inPage + rows)
      const at = pages[code >>> shift]! + (ENTRY_COLUMN.hash << shift) + inPage - code
      for (; code < end; code++) {
        if (words[at + code] === hash && this.#equals(code, sought)) return code
      }
    }
    return 0
  }

  #equals(code: number, sought: Uint8Array): boolean {
    const offset = this.#offset(code)
    if (this.#offset(code + 1) - offset !== sought.length) return false
    return Buffer.compare(this.#slice(offset, sought.length), sought) === 0
  }

  #has(code: number): boolean {
    return code >= 1 && code <= this.size
  }

  #offset(code: number): number {
    return this.#view.word(ENTRY, ENTRY_COLUMN.offset, code)
  }

  #address(offset: number): number {
    return (this.#view.pages(TEXT)[offset >>> CHUNK_SHIFT]! << 2) + (offset & (CHUNK_BYTES - 1))
  }

  #slice(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length)
    const { bytes } = this.#view.arena
    for (let done = 0; done < length;) {
      const room = CHUNK_BYTES - ((offset + done) & (CHUNK_BYTES - 1))
      const part = Math.min(room, length - done)
      const at = this.#address(offset + done)
      out.set(bytes.subarray(at, at + part), done)
      done += part
    }
    return out
  }
}
