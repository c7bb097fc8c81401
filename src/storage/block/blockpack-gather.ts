/** Owns copying rows of columns out of input groups, back to back, and bringing their strings into one code space. */
import type { Dictionary } from '../../otlp/columns.js'
import { ByteTable } from './codec/byte-table.js'

/** Rows of a table: `list` when they are not the contiguous from..to. */
export interface Rows {
  readonly from: number
  readonly to: number
  readonly list?: Uint32Array
}

export const lengthOf = ({ from, to, list }: Rows): number => list?.length ?? to - from

type Numbers = Uint32Array | Uint8Array | Float64Array
export const uint32s = (length: number): Uint32Array => new Uint32Array(length)
export const uint8s = (length: number): Uint8Array => new Uint8Array(length)
export const float64s = (length: number): Float64Array => new Float64Array(length)

/** The values of the rows of all parts, back to back; a part without the column gives zeros. */
export function gather<T extends Numbers>(
  make: (length: number) => T,
  parts: readonly (T | undefined)[],
  rows: readonly Rows[],
  total: number,
): T {
  const only = parts.length === 1 ? rows[0]! : undefined
  if (only && !only.list) return parts[0]!.subarray(only.from, only.to) as T
  const out = make(total)
  let at = 0
  for (const [i, part] of parts.entries()) {
    const { from, to, list } = rows[i]!
    if (!part) at += lengthOf(rows[i]!)
    else if (list) for (const row of list) out[at++] = part[row]!
    else {
      out.set(part.subarray(from, to), at)
      at += to - from
    }
  }
  return out
}

export function gatherFixed(
  width: number,
  parts: readonly (Uint8Array | undefined)[],
  rows: readonly Rows[],
  total: number,
): Uint8Array {
  const out = new Uint8Array(total * width)
  let at = 0
  for (const [i, part] of parts.entries()) {
    const { from, to, list } = rows[i]!
    if (part && list) {
      for (const row of list) {
        for (let b = 0; b < width; b++) out[at++] = part[row * width + b]!
      }
      continue
    }
    if (part) out.set(part.subarray(from * width, to * width), at)
    at += lengthOf(rows[i]!) * width
  }
  return out
}

/** Which rows have a value. A field is 0 where a slice has not got it, an attribute is absent there. */
export function gatherPresent(
  parts: readonly ({ present: Uint8Array | undefined } | undefined)[],
  rows: readonly Rows[],
  total: number,
  sparse: boolean,
): Uint8Array | undefined {
  if (!sparse || parts.every((part) => part && !part.present)) return undefined
  if (parts.length === 1) return gather(uint8s, [parts[0]!.present], rows, total)
  const out = new Uint8Array(total)
  let at = 0
  for (const [i, part] of parts.entries()) {
    const { from, to, list } = rows[i]!
    const count = lengthOf(rows[i]!)
    if (part && !part.present) out.fill(1, at, at + count)
    else if (part?.present && !list) out.set(part.present.subarray(from, to), at)
    else if (part?.present) for (const [n, row] of list!.entries()) out[at + n] = part.present[row]!
    at += count
  }
  return out
}

interface Coded {
  readonly codes: Uint32Array
  readonly dictionary: Dictionary
}

/** One code space over the dictionaries of all slices: the dictionary itself when there is one, a joined one otherwise. */
export class StringSpace implements Dictionary {
  readonly #table = new ByteTable()
  readonly #translations = new Map<Dictionary, Uint32Array>()

  unify(parts: readonly (Coded | undefined)[], rows: readonly Rows[], total: number): Coded {
    const dictionaries = new Set(parts.flatMap((part) => part?.dictionary ?? []))
    const [only] = dictionaries
    if (dictionaries.size === 1) {
      const codes = parts.map((part) => part?.codes)
      return { codes: gather(uint32s, codes, rows, total), dictionary: only! }
    }
    const codes = new Uint32Array(total)
    let at = 0
    for (const [i, part] of parts.entries()) {
      const { from, list } = rows[i]!
      const count = lengthOf(rows[i]!)
      if (part) {
        const table = this.#translation(part.dictionary)
        for (let n = 0; n < count; n++) {
          const code = part.codes[list ? list[n]! : from + n]!
          if (code === 0) continue
          codes[at + n] = table[code] ||= this.#table.intern(part.dictionary.bytes(code))
        }
      }
      at += count
    }
    return { codes, dictionary: this }
  }

  #translation(dictionary: Dictionary): Uint32Array {
    const known = this.#translations.get(dictionary)
    if (known && known.length > dictionary.size) return known
    const table = new Uint32Array(dictionary.size + 1)
    if (known) table.set(known)
    this.#translations.set(dictionary, table)
    return table
  }

  get size(): number {
    return this.#table.size
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
