/** Owns the dictionary of one column chunk: which of its strings a value is, and the page of strings. */
import type { Dictionary } from '../../otlp/columns.js'
import { ByteTable } from '../block/codec/byte-table.js'
import { ByteWriter } from '../block/codec/bytes.js'

const FIRST_SLOTS = 64
const NOTHING = new Uint8Array(0)

/**
 * Values are known by their code in the source's dictionary, which takes one look at a table. A value that comes without a
 * code, or a second source, has all of them compared by their bytes from then on.
 */
export class ColumnDictionary {
  /** The page: length and bytes of each string (PLAIN). */
  readonly #page = new ByteWriter(1024)
  #starts = new Uint32Array(FIRST_SLOTS)
  /** The first bytes of each string, as a number that sorts as they do: most comparisons end here. */
  #prefixes = new Float64Array(FIRST_SLOTS)
  #source: Dictionary | undefined
  /** Open addressing: code, then index + 1. */
  #slots = new Uint32Array(2 * FIRST_SLOTS)
  #codes = 0
  #table: ByteTable | undefined
  #empty = -1
  size = 0

  get page(): Uint8Array {
    return this.#page.view()
  }

  get length_bytes(): number {
    return this.#page.length
  }

  /** The index of the string of a code; that of the empty string for code 0. */
  ofCode(code: number, source: Dictionary): number {
    if (code === 0) return this.#emptyIndex()
    if (source !== this.#source) this.#takeSource(source)
    const mask = this.#slots.length / 2 - 1
    let slot = mixed(code) & mask
    for (; this.#slots[2 * slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#slots[2 * slot] === code) return this.#slots[2 * slot + 1]! - 1
    }
    const index = this.#add(source.bytes(code))
    this.#slots[2 * slot] = code
    this.#slots[2 * slot + 1] = index + 1
    if (2 * ++this.#codes > mask) this.#grow()
    return index
  }

  ofBytes(bytes: Uint8Array): number {
    this.#compareBytes()
    return this.#add(bytes)
  }

  ofText(text: string): number {
    return this.ofBytes(Buffer.from(text))
  }

  /** The bytes of a string. A view: valid until the next string is added. */
  bytes(index: number): Uint8Array {
    const start = this.#starts[index]!
    const page = this.#page.view()
    return page.subarray(start, index + 1 < this.size ? this.#starts[index + 1]! - 4 : page.length)
  }

  /** Less than 0 when string a stands before b, by bytes. */
  compare(a: number, b: number): number {
    const difference = this.#prefixes[a]! - this.#prefixes[b]!
    return difference !== 0 ? difference : Buffer.compare(this.bytes(a), this.bytes(b))
  }

  /** Begins the next chunk. */
  clear(): void {
    this.#page.clear()
    this.#source = undefined
    this.#slots = new Uint32Array(2 * FIRST_SLOTS)
    this.#codes = 0
    this.#table = undefined
    this.#empty = -1
    this.size = 0
  }

  #emptyIndex(): number {
    if (this.#empty < 0) this.#empty = this.#add(NOTHING)
    return this.#empty
  }

  #add(bytes: Uint8Array): number {
    if (bytes.length === 0 && this.#empty >= 0) return this.#empty
    if (this.#table) {
      const index = this.#table.intern(bytes) - 1
      if (index < this.size) return index
    }
    const index = this.size++
    if (index === this.#starts.length) {
      this.#starts = doubled(this.#starts, new Uint32Array(2 * index))
      this.#prefixes = doubled(this.#prefixes, new Float64Array(2 * index))
    }
    this.#page.u32(bytes.length)
    this.#starts[index] = this.#page.length
    this.#prefixes[index] = prefixOf(bytes)
    this.#page.bytes(bytes)
    if (bytes.length === 0) this.#empty = index
    return index
  }

  #takeSource(source: Dictionary): void {
    if (this.#source) {
      this.#compareBytes()
      this.#slots.fill(0)
      this.#codes = 0
    }
    this.#source = source
  }

  #compareBytes(): void {
    if (this.#table) return
    this.#table = new ByteTable()
    for (let index = 0; index < this.size; index++) this.#table.intern(this.bytes(index))
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(2 * old.length)
    const mask = old.length - 1
    for (let at = 0; at < old.length; at += 2) {
      const code = old[at]!
      if (code === 0) continue
      let slot = mixed(code) & mask
      while (this.#slots[2 * slot] !== 0) slot = (slot + 1) & mask
      this.#slots[2 * slot] = code
      this.#slots[2 * slot + 1] = old[at + 1]!
    }
  }
}

function mixed(code: number): number {
  const product = Math.imul(code, 0x9e3779b1)
  return product ^ (product >>> 15)
}

function doubled<T extends Uint32Array | Float64Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}

/** Six bytes are exact in a double. */
function prefixOf(bytes: Uint8Array): number {
  let prefix = 0
  for (let i = 0; i < 6; i++) prefix = prefix * 256 + (bytes[i] ?? 0)
  return prefix
}
