/** Owns what the attributes of blocks take: how often each stands there, with how many different values, and how many bytes. */
import type {
  AttributeColumn,
  AttributeKey,
  ColumnSource,
  Level,
  RowGroup,
  ValueType,
} from '../../otlp/columns.js'
import type { ColumnAnatomy, GroupAnatomy } from '../block/anatomy.js'
import { GROUP_OF } from '../vparquet/read/paths.js'
import { DistinctCount } from './distinct-count.js'

export type AttributeLevel = AttributeKey['level']
export const ATTRIBUTE_LEVELS: readonly AttributeLevel[] = ['resource', 'scope', 'span', 'event', 'link'] // prettier-ignore

/** Attributes that are told apart; of hostile spans there may be any number. */
const MAX_ATTRIBUTES = 20_000
/** What each attribute costs in a generic list beside its value: its key's place and its levels. */
const LIST_ENTRY_BYTES = 2

export interface AttributeSize {
  readonly level: AttributeLevel
  readonly key: string
  readonly type: ValueType
  /** Rows that have it. */
  readonly rows: number
  /** Of all rows of its level. */
  readonly presence: number
  readonly distinct: number
  /** There are more: they were not counted on. */
  readonly isDistinctCut: boolean
  /** Its values, each as long as it is. */
  readonly value_bytes: number
  /** Different values of a row group together, over all row groups. */
  readonly dictionary_bytes: number
  readonly groups: number
  /** What it takes in the block. */
  readonly stored_bytes: number
  /** It shares columns with others: its part is estimated from its values. */
  readonly isEstimated: boolean
  /** It has a column of its own. */
  readonly hasColumn: boolean
}

interface Tally {
  readonly key: AttributeKey
  rows: number
  value_bytes: number
  dictionary_bytes: number
  groups: number
  stored_bytes: number
  isEstimated: boolean
  readonly distinct: DistinctCount
}

export class AttributeSizes {
  readonly #tallies = new Map<string, Tally>()
  readonly #rows = Object.fromEntries(ATTRIBUTE_LEVELS.map((level) => [level, 0])) as Record<AttributeLevel, number> // prettier-ignore
  blocks = 0
  spans = 0
  /** Of all blocks. */
  size_bytes = 0
  /** Attributes beyond those that are told apart. */
  uncounted = 0

  /** Reads all attributes of one row group. Throws `CorruptBlock`. */
  async addGroup(source: ColumnSource, index: number, anatomy: GroupAnatomy): Promise<void> {
    const group = await source.group(index)
    this.spans += group.counts.span
    for (const level of ATTRIBUTE_LEVELS) await this.#level(group, level, anatomy)
  }

  rowsOf(level: AttributeLevel): number {
    return this.#rows[level]
  }

  /** Of one level, what takes most first. */
  of(level: AttributeLevel): AttributeSize[] {
    const rows = this.#rows[level]
    return [...this.#tallies.values()]
      .filter(({ key }) => key.level === level)
      .map(({ key, distinct, ...tally }) => ({
        ...key,
        ...tally,
        presence: rows > 0 ? tally.rows / rows : 0,
        distinct: distinct.count,
        isDistinctCut: distinct.isCut,
        hasColumn: !tally.isEstimated,
      }))
      .sort((a, b) => b.stored_bytes - a.stored_bytes || b.value_bytes - a.value_bytes)
  }

  async #level(group: RowGroup, level: AttributeLevel, anatomy: GroupAnatomy): Promise<void> {
    this.#rows[level] += group.counts[level]
    const own = ownColumns(anatomy.columns, level)
    const generic: { tally: Tally; weight: number }[] = []
    for (const key of await group.attributes(level)) {
      const column = await group.attribute(key)
      const tally = column && this.#tallyOf(key)
      if (!tally) continue
      const measured = measure(column, tally.distinct)
      tally.rows += measured.rows
      tally.value_bytes += measured.value_bytes
      tally.dictionary_bytes += measured.dictionary_bytes
      tally.groups++
      const stored_bytes = own.get(nameOf(key))
      if (stored_bytes !== undefined) tally.stored_bytes += stored_bytes
      else generic.push({ tally, weight: measured.value_bytes + LIST_ENTRY_BYTES * measured.rows })
    }
    share(listBytes(anatomy.columns, level), generic)
  }

  #tallyOf(key: AttributeKey): Tally | undefined {
    const name = nameOf(key)
    let tally = this.#tallies.get(name)
    if (tally) return tally
    if (this.#tallies.size >= MAX_ATTRIBUTES) {
      this.uncounted++
      return undefined
    }
    const nothing = { rows: 0, value_bytes: 0, dictionary_bytes: 0, groups: 0, stored_bytes: 0 }
    tally = { key, ...nothing, isEstimated: false, distinct: new DistinctCount() }
    this.#tallies.set(name, tally)
    return tally
  }
}

const nameOf = ({ level, key, type }: AttributeKey): string => `${level} ${type} ${key}`

/** Stored bytes of attributes that have columns of their own. */
function ownColumns(columns: readonly ColumnAnatomy[], level: Level): Map<string, number> {
  const own = new Map<string, number>()
  for (const { attribute, stored_bytes, values } of columns) {
    if (attribute?.level === level && values > 0) own.set(nameOf(attribute), stored_bytes)
  }
  return own
}

/** Stored bytes of the columns that the other attributes of a level share, in parquet. */
function listBytes(columns: readonly ColumnAnatomy[], level: AttributeLevel): number {
  const prefix = `${GROUP_OF[level]}.Attrs.`
  return columns
    .filter(({ name }) => name.startsWith(prefix))
    .reduce((sum, { stored_bytes }) => sum + stored_bytes, 0)
}

/** Divides bytes among attributes by what their values weigh. */
function share(bytes: number, parts: readonly { tally: Tally; weight: number }[]): void {
  const whole = parts.reduce((sum, { weight }) => sum + weight, 0)
  for (const { tally, weight } of parts) {
    tally.isEstimated = true
    tally.stored_bytes += whole > 0 ? (bytes * weight) / whole : 0
  }
}

interface Measured {
  rows: number
  value_bytes: number
  dictionary_bytes: number
}

function measure(column: AttributeColumn, distinct: DistinctCount): Measured {
  switch (column.type) {
    case 'string':
    case 'any':
      return measureCodes(column.codes, (code) => column.dictionary.bytes(code), distinct)
    case 'int':
      return measureFixed(column.lo.length, 8, column.present, (row) =>
        distinct.addWords(column.lo[row]!, column.hi[row]!),
      )
    case 'float': {
      const words = new Uint32Array(column.values.slice().buffer)
      return measureFixed(column.values.length, 8, column.present, (row) =>
        distinct.addWords(words[2 * row]!, words[2 * row + 1]!),
      )
    }
    case 'bool':
      return measureFixed(column.values.length, 1, column.values, (row) =>
        distinct.addWords(column.values[row]!, 0),
      )
  }
}

/** Each different string is looked at once. */
function measureCodes(
  codes: Uint32Array,
  bytesOf: (code: number) => Uint8Array,
  distinct: DistinctCount,
): Measured {
  const counts = new Map<number, number>()
  for (const code of codes) if (code !== 0) counts.set(code, (counts.get(code) ?? 0) + 1)
  const measured = { rows: 0, value_bytes: 0, dictionary_bytes: 0 }
  for (const [code, rows] of counts) {
    const bytes = bytesOf(code)
    measured.rows += rows
    measured.value_bytes += rows * bytes.length
    measured.dictionary_bytes += bytes.length
    distinct.addBytes(bytes)
  }
  return measured
}

function measureFixed(
  length: number,
  width: number,
  present: Uint8Array | undefined,
  see: (row: number) => void,
): Measured {
  let rows = 0
  for (let row = 0; row < length; row++) {
    if (present && present[row] === 0) continue
    rows++
    see(row)
  }
  return { rows, value_bytes: width * rows, dictionary_bytes: 0 }
}
