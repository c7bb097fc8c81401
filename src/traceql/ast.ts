/** Owns the shape of a parsed query: field expressions, span sets, pipelines, metrics and arithmetic between series. */
import type { ImpliedType, Static } from './static.js'

export type Scope = 'none' | 'resource' | 'span' | 'event' | 'link' | 'instrumentation'

export type Intrinsic =
  | 'duration'
  | 'name'
  | 'status'
  | 'statusMessage'
  | 'kind'
  | 'parent'
  | 'rootName'
  | 'rootServiceName'
  | 'traceDuration'
  | 'nestedSetLeft'
  | 'nestedSetRight'
  | 'nestedSetParent'
  | 'trace:id'
  | 'span:id'
  | 'span:parentID'
  | 'span:childCount'
  | 'event:name'
  | 'event:timeSinceStart'
  | 'link:traceID'
  | 'link:spanID'
  | 'instrumentation:name'
  | 'instrumentation:version'

export type ArithmeticOp = '+' | '-' | '*' | '/' | '%' | '^'
export type CompareOp = '=' | '!=' | '<' | '<=' | '>' | '>='
/** `in` and its kin are not in the language: chains of `=` and `||` on one attribute become them. */
export type ListOp = 'in' | 'not in' | 'match any' | 'match none'
export type BinaryOp = ArithmeticOp | CompareOp | ListOp | '=~' | '!~' | '&&' | '||'
export type UnaryOp = '-' | '!' | 'exists' | 'not exists'

export interface AttributeExpr {
  readonly kind: 'attribute'
  /** The attribute's key; for an intrinsic its own name. */
  readonly name: string
  readonly scope: Scope
  readonly parent: boolean
  readonly intrinsic: Intrinsic | undefined
}
export interface StaticExpr {
  readonly kind: 'static'
  readonly value: Static
}
export interface BinaryExpr {
  readonly kind: 'binary'
  readonly op: BinaryOp
  readonly lhs: FieldExpr
  readonly rhs: FieldExpr
}
export interface UnaryExpr {
  readonly kind: 'unary'
  readonly op: UnaryOp
  readonly expr: FieldExpr
}
export type FieldExpr = AttributeExpr | StaticExpr | BinaryExpr | UnaryExpr

export type StructuralOp =
  | '>'
  | '>>'
  | '<'
  | '<<'
  | '~'
  | '!>'
  | '!>>'
  | '!<'
  | '!<<'
  | '!~'
  | '&>'
  | '&>>'
  | '&<'
  | '&<<'
  | '&~'
export type SpansetOp = '&&' | '||' | StructuralOp

export interface SpansetFilter {
  readonly kind: 'filter'
  readonly expr: FieldExpr
}
export interface SpansetOperation {
  readonly kind: 'operation'
  readonly op: SpansetOp
  readonly lhs: SpansetExpr
  readonly rhs: SpansetExpr
}
/** A pipeline in parentheses may stand where a span set does: `({a} | count() > 1) && ({b})`. */
export type SpansetExpr = SpansetFilter | SpansetOperation | Pipeline

export type AggregateOp = 'count' | 'avg' | 'min' | 'max' | 'sum'
export interface Aggregate {
  readonly kind: 'aggregate'
  readonly op: AggregateOp
  readonly expr: FieldExpr | undefined
}
export interface ScalarOperation {
  readonly kind: 'scalarOperation'
  readonly op: ArithmeticOp
  readonly lhs: ScalarExpr
  readonly rhs: ScalarExpr
}
/** A pipeline here ends in an aggregate: `({a} | count()) > ({b} | count())`. */
export type ScalarExpr = Aggregate | ScalarOperation | StaticExpr | Pipeline

export interface ScalarFilter {
  readonly kind: 'scalarFilter'
  readonly op: CompareOp
  readonly lhs: ScalarExpr
  readonly rhs: ScalarExpr
}
export interface GroupStage {
  readonly kind: 'by'
  readonly expr: FieldExpr
}
export interface CoalesceStage {
  readonly kind: 'coalesce'
}
export interface SelectStage {
  readonly kind: 'select'
  readonly attributes: readonly AttributeExpr[]
}
export type Stage =
  SpansetExpr | ScalarFilter | GroupStage | CoalesceStage | SelectStage | Aggregate
export interface Pipeline {
  readonly kind: 'pipeline'
  readonly stages: readonly Stage[]
}

export type MetricsOp =
  | 'rate'
  | 'count_over_time'
  | 'min_over_time'
  | 'max_over_time'
  | 'sum_over_time'
  | 'avg_over_time'
  | 'quantile_over_time'
  | 'histogram_over_time'

export interface MetricsAggregate {
  readonly kind: 'metrics'
  readonly op: MetricsOp
  readonly attribute: AttributeExpr | undefined
  readonly quantiles: readonly number[]
  readonly by: readonly AttributeExpr[]
}
export interface MetricsCompare {
  readonly kind: 'compare'
  readonly filter: SpansetFilter
  readonly topN: bigint
  readonly start_ns: bigint
  readonly end_ns: bigint
}
export type FirstStage = MetricsAggregate | MetricsCompare

export type SecondStage =
  | { readonly kind: 'topk' | 'bottomk'; readonly limit: bigint }
  | { readonly kind: 'compareTo'; readonly op: CompareOp; readonly value: number }
  | {
      readonly kind: 'scalar'
      readonly op: '+' | '-' | '*' | '/'
      readonly value: number
      readonly scalarOnLeft: boolean
    }

/** One sub-query and what is done to its series. */
export interface SeriesLeaf {
  readonly kind: 'leaf'
  readonly pipeline: Pipeline
  readonly first: FirstStage
  readonly second: readonly SecondStage[]
}
export interface SeriesMath {
  readonly kind: 'math'
  readonly op: '+' | '-' | '*' | '/'
  readonly lhs: SeriesExpr
  readonly rhs: SeriesExpr
  readonly second: readonly SecondStage[]
}
export type SeriesExpr = SeriesLeaf | SeriesMath

export interface Hint {
  readonly name: string
  readonly value: Static
}

/** Either a search (`pipeline`) or metrics (`series`). */
export interface Root {
  readonly pipeline: Pipeline | undefined
  readonly series: SeriesExpr | undefined
  readonly hints: readonly Hint[]
}

const INTRINSIC_TYPES: Partial<Record<Intrinsic, ImpliedType>> = {
  duration: 'duration',
  traceDuration: 'duration',
  'event:timeSinceStart': 'duration',
  status: 'status',
  kind: 'kind',
  parent: 'nil',
  nestedSetLeft: 'int',
  nestedSetRight: 'int',
  nestedSetParent: 'int',
  'span:childCount': 'int',
  // Tempo takes these two for attributes of unknown type.
  'instrumentation:name': 'attribute',
  'instrumentation:version': 'attribute',
}

/** The type an attribute is known to have before any span is seen. */
export const attributeType = (a: AttributeExpr): ImpliedType =>
  a.intrinsic === undefined ? 'attribute' : (INTRINSIC_TYPES[a.intrinsic] ?? 'string')

export const intrinsicOf = (intrinsic: Intrinsic): AttributeExpr => ({
  kind: 'attribute',
  name: intrinsic,
  scope: 'none',
  parent: false,
  intrinsic,
})

export const attributeOf = (scope: Scope, name: string, parent = false): AttributeExpr => ({
  kind: 'attribute',
  name,
  scope,
  parent,
  intrinsic: undefined,
})

export function referencesSpan(e: FieldExpr): boolean {
  switch (e.kind) {
    case 'attribute':
      return true
    case 'static':
      return false
    case 'binary':
      return referencesSpan(e.lhs) || referencesSpan(e.rhs)
    case 'unary':
      return referencesSpan(e.expr)
  }
}

export const sameAttribute = (a: AttributeExpr, b: AttributeExpr): boolean =>
  a.name === b.name && a.scope === b.scope && a.parent === b.parent && a.intrinsic === b.intrinsic
