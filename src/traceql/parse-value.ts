/** Owns the kinds of thing that stand outside braces while a query is parsed, and which of them an operator joins. */
import type {
  ArithmeticOp,
  CompareOp,
  FirstStage,
  Pipeline,
  ScalarExpr,
  SecondStage,
  SeriesExpr,
  SpansetExpr,
  SpansetOp,
  Stage,
  StaticExpr,
} from './ast.js'
import { combine, isNumeric, staticDuration, toFloat } from './static.js'
import type { Static } from './static.js'

/** What a piece of a query turned out to be; `words` says it to the person who wrote it. */
export type Piece =
  | { readonly kind: 'spanset'; readonly expr: SpansetExpr }
  /** Span sets of parenthesised pipelines; join only each other. */
  | { readonly kind: 'pipelines'; readonly expr: SpansetExpr }
  /** Contains an aggregate. */
  | { readonly kind: 'scalar'; readonly expr: ScalarExpr }
  /** `({..} | count())` and arithmetic between such. */
  | { readonly kind: 'scalarPipeline'; readonly expr: ScalarExpr }
  | { readonly kind: 'constant'; readonly value: Static }
  | { readonly kind: 'filter'; readonly stage: Stage; readonly ofPipelines: boolean }
  | { readonly kind: 'stage'; readonly stage: Stage }
  | { readonly kind: 'first'; readonly stage: FirstStage; readonly second: readonly SecondStage[] }
  | { readonly kind: 'second'; readonly second: readonly SecondStage[] }
  | { readonly kind: 'series'; readonly expr: SeriesExpr; readonly filtered: boolean }

export const PIECE_WORDS: Readonly<Record<Piece['kind'], string>> = {
  spanset: 'a span set',
  pipelines: 'a pipeline in parentheses',
  scalar: 'an aggregate',
  scalarPipeline: 'an aggregated pipeline',
  constant: 'a number',
  filter: 'a comparison',
  stage: 'a pipeline stage',
  first: 'a metrics function',
  second: 'topk or bottomk',
  series: 'a metrics query',
}

const SPANSET_OPS: ReadonlySet<string> = new Set([
  '&&', '||', '>', '>>', '<', '<<', '~', '!>', '!>>', '!<', '!<<', '!~', '&>', '&>>', '&<', '&<<',
  '&~',
]) // prettier-ignore
const COMPARE_OPS: ReadonlySet<string> = new Set(['=', '!=', '<', '<=', '>', '>='])
const SERIES_OPS: ReadonlySet<string> = new Set(['+', '-', '*', '/'])
const ARITHMETIC_OPS: ReadonlySet<string> = new Set(['+', '-', '*', '/', '%', '^'])

/** Binding strength outside braces: structural operators and comparisons are one level. */
export function outerStrength(op: string | undefined): number | undefined {
  if (op === undefined) return undefined
  if (op === '&&' || op === '||') return 1
  if (SPANSET_OPS.has(op) || COMPARE_OPS.has(op)) return 2
  if (op === '+' || op === '-') return 3
  if (op === '*' || op === '/' || op === '%') return 4
  return op === '^' ? 5 : undefined
}

/** The two joined, or what is wrong: a text, or undefined when they simply do not go together. */
export function join(op: string, a: Piece, b: Piece): Piece | string | undefined {
  if (a.kind === b.kind && (a.kind === 'spanset' || a.kind === 'pipelines')) {
    const rhs = (b as { expr: SpansetExpr }).expr
    if (!SPANSET_OPS.has(op)) return undefined
    const expr = { kind: 'operation', op: op as SpansetOp, lhs: a.expr, rhs } as const
    return { kind: a.kind, expr }
  }
  if (COMPARE_OPS.has(op)) return joinByComparison(op as CompareOp, a, b)
  if (a.kind === 'constant' && b.kind === 'constant') return fold(op, a.value, b.value)
  if (a.kind === 'series' || b.kind === 'series') return joinSeries(op, a, b)
  return ARITHMETIC_OPS.has(op) ? joinScalars(op as ArithmeticOp, a, b) : undefined
}

function joinByComparison(op: CompareOp, a: Piece, b: Piece): Piece | undefined {
  const series = a.kind === 'first' || a.kind === 'second' || a.kind === 'series'
  if (series && b.kind === 'constant') {
    const seconds = b.value.type === 'duration' ? 1e9 : 1
    const stage: SecondStage = { kind: 'compareTo', op, value: toFloat(b.value) / seconds }
    if (a.kind !== 'series') return { ...a, second: [...a.second, stage] }
    return { kind: 'series', expr: withSecond(a.expr, stage), filtered: true }
  }
  const lhs = scalarOf(a)
  const rhs = scalarOf(b)
  if (!lhs || !rhs) return undefined
  const kinds = new Set([a.kind, b.kind])
  if (kinds.has('scalar') && kinds.has('scalarPipeline')) return undefined
  const ofPipelines = a.kind === 'scalarPipeline'
  if (!ofPipelines && !kinds.has('scalar')) return undefined
  return { kind: 'filter', stage: { kind: 'scalarFilter', op, lhs, rhs }, ofPipelines }
}

export function withSecond(e: SeriesExpr, ...stages: readonly SecondStage[]): SeriesExpr {
  return { ...e, second: [...e.second, ...stages] }
}

function joinSeries(op: string, a: Piece, b: Piece): Piece | string | undefined {
  if (!SERIES_OPS.has(op)) return undefined
  const arithmetic = op as '+' | '-' | '*' | '/'
  if (a.kind === 'series' && b.kind === 'series') {
    if (a.filtered || b.filtered) return undefined
    const expr: SeriesExpr = { kind: 'math', op: arithmetic, lhs: a.expr, rhs: b.expr, second: [] }
    return { kind: 'series', expr, filtered: false }
  }
  const [series, constant] = a.kind === 'series' ? [a, b] : [b, a]
  if (series.kind !== 'series' || constant.kind !== 'constant' || series.filtered) return undefined
  if (constant.value.type === 'duration') {
    return 'duration cannot be used as a scalar operand in metric arithmetic'
  }
  const value = toFloat(constant.value)
  const stage: SecondStage = { kind: 'scalar', op: arithmetic, value, scalarOnLeft: series === b }
  return { kind: 'series', expr: withSecond(series.expr, stage), filtered: false }
}

function joinScalars(op: ArithmeticOp, a: Piece, b: Piece): Piece | undefined {
  const pipelines = a.kind === 'scalarPipeline' && b.kind === 'scalarPipeline'
  const plain =
    (a.kind === 'scalar' && (b.kind === 'scalar' || b.kind === 'constant')) ||
    (a.kind === 'constant' && b.kind === 'scalar')
  if (!pipelines && !plain) return undefined
  const expr: ScalarExpr = { kind: 'scalarOperation', op, lhs: scalarOf(a)!, rhs: scalarOf(b)! }
  return { kind: pipelines ? 'scalarPipeline' : 'scalar', expr }
}

function scalarOf(p: Piece): ScalarExpr | undefined {
  if (p.kind === 'scalar' || p.kind === 'scalarPipeline') return p.expr
  return p.kind === 'constant'
    ? ({ kind: 'static', value: p.value } satisfies StaticExpr)
    : undefined
}

/** Constants fold while parsing, by the rules of field expressions: 1/2 is 0 and 1.0/2 is 0.5. */
function fold(op: string, a: Static, b: Static): Piece | string | undefined {
  if (!SERIES_OPS.has(op)) return undefined
  if (a.type === 'duration' || b.type === 'duration') {
    return 'duration cannot be used in scalar arithmetic'
  }
  const value = combine(op as ArithmeticOp, a, b)
  return value.type === 'nil' ? 'division by zero' : { kind: 'constant', value }
}

/** Minus before a constant; undefined before anything else. */
export function negate(p: Piece): Piece | undefined {
  if (p.kind !== 'constant' || !isNumeric(p.value.type)) return undefined
  const v = p.value
  if (v.type === 'float') return { kind: 'constant', value: { type: 'float', value: -v.value } }
  if (v.type === 'duration') return { kind: 'constant', value: staticDuration(-v.value) }
  if (v.type !== 'int') return undefined
  return { kind: 'constant', value: { type: 'int', value: BigInt.asIntN(64, -v.value) } }
}

export const pipelineOf = (...stages: readonly Stage[]): Pipeline => ({ kind: 'pipeline', stages })
