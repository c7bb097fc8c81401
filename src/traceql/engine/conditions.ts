/** Owns what a query asks of each attribute: which values of it the query can see at all, as Tempo's storage layer decides it. */
import type {
  AttributeExpr,
  BinaryExpr,
  BinaryOp,
  FieldExpr,
  Pipeline,
  ScalarExpr,
  SpansetExpr,
  Stage,
} from '../ast.js'
import type { ValueType } from '../../otlp/columns.js'
import { printAttribute } from '../print.js'
import { combine, flipOp, isBooleanOp } from '../static.js'
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

/** Which types of an attribute's values a comparison with a constant reads. */
const READS: Partial<Record<Static['type'], ValueType>> = {
  string: 'string',
  stringArray: 'string',
  int: 'int',
  intArray: 'int',
  float: 'float',
  floatArray: 'float',
  bool: 'bool',
  boolArray: 'bool',
}
const ALL_TYPES: ReadonlySet<ValueType> = new Set(['string', 'int', 'float', 'bool', 'any'])

export class Conditions {
  readonly byAttribute = new Map<string, AttributeConditions>()
  /** Attributes that are only returned (`select`). */
  readonly selected: AttributeExpr[] = []
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

  /** The types of values of an attribute that the query can see: a comparison with an int sees no float. */
  visibleTypes(attribute: AttributeExpr): ReadonlySet<ValueType> {
    const types = new Set<ValueType>()
    for (const { operand } of this.of(attribute)) {
      if (!operand) return ALL_TYPES
      const type = READS[operand.type]
      if (type) types.add(type)
    }
    return types
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
        return this.#scalar(s.rhs)
      case 'aggregate':
        return this.#scalar(s)
      case 'coalesce':
        return
      default:
        return this.#spanset(s)
    }
  }

  #scalar(e: ScalarExpr): void {
    if (e.kind === 'pipeline') return this.#pipeline(e)
    if (e.kind === 'scalarOperation') {
      this.#scalar(e.lhs)
      return this.#scalar(e.rhs)
    }
    if (e.kind !== 'aggregate') return
    this.allMustHold = false
    if (e.expr) this.#field(e.expr)
  }

  #spanset(e: SpansetExpr): void {
    if (e.kind === 'pipeline') return this.#pipeline(e)
    if (e.kind === 'filter') return this.#field(e.expr)
    this.#spanset(e.lhs)
    this.#spanset(e.rhs)
    this.allMustHold = false
  }

  #field(e: FieldExpr): void {
    if (e.kind === 'attribute') this.add(e, 'fetch')
    else if (e.kind === 'unary') {
      const known = e.expr.kind === 'attribute' && (e.op === 'exists' || e.op === 'not exists')
      if (known) this.add(e.expr as AttributeExpr, e.op as 'exists' | 'not exists')
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

/** Whether a query that asks these conditions of an attribute gets to see this value of it. */
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

/** The one attribute that every resource has: where none was sent it is the empty text. */
export const SERVICE_NAME = 'service.name'
