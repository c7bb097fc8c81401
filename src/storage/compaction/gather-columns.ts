/** Owns putting a column together from several inputs: rows of each go to rows of the output, in one code space. */
import type {
  BoolColumn,
  Column,
  Dictionary,
  FixedColumn,
  FloatColumn,
  IntColumn,
} from '../../otlp/columns.js'
import type { ColumnRef } from '../block/blockpack-image.js'
import type { JoinedDictionary } from './joined-dictionary.js'
import type { SourceGroup } from './source-cursor.js'

/** Row `from[i]` of the input is row `to[i]` of the output. */
export interface Part {
  readonly input: SourceGroup
  readonly from: Uint32Array
  readonly to: Uint32Array
}

type Pair<C> = readonly [part: Part, column: C | undefined]
type CodedColumn = Column & { codes: Uint32Array; dictionary: Dictionary }

/** The column over all parts; undefined when none has it. A row that no part gives a value has none. */
export async function gatherColumn(
  ref: ColumnRef,
  parts: readonly Part[],
  rows: number,
  dictionary: JoinedDictionary,
): Promise<Column | undefined> {
  const columns = await Promise.all(parts.map(({ input }) => input.column(ref)))
  const first = columns.find((column) => column !== undefined)
  if (!first) return undefined
  const pairs = <C>(): Pair<C>[] => parts.map((part, i) => [part, columns[i] as C | undefined])
  switch (first.type) {
    case 'string':
    case 'any':
      return gatherCodes(first.type, pairs<CodedColumn>(), rows, dictionary)
    case 'int':
      return gatherInts(ref, pairs<IntColumn>(), rows)
    case 'float':
      return gatherFloats(pairs<FloatColumn>(), rows)
    case 'bool':
      return gatherBools(pairs<BoolColumn>(), rows)
    case 'fixed':
      return gatherFixed(first.width, pairs<FixedColumn>(), rows)
  }
}

/** A value takes the place of none, and a later one that of an earlier: so a trace in two blocks has its last root. */
function gatherCodes(
  type: 'string' | 'any',
  pairs: readonly Pair<CodedColumn>[],
  rows: number,
  joined: JoinedDictionary,
): Column {
  const codes = new Uint32Array(rows)
  for (const [{ from, to }, column] of pairs) {
    if (!column) continue
    const { dictionary, codes: source } = column
    const table = joined.translation(dictionary)
    for (let i = 0; i < from.length; i++) {
      const code = source[from[i]!]!
      if (code !== 0) codes[to[i]!] = table[code] ||= joined.translate(dictionary, code)
    }
  }
  return { type, codes, dictionary: joined }
}

function gatherInts(ref: ColumnRef, pairs: readonly Pair<IntColumn>[], rows: number): IntColumn {
  const lo = new Uint32Array(rows)
  const hi = new Uint32Array(rows)
  const better = ref.kind === 'field' ? BETTER[ref.name] : undefined
  if (better) gatherBest(pairs, { lo, hi }, better)
  else {
    for (const [{ from, to }, column] of pairs) {
      if (!column) continue
      const { lo: sourceLo, hi: sourceHi } = column
      for (let i = 0; i < from.length; i++) {
        lo[to[i]!] = sourceLo[from[i]!]!
        hi[to[i]!] = sourceHi[from[i]!]!
      }
    }
  }
  const present = ref.kind === 'field' ? undefined : gatherPresent(pairs, rows)
  return { type: 'int', lo, hi, present }
}

/** What a trace in several blocks has of these is the least or the greatest of them. */
const BETTER: Partial<Record<string, (order: number) => boolean>> = {
  'trace.start': (order) => order < 0,
  'trace.end': (order) => order > 0,
}

function gatherBest(
  pairs: readonly Pair<IntColumn>[],
  { lo, hi }: { lo: Uint32Array; hi: Uint32Array },
  isBetter: (order: number) => boolean,
): void {
  const has = new Uint8Array(lo.length)
  for (const [{ from, to }, column] of pairs) {
    for (let i = 0; i < from.length; i++) {
      const row = to[i]!
      const x = column?.hi[from[i]!] ?? 0
      const y = column?.lo[from[i]!] ?? 0
      const order = x === hi[row] ? y - lo[row]! : x - hi[row]!
      if (has[row] === 1 && !isBetter(order)) continue
      has[row] = 1
      hi[row] = x
      lo[row] = y
    }
  }
}

function gatherFloats(pairs: readonly Pair<FloatColumn>[], rows: number): FloatColumn {
  const values = new Float64Array(rows)
  for (const [{ from, to }, column] of pairs) {
    if (!column) continue
    for (let i = 0; i < from.length; i++) values[to[i]!] = column.values[from[i]!]!
  }
  return { type: 'float', values, present: gatherPresent(pairs, rows) }
}

function gatherBools(pairs: readonly Pair<BoolColumn>[], rows: number): BoolColumn {
  const values = new Uint8Array(rows)
  for (const [{ from, to }, column] of pairs) {
    if (!column) continue
    for (let i = 0; i < from.length; i++) values[to[i]!] = column.values[from[i]!]!
  }
  return { type: 'bool', values }
}

function gatherFixed(
  width: number,
  pairs: readonly Pair<FixedColumn>[],
  rows: number,
): FixedColumn {
  const bytes = new Uint8Array(width * rows)
  for (const [{ from, to }, column] of pairs) {
    if (!column) continue
    const source = column.bytes
    for (let i = 0; i < from.length; i++) {
      let at = width * from[i]!
      const target = width * to[i]!
      for (let b = 0; b < width; b++) bytes[target + b] = source[at++]!
    }
  }
  return { type: 'fixed', width, bytes }
}

/** Which rows have a value; undefined = all. */
function gatherPresent(
  pairs: readonly Pair<{ present: Uint8Array | undefined }>[],
  rows: number,
): Uint8Array | undefined {
  if (pairs.every(([, column]) => column && !column.present)) return undefined
  const out = new Uint8Array(rows)
  for (const [{ from, to }, column] of pairs) {
    if (!column) continue
    const { present } = column
    for (let i = 0; i < from.length; i++) out[to[i]!] = present ? present[from[i]!]! : 1
  }
  return out
}
