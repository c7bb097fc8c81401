/** Owns one code space over the dictionaries of all inputs, so that equal strings of different blocks have one code. */
import type { Dictionary } from '../../otlp/columns.js'
import { ByteTable } from '../block/codec/byte-table.js'

/** Strings after which a new dictionary is begun, so that a long merge does not collect those of the whole block. */
export const MAX_JOINED_BYTES = 4 * 2 ** 20

export class JoinedDictionary implements Dictionary {
  readonly #table = new ByteTable()
  /** By input dictionary: its codes' codes here, 0 = not met yet. Inputs change theirs now and then too. */
  readonly #translations = new WeakMap<Dictionary, Uint32Array>()

  get size(): number {
    return this.#table.size
  }

  get isFull(): boolean {
    return this.#table.length_bytes > MAX_JOINED_BYTES
  }

  /** A table to translate the dictionary's codes by; entries of 0 are for `translate`. */
  translation(dictionary: Dictionary): Uint32Array {
    const known = this.#translations.get(dictionary)
    if (known && known.length > dictionary.size) return known
    const table = new Uint32Array(Math.max(dictionary.size + 1, known ? 2 * known.length : 0))
    if (known) table.set(known)
    this.#translations.set(dictionary, table)
    return table
  }

  translate(dictionary: Dictionary, code: number): number {
    return this.#table.intern(dictionary.bytes(code))
  }

  bytes(code: number): Uint8Array {
    return this.#table.bytes(code)
  }
  text(code: number): string {
    return Buffer.from(this.bytes(code)).toString()
  }
  find(text: string): number {
    return this.#table.find(Buffer.from(text))
  }
}
