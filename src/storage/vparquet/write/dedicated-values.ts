/** Owns the values of one dedicated column, by the input's rows, until they are written in the order of the block. */
import type { AttributeColumn } from '../../../otlp/columns.js'
import type { ChunkWriter } from '../../parquet/write-chunk.js'
import type { Levels } from '../../parquet/write-levels.js'
import { KIND, type ArrayValue } from './any-value.js'
import type { AssignedColumn } from './dedicated.js'
import { BytesList } from './growing.js'

export class DedicatedValues {
  #column: AttributeColumn | undefined
  /** By row. */
  readonly #arrays = new Map<number, ArrayValue>()

  constructor(
    readonly assigned: AssignedColumn,
    readonly inputRows: number,
    readonly isRepeated: boolean,
  ) {}

  takeColumn(column: AttributeColumn): void {
    this.#column = column
  }

  /** True when the column can have this array, and does. An empty one it could not tell from nothing. */
  takeArray(row: number, value: ArrayValue): boolean {
    const wanted = this.assigned.type === 'string' ? KIND.string : KIND.int
    if (!this.isRepeated || value.kind !== wanted) return false
    if (this.#column && has(this.#column, row)) return false
    this.#arrays.set(row, value)
    return true
  }

  write(chunk: ChunkWriter, levels: Levels, rows: Uint32Array): void {
    // Most columns have nothing most of the time.
    if (!this.#column && this.#arrays.size === 0) {
      this.#writeNothing(chunk, levels.absent(this.isRepeated))
      return
    }
    const counts = new Uint32Array(rows.length)
    let total = 0
    for (let i = 0; i < rows.length; i++) {
      counts[i] = this.#count(rows[i]!)
      total += counts[i]!
    }
    const own = this.#arrays.size > 0
      ? levels.alignedList(counts)
      : levels.optional(Uint8Array.from(counts), 1, this.isRepeated) // prettier-ignore
    if (this.assigned.type === 'int') this.#writeInts(chunk, own, rows, total)
    else if (chunk.dictionary) this.#writeIndexes(chunk, own, rows, total)
    else this.#writeBytes(chunk, own, rows)
  }

  #writeNothing(chunk: ChunkWriter, levels: Levels): void {
    const none = new Uint32Array(0)
    if (this.assigned.type === 'int') chunk.add(levels, { kind: 'int64', lo: none, hi: none })
    else if (chunk.dictionary) chunk.add(levels, { kind: 'indexes', indexes: none })
    else chunk.add(levels, { kind: 'bytes', bytes: new Uint8Array(0), ends: none })
  }

  #count(row: number): number {
    if (this.#column && has(this.#column, row)) return 1
    if (this.#arrays.size === 0) return 0
    const array = this.#arrays.get(row)
    return array ? array.strings.length + array.ints.length : 0
  }

  #writeInts(chunk: ChunkWriter, levels: Levels, rows: Uint32Array, total: number): void {
    const lo = new Uint32Array(total)
    const hi = new Uint32Array(total)
    const column = this.#column?.type === 'int' ? this.#column : undefined
    let at = 0
    for (const row of rows) {
      if (column && column.present?.[row] !== 0) {
        lo[at] = column.lo[row]!
        hi[at++] = column.hi[row]!
        continue
      }
      for (const int of this.#arrays.get(row)?.ints ?? []) {
        lo[at] = Number(int & 0xffffffffn)
        hi[at++] = Number(int >> 32n)
      }
    }
    chunk.add(levels, { kind: 'int64', lo, hi })
  }

  #writeIndexes(chunk: ChunkWriter, levels: Levels, rows: Uint32Array, total: number): void {
    const indexes = new Uint32Array(total)
    const dictionary = chunk.dictionary!
    const column = this.#column?.type === 'string' ? this.#column : undefined
    let at = 0
    for (const row of rows) {
      const code = column?.codes[row] ?? 0
      if (code !== 0) indexes[at++] = dictionary.ofCode(code, column!.dictionary)
      else if (this.#arrays.size > 0) {
        for (const bytes of this.#arrays.get(row)?.strings ?? []) indexes[at++] = dictionary.ofBytes(bytes) // prettier-ignore
      }
    }
    chunk.add(levels, { kind: 'indexes', indexes })
  }

  #writeBytes(chunk: ChunkWriter, levels: Levels, rows: Uint32Array): void {
    const list = new BytesList()
    const column = this.#column?.type === 'string' ? this.#column : undefined
    for (const row of rows) {
      const code = column?.codes[row] ?? 0
      if (code !== 0) list.push(column!.dictionary.bytes(code))
      else for (const bytes of this.#arrays.get(row)?.strings ?? []) list.push(bytes)
    }
    chunk.add(levels, { kind: 'bytes', bytes: list.bytes, ends: list.ends })
  }
}

function has(column: AttributeColumn, row: number): boolean {
  switch (column.type) {
    case 'string':
    case 'any':
      return column.codes[row] !== 0
    case 'bool':
      return column.values[row] !== 0
    default:
      return column.present?.[row] !== 0
  }
}
