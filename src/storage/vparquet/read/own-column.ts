/** Owns attributes that have a column of their own: one value a row, or a list of which one value is a scalar, more an array. */
import type { IntColumn } from '../../../otlp/columns.js'
import { ArrayWriter } from './any-value.js'
import { ChunkDictionary } from './dictionary.js'
import type { GroupColumns } from './group-columns.js'
import { joinInts, joinStrings, type Strings, type Words } from './join.js'
import { rowsOfValues } from './levels.js'
import type { OwnColumn } from './paths.js'

/** Value i is of row rows[i], which never decreases. */
export interface OwnValues {
  readonly rows: Uint32Array
  readonly strings: Strings | undefined
  readonly ints: Words | undefined
  /** Some row has more than one value. */
  readonly hasArrays: boolean
}

export async function readOwn(
  columns: GroupColumns,
  own: OwnColumn,
  list: number,
): Promise<OwnValues | undefined> {
  const values = await columns.read(own.path, true, ({ data, leaf }) => {
    const rows = rowsOfValues(data, leaf, list)
    return own.type === 'string'
      ? { rows, strings: joinStrings(data, own.emptyIsAbsent), ints: undefined }
      : { rows, strings: undefined, ints: joinInts(data, true) }
  })
  if (!values || values.rows.length === 0) return undefined
  const { rows } = values
  let hasArrays = false
  for (let i = 1; i < rows.length && !hasArrays; i++) hasArrays = rows[i] === rows[i - 1]
  return { ...values, hasArrays }
}

/** Whether value i is the only one of its row. */
export const isAlone = (rows: Uint32Array, i: number): boolean =>
  rows[i] !== rows[i - 1] && rows[i] !== rows[i + 1]

/** Codes of the rows that have one text. */
export function textsOf({ rows, strings, hasArrays }: OwnValues, count: number): Strings | undefined {
  if (!strings) return undefined
  if (!hasArrays && rows.length === count) return strings
  const codes = new Uint32Array(count)
  for (let i = 0; i < rows.length; i++) {
    if (!hasArrays || isAlone(rows, i)) codes[rows[i]!] = strings.codes[i]!
  }
  return { codes, dictionary: strings.dictionary }
} // prettier-ignore

export function numbersOf({ rows, ints, hasArrays }: OwnValues, count: number): IntColumn | undefined {
  if (!ints) return undefined
  if (!hasArrays && rows.length === count) return { type: 'int', ...ints, present: undefined }
  const column = { lo: new Uint32Array(count), hi: new Uint32Array(count), present: new Uint8Array(count) }
  for (let i = 0; i < rows.length; i++) {
    if (hasArrays && !isAlone(rows, i)) continue
    const row = rows[i]!
    column.lo[row] = ints.lo[i]!
    column.hi[row] = ints.hi[i]!
    column.present[row] = 1
  }
  return { type: 'int', ...column }
} // prettier-ignore

/** The AnyValues of rows that have several values, as codes of `dictionary`; 0 elsewhere. */
export function arraysOf(values: OwnValues, codes: Uint32Array, dictionary: ChunkDictionary): void {
  if (!values.hasArrays) return
  const { rows } = values
  const writer = new ArrayWriter()
  for (let i = 0; i < rows.length;) {
    let end = i + 1
    while (rows[end] === rows[i]) end++
    if (end > i + 1) {
      writeArray(writer, values, i, end)
      const bytes = writer.finish()
      codes[rows[i]!] = dictionary.intern(bytes, 0, bytes.length)
    }
    i = end
  }
}

/** Values from..to as one array. */
export function writeArray(
  writer: ArrayWriter,
  { strings, ints }: Pick<OwnValues, 'strings' | 'ints'>,
  from: number,
  to: number,
): void {
  writer.begin()
  for (let i = from; i < to; i++) {
    if (strings) writer.string(textBytes(strings, i))
    else if (ints) writer.int(ints.lo[i]!, ints.hi[i]!)
  }
}

const NOTHING = new Uint8Array(0)
export const textBytes = ({ codes, dictionary }: Strings, i: number): Uint8Array =>
  codes[i] === 0 ? NOTHING : dictionary.bytes(codes[i]!)
