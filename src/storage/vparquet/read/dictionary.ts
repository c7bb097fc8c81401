/**
 * Owns the strings of one column chunk: those of its dictionary page have their place in it as their code, so that nothing is
 * hashed for a question about a few of them; strings that stand in data pages get codes above.
 */
import type { Dictionary } from '../../../otlp/columns.js'
import { ByteTable } from '../../block/codec/byte-table.js'
import type { ByteValues } from '../../parquet/values.js'

/** JavaScript strings remembered; past it they are made anew. */
const MAX_CACHED_TEXTS = 65_536

export class ChunkDictionary implements Dictionary {
  readonly #page: ByteValues | undefined
  readonly #pageSize: number
  readonly #texts = new Map<number, string>()
  /** Made when the first string from a data page comes: all strings, and the code of each. */
  #table: ByteTable | undefined
  #codes: number[] = []
  /** Of the codes above the page's: their places in the table. */
  #added: number[] = []

  constructor(page: ByteValues | undefined) {
    this.#page = page
    this.#pageSize = page?.starts.length ?? 0
  }

  get size(): number {
    return this.#pageSize + this.#added.length
  }

  bytes(code: number): Uint8Array {
    if (code < 1 || code > this.size) throw new RangeError(`code ${code} is not in 1..${this.size}`)
    if (code > this.#pageSize) return this.#table!.bytes(this.#added[code - this.#pageSize - 1]!)
    const { bytes, starts, ends } = this.#page!
    return bytes.subarray(starts[code - 1], ends[code - 1])
  }

  text(code: number): string {
    let text = this.#texts.get(code)
    if (text === undefined) {
      const { buffer, byteOffset, byteLength } = this.bytes(code)
      text = Buffer.from(buffer, byteOffset, byteLength).toString()
      if (this.#texts.size >= MAX_CACHED_TEXTS) this.#texts.clear()
      this.#texts.set(code, text)
    }
    return text
  }

  find(text: string): number {
    return this.findBytes(Buffer.from(text))
  }

  findBytes(wanted: Uint8Array): number {
    if (this.#table) {
      const at = this.#table.find(wanted)
      return at === 0 ? 0 : this.#codes[at]!
    }
    return this.#page ? indexOf(this.#page, wanted) + 1 : 0
  }

  /** The code of bytes[from..to), which are added when they are new. */
  intern(bytes: Uint8Array, from: number, to: number): number {
    const table = (this.#table ??= this.#tableOfPage())
    const before = table.size
    const at = table.intern(bytes, from, to)
    if (table.size > before) {
      this.#added.push(at)
      this.#codes[at] = this.size
    }
    return this.#codes[at]!
  }

  #tableOfPage(): ByteTable {
    const table = new ByteTable()
    for (let i = 0; i < this.#pageSize; i++) {
      const { bytes, starts, ends } = this.#page!
      // Of a string that stands twice the first place counts.
      this.#codes[table.intern(bytes, starts[i], ends[i])] ??= i + 1
    }
    return table
  }
}

/** By length and last byte first: strings of one column are alike at their beginnings. */
function indexOf({ bytes, starts, ends }: ByteValues, wanted: Uint8Array): number {
  const { length } = wanted
  const last = length > 0 ? wanted[length - 1]! : 0
  next: for (let i = 0; i < starts.length; i++) {
    const start = starts[i]!
    if (ends[i]! - start !== length) continue
    if (length === 0) return i
    if (bytes[start + length - 1] !== last) continue
    for (let b = 0; b < length; b++) if (bytes[start + b] !== wanted[b]) continue next
    return i
  }
  return -1
}

/**
 * What a block says of strings that it has not looked for yet: no text is certainly absent. Codes are of the dictionaries of
 * columns, each of which has its own.
 */
export const UNREAD_DICTIONARY: Dictionary = {
  size: 1,
  bytes: () => new Uint8Array(0),
  text: () => '',
  find: () => 1,
}

/** The strings of two dictionaries, the first's codes unchanged, the second's strings under codes of the first or above. */
export class JoinedDictionary implements Dictionary {
  readonly #first: Dictionary
  readonly #second: Dictionary
  constructor(first: Dictionary, second: Dictionary) {
    this.#first = first
    this.#second = second
  }
  get size(): number {
    return this.#first.size + this.#second.size
  }
  bytes(code: number): Uint8Array {
    const { size } = this.#first
    return code <= size ? this.#first.bytes(code) : this.#second.bytes(code - size)
  }
  text(code: number): string {
    const { size } = this.#first
    return code <= size ? this.#first.text(code) : this.#second.text(code - size)
  }
  find(text: string): number {
    const code = this.#first.find(text)
    if (code !== 0) return code
    const second = this.#second.find(text)
    return second === 0 ? 0 : this.#first.size + second
  }
  /** The code here of a code of the second. */
  codeOfSecond(code: number): number {
    const known = this.#first.find(this.#second.text(code))
    return known !== 0 ? known : this.#first.size + code
  }
}
