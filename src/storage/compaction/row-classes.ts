/** Owns finding rows of equal content in a small table, such as the resources of several blocks. */
import type { Column } from '../../otlp/columns.js'

export interface RowClasses {
  /** Class of each row, numbered in the order of their first rows. */
  readonly ofRow: Uint32Array
  /** First row of each class. */
  readonly first: Uint32Array
}

/** Rows are of one class when they are equal in every column, a value that is absent included. */
export function rowClasses(rows: number, columns: Iterable<Column>): RowClasses {
  const ofRow = new Uint32Array(rows)
  let count = Math.min(rows, 1)
  for (const column of columns) {
    // No two rows are equal any more.
    if (count === rows) break
    for (const values of partsOf(column)) count = split(ofRow, values)
  }
  const first = new Uint32Array(count).fill(rows)
  for (let row = rows - 1; row >= 0; row--) first[ofRow[row]!] = row
  return { ofRow, first }
}

/** Splits the classes by one more value a row; returns how many there are now. */
function split(ofRow: Uint32Array, values: Uint32Array | Uint8Array): number {
  const classes = new Map<number, number>()
  for (let row = 0; row < ofRow.length; row++) {
    const key = ofRow[row]! * 2 ** 32 + values[row]!
    let known = classes.get(key)
    if (known === undefined) classes.set(key, (known = classes.size))
    ofRow[row] = known
  }
  return classes.size
}

/** A column as numbers of at most 32 bits. */
function partsOf(column: Column): (Uint32Array | Uint8Array)[] {
  switch (column.type) {
    case 'string':
    case 'any':
      return [column.codes]
    case 'int':
      return column.present ? [column.lo, column.hi, column.present] : [column.lo, column.hi]
    case 'float': {
      // By their bits: 0 and -0 are different values, NaN is one.
      const words = new Uint32Array(column.values.slice().buffer)
      const halves = [0, 1].map((half) => column.values.map((_, i) => words[2 * i + half]!))
      const parts = halves.map((half) => Uint32Array.from(half))
      return column.present ? [...parts, column.present] : parts
    }
    case 'bool':
      return [column.values]
    case 'fixed':
      return Array.from({ length: column.width }, (_, b) =>
        column.bytes.filter((_, i) => i % column.width === b),
      )
  }
}
