/** Owns what a query asks of each attribute: which values of it the query can see at all, as Tempo's storage layer decides it. */
import type {
  AttributeExpr,
  BinaryExpr,
  BinaryOp,
  FieldExpr,
  Intrinsic,
  Pipeline,
  ScalarExpr,
  SpansetExpr,
  Stage,
} from '../ast.js'
import type { ValueType } from '../../otlp/columns.js'
import { LEVEL_OF } from './view.js'
import type { AttributeLevel } from './view.js'
import { printAttribute } from '../print.js'
import { NIL, combine, elementsOf, flipOp, isBooleanOp } from '../static.js'
import type { Static } from '../static.js'

export interface Condition {
  /** `fetch` = the value whatever it is. */
  readonly op: BinaryOp | 'fetch' | 'exists' | 'not exists'
  readonly operand: Static | undefined
}

export interface AttributeConditions {
  readonly attribute: AttributeExpr
  readonly conditions: Condition[]
}

/** Which types of values a comparison with a constant reads: one with an int reads no float. */
export const READS: Partial<Record<Static['type'], ValueType>> = {
  string: 'string',
  stringArray: 'string',
  int: 'int',
  intArray: 'int',
  float: 'float',
  floatArray: 'float',
  bool: 'bool',
  boolArray: 'bool',
}

/** Attributes that Tempo keeps in columns of their own by default; all others of a level share one column a type. */
const OWN_COLUMNS: Partial<Record<AttributeLevel, ReadonlySet<string>>> = {
  resource: new Set([
    'service.name',
    'cluster',
    'namespace',
    'pod',
    'container',
    'k8s.cluster.name',
    'k8s.namespace.name',
    'k8s.pod.name',
    'k8s.container.name',
  ]),
  span: new Set([
    'http.method',
    'http.url',
    'http.status_code',
    'http.route',
    'http.request.method',
    'http.response.status_code',
    'url.path',
    'url.route',
    'server.address',
    'server.port',
  ]),
}

const NUMBERS_OF: Readonly<Record<string, readonly Intrinsic[]>> = {
  '>>': ['nestedSetLeft', 'nestedSetRight'],
  '<<': ['nestedSetLeft', 'nestedSetRight'],
  '>': ['nestedSetLeft', 'nestedSetParent'],
  '<': ['nestedSetLeft', 'nestedSetParent'],
  '~': ['nestedSetParent'],
}

export const hasOwnColumn = (name: string, level: AttributeLevel): boolean =>
  OWN_COLUMNS[level]?.has(name) === true

export class Conditions {
  readonly byAttribute = new Map<string, AttributeConditions>()
  readonly #pools = new Map<string, readonly Condition[]>()
  /** Attributes that are only returned (`select`). */
  readonly selected: AttributeExpr[] = []
  /** Tree numbers that structural operators read: where they are asked for as well, all their values are seen. */
  readonly structural = new Set<Intrinsic>()
  /** Every condition must hold for a span to be found: then conditions on events are about one event. */
  allMustHold = true

  static of(pipeline: Pipeline): Conditions {
    const found = new Conditions()
    found.#pipeline(pipeline)
    for (const { attribute } of found.byAttribute.values()) {
      if (attribute.scope === 'none' && attribute.intrinsic === undefined) found.allMustHold = false
    }
    return found
  }

  of(attribute: AttributeExpr): readonly Condition[] {
    return this.byAttribute.get(printAttribute(attribute))?.conditions ?? []
  }

  /**
   * The conditions that decide which values of an attribute are seen at a level. In Tempo those of attributes that
   * share columns are tried on every one of them: `.b > 200` makes an int 404 of `.a` visible to `.a > 1.5`.
   */
  seenBy(attribute: AttributeExpr, level: AttributeLevel): readonly Condition[] {
    const key = `${level} ${attribute.name}`
    let pool = this.#pools.get(key)
    if (!pool) this.#pools.set(key, (pool = this.#poolOf(attribute.name, level)))
    return pool
  }

  #poolOf(name: string, level: AttributeLevel): readonly Condition[] {
    const own: Condition[] = []
    const others: Condition[] = []
    for (const { attribute: other, conditions } of this.byAttribute.values()) {
      if (other.intrinsic !== undefined || !isAtLevel(other, level)) continue
      if (other.name === name) own.push(...conditions)
      else if (!hasOwnColumn(name, level) && !hasOwnColumn(other.name, level)) {
        others.push(...conditions.filter(({ op }) => op !== 'not exists'))
      }
    }
    // Where nothing but its absence is asked for, the attribute itself is not read at all.
    return own.every(({ op }) => op === 'not exists') ? own : [...own, ...others]
  }

  add(attribute: AttributeExpr, op: Condition['op'], operand?: Static): void {
    const key = printAttribute(attribute)
    let entry = this.byAttribute.get(key)
    if (!entry) this.byAttribute.set(key, (entry = { attribute, conditions: [] }))
    entry.conditions.push({ op, operand })
  }

  #pipeline(p: Pipeline): void {
    let later = false
    for (const stage of p.stages) {
      if (later) this.#afterSelect(stage)
      else this.#stage(stage)
      if (stage.kind === 'select') later = true
    }
  }

  /** What stages after a select read is fetched, and hides nothing from what came before. */
  #afterSelect(stage: Stage): void {
    const rest = new Conditions()
    rest.#stage(stage)
    for (const { attribute } of rest.byAttribute.values()) this.selected.push(attribute)
    this.selected.push(...rest.selected)
  }

  #stage(s: Stage): void {
    switch (s.kind) {
      case 'by':
        this.#field(s.expr)
        this.allMustHold = false
        return
      case 'select':
        this.selected.push(...s.attributes)
        return
      case 'scalarFilter':
        this.#scalar(s.lhs)
        {
          this.#scalar(s.rhs)
          return
        }
      case 'aggregate': {
        this.#scalar(s)
        return
      }
      case 'coalesce':
        return
      default: {
        this.#spanset(s)
        return
      }
    }
  }

  #scalar(e: ScalarExpr): void {
    if (e.kind === 'pipeline') {
      this.#pipeline(e)
      return
    }
    if (e.kind === 'scalarOperation') {
      this.#scalar(e.lhs)
      this.#scalar(e.rhs)
      return
    }
    if (e.kind !== 'aggregate') return
    this.allMustHold = false
    if (e.expr) this.#field(e.expr)
  }

  #spanset(e: SpansetExpr): void {
    if (e.kind === 'pipeline') {
      this.#pipeline(e)
      return
    }
    if (e.kind === 'filter') {
      this.#field(e.expr)
      return
    }
    const relation = e.op.replace(/^[!&](?=[<>~])/, '')
    for (const intrinsic of NUMBERS_OF[relation] ?? []) this.structural.add(intrinsic)
    this.#spanset(e.lhs)
    this.#spanset(e.rhs)
    this.allMustHold = false
  }

  #field(e: FieldExpr): void {
    if (e.kind === 'attribute') this.add(e, 'fetch')
    else if (e.kind === 'unary') {
      const known = e.expr.kind === 'attribute' && (e.op === 'exists' || e.op === 'not exists')
      if (known) this.add(e.expr, e.op)
      else this.#field(e.expr)
    } else if (e.kind === 'binary') this.#binary(e)
  }

  #binary(e: BinaryExpr): void {
    const pair = attributeAndConstant(e)
    if (pair) {
      const isLogic = e.op === '&&' || e.op === '||'
      if (isBooleanOp(e.op) && !isLogic)
        this.add(pair.attribute, pair.flipped ? flipOp(e.op) : e.op, pair.value)
      else this.add(pair.attribute, 'fetch')
      return
    }
    this.#field(e.lhs)
    this.#field(e.rhs)
    if (e.op === '||') this.allMustHold = false
  }
}

/** The two sides when one is an attribute and the other a constant, in either order. */
export function attributeAndConstant(
  e: BinaryExpr,
): { attribute: AttributeExpr; value: Static; flipped: boolean } | undefined {
  if (e.lhs.kind === 'attribute' && e.rhs.kind === 'static') {
    return { attribute: e.lhs, value: e.rhs.value, flipped: false }
  }
  if (e.lhs.kind === 'static' && e.rhs.kind === 'attribute') {
    return { attribute: e.rhs, value: e.lhs.value, flipped: true }
  }
  return undefined
}

const isAtLevel = (a: AttributeExpr, level: AttributeLevel): boolean =>
  a.scope === 'none' ? level === 'span' || level === 'resource' : LEVEL_OF[a.scope] === level

/** Whether these conditions let a single value be seen. */
export function isSeen(
  conditions: readonly Condition[],
  value: Static,
  isIntrinsic: boolean,
): boolean {
  for (const { op, operand } of conditions) {
    if (op === 'not exists') continue
    if (op === 'fetch' || op === 'exists') return value.type !== 'nil'
    if (!isIntrinsic && READS[operand!.type] !== READS[value.type]) continue
    const result = combine(op, value, operand!)
    if (result.type === 'bool' && result.value) return true
  }
  return false
}

/** What is seen of a value: of an array only the elements that are seen, and a lone one as a plain value. */
export function seenPart(
  conditions: readonly Condition[],
  value: Static,
  isIntrinsic: boolean,
): Static {
  const elements = elementsOf(value)
  if (elements.length <= 1) return isSeen(conditions, value, isIntrinsic) ? value : NIL
  const seen = elements.filter((e) => isSeen(conditions, e, isIntrinsic))
  if (seen.length <= 1) return seen[0] ?? NIL
  if (seen.length === elements.length) return value
  return { type: value.type, value: seen.map((e) => (e as { value: unknown }).value) } as Static
}

/** The one attribute that every resource has: where none was sent it is the empty text. */
export const SERVICE_NAME = 'service.name'
