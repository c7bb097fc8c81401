/** Owns turning chains of comparisons of one attribute into one test against a list: `.a = 1 || .a = 2` is `.a IN [1, 2]`. */
import { sameAttribute } from './ast.js'
import type { AttributeExpr, BinaryExpr, BinaryOp, FieldExpr, ListOp } from './ast.js'
import type { Static } from './static.js'

const CHAINS: readonly { outer: BinaryOp; scalar: BinaryOp; list: ListOp; texts: boolean }[] = [
  { outer: '||', scalar: '=', list: 'in', texts: false },
  { outer: '&&', scalar: '!=', list: 'not in', texts: false },
  { outer: '||', scalar: '=~', list: 'match any', texts: true },
  { outer: '&&', scalar: '!~', list: 'match none', texts: true },
]

/** The same test as one list operation, or undefined. An unscoped attribute's meaning rests on this, not only its speed. */
export function mergeChain(op: BinaryOp, lhs: FieldExpr, rhs: FieldExpr): BinaryExpr | undefined {
  if (lhs.kind !== 'binary' || rhs.kind !== 'binary') return undefined
  for (const chain of CHAINS) {
    if (chain.outer !== op) continue
    const left = comparison(lhs, chain.scalar, chain.list)
    const right = comparison(rhs, chain.scalar, chain.list)
    if (!left || !right || !sameAttribute(left.attribute, right.attribute)) continue
    if (chain.texts && !(isText(left.value) && isText(right.value))) continue
    const value = append(left.value, right.value)
    if (!value) continue
    return { kind: 'binary', op: chain.list, lhs: left.attribute, rhs: { kind: 'static', value } }
  }
  return undefined
}

const isText = (s: Static) => s.type === 'string' || s.type === 'stringArray'

function comparison(
  e: BinaryExpr,
  ...ops: readonly BinaryOp[]
): { attribute: AttributeExpr; value: Static } | undefined {
  if (!ops.includes(e.op)) return undefined
  const [attribute, value] = e.lhs.kind === 'attribute' ? [e.lhs, e.rhs] : [e.rhs, e.lhs]
  if (attribute.kind !== 'attribute' || value.kind !== 'static') return undefined
  return { attribute, value: value.value }
}

const LIST_OF = {
  string: 'stringArray',
  int: 'intArray',
  float: 'floatArray',
  bool: 'boolArray',
} as const

/** One list of both; undefined when the types differ or have no list. A list grows in place: its old node is dropped. */
function append(a: Static, b: Static): Static | undefined {
  const listA = listType(a)
  if (listA === undefined || listA !== listType(b)) return undefined
  if (a.type !== listA) return { type: listA, value: [...valuesOf(a), ...valuesOf(b)] } as Static
  const values = valuesOf(a) as unknown[]
  for (const value of valuesOf(b)) values.push(value)
  return a
}

function listType(s: Static): string | undefined {
  return s.type in LIST_OF
    ? LIST_OF[s.type as keyof typeof LIST_OF]
    : s.type.endsWith('Array')
      ? s.type
      : undefined
}

function valuesOf(s: Static): readonly unknown[] {
  if (s.type === 'nil') return []
  return Array.isArray(s.value) ? (s.value as readonly unknown[]) : [s.value]
}
