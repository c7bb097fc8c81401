/** Owns evaluating a span set filter over a whole row group: masks of spans, column by column, nothing per span but in loops. */
import type { FieldName, ValueType } from '../../otlp/columns.js'
import type { AttributeExpr, BinaryExpr, FieldExpr, Intrinsic, UnaryExpr } from '../ast.js'
import { combine, flipOp, staticString } from '../static.js'
import type { Static } from '../static.js'
import { negated } from '../parse-field.js'
import { READS, SERVICE_NAME, attributeAndConstant, hasOwnColumn, seenPart } from './conditions.js'
import type { Condition, Conditions } from './conditions.js'
import { ValueTest, markSeenArrays } from './tests.js'
import type { Mask } from './tests.js'
import { NESTED, ownReader, readerOf, spanIdText, traceIdText } from './values.js'
import type { ListIntrinsic, Reader } from './values.js'
import { LEVEL_OF, VALUE_TYPES } from './view.js'
import type { AttributeLevel, GroupView } from './view.js'

/** Evaluates filters of one query over the groups of one source. */
export class FilterEvaluator {
  readonly #conditions: Conditions
  readonly #tests = new Map<object, ValueTest>()
  constructor(conditions: Conditions) {
    this.#conditions = conditions
  }

  /** The spans for which the expression is true. */
  async filter(view: GroupView, e: FieldExpr): Promise<Mask> {
    if (await this.#isHopeless(view, e)) return undefined
    return this.#truth(view, e, true)
  }

  /** Spans where the expression is the boolean `wanted`; anything but a boolean is in neither. */
  async #truth(view: GroupView, e: FieldExpr, wanted: boolean): Promise<Mask> {
    switch (e.kind) {
      case 'static':
        return e.value.type === 'bool' && e.value.value === wanted ? full(view) : undefined
      case 'attribute':
        return this.#boolAttribute(view, e, wanted)
      case 'unary':
        if (e.op === '!') return this.#truth(view, e.expr, !wanted)
        if (e.op === '-') return undefined
        return invertUnless(wanted, view, await this.#existence(view, e))
      case 'binary':
        return invertUnless(wanted, view, await this.#binary(view, e))
    }
  }

  async #binary(view: GroupView, e: BinaryExpr): Promise<Mask> {
    if (e.op === '&&') return this.#and(view, e)
    if (e.op === '||') {
      const masks: Uint8Array[] = []
      for (const part of flatten(e, '||')) {
        const mask = await this.#truth(view, part, true)
        if (mask) masks.push(mask)
      }
      return union(masks)
    }
    const pair = attributeAndConstant(e)
    if (!pair) return this.#slow(view, e)
    const test = this.#testOf(e, pair.flipped ? flipOp(e.op) : e.op, pair.value)
    return test && this.#comparison(view, pair.attribute, test)
  }

  #testOf(key: object, op: BinaryExpr['op'], operand: Static): ValueTest | undefined {
    if (['+', '-', '*', '/', '%', '^'].includes(op)) return undefined
    let test = this.#tests.get(key)
    if (!test) this.#tests.set(key, (test = new ValueTest(op, operand)))
    return test
  }

  /** Parts that certainly match nothing are found before any column is read; the rest narrow from left to right. */
  async #and(view: GroupView, e: BinaryExpr): Promise<Mask> {
    const parts = flatten(e, '&&')
    for (const part of parts) if (await this.#isHopeless(view, part)) return undefined
    const { rest, lists } = this.#conditions.allMustHold
      ? byList(parts)
      : { rest: parts, lists: [] }
    let mask: Mask
    for (const part of rest) {
      const next = await this.#truth(view, part, true)
      if (!next) return undefined
      mask = mask ? intersect(mask, next) : next
      if (!mask.includes(1)) return undefined
    }
    for (const { level, members } of lists) {
      const next = await this.#sameRow(view, level, members)
      if (!next) return undefined
      mask = mask ? intersect(mask, next) : next
    }
    return mask
  }

  /** Conditions that one and the same event (or link) must meet. */
  async #sameRow(
    view: GroupView,
    level: 'event' | 'link',
    members: readonly FieldExpr[],
  ): Promise<Mask> {
    let rows: Mask
    for (const member of members) {
      const next = await this.#listMask(view, level, member)
      if (!next) return undefined
      rows = rows ? intersect(rows, next) : next
    }
    return rows && this.#lift(view, level, rows)
  }

  async #listMask(view: GroupView, level: 'event' | 'link', e: FieldExpr): Promise<Mask> {
    if (e.kind === 'unary') {
      const has = await this.#hasAtLevel(view, level, (e.expr as AttributeExpr).name)
      return e.op === 'exists' ? has : invert(has, view.rows(level))
    }
    const pair = attributeAndConstant(e as BinaryExpr)!
    const op = pair.flipped ? flipOp((e as BinaryExpr).op) : (e as BinaryExpr).op
    const test = this.#testOf(e, op, pair.value)!
    return pair.attribute.intrinsic === undefined
      ? this.#testAtLevel(view, level, pair.attribute, test)
      : this.#testListIntrinsic(view, pair.attribute.intrinsic as ListIntrinsic, test)
  }

  /** Whether an equality with a text can be ruled out without reading its column. */
  async #isHopeless(view: GroupView, e: FieldExpr): Promise<boolean> {
    if (e.kind !== 'binary' || e.op !== '=') return false
    const pair = attributeAndConstant(e)
    if (!pair || pair.value.type !== 'string' || pair.value.value === '') return false
    const { attribute } = pair
    if (attribute.intrinsic !== undefined) {
      const field = TEXT_FIELDS[attribute.intrinsic]
      return field !== undefined && !(await mayHave(view, field, pair.value.value))
    }
    const levels: readonly AttributeLevel[] =
      attribute.scope === 'none' ? ['span', 'resource'] : [LEVEL_OF[attribute.scope]]
    for (const level of levels) {
      if (await mayHave(view, { level, key: attribute.name }, pair.value.value)) return false
    }
    return true
  }

  async #comparison(view: GroupView, a: AttributeExpr, test: ValueTest): Promise<Mask> {
    if (a.intrinsic !== undefined) return this.#intrinsic(view, a.intrinsic, test)
    if (a.scope === 'none') return this.#unscoped(view, a, test)
    const level = LEVEL_OF[a.scope]
    const mask = await this.#testAtLevel(view, level, a, test)
    return mask && this.#lift(view, level, mask)
  }

  /** A span that has the attribute hides its resource's, whether or not its own value can be seen. */
  async #unscoped(view: GroupView, a: AttributeExpr, test: ValueTest): Promise<Mask> {
    const own = await this.#testAtLevel(view, 'span', a, test)
    const inherited = await this.#testAtLevel(view, 'resource', a, test)
    if (!inherited) return own
    const lifted = await this.#lift(view, 'resource', inherited)
    // Where the attribute has a column of its own in Tempo, only a value that is seen hides anything.
    const hiding = hasOwnColumn(a.name, 'span')
      ? await this.#seenAtLevel(view, 'span', a, this.#conditions.seenBy(a, 'span'))
      : await this.#hasAtLevel(view, 'span', a.name)
    if (!hiding) return lifted
    for (let i = 0; i < lifted.length; i++) if (hiding[i] === 1) lifted[i] = own ? own[i]! : 0
    return lifted
  }

  /** Rows of a level that have a value of the attribute which some condition lets be seen. */
  async #seenAtLevel(
    view: GroupView,
    level: AttributeLevel,
    a: AttributeExpr,
    pool: readonly Condition[],
    types: readonly ValueType[] = VALUE_TYPES,
  ): Promise<Mask> {
    const out = new Uint8Array(view.rows(level))
    for (const type of types) {
      const column = await view.attribute(level, a.name, type)
      if (!column) continue
      if (column.type === 'any') {
        markSeenArrays(column, (value) => seenPart(pool, value, false), out)
      } else if (pool.some(({ operand }) => !operand)) markPresent(column, out)
      else {
        for (const condition of pool) {
          if (READS[condition.operand!.type] !== type) continue
          this.#testOf(condition, condition.op as BinaryExpr['op'], condition.operand!)?.mark(
            column,
            out,
          )
        }
      }
    }
    if (pool.some(({ op }) => op === 'not exists')) {
      const has = await this.#hasAtLevel(view, level, a.name)
      for (let i = 0; i < out.length; i++) if (has?.[i] !== 1) out[i] = 1
    }
    return out.includes(1) ? out : undefined
  }

  /** Rows of a level whose visible value passes. */
  async #testAtLevel(
    view: GroupView,
    level: AttributeLevel,
    a: AttributeExpr,
    test: ValueTest,
  ): Promise<Mask> {
    const isServiceName = level === 'resource' && a.name === SERVICE_NAME
    const pool = this.#conditions.seenBy(a, level)
    let out: Mask
    for (const type of VALUE_TYPES) {
      const reads = READS[test.operand.type] === type
      if (!reads && !canCompare(type, test.operand.type)) continue
      if (cannotPass(view, type, test)) continue
      const column = await view.attribute(level, a.name, type)
      if (!column) continue
      out ??= new Uint8Array(view.rows(level))
      if (column.type === 'any') {
        const place = `${level} ${a.name}`
        test.markArrays(column, place, (value) => seenPart(pool, value, false), out)
      } else if (reads) test.mark(column, out)
      else {
        // A number of another type is there only if some other condition makes it so.
        const seen = await this.#seenAtLevel(view, level, a, pool, [type])
        if (!seen) continue
        const passed = new Uint8Array(out.length)
        test.mark(column, passed)
        for (let i = 0; i < out.length; i++) out[i]! |= passed[i]! & seen[i]!
      }
    }
    if (isServiceName && test.text('')) {
      out ??= new Uint8Array(view.rows(level))
      const has = await this.#hasAtLevel(view, level, a.name, true)
      for (let i = 0; i < out.length; i++) if (has?.[i] !== 1) out[i] = 1
    }
    return out
  }

  async #hasAtLevel(
    view: GroupView,
    level: AttributeLevel,
    key: string,
    asSent = false,
  ): Promise<Mask> {
    if (level === 'resource' && key === SERVICE_NAME && !asSent) {
      return new Uint8Array(view.rows(level)).fill(1)
    }
    let out: Mask
    for (const type of VALUE_TYPES) {
      const column = await view.attribute(level, key, type)
      if (!column) continue
      out ??= new Uint8Array(view.rows(level))
      markPresent(column, out)
    }
    return out
  }

  async #existence(view: GroupView, e: UnaryExpr): Promise<Mask> {
    if (e.expr.kind !== 'attribute') return this.#slow(view, e)
    const exists = e.op === 'exists'
    const a = e.expr
    if (a.intrinsic !== undefined) {
      const read = await readerOf(view, a)
      return maskOf(view, (row) => (read(row).type !== 'nil') === exists)
    }
    const levels: readonly AttributeLevel[] =
      a.scope === 'none' ? ['span', 'resource'] : [LEVEL_OF[a.scope]]
    const masks: Uint8Array[] = []
    for (const level of levels) {
      const has = await this.#hasAtLevel(view, level, a.name)
      const rows = exists ? has : invert(has, view.rows(level))
      if (rows) masks.push(await this.#lift(view, level, rows))
    }
    return union(masks)
  }

  async #boolAttribute(view: GroupView, a: AttributeExpr, wanted: boolean): Promise<Mask> {
    const read = await readerOf(view, a)
    return maskOf(view, (row) => {
      const value = read(row)
      return value.type === 'bool' && value.value === wanted
    })
  }

  async #lift(view: GroupView, level: AttributeLevel, rows: Uint8Array): Promise<Uint8Array> {
    if (level === 'span') return rows
    const out = new Uint8Array(view.spanCount)
    if (level === 'event' || level === 'link') {
      const owners = await view.owners(level)
      for (let i = 0; i < rows.length; i++) if (rows[i] === 1) out[owners[i]!] = 1
      return out
    }
    const of = (await view.parents())[level]
    for (let i = 0; i < out.length; i++) out[i] = rows[of[i]!]!
    return out
  }

  async #liftTrace(view: GroupView, rows: Uint8Array): Promise<Uint8Array> {
    const { trace } = await view.parents()
    const out = new Uint8Array(view.spanCount)
    for (let i = 0; i < out.length; i++) out[i] = rows[trace[i]!]!
    return out
  }

  async #intrinsic(view: GroupView, intrinsic: Intrinsic, test: ValueTest): Promise<Mask> {
    const out = new Uint8Array(view.spanCount)
    switch (intrinsic) {
      case 'status':
      case 'kind':
        test.markNames(await view.field(`span.${intrinsic}`), intrinsic, out)
        return out
      case 'duration':
        test.markInts((await view.field('span.duration')) ?? zeros(view.spanCount), out)
        return out
      case 'name':
      case 'statusMessage':
        return this.#textField(view, `span.${intrinsic}`, test, out)
      case 'instrumentation:name':
      case 'instrumentation:version': {
        const field = intrinsic === 'instrumentation:name' ? 'scope.name' : 'scope.version'
        const rows = new Uint8Array(view.rows('scope'))
        return this.#lift(view, 'scope', await this.#textField(view, field, test, rows))
      }
      case 'span:id':
      case 'span:parentID': {
        const column = await view.field(intrinsic === 'span:id' ? 'span.id' : 'span.parentId')
        const bytes = column?.bytes ?? new Uint8Array(view.spanCount * 8)
        test.markIds({ type: 'fixed', width: 8, bytes }, spanIdText, out)
        return out
      }
      case 'event:name':
      case 'event:timeSinceStart':
      case 'link:traceID':
      case 'link:spanID': {
        const level = intrinsic.startsWith('event') ? 'event' : 'link'
        const rows = await this.#testListIntrinsic(view, intrinsic, test)
        return this.#lift(view, level, rows)
      }
      case 'nestedSetLeft':
      case 'nestedSetRight':
      case 'nestedSetParent':
      case 'span:childCount':
        test.markInts(widen((await view.nestedSets())[NESTED[intrinsic]]), out)
        return out
      case 'parent':
        return undefined
      default:
        return this.#traceIntrinsic(view, intrinsic, test)
    }
  }

  async #traceIntrinsic(
    view: GroupView,
    intrinsic: 'trace:id' | 'traceDuration' | 'rootName' | 'rootServiceName',
    test: ValueTest,
  ): Promise<Mask> {
    const rows = new Uint8Array(view.rows('trace'))
    if (intrinsic === 'traceDuration') test.markInts(await view.traceDurations(), rows)
    else if (intrinsic === 'trace:id') {
      const column = await view.field('trace.id')
      if (column) test.markIds(column, traceIdText, rows)
    } else {
      const field = intrinsic === 'rootName' ? 'trace.rootName' : 'trace.rootService'
      await this.#textField(view, field, test, rows)
    }
    return this.#liftTrace(view, rows)
  }

  async #textField(
    view: GroupView,
    field: TextField,
    test: ValueTest,
    out: Uint8Array,
  ): Promise<Uint8Array> {
    const column = await view.field(field)
    if (column) test.markStrings(column, out, true)
    else if (test.text('')) out.fill(1)
    return out
  }

  /** Rows of events or links. */
  async #testListIntrinsic(
    view: GroupView,
    intrinsic: ListIntrinsic,
    test: ValueTest,
  ): Promise<Uint8Array> {
    const level = intrinsic.startsWith('event') ? 'event' : 'link'
    const out = new Uint8Array(view.rows(level))
    if (intrinsic === 'event:name') return this.#textField(view, 'event.name', test, out)
    if (intrinsic === 'event:timeSinceStart') {
      test.markInts(await view.timesSinceStart(), out)
      return out
    }
    const read = await ownReader(view, intrinsic)
    for (let i = 0; i < out.length; i++) {
      const value = read(i)
      if (value.type === 'string' && test.text(value.value)) out[i] = 1
    }
    return out
  }

  /** Span by span, for what is no comparison with a constant. */
  async #slow(view: GroupView, e: FieldExpr): Promise<Mask> {
    const read = await this.reader(view, e)
    return maskOf(view, (row) => {
      const value = read(row)
      return value.type === 'bool' && value.value
    })
  }

  /** The value of any expression by span row. */
  async reader(view: GroupView, e: FieldExpr): Promise<Reader> {
    switch (e.kind) {
      case 'static':
        return () => e.value
      case 'attribute':
        return readerOf(view, e)
      case 'unary': {
        const read = await this.reader(view, e.expr)
        return (row) => unaryOf(e, read(row))
      }
      case 'binary': {
        const [left, right] = await Promise.all([
          this.reader(view, e.lhs),
          this.reader(view, e.rhs),
        ])
        return (row) => combine(e.op, left(row), right(row))
      }
    }
  }
}

const NIL_TEXT = staticString('nil')

function unaryOf(e: UnaryExpr, value: Static): Static {
  if (e.op === 'not exists') return negated(e.op, value.type === 'nil' ? NIL_TEXT : value)!
  return negated(e.op, value) ?? { type: 'nil' }
}

type TextField =
  | 'span.name'
  | 'span.statusMessage'
  | 'scope.name'
  | 'scope.version'
  | 'trace.rootName'
  | 'trace.rootService'
  | 'event.name'

const TEXT_FIELDS: Partial<Record<Intrinsic, FieldName>> = {
  name: 'span.name',
  statusMessage: 'span.statusMessage',
  rootName: 'trace.rootName',
  rootServiceName: 'trace.rootService',
  'event:name': 'event.name',
  'instrumentation:name': 'scope.name',
  'instrumentation:version': 'scope.version',
}

async function mayHave(
  view: GroupView,
  where: FieldName | { level: AttributeLevel; key: string },
  text: string,
): Promise<boolean> {
  const unknown = view.dictionary.find(text) === 0
  if (typeof where === 'string') {
    return !unknown && ((await view.group.mayHave?.(where, text)) ?? true)
  }
  if (await view.attribute(where.level, where.key, 'any')) return true
  if (unknown) return false
  return (await view.group.mayHave?.({ ...where, type: 'string' }, text)) ?? true
}

/** Numbers compare over types; arrays are looked into whatever the constant. */
const canCompare = (type: ValueType, operand: Static['type']): boolean =>
  type === 'any' || ((type === 'int' || type === 'float') && /^(int|float|duration)/.test(operand))

/** A text that the source does not have equals no text in it. */
function cannotPass(view: GroupView, type: ValueType, test: ValueTest): boolean {
  return type === 'string' && test.onlyCode(view.dictionary) === 0
}

function markPresent(
  column: NonNullable<Awaited<ReturnType<GroupView['attribute']>>>,
  out: Uint8Array,
): void {
  const count = out.length
  if (column.type === 'bool') {
    for (let i = 0; i < count; i++) if (column.values[i] !== 0) out[i] = 1
  } else if (column.type === 'int' || column.type === 'float') {
    const { present } = column
    for (let i = 0; i < count; i++) if (!present || present[i] === 1) out[i] = 1
  } else {
    for (let i = 0; i < count; i++) if (column.codes[i] !== 0) out[i] = 1
  }
}

/** `a op b op c` as its parts. */
function flatten(e: FieldExpr, op: '&&' | '||'): FieldExpr[] {
  const parts: FieldExpr[] = []
  const pending = [e]
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (next.kind === 'binary' && next.op === op) pending.push(next.rhs, next.lhs)
    else parts.push(next)
  }
  return parts
}

type ListLevel = 'event' | 'link'

function listLevel(e: FieldExpr): ListLevel | undefined {
  let attribute: AttributeExpr | undefined
  if (e.kind === 'binary' && !['&&', '||'].includes(e.op)) {
    attribute = attributeAndConstant(e)?.attribute
  } else if (e.kind === 'unary' && (e.op === 'exists' || e.op === 'not exists')) {
    attribute = e.expr.kind === 'attribute' ? e.expr : undefined
  }
  const scope = attribute?.intrinsic?.split(':')[0] ?? attribute?.scope
  return scope === 'event' || scope === 'link' ? scope : undefined
}

/** Apart: conditions on events, on links, and all others. */
function byList(parts: readonly FieldExpr[]): {
  rest: FieldExpr[]
  lists: { level: ListLevel; members: FieldExpr[] }[]
} {
  const rest = parts.filter((p) => listLevel(p) === undefined)
  const lists = (['event', 'link'] as const)
    .map((level) => ({ level, members: parts.filter((p) => listLevel(p) === level) }))
    .filter(({ members }) => members.length > 0)
  return { rest, lists }
}

const full = (view: GroupView): Uint8Array => new Uint8Array(view.spanCount).fill(1)

function maskOf(view: GroupView, holds: (row: number) => boolean): Uint8Array {
  const out = new Uint8Array(view.spanCount)
  for (let i = 0; i < out.length; i++) if (holds(i)) out[i] = 1
  return out
}

function invert(mask: Mask, count: number): Uint8Array {
  const out = new Uint8Array(count)
  for (let i = 0; i < count; i++) out[i] = mask?.[i] === 1 ? 0 : 1
  return out
}

const invertUnless = (wanted: boolean, view: GroupView, mask: Mask): Mask =>
  wanted ? mask : invert(mask, view.spanCount)

function intersect(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length)
  for (let i = 0; i < out.length; i++) out[i] = a[i]! & b[i]!
  return out
}

function union(masks: readonly Uint8Array[]): Mask {
  if (masks.length <= 1) return masks[0]
  const out = masks[0]!.slice()
  for (const mask of masks.slice(1)) for (let i = 0; i < out.length; i++) out[i]! |= mask[i]!
  return out
}

function zeros(count: number) {
  const halves = new Uint32Array(count)
  return { type: 'int', lo: halves, hi: halves, present: undefined } as const
}

function widen(values: Int32Array) {
  const lo = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const hi = Uint32Array.from(values, (v) => (v < 0 ? 0xffffffff : 0))
  return { type: 'int', lo, hi, present: undefined } as const
}
