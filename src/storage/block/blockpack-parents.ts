/**
 * Owns a span's parent as a distance: 0 a root, 1 a parent that is not in the trace (its id is stored), else 1 + zigzag of
 * the rows from the parent to the span. Parents are near, so this is under a byte where an id is eight.
 */
import type { ByteReader } from './codec/bytes.js'
import { readNumbers } from './codec/planes.js'

const ROOT = 0
const ORPHAN = 1

/** Rows in traces firstSpan[i]..firstSpan[i+1]; ids of 8 bytes. */
export function parentRows(
  spanIds: Uint8Array,
  parentIds: Uint8Array,
  firstSpan: Uint32Array,
): { distances: Uint32Array } {
  const ids = halves(spanIds)
  const parents = halves(parentIds)
  const distances = new Uint32Array(ids.length / 2)
  let slots = new Int32Array(64)
  for (let trace = 0; trace + 1 < firstSpan.length; trace++) {
    const from = firstSpan[trace]!
    const to = firstSpan[trace + 1]!
    let size = 64
    while (size < 2 * (to - from)) size *= 2
    if (size > slots.length) slots = new Int32Array(size)
    const table = slots.subarray(0, size).fill(-1)
    for (let row = from; row < to; row++) {
      const slot = slotOf(table, ids, ids[2 * row]!, ids[2 * row + 1]!)
      if (table[slot] === -1) table[slot] = row
    }
    for (let row = from; row < to; row++) {
      const a = parents[2 * row]!
      const b = parents[2 * row + 1]!
      if (a === 0 && b === 0) continue
      const distance = row - table[slotOf(table, ids, a, b)]!
      // A row is never its own parent here: that one is told like an orphan.
      const isThere = distance !== 0 && table[slotOf(table, ids, a, b)] !== -1
      distances[row] = isThere ? 1 + (distance > 0 ? 2 * distance : -2 * distance - 1) : ORPHAN
    }
  }
  return { distances }
}

/** Where the id is, or the empty slot where it would be. */
function slotOf(table: Int32Array, ids: Uint32Array, a: number, b: number): number {
  const mask = table.length - 1
  let slot = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0x9e3779b1) >>> 8
  for (slot &= mask; ; slot = (slot + 1) & mask) {
    const row = table[slot]!
    if (row === -1 || (ids[2 * row] === a && ids[2 * row + 1] === b)) return slot
  }
}

/** The ids as pairs of 32-bit words, whatever the bytes' alignment. */
function halves(ids: Uint8Array): Uint32Array {
  return new Uint32Array(ids.slice().buffer)
}

/** Fills `target` (8 bytes a row) with the parents' ids; rows of one page, whole traces, so parents are in the page. */
export function readParents(input: ByteReader, spanIds: Uint8Array, target: Uint8Array): void {
  const rows = target.length / 8
  const distances = new Uint32Array(rows)
  readNumbers(input, distances)
  for (let row = 0; row < rows; row++) {
    const value = distances[row]!
    if (value === ROOT) continue
    if (value === ORPHAN) {
      target.set(input.bytes(8), 8 * row)
      continue
    }
    const parent = row - ((value - 1) & 1 ? -(value >>> 1) : (value - 1) / 2)
    if (parent < 0 || parent >= rows) input.fail(`parent of row ${row} is row ${parent} of ${rows}`)
    for (let b = 0; b < 8; b++) target[8 * row + b] = spanIds[8 * parent + b]!
  }
}
