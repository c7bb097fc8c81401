/** Owns what a parsed query must be beyond its grammar: expressions that fit, supported scalar filters, sane arguments. */
import { referencesSpan } from './ast.js'
import type {
  Aggregate,
  AttributeExpr,
  FieldExpr,
  MetricsAggregate,
  MetricsCompare,
  Pipeline,
  Root,
  ScalarExpr,
  ScalarFilter,
  SecondStage,
  SeriesExpr,
  SpansetExpr,
  Stage,
} from './ast.js'
import { UnsupportedError, ValidationError } from './errors.js'
import { printField, printScalar, printSpanset } from './print.js'
import { isNumeric, operatorTakes, typesMatch } from './static.js'
import type { ImpliedType } from './static.js'
import { attributeProblem, fieldProblem, impliedType } from './validate-field.js'

/** Series are keyed by at most this many values; a histogram's bucket takes one of them. */
export const MAX_GROUP_BYS = 5
export const MAX_COMPARE_TOP_N = 1000n

/** Throws ValidationError or UnsupportedError. */
export function validate(root: Root): void {
  if (root.pipeline) checkPipeline(root.pipeline)
  if (root.series) checkSeries(root.series)
}

function check(problem: Error | undefined): void {
  if (problem) throw problem
}

const checkField = (e: FieldExpr) => check(fieldProblem(e))
const checkAttributes = (list: readonly AttributeExpr[]) => {
  for (const a of list) check(attributeProblem(a))
}

function checkPipeline(p: Pipeline): void {
  for (const stage of p.stages) checkStage(stage)
}

function checkStage(s: Stage): void {
  switch (s.kind) {
    case 'filter':
    case 'operation':
    case 'pipeline': {
      checkSpanset(s)
      return
    }
    case 'by':
      if (!referencesSpan(s.expr)) {
        const text = `by(${printField(s.expr)})`
        throw new ValidationError(`grouping field expressions must reference the span: ${text}`)
      }
      {
        checkField(s.expr)
        return
      }
    case 'select': {
      checkAttributes(s.attributes)
      return
    }
    case 'scalarFilter': {
      checkScalarFilter(s)
      return
    }
    case 'aggregate': {
      checkAggregate(s)
      return
    }
    case 'coalesce':
  }
}

function checkSpanset(e: SpansetExpr): void {
  if (e.kind === 'pipeline') {
    checkPipeline(e)
    return
  }
  if (e.kind === 'operation') {
    checkSpanset(e.lhs)
    checkSpanset(e.rhs)
    return
  }
  checkField(e.expr)
  const type = impliedType(e.expr)
  if (type === 'attribute' || type === 'bool') return
  const text = printSpanset(e)
  throw new ValidationError(`span filter field expressions must resolve to a boolean: ${text}`)
}

function checkAggregate(a: Aggregate): void {
  if (!a.expr) return
  checkField(a.expr)
  const type = impliedType(a.expr)
  if (type !== 'attribute' && !isNumeric(type)) {
    const text = printScalar(a)
    throw new ValidationError(`aggregate field expressions must resolve to a number type: ${text}`)
  }
  if (!referencesSpan(a.expr)) {
    const text = printScalar(a)
    throw new ValidationError(`aggregate field expressions must reference the span: ${text}`)
  }
}

function scalarType(e: ScalarExpr): ImpliedType {
  switch (e.kind) {
    case 'static':
      return e.value.type
    case 'aggregate':
      return e.op === 'count' || !e.expr ? 'int' : impliedType(e.expr)
    case 'scalarOperation': {
      const left = scalarType(e.lhs)
      return left === 'attribute' ? scalarType(e.rhs) : left
    }
    case 'pipeline': {
      const last = e.stages.at(-1)
      return last?.kind === 'aggregate' ? scalarType(last) : 'spanset'
    }
  }
}

function checkScalar(e: ScalarExpr): void {
  if (e.kind === 'aggregate') {
    checkAggregate(e)
    return
  }
  if (e.kind === 'pipeline') {
    checkPipeline(e)
    return
  }
  if (e.kind !== 'scalarOperation') return
  checkScalar(e.lhs)
  checkScalar(e.rhs)
  checkOperands(e.op, e.lhs, e.rhs, printScalar(e))
}

function checkOperands(
  op: ScalarFilter['op'] | '+' | '-' | '*' | '/' | '%' | '^',
  lhs: ScalarExpr,
  rhs: ScalarExpr,
  text: string,
): void {
  const [left, right] = [scalarType(lhs), scalarType(rhs)]
  if (!typesMatch(left, right)) {
    throw new ValidationError(`binary operations must operate on the same type: ${text}`)
  }
  if (!operatorTakes(op, left) || !operatorTakes(op, right)) {
    throw new ValidationError(`illegal operation for the given types: ${text}`)
  }
}

function checkScalarFilter(f: ScalarFilter): void {
  checkScalar(f.lhs)
  checkScalar(f.rhs)
  checkOperands(f.op, f.lhs, f.rhs, `${printScalar(f.lhs)} ${f.op} ${printScalar(f.rhs)}`)
  if (f.lhs.kind !== 'aggregate') {
    throw new UnsupportedError(`scalar filter with ${printScalar(f.lhs)} on its left side`)
  }
  if (f.rhs.kind !== 'static') {
    throw new UnsupportedError(`scalar filter with ${printScalar(f.rhs)} on its right side`)
  }
}

function checkSeries(e: SeriesExpr): void {
  for (const stage of e.second) checkSecondStage(stage)
  if (e.kind === 'math') {
    checkSeries(e.lhs)
    checkSeries(e.rhs)
    for (const leaf of leavesOf(e)) {
      if (leaf.first.kind === 'compare') refuseAfterCompare()
    }
    return
  }
  checkPipeline(e.pipeline)
  if (e.first.kind === 'metrics') {
    checkMetrics(e.first)
    return
  }
  checkCompare(e.first)
  if (e.second.length > 0) refuseAfterCompare()
}

function refuseAfterCompare(): never {
  throw new ValidationError('`compare()` cannot be used with second stage functions')
}

export function leavesOf(e: SeriesExpr): readonly (SeriesExpr & { kind: 'leaf' })[] {
  return e.kind === 'leaf' ? [e] : [...leavesOf(e.lhs), ...leavesOf(e.rhs)]
}

function checkMetrics(m: MetricsAggregate): void {
  const bucketed = m.op === 'histogram_over_time' || m.op === 'quantile_over_time'
  // Tempo allows avg_over_time one less too: its counts travel under a label of their own.
  const most = bucketed || m.op === 'avg_over_time' ? MAX_GROUP_BYS - 1 : MAX_GROUP_BYS
  if (m.by.length > most) throw new UnsupportedError(`metrics group by ${m.by.length} values`)
  for (const q of m.quantiles) {
    if (q < 0 || q > 1) throw new ValidationError(`quantile must be between 0 and 1: ${q}`)
  }
  // Tempo lets these pass and finds no such attribute; a refusal says why.
  checkAttributes(m.by)
  if (m.attribute) checkAttributes([m.attribute])
}

function checkCompare(c: MetricsCompare): void {
  checkSpanset(c.filter)
  if (c.topN <= 0n || c.topN > MAX_COMPARE_TOP_N) {
    throw new ValidationError(
      `compare() top number of values must be an integer between 1 and ${MAX_COMPARE_TOP_N}`,
    )
  }
  if (c.start_ns === 0n && c.end_ns === 0n) return
  if (c.start_ns <= 0n || c.end_ns <= 0n) {
    throw new ValidationError('compare() timestamps must be positive integer unix nanoseconds')
  }
  if (c.end_ns <= c.start_ns) {
    throw new ValidationError('compare() end timestamp must be greater than start timestamp')
  }
}

function checkSecondStage(s: SecondStage): void {
  if ((s.kind === 'topk' || s.kind === 'bottomk') && s.limit <= 0n) {
    throw new ValidationError('limit must be greater than 0')
  }
}
