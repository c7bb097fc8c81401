/**
 * Owns turning attribute columns into Tempo's lists of attributes: entries are taken column by column, put in the order of
 * their rows, and written out row by row into the columns of keys and of values by type. Attributes with a column of their
 * own go there.
 */
import type { AttributeColumn, AttributeKey, Dictionary, RowGroup } from '../../../otlp/columns.js'
import type { ChunkWriter } from '../../parquet/write-chunk.js'
import type { Levels } from '../../parquet/write-levels.js'
import { KIND, parseAnyValue, type ArrayValue, type Kind } from './any-value.js'
import { AttributeSink } from './attribute-sink.js'
import type { Chunks } from './columns.js'
import { columnFor, type AssignedColumn } from './dedicated.js'
import { DedicatedValues } from './dedicated-values.js'
import { Uint32List } from './growing.js'

/** The rows of a level in the order they are written, and their levels. */
export interface Place {
  readonly level: AttributeKey['level']
  readonly levels: Levels
  readonly rows: Uint32Array
  /** Rows of the level in the input. */
  readonly inputRows: number
}

/** A column for attributes of one key. */
export interface OwnColumn {
  readonly assigned: AssignedColumn
  readonly chunk: ChunkWriter
  /** Takes arrays too. */
  readonly isRepeated: boolean
}

export interface AttributeTargets {
  /** Name of the group: `rs.ss.Spans.Attrs`. */
  readonly prefix: string
  readonly own: readonly OwnColumn[]
  /** A string attribute that the caller writes itself. */
  readonly taken?: string
}

/** An entry's kind when its value is one of `arrays`. */
const ARRAY = 0
const halves = new Uint32Array(2)
const double = new Float64Array(halves.buffer)

export class AttributeShredder {
  readonly #targets: AttributeTargets
  readonly #sink: AttributeSink
  /** Entries as they come: one number each of row, column and the value's halves. */
  readonly #rows = new Uint32List()
  readonly #columns = new Uint32List()
  readonly #lo = new Uint32List()
  readonly #hi = new Uint32List()
  /** Of each column: the key's index in the chunk of keys, and the kind of its values. */
  #keys: number[] = []
  #kinds: number[] = []
  #arrays: ArrayValue[] = []

  constructor(chunks: Chunks, targets: AttributeTargets) {
    this.#targets = targets
    this.#sink = new AttributeSink(chunks, targets.prefix)
  }

  /** Writes the attributes of all rows of a level. */
  async add(group: RowGroup, place: Place): Promise<void> {
    this.#clear()
    const own = new Map<AssignedColumn, DedicatedValues>()
    for (const { assigned, isRepeated } of this.#targets.own) {
      own.set(assigned, new DedicatedValues(assigned, place.inputRows, isRepeated))
    }
    const keys = [...(await group.attributes(place.level))]
    // Arrays last: they take the own column of their key only where no scalar has it.
    keys.sort((a, b) => Number(a.type === 'any') - Number(b.type === 'any'))
    for (const key of keys) {
      if (key.type === 'string' && key.key === this.#targets.taken) continue
      const column = await group.attribute(key)
      if (column) this.#take(key, column, own)
    }
    for (const { assigned, chunk } of this.#targets.own) {
      own.get(assigned)!.write(chunk, place.levels, place.rows)
    }
    this.#write(place)
  }

  #clear(): void {
    this.#rows.clear()
    this.#columns.clear()
    this.#lo.clear()
    this.#hi.clear()
    this.#keys = []
    this.#kinds = []
    this.#arrays = []
  }

  #take(
    key: AttributeKey,
    column: AttributeColumn,
    own: ReadonlyMap<AssignedColumn, DedicatedValues>,
  ): void {
    const assignments = this.#targets.own.map(({ assigned }) => assigned)
    const assigned = columnFor(key, assignments)
    if (assigned) {
      own.get(assigned)!.takeColumn(column)
      return
    }
    const index = this.#keys.push(this.#sink.keyIndex(key.key)) - 1
    if (column.type !== 'any') {
      this.#kinds.push(KIND[column.type])
      this.#takeScalars(index, column)
      return
    }
    this.#kinds.push(ARRAY)
    const same = assignments.filter((each) => each.key === key.key).map((each) => own.get(each)!)
    this.#takeArrays(index, column.codes, column.dictionary, same)
  }

  #takeScalars(index: number, column: Exclude<AttributeColumn, { type: 'any' }>): void {
    switch (column.type) {
      case 'string': {
        const { codes, dictionary } = column
        for (let row = 0; row < codes.length; row++) {
          if (codes[row] === 0) continue
          this.#entry(row, index, this.#sink.stringIndex(codes[row]!, dictionary), 0)
        }
        return
      }
      case 'int': {
        const { lo, hi, present } = column
        for (let row = 0; row < lo.length; row++) {
          if (present?.[row] !== 0) this.#entry(row, index, lo[row]!, hi[row]!)
        }
        return
      }
      case 'float': {
        const { values, present } = column
        for (let row = 0; row < values.length; row++) {
          if (present?.[row] === 0) continue
          double[0] = values[row]!
          this.#entry(row, index, halves[0]!, halves[1]!)
        }
        return
      }
      case 'bool': {
        const { values } = column
        for (let row = 0; row < values.length; row++) {
          if (values[row] !== 0) this.#entry(row, index, values[row]! - 1, 0)
        }
      }
    }
  }

  /** Arrays of the right type go to the key's own column, where it has one that takes them. */
  #takeArrays(
    index: number,
    codes: Uint32Array,
    dictionary: Dictionary,
    own: readonly DedicatedValues[],
  ): void {
    const known = new Map<number, number>()
    for (let row = 0; row < codes.length; row++) {
      const code = codes[row]!
      if (code === 0) continue
      let place = known.get(code)
      if (place === undefined) {
        place = this.#arrays.push(parseAnyValue(dictionary.bytes(code))) - 1
        known.set(code, place)
      }
      const value = this.#arrays[place]!
      if (own.some((values) => values.takeArray(row, value))) continue
      this.#entry(row, index, place, 0)
    }
  }

  #entry(row: number, column: number, lo: number, hi: number): void {
    this.#rows.push(row)
    this.#columns.push(column)
    this.#lo.push(lo)
    this.#hi.push(hi)
  }

  #write({ levels, rows, inputRows }: Place): void {
    const entryRows = this.#rows.view()
    const columns = this.#columns.view()
    const lo = this.#lo.view()
    const hi = this.#hi.view()
    const { starts, order } = sortByRow(entryRows, inputRows)
    const counts = new Uint32Array(rows.length)
    let total = 0
    for (let i = 0; i < rows.length; i++) {
      counts[i] = starts[rows[i]! + 1]! - starts[rows[i]!]!
      total += counts[i]!
    }
    const sink = this.#sink
    sink.begin(total)
    for (const row of rows) {
      const end = starts[row + 1]!
      for (let at = starts[row]!; at < end; at++) {
        const entry = order[at]!
        const column = columns[entry]!
        const kind = this.#kinds[column]!
        const key = this.#keys[column]!
        if (kind === ARRAY) sink.array(key, this.#arrays[lo[entry]!]!)
        else sink.scalar(key, kind as Kind, lo[entry]!, hi[entry]!)
      }
    }
    sink.write(levels.list(counts))
  }
}

/** Entries in the order of their rows, those of one row in the order they came; and where each row's begin. */
function sortByRow(
  entryRows: Uint32Array,
  rows: number,
): { starts: Uint32Array; order: Uint32Array } {
  const starts = new Uint32Array(rows + 1)
  for (const row of entryRows) starts[row + 1]!++
  for (let row = 0; row < rows; row++) starts[row + 1]! += starts[row]!
  const next = starts.slice(0, rows)
  const order = new Uint32Array(entryRows.length)
  for (let entry = 0; entry < entryRows.length; entry++) order[next[entryRows[entry]!]!++] = entry
  return { starts, order }
}
