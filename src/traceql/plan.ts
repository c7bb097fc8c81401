/** Owns turning a valid query into something to run; what the engine does not evaluate is refused here, by name. */
import type { Pipeline, ScalarExpr, Stage } from './ast.js'
import { Conditions } from './engine/conditions.js'
import { UnsupportedError, ValidationError } from './errors.js'
import { hintOf, parseQuery } from './query.js'
import type { Query } from './query.js'
import { printScalar } from './print.js'

export interface SearchPlan {
  readonly query: Query
  readonly pipeline: Pipeline
  readonly conditions: Conditions
  /** `{ false }` and the like: nothing can match, nothing is read. */
  readonly isNoop: boolean
  readonly mostRecent: boolean
}

export interface SearchPlanOptions {
  /** Recognised now so that callers need not change when hints grow. */
  readonly allowUnsafeHints?: boolean
}

/** Throws what parseQuery throws, and UnsupportedError for what is not evaluated. */
export function planSearch(query: Query | string, _options: SearchPlanOptions = {}): SearchPlan {
  const parsed = typeof query === 'string' ? parseQuery(query) : query
  const { pipeline } = parsed.root
  if (!pipeline) {
    throw new ValidationError('a metrics query cannot be searched: use /api/metrics/query_range')
  }
  refuseUnsupported(pipeline)
  return {
    query: parsed,
    pipeline,
    conditions: Conditions.of(pipeline),
    isNoop: isNoop(pipeline),
    mostRecent: hintOf(parsed, 'most_recent', 'bool') === true,
  }
}

export function refuseUnsupported(pipeline: Pipeline): void {
  for (const stage of pipeline.stages) refuseStage(stage)
}

function refuseStage(s: Stage): void {
  if (s.kind === 'pipeline') refuseUnsupported(s)
  if (s.kind === 'operation') {
    refuseStage(s.lhs)
    refuseStage(s.rhs)
  }
  if (s.kind !== 'scalarFilter') return
  refuseScalar(s.lhs)
  refuseScalar(s.rhs)
}

function refuseScalar(e: ScalarExpr): void {
  if (e.kind === 'scalarOperation' || e.kind === 'pipeline') {
    throw new UnsupportedError(`arithmetic between aggregates (${printScalar(e)})`)
  }
}

/** Whether every first filter is a constant other than true. */
export function isNoop(pipeline: Pipeline): boolean {
  const never = (s: Stage): boolean => {
    if (s.kind === 'filter') {
      return s.expr.kind === 'static' && !(s.expr.value.type === 'bool' && s.expr.value.value)
    }
    return s.kind === 'operation' && never(s.lhs) && never(s.rhs)
  }
  const [first] = pipeline.stages
  return first !== undefined && never(first)
}
