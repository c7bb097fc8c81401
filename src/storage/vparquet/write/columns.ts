/** Owns giving values to the chunks of a row group by their names, and picking values out of the input's columns. */
import type { FixedColumn, IntColumn, StringColumn } from '../../../otlp/columns.js'
import type { ChunkWriter } from '../../parquet/write-chunk.js'
import type { Levels } from '../../parquet/write-levels.js'
import { BytesList } from './growing.js'

/** The chunks of a schema. A name that the schema has not got is nobody's: the two versions differ in few columns. */
export class Chunks {
  readonly #chunks: ReadonlyMap<string, ChunkWriter>

  constructor(names: readonly string[], chunks: readonly ChunkWriter[]) {
    this.#chunks = new Map(names.map((name, i) => [name, chunks[i]!]))
  }

  get(name: string): ChunkWriter | undefined {
    return this.#chunks.get(name)
  }

  has(name: string): boolean {
    return this.#chunks.has(name)
  }

  int32(name: string, levels: Levels, values: Int32Array): void {
    this.get(name)?.add(levels, { kind: 'int32', values })
  }

  int64(name: string, levels: Levels, { lo, hi }: Halves): void {
    this.get(name)?.add(levels, { kind: 'int64', lo, hi })
  }

  bytes(name: string, levels: Levels, { bytes, ends }: { bytes: Uint8Array; ends: Uint32Array }): void {
    this.get(name)?.add(levels, { kind: 'bytes', bytes, ends })
  } // prettier-ignore

  /** Strings of the input's dictionary, in a column with a dictionary or one without. */
  strings(name: string, levels: Levels, column: StringColumn | undefined, rows: Uint32Array): void {
    const chunk = this.get(name)
    if (!chunk) return
    const { dictionary } = chunk
    if (!dictionary) {
      this.bytes(name, levels, pickStrings(column, rows))
      return
    }
    const indexes = new Uint32Array(rows.length)
    if (!column) indexes.fill(rows.length > 0 ? dictionary.ofBytes(new Uint8Array(0)) : 0)
    else {
      for (let i = 0; i < rows.length; i++) {
        indexes[i] = dictionary.ofCode(column.codes[rows[i]!]!, column.dictionary)
      }
    }
    chunk.add(levels, { kind: 'indexes', indexes })
  }
}

export interface Halves {
  readonly lo: Uint32Array
  readonly hi: Uint32Array
}

/** Whole numbers of the rows; zeros where there is no column. */
export function pick64(column: IntColumn | undefined, rows: Uint32Array): Halves {
  const lo = new Uint32Array(rows.length)
  const hi = new Uint32Array(rows.length)
  if (!column) return { lo, hi }
  for (let i = 0; i < rows.length; i++) {
    lo[i] = column.lo[rows[i]!]!
    hi[i] = column.hi[rows[i]!]!
  }
  return { lo, hi }
}

export function pick32(column: IntColumn | undefined, rows: Uint32Array): Int32Array {
  const out = new Int32Array(rows.length)
  if (column) for (let i = 0; i < rows.length; i++) out[i] = column.lo[rows[i]!]!
  return out
}

/** Ids of 8 bytes as pairs of words. */
export function pickIds(column: FixedColumn | undefined, rows: Uint32Array): Uint32Array {
  const out = new Uint32Array(2 * rows.length)
  if (!column) return out
  // A copy, so that words can be read whatever the alignment.
  const words = new Uint32Array(column.bytes.slice().buffer)
  for (let i = 0; i < rows.length; i++) {
    out[2 * i] = words[2 * rows[i]!]!
    out[2 * i + 1] = words[2 * rows[i]! + 1]!
  }
  return out
}

/** Ids as byte strings; an id of zeros is an empty one. */
export function idStrings(ids: Uint32Array): { bytes: Uint8Array; ends: Uint32Array } {
  const words = new Uint32Array(ids.length)
  const ends = new Uint32Array(ids.length / 2)
  let at = 0
  for (let i = 0; i < ends.length; i++) {
    const a = ids[2 * i]!
    const b = ids[2 * i + 1]!
    if (a !== 0 || b !== 0) {
      words[at++] = a
      words[at++] = b
    }
    ends[i] = 4 * at
  }
  return { bytes: new Uint8Array(words.buffer, 0, 4 * at), ends }
}

function pickStrings(column: StringColumn | undefined, rows: Uint32Array): BytesList {
  const list = new BytesList()
  let lastCode = 0
  let last = new Uint8Array(0)
  for (const row of rows) {
    const code = column?.codes[row] ?? 0
    if (code !== lastCode) {
      lastCode = code
      last = code === 0 ? new Uint8Array(0) : Uint8Array.from(column!.dictionary.bytes(code))
    }
    list.push(last)
  }
  return list
}
