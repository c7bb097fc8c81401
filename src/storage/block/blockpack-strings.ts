/** Owns the choice for a string column: codes of the block's dictionary when its values repeat, the strings in place when not. */
import type { Dictionary } from '../../otlp/columns.js'
import { MAX_DICTIONARY_STRING_BYTES } from './blockpack-format.js'
import type { DictionaryWriter } from './blockpack-dictionary.js'

/** Distinct values of one column in one group above which its values are not taken to repeat. */
const MAX_COLUMN_CODES = 8192
/** A column may always bring this many new strings: a few resources, one small block. */
const MIN_NEW_STRINGS = 64
/** Else one new string for this many rows. */
const ROWS_PER_NEW_STRING = 4
/** New strings a column may bring over the block, so that one that trickles does not fill the dictionary. */
const MAX_NEW_STRINGS_PER_COLUMN = 16_384

export interface CodedColumn {
  /** 1 where the row has a value; valid until the next `code`. */
  readonly flags: Uint8Array
  readonly present: number
  /** Codes of the block's dictionary, ascending; undefined when the strings are to stand in place. */
  readonly set: Uint32Array | undefined
  /** Of each row that has a value: index into the set, or the code in the input's dictionary. */
  readonly indexes: Uint32Array
}

/** What is remembered of an input dictionary's codes. */
interface Seen {
  /** The turn in which the code was last met, and its place among the distinct codes of that turn. */
  turn: Uint32Array
  place: Uint32Array
  /** Code in the block's dictionary; 0 when unknown. */
  blockCode: Uint32Array
}

export class StringCoder {
  /** Some column's strings are not in the dictionary. */
  hasStringsInPlace = false
  #turn = 0
  #flags = new Uint8Array(0)
  readonly #seen = new WeakMap<Dictionary, Seen>()
  readonly #newByColumn = new Map<string, number>()
  #bytes = new Uint8Array(1 << 16)

  constructor(readonly dictionary: DictionaryWriter) {}

  code(column: string, codes: Uint32Array, dictionary: Dictionary): CodedColumn {
    const seen = this.#seenOf(dictionary)
    const turn = ++this.#turn
    if (this.#flags.length < codes.length) this.#flags = new Uint8Array(codes.length)
    const flags = this.#flags.subarray(0, codes.length)
    const indexes = new Uint32Array(codes.length)
    const distinct: number[] = []
    let present = 0
    for (let row = 0; row < codes.length; row++) {
      const code = codes[row]!
      flags[row] = code === 0 ? 0 : 1
      if (code === 0) continue
      indexes[present++] = code
      if (seen.turn[code] === turn) continue
      seen.turn[code] = turn
      seen.place[code] = distinct.length
      distinct.push(code)
    }
    const used = indexes.subarray(0, present)
    const set = this.#choose(column, present, distinct, dictionary, seen)
    if (!set) {
      this.hasStringsInPlace = true
      return { flags, present, set, indexes: used }
    }
    const placeOf = new Uint32Array(distinct.length)
    for (const [place, blockCode] of set.entries()) placeOf[blockCode.place] = place
    for (let i = 0; i < present; i++) used[i] = placeOf[seen.place[used[i]!]!]!
    return { flags, present, set: Uint32Array.from(set, ({ code }) => code), indexes: used }
  }

  /** The block's codes of the distinct strings, ascending, each with its place in `distinct`; undefined = in place. */
  #choose(
    column: string,
    present: number,
    distinct: readonly number[],
    dictionary: Dictionary,
    seen: Seen,
  ): { code: number; place: number }[] | undefined {
    if (distinct.length > MAX_COLUMN_CODES) return undefined
    const max = Math.max(MIN_NEW_STRINGS, present / ROWS_PER_NEW_STRING)
    const before = this.#newByColumn.get(column) ?? 0
    let fresh = 0
    let freshBytes = 0
    for (const code of distinct) {
      if (seen.blockCode[code] !== 0) continue
      const bytes = dictionary.bytes(code)
      if ((seen.blockCode[code] = this.dictionary.find(bytes)) !== 0) continue
      fresh++
      freshBytes += bytes.length
      if (fresh > max || bytes.length > MAX_DICTIONARY_STRING_BYTES) return undefined
    }
    if (before + fresh > MAX_NEW_STRINGS_PER_COLUMN) return undefined
    if (!this.dictionary.hasRoom(fresh, freshBytes)) return undefined
    this.#newByColumn.set(column, before + fresh)
    const set = distinct.map((code, place) => {
      seen.blockCode[code] ||= this.dictionary.intern(dictionary.bytes(code))
      return { code: seen.blockCode[code], place }
    })
    return set.sort((a, b) => a.code - b.code)
  }

  /** The strings of the codes, back to back; valid until the next call. */
  strings(codes: Uint32Array, dictionary: Dictionary): { lengths: Uint32Array; bytes: Uint8Array } {
    const lengths = new Uint32Array(codes.length)
    let at = 0
    for (let i = 0; i < codes.length; i++) {
      const string = dictionary.bytes(codes[i]!)
      const end = at + string.length
      lengths[i] = string.length
      if (end > this.#bytes.length) {
        const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length))
        grown.set(this.#bytes.subarray(0, at))
        this.#bytes = grown
      }
      if (string.length > 32) this.#bytes.set(string, at)
      else for (let b = 0; b < string.length; b++) this.#bytes[at + b] = string[b]!
      at = end
    }
    return { lengths, bytes: this.#bytes.subarray(0, at) }
  }

  #seenOf(dictionary: Dictionary): Seen {
    const known = this.#seen.get(dictionary)
    const size = dictionary.size + 1
    if (known && known.turn.length >= size) return known
    const room = known ? Math.max(size, 2 * known.turn.length) : size
    const seen: Seen = {
      turn: grown(known?.turn, room),
      place: grown(known?.place, room),
      blockCode: grown(known?.blockCode, room),
    }
    this.#seen.set(dictionary, seen)
    return seen
  }
}

function grown(known: Uint32Array | undefined, length: number): Uint32Array {
  const out = new Uint32Array(length)
  if (known) out.set(known)
  return out
}
