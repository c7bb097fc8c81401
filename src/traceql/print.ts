/** Owns how queries print: canonical text, which also names labels (`resource.service.name`) and span set attributes (`by(name)`). */
import type {
  AttributeExpr,
  FieldExpr,
  FirstStage,
  Pipeline,
  ScalarExpr,
  SpansetExpr,
  Stage,
} from './ast.js'
import { printStatic } from './static.js'

/** What may stand in an attribute's name without quotes. */
export const isAttributeRune = (rune: string): boolean =>
  rune !== '' && !/[\s{}()=~!<>&|^,]/u.test(rune)

export function printAttribute(a: AttributeExpr): string {
  let prefix = a.parent ? 'parent.' : ''
  if (a.scope !== 'none') prefix += `${a.scope}.`
  if (prefix === '' && a.intrinsic === undefined && a.name.length > 0) prefix = '.'
  const plain = !a.name.includes('"') && Array.from(a.name).every(isAttributeRune)
  return prefix + (plain ? a.name : `"${a.name.replace(/[\\"]/g, '\\$&')}"`)
}

const wrap = (text: string, kind: string) =>
  kind === 'static' || kind === 'attribute' ? text : `(${text})`

export function printField(e: FieldExpr): string {
  switch (e.kind) {
    case 'attribute':
      return printAttribute(e)
    case 'static':
      return printStatic(e.value)
    case 'binary': {
      const op = e.op.length > 2 ? e.op.toUpperCase() : e.op === 'in' ? 'IN' : e.op
      return `${wrap(printField(e.lhs), e.lhs.kind)} ${op} ${wrap(printField(e.rhs), e.rhs.kind)}`
    }
    case 'unary': {
      const inner = wrap(printField(e.expr), e.expr.kind)
      if (e.op === 'exists') return `${inner} != nil`
      if (e.op === 'not exists') return `${inner} = nil`
      return e.op + inner
    }
  }
}

export function printScalar(e: ScalarExpr): string {
  switch (e.kind) {
    case 'static':
      return printStatic(e.value)
    case 'aggregate':
      return `${e.op}(${e.expr ? printField(e.expr) : ''})`
    case 'scalarOperation':
      return `${wrap(printScalar(e.lhs), e.lhs.kind)} ${e.op} ${wrap(printScalar(e.rhs), e.rhs.kind)}`
    case 'pipeline':
      return printPipeline(e)
  }
}

export function printSpanset(e: SpansetExpr): string {
  switch (e.kind) {
    case 'filter':
      return `{ ${printField(e.expr)} }`
    case 'operation':
      return `(${printSpanset(e.lhs)}) ${e.op} (${printSpanset(e.rhs)})`
    case 'pipeline':
      return printPipeline(e)
  }
}

function printStage(s: Stage): string {
  switch (s.kind) {
    case 'scalarFilter':
      return `${wrap(printScalar(s.lhs), s.lhs.kind)} ${s.op} ${wrap(printScalar(s.rhs), s.rhs.kind)}`
    case 'by':
      return `by(${printField(s.expr)})`
    case 'coalesce':
      return 'coalesce()'
    case 'select':
      return `select(${s.attributes.map(printAttribute).join(', ')})`
    case 'aggregate':
      return printScalar(s)
    default:
      return printSpanset(s)
  }
}

export const printPipeline = (p: Pipeline): string => p.stages.map(printStage).join('|')

export function printFirstStage(m: FirstStage): string {
  if (m.kind === 'compare') {
    return `compare(${printSpanset(m.filter)}, ${m.topN}, ${m.start_ns}, ${m.end_ns})`
  }
  const args = [
    ...(m.attribute ? [printAttribute(m.attribute)] : []),
    ...m.quantiles.map((q) => q.toFixed(5)),
  ]
  const by = m.by.length > 0 ? `by(${m.by.map(printAttribute).join(',')})` : ''
  return `${m.op}(${args.join(',')})${by}`
}
