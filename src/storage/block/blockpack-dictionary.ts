/**
 * Owns the block's dictionary on both sides. The writer collects the strings that repeat. The reader knows those from the
 * start, and gives codes above them to strings that stand in their columns' pages, when such a page is read.
 */
import type { Dictionary } from '../../otlp/columns.js'
import { ByteReader, ByteWriter } from './codec/bytes.js'
import { ByteTable } from './codec/byte-table.js'
import { readStrings, writeStrings } from './codec/strings.js'
import { MAX_DICTIONARY_BYTES, MAX_DICTIONARY_STRINGS } from './blockpack-format.js'

/** JavaScript strings remembered by a dictionary; past it they are made anew. */
const MAX_CACHED_TEXTS = 65_536
const KEPT_TEXT_BYTES = 96

export class DictionaryWriter {
  readonly #table = new ByteTable()
  get size(): number {
    return this.#table.size
  }
  find(bytes: Uint8Array): number {
    return this.#table.find(bytes)
  }
  /** True when `strings` more of `bytes` together can be taken. */
  hasRoom(strings: number, bytes: number): boolean {
    const { size, length_bytes } = this.#table
    return size + strings <= MAX_DICTIONARY_STRINGS && length_bytes + bytes <= MAX_DICTIONARY_BYTES
  }
  intern(bytes: Uint8Array): number {
    return this.#table.intern(bytes)
  }
  encode(out: ByteWriter): void {
    const count = this.#table.size
    const lengths = new Uint32Array(count)
    const bytes = new Uint8Array(this.#table.length_bytes)
    let at = 0
    for (let code = 1; code <= count; code++) {
      const string = this.#table.bytes(code)
      lengths[code - 1] = string.length
      bytes.set(string, at)
      at += string.length
    }
    out.varint(count)
    writeStrings(out, lengths, bytes)
  }
}

/** Codes 1..stored are the block's; codes above are given in the order in which pages or questions bring new strings. */
export class BlockDictionary implements Dictionary {
  readonly #table = new ByteTable()
  readonly #texts = new Map<number, string>()
  /** Strings of the block's dictionary. */
  readonly stored: number

  /** `isWhole`: every string of the block is in its dictionary, so an unknown text is certainly absent. Throws `Malformed`. */
  constructor(
    section: Uint8Array,
    readonly isWhole: boolean,
  ) {
    const input = new ByteReader(section)
    const count = input.varint(MAX_DICTIONARY_STRINGS)
    const { bytes, ends } = readStrings(input, count)
    input.end()
    let from = 0
    for (let i = 0; i < count; i++) {
      this.#table.intern(bytes, from, ends[i])
      if (this.#table.size !== i + 1) input.fail(`string ${i + 1} stands twice`)
      from = ends[i]!
    }
    this.stored = count
  }

  get size(): number {
    return this.#table.size
  }
  get length_bytes(): number {
    return this.#table.length_bytes
  }
  /** About: tables grow by doubling, a text is an object beside its bytes. */
  get retained_bytes(): number {
    return 2 * this.length_bytes + 16 * this.size + KEPT_TEXT_BYTES * this.#texts.size
  }
  bytes(code: number): Uint8Array {
    return this.#table.bytes(code)
  }
  text(code: number): string {
    let text = this.#texts.get(code)
    if (text === undefined) {
      text = textOf(this.bytes(code))
      if (this.#texts.size >= MAX_CACHED_TEXTS) this.#texts.clear()
      this.#texts.set(code, text)
    }
    return text
  }
  /**
   * The code of the text. Strings that stand in pages may not have been read yet, so an unknown text is given the code that
   * it will have when it turns up: a code that no row has is possible, a wrong 0 is not.
   */
  find(text: string): number {
    const bytes = Buffer.from(text)
    return this.isWhole || bytes.length > MAX_FIND_BYTES ? this.#table.find(bytes) : this.#table.intern(bytes)
  } // prettier-ignore
  /** The code of a string of the block's own dictionary, 0 when it is not there. */
  findStored(text: string): number {
    const code = this.#table.find(Buffer.from(text))
    return code <= this.stored ? code : 0
  }
  /** Takes strings that stand back to back; each end becomes the string's code. */
  adopt(bytes: Uint8Array, ends: Uint32Array): void {
    for (let i = 0, start = 0; i < ends.length; i++) {
      const end = ends[i]!
      ends[i] = this.#table.intern(bytes, start, end)
      start = end
    }
  }
}

/** Longer questions are not remembered. */
const MAX_FIND_BYTES = 2 ** 20

/** Strings of one page with codes from `base` + 1 on. */
interface Adopted {
  readonly base: number
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

/** Codes of strings for one page only, as a trace's assembly needs them: above the block's, without looking for equals. */
export class PageDictionary implements Dictionary {
  readonly #adopted: Adopted[] = []
  #size: number
  constructor(readonly block: BlockDictionary) {
    this.#size = block.stored
  }
  get size(): number {
    return this.#size
  }
  bytes(code: number): Uint8Array {
    if (code <= this.block.stored) return this.block.bytes(code)
    const strings = this.#adopted.findLast(({ base }) => base < code)
    if (!strings || code > this.#size)
      throw new RangeError(`code ${code} is not in 1..${this.#size}`)
    const i = code - strings.base - 1
    return strings.bytes.subarray(i === 0 ? 0 : strings.ends[i - 1]!, strings.ends[i])
  }
  text(code: number): string {
    return textOf(this.bytes(code))
  }
  find(text: string): number {
    const stored = this.block.findStored(text)
    if (stored) return stored
    const bytes = Buffer.from(text)
    for (let code = this.block.stored + 1; code <= this.#size; code++) {
      if (bytes.equals(this.bytes(code))) return code
    }
    return 0
  }
  adopt(bytes: Uint8Array, ends: Uint32Array): void {
    const base = this.#size
    this.#adopted.push({ base, bytes, ends: ends.slice() })
    for (let i = 0; i < ends.length; i++) ends[i] = base + i + 1
    this.#size += ends.length
  }
}

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
