/** Owns a second, naive evaluation of queries over plain objects, span by span, for judging the engine's columns and masks. */
import type {
  AttributeExpr,
  FieldExpr,
  Pipeline,
  SpansetExpr,
  Stage,
  StructuralOp,
} from '../../src/traceql/ast.js'
import { attributePairs } from '../support/otlp-objects.js'
import type { Attributes, ResourceSpansObject, SpanObject, Value } from '../support/otlp-objects.js'
import { toHex } from '../../src/lib/bytes.js'

export interface Node {
  readonly span: SpanObject
  readonly resource: Attributes | undefined
  readonly scope: ResourceSpansObject['scopes'][number]['scope']
  parent: Node | undefined
  attached: boolean
}

/** Traces by id, spans by start, parents linked. Only for traces whose span ids are unique. */
export function tracesOf(input: readonly ResourceSpansObject[]): Map<string, Node[]> {
  const traces = new Map<string, Node[]>()
  for (const rs of input) {
    for (const ss of rs.scopes) {
      for (const span of ss.spans) {
        const id = toHex(span.traceId)
        const node: Node = {
          span,
          resource: rs.resource?.attributes,
          scope: ss.scope,
          parent: undefined,
          attached: false,
        }
        traces.set(id, [...(traces.get(id) ?? []), node])
      }
    }
  }
  for (const nodes of traces.values()) link(nodes)
  return traces
}

function link(nodes: Node[]): void {
  nodes.sort((a, b) => (a.span.start < b.span.start ? -1 : a.span.start > b.span.start ? 1 : 0))
  const byId = new Map(nodes.map((node) => [toHex(node.span.spanId), node]))
  for (const node of nodes) {
    if (node.span.parentSpanId) node.parent = byId.get(toHex(node.span.parentSpanId))
  }
  for (const node of nodes) {
    let top = node
    for (let i = 0; top.parent && i <= nodes.length; i++) top = top.parent
    node.attached = !top.span.parentSpanId
  }
}

type Plain = string | number | boolean | undefined

const plain = (value: Value | undefined): Plain => {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'object' ? undefined : value
}

const find = (attributes: Attributes | undefined, key: string): Value | undefined =>
  attributePairs(attributes).findLast(([k]) => k === key)?.[1]

const STATUS = ['unset', 'ok', 'error']
const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer']

function valueOf(node: Node, a: AttributeExpr): Value | undefined {
  const { span } = node
  switch (a.intrinsic) {
    case 'name':
      return span.name ?? ''
    case 'duration':
      return span.end - span.start
    case 'status':
      return STATUS[span.status?.code ?? 0]
    case 'kind':
      return KINDS[span.kind ?? 0]
    case 'statusMessage':
      return span.status?.message ?? ''
    case undefined:
      break
    default:
      throw new Error(`the reference does not know ${a.intrinsic}`)
  }
  const service = find(node.resource, a.name) ?? (a.name === 'service.name' ? '' : undefined)
  if (a.scope === 'span') return find(span.attributes, a.name)
  if (a.scope === 'resource') return service
  if (a.scope === 'instrumentation') return find(node.scope?.attributes, a.name)
  return find(span.attributes, a.name) ?? service
}

function evaluate(node: Node, e: FieldExpr): Plain {
  if (e.kind === 'static') {
    const { value } = e
    if (value.type === 'nil') return undefined
    if (value.type === 'status') return STATUS[value.value]
    if (value.type === 'kind') return KINDS[value.value]
    return typeof value.value === 'bigint' ? Number(value.value) : (value.value as Plain)
  }
  if (e.kind === 'attribute') return plain(valueOf(node, e))
  if (e.kind === 'unary') {
    if (e.op === 'exists' || e.op === 'not exists') {
      const has = valueOf(node, e.expr as AttributeExpr) !== undefined
      return has === (e.op === 'exists')
    }
    const inner = evaluate(node, e.expr)
    if (e.op === '!') return typeof inner === 'boolean' ? !inner : undefined
    return typeof inner === 'number' ? -inner : undefined
  }
  const left = evaluate(node, e.lhs)
  if (e.op === 'in' || e.op === 'not in' || e.op === 'match any' || e.op === 'match none') {
    return evaluateList(
      e.op,
      left,
      (e.rhs as unknown as { value: { value: Value[] } }).value.value.map(plain),
    )
  }
  const right = evaluate(node, e.rhs)
  if (e.op === '&&') return left === true && right === true
  if (e.op === '||') return left === true || right === true
  return compare(e.op, left, right)
}

function evaluateList(op: string, left: Plain, list: Plain[]): boolean {
  if (typeof left !== typeof list[0]) return false
  const matches = list.some((item) =>
    op.startsWith('match')
      ? new RegExp(`^(?:${String(item)})$`, 's').test(String(left))
      : item === left,
  )
  return matches === (op === 'in' || op === 'match any')
}

function compare(op: string, left: Plain, right: Plain): Plain {
  if (left === undefined || right === undefined) return false
  if (typeof left !== typeof right) return false
  const order = left < right ? -1 : left > right ? 1 : 0
  const [x, y] = [Number(left), Number(right)]
  switch (op) {
    case '=':
      return left === right
    case '!=':
      return left !== right
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    case '=~':
      return new RegExp(`^(?:${String(right)})$`, 's').test(String(left))
    case '!~':
      return !new RegExp(`^(?:${String(right)})$`, 's').test(String(left))
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
    default:
      throw new Error(`the reference does not know ${op}`)
  }
}

function isAncestor(a: Node, of: Node): boolean {
  for (let up = of.parent; up; up = up.parent) if (up === a) return true
  return false
}

function stands(op: string, left: Node, right: Node): boolean {
  if (!left.attached || !right.attached) return false
  if (op === '>') return right.parent === left
  if (op === '<') return left.parent === right
  if (op === '>>') return isAncestor(left, right)
  if (op === '<<') return isAncestor(right, left)
  return left !== right && left.parent === right.parent
}

function relate(op: StructuralOp, left: Node[], right: Node[]): Node[] {
  const bare = op.replace(/^[!&]/, '')
  const matched = right.filter((r) => left.some((l) => stands(bare, l, r)))
  if (op.startsWith('!')) return right.filter((r) => !matched.includes(r))
  if (!op.startsWith('&')) return matched
  const others = left.filter((l) => right.some((r) => stands(bare, l, r)))
  return [...new Set([...matched, ...others])]
}

function spansets(e: SpansetExpr, input: Node[]): Node[] {
  if (e.kind === 'pipeline') return runPipeline(e, [input])[0] ?? []
  if (e.kind === 'filter') return input.filter((node) => evaluate(node, e.expr) === true)
  const [left, right] = [spansets(e.lhs, input), spansets(e.rhs, input)]
  if (e.op === '&&') return left.length && right.length ? [...new Set([...left, ...right])] : []
  if (e.op === '||') return [...new Set([...left, ...right])]
  return relate(e.op, left, right)
}

function stage(s: Stage, sets: Node[][]): Node[][] {
  switch (s.kind) {
    case 'by': {
      const split = (set: Node[]) => {
        const groups = new Map<Plain, Node[]>()
        for (const node of set) {
          const key = evaluate(node, s.expr)
          groups.set(key, [...(groups.get(key) ?? []), node])
        }
        return [...groups.values()]
      }
      return sets.flatMap(split)
    }
    case 'coalesce':
      return [sets.flat()]
    case 'select':
      return sets
    case 'scalarFilter': {
      const { lhs, rhs } = s
      if (lhs.kind !== 'aggregate' || rhs.kind !== 'static') throw new Error('unknown scalar')
      const limit = evaluate({} as Node, rhs)
      return sets.filter((set) => {
        const value = aggregate(lhs.op, lhs.expr, set)
        return value !== undefined && compare(s.op, value, limit) === true
      })
    }
    case 'aggregate':
      return sets
    default:
      return sets.map((set) => spansets(s, set)).filter((set) => set.length > 0)
  }
}

function aggregate(op: string, expr: FieldExpr | undefined, set: Node[]): Plain {
  if (!expr) return set.length
  const values = set.map((node) => evaluate(node, expr)).filter((v) => typeof v === 'number')
  if (values.length === 0) return undefined
  const sum = values.reduce((a, b) => a + b, 0)
  if (op === 'sum') return sum
  if (op === 'avg') return sum / values.length
  return op === 'min' ? Math.min(...values) : Math.max(...values)
}

/** The span sets of one trace that a pipeline leaves. */
export function runPipeline(p: Pipeline, input: Node[][]): Node[][] {
  let sets = input
  for (const s of p.stages) sets = stage(s, sets).filter((set) => set.length > 0)
  return sets
}
