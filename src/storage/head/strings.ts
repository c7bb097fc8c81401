/** Owns the writer's side of a head's dictionary: interning bytes of a request to codes, without making strings. */
import type { HeadArena } from './arena.js'
import { HEAD_IS_FULL } from './errors.js'
import { HashIndex } from './hash-index.js'
import { hashBytes } from './hash.js'
import { CHUNK_BYTES, ENTRY_COLUMN } from './layout.js'
import type { Table } from './table.js'
import type { Wire } from './wire.js'

const HASH = ENTRY_COLUMN.hash
const CHUNK_MASK = CHUNK_BYTES - 1
/** Offsets are 32-bit, compared as signed integers. */
const TEXT_BYTES_MAX = 2 ** 31 - 1
const COPY_BY_WORD_MAX = 64

export class Strings {
  readonly index = new HashIndex()
  readonly #arena: HeadArena
  readonly #wire: Wire
  readonly #entries: Table
  readonly #text: Table

  constructor(arena: HeadArena, wire: Wire, entries: Table, text: Table) {
    this.#arena = arena
    this.#wire = wire
    this.#entries = entries
    this.#text = text
  }

  /** Makes code 0 (absent) and the offset of code 1. */
  initialise(): void {
    const { words } = this.#arena
    words[this.#entries.reserve(0)] = 0
    words[this.#entries.reserve(1)] = 0
    this.#entries.count = 1
  }

  /** Rebuilds the private index from the entries. */
  rebuild(): void {
    const { words } = this.#arena
    const { count, rows } = this.#entries
    for (let code = 1; code < count; code++) {
      this.index.add(words[this.#entries.at(code) + HASH * rows]!)
    }
    this.index.commit()
  }

  /** The code of bytes of the request; the caller has checked that they exist. Empty bytes have a code, too. */
  intern(pos: number, length: number): number {
    const { index } = this
    const hash = hashBytes(this.#wire.view, pos, length, this.#arena.seed)
    let slot = index.first(hash)
    while (slot >= 0) {
      const code = index.pairs[slot * 2 + 1]!
      if (this.#equals(code, pos, length)) return code
      slot = index.next(hash, slot)
    }
    return this.#add(slot, hash, pos, length)
  }

  /** As `intern`, but 0 for empty bytes: for fields where empty means absent. */
  internField(pos: number, length: number): number {
    return length === 0 ? 0 : this.intern(pos, length)
  }

  /** Whether a code stands for bytes of the request; false for codes that were taken back. */
  is(code: number, pos: number, length: number): boolean {
    return code < this.#entries.count && this.#equals(code, pos, length)
  }

  #equals(code: number, pos: number, length: number): boolean {
    const { words, view } = this.#arena
    const entries = this.#entries
    const offset = words[entries.at(code)]!
    if (words[entries.at(code + 1)]! - offset !== length) return false
    if ((offset & CHUNK_MASK) + length > CHUNK_BYTES) return this.#equalsAcross(offset, pos, length)
    const at = (this.#text.pages[offset >>> this.#text.shift]! << 2) + (offset & CHUNK_MASK)
    const request = this.#wire.view
    if (length >= 4) {
      const last = length - 4
      for (let i = 0; i < last; i += 4) {
        if (view.getInt32(at + i, true) !== request.getInt32(pos + i, true)) return false
      }
      return view.getInt32(at + last, true) === request.getInt32(pos + last, true)
    }
    for (let i = 0; i < length; i++) {
      if (view.getUint8(at + i) !== request.getUint8(pos + i)) return false
    }
    return true
  }

  #equalsAcross(offset: number, pos: number, length: number): boolean {
    const { bytes } = this.#arena
    const { pages, shift } = this.#text
    for (let i = 0; i < length; i++) {
      const at = offset + i
      const byte = bytes[(pages[at >>> shift]! << 2) + (at & CHUNK_MASK)]
      if (byte !== this.#wire.bytes[pos + i]) return false
    }
    return true
  }

  #add(slot: number, hash: number, pos: number, length: number): number {
    const { words } = this.#arena
    const entries = this.#entries
    const offset = this.#text.count
    if (length > TEXT_BYTES_MAX - offset) throw HEAD_IS_FULL
    const code = entries.count
    // The end goes first: when no page is left for it, nothing has changed.
    const end = entries.reserve(code + 1)
    if (length > 0) this.#write(offset, pos, length)
    words[end] = offset + length
    words[entries.at(code) + HASH * entries.rows] = hash
    entries.count = code + 1
    this.#text.count = offset + length
    this.index.insert(slot, hash)
    return code
  }

  #write(offset: number, pos: number, length: number): void {
    const { bytes } = this.#arena
    const text = this.#text
    text.reserve(offset + length - 1)
    const inChunk = offset & CHUNK_MASK
    let at = (text.pages[offset >>> text.shift]! << 2) + inChunk
    if (length <= COPY_BY_WORD_MAX && inChunk + length <= CHUNK_BYTES) {
      const request = this.#wire.bytes
      for (let i = 0; i < length; i++) bytes[at + i] = request[pos + i]!
      return
    }
    let written = 0
    while (written < length) {
      const room = CHUNK_BYTES - ((offset + written) & CHUNK_MASK)
      const part = Math.min(room, length - written)
      at = (text.pages[(offset + written) >>> text.shift]! << 2) + ((offset + written) & CHUNK_MASK)
      bytes.set(this.#wire.bytes.subarray(pos + written, pos + written + part), at)
      written += part
    }
  }
}
