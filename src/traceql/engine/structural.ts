/** Owns the structural operators: which spans of the right side (for unions of both) stand in a relation to some span of the left. */
import type { StructuralOp } from '../ast.js'
import type { NestedSets } from './nested-set.js'

type Relation = '>' | '>>' | '<' | '<<' | '~'
const INVERSE: Record<Relation, Relation> = { '>': '<', '>>': '<<', '<': '>', '<<': '>>', '~': '~' }

/** Rows ascend in and out. */
export function relate(
  op: StructuralOp,
  left: readonly number[],
  right: readonly number[],
  sets: NestedSets,
): number[] {
  const negated = op.startsWith('!')
  const union = op.startsWith('&')
  const relation = (negated || union ? op.slice(1) : op) as Relation
  const isRelated = relatedTo(relation, left, sets)
  const found = right.filter((row) => isRelated(row) !== negated)
  if (!union) return found
  const isInverse = relatedTo(INVERSE[relation], right, sets)
  return mergeRows(found, left.filter(isInverse))
}

/** A test of whether a span stands in `some <relation> span`. Spans outside every tree never do. */
function relatedTo(
  relation: Relation,
  some: readonly number[],
  sets: NestedSets,
): (row: number) => boolean {
  const { left, right, parent } = sets
  switch (relation) {
    case '>': {
      const lefts = new Set(some.map((row) => left[row]!))
      lefts.delete(0)
      return (row) => parent[row] !== 0 && lefts.has(parent[row]!)
    }
    case '<': {
      const parents = new Set(some.map((row) => parent[row]!))
      return (row) => left[row] !== 0 && parents.has(left[row]!)
    }
    case '~': {
      const counts = new Map<number, number>()
      for (const row of some) counts.set(parent[row]!, (counts.get(parent[row]!) ?? 0) + 1)
      const own = new Set(some)
      return (row) => parent[row] !== 0 && (counts.get(parent[row]!) ?? 0) > (own.has(row) ? 1 : 0)
    }
    case '>>':
      return descendants(some, sets)
    case '<<': {
      const lefts = some.map((row) => left[row]!).filter((l) => l !== 0)
      const sorted = Int32Array.from(lefts).sort()
      return (row) => {
        const after = sorted[firstAbove(sorted, left[row]!)]
        return left[row] !== 0 && after !== undefined && after < right[row]!
      }
    }
  }
}

/** Bounds nest or are apart, so the widest of those that begin before a span covers it or none does. */
function descendants(
  some: readonly number[],
  { left, right }: NestedSets,
): (row: number) => boolean {
  const rows = some.filter((row) => left[row] !== 0).sort((a, b) => left[a]! - left[b]!)
  const lefts = Int32Array.from(rows, (row) => left[row]!)
  const widest = new Int32Array(rows.length)
  let most = 0
  for (const [i, row] of rows.entries()) widest[i] = most = Math.max(most, right[row]!)
  return (row) => {
    const before = firstAbove(lefts, left[row]! - 1) - 1
    return left[row] !== 0 && before >= 0 && widest[before]! > right[row]!
  }
}

/** Index of the first value greater than the limit. */
function firstAbove(sorted: Int32Array, limit: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! > limit) high = middle
    else low = middle + 1
  }
  return low
}

/** The rows of both, ascending, each once. */
export function mergeRows(a: readonly number[], b: readonly number[]): number[] {
  const out: number[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    const x = i < a.length ? a[i]! : Infinity
    const y = j < b.length ? b[j]! : Infinity
    out.push(Math.min(x, y))
    if (x <= y) i++
    if (y <= x) j++
  }
  return out
}
