/** Owns running a query's pipeline over the traces of a row group: span sets in, span sets out. */
import type {
  Aggregate,
  FieldExpr,
  Pipeline,
  ScalarExpr,
  ScalarFilter,
  SpansetExpr,
  SpansetFilter,
  SpansetOperation,
  Stage,
} from '../ast.js'
import { UnsupportedError } from '../errors.js'
import { printField, printScalar } from '../print.js'
import {
  NIL,
  combine,
  compareStatics,
  staticDuration,
  staticFloat,
  staticInt,
  staticKey,
  toFloat,
} from '../static.js'
import type { Static } from '../static.js'
import type { Conditions } from './conditions.js'
import { FilterEvaluator } from './filter.js'
import type { NestedSets } from './nested-set.js'
import { mergeRows, relate } from './structural.js'
import type { Mask } from './tests.js'
import type { Reader } from './values.js'
import type { GroupView } from './view.js'

export interface Spanset {
  /** Span rows, ascending. */
  readonly rows: readonly number[]
  /** What `by()` and aggregates found out. */
  readonly attributes: readonly { readonly name: string; readonly value: Static }[]
}

export class PipelineRunner {
  readonly pipeline: Pipeline
  readonly filters: FilterEvaluator
  constructor(pipeline: Pipeline, conditions: Conditions) {
    this.pipeline = pipeline
    this.filters = new FilterEvaluator(conditions)
  }

  /** The pipeline made ready for a group; undefined when no trace of it can match. */
  async prepare(view: GroupView): Promise<PreparedPipeline | undefined> {
    const prepared = new PreparedPipeline(view, this.pipeline)
    return (await prepared.load(this.filters)) ? prepared : undefined
  }
}

/** All that needs columns is loaded; running over traces is plain computing. */
export class PreparedPipeline {
  readonly #view: GroupView
  readonly #pipeline: Pipeline
  readonly #masks = new Map<SpansetFilter, Mask>()
  readonly #readers = new Map<FieldExpr, Reader>()
  #offsets: Uint32Array = new Uint32Array(1)
  #nested: NestedSets | undefined
  constructor(view: GroupView, pipeline: Pipeline) {
    this.#view = view
    this.#pipeline = pipeline
  }

  async load(filters: FilterEvaluator): Promise<boolean> {
    const [first] = this.#pipeline.stages
    for (const [i, stage] of this.#pipeline.stages.entries()) {
      await this.#loadStage(filters, stage)
      if (i === 0 && !this.#canStart(first)) return false
    }
    this.#offsets = await this.#view.traceOffsets()
    return true
  }

  #canStart(first: Stage | undefined): boolean {
    return first?.kind !== 'filter' || this.#masks.get(first)?.includes(1) === true
  }

  async #loadStage(filters: FilterEvaluator, s: Stage): Promise<void> {
    switch (s.kind) {
      case 'filter':
        this.#masks.set(s, await filters.filter(this.#view, s.expr))
        return
      case 'operation':
        await this.#loadStage(filters, s.lhs)
        await this.#loadStage(filters, s.rhs)
        if (s.op !== '&&' && s.op !== '||') this.#nested ??= await this.#view.nestedSets()
        return
      case 'pipeline':
        for (const stage of s.stages) await this.#loadStage(filters, stage)
        return
      case 'by':
        this.#readers.set(s.expr, await filters.reader(this.#view, s.expr))
        return
      case 'aggregate':
        return this.#loadScalar(filters, s)
      case 'scalarFilter':
        await this.#loadScalar(filters, s.lhs)
        return this.#loadScalar(filters, s.rhs)
      case 'coalesce':
      case 'select':
    }
  }

  async #loadScalar(filters: FilterEvaluator, e: ScalarExpr): Promise<void> {
    if (e.kind === 'aggregate' && e.expr) {
      this.#readers.set(e.expr, await filters.reader(this.#view, e.expr))
    }
  }

  /** Spans that match when the whole pipeline is one filter (and maybe a select), so that nothing depends on their trace. */
  get spanMask(): Mask {
    const [first, ...rest] = this.#pipeline.stages
    if (first?.kind !== 'filter' || rest.some((s) => s.kind !== 'select')) return undefined
    return this.#masks.get(first)
  }

  /** Trace rows with a span that some filter of the first stage lets pass. */
  candidates(trace: Uint32Array): Uint8Array {
    const out = new Uint8Array(this.#view.rows('trace'))
    const masks: Mask[] = []
    const [first] = this.#pipeline.stages
    if (!first || !collectMasks(first, this.#masks, masks)) return out.fill(1)
    for (const mask of masks) {
      for (let i = 0; mask && i < mask.length; i++) if (mask[i] === 1) out[trace[i]!] = 1
    }
    return out
  }

  run(trace: number): Spanset[] {
    const [begin, end] = [this.#offsets[trace]!, this.#offsets[trace + 1]!]
    const rows = Array.from({ length: end - begin }, (_, i) => begin + i)
    return this.#pipe(this.#pipeline, [{ rows, attributes: [] }])
  }

  #pipe(p: Pipeline, input: Spanset[]): Spanset[] {
    let sets = input
    for (const stage of p.stages) {
      sets = this.#stage(stage, sets)
      if (sets.length === 0) return sets
    }
    return sets
  }

  #stage(s: Stage, input: Spanset[]): Spanset[] {
    switch (s.kind) {
      case 'filter':
      case 'operation':
      case 'pipeline':
        return this.#spansets(s, input)
      case 'by':
        return input.flatMap((set) => this.#group(s.expr, set))
      case 'coalesce':
        return [{ rows: allRows(input), attributes: [] }]
      case 'select':
        return input
      case 'scalarFilter':
        return this.#scalarFilter(s, input)
      case 'aggregate':
        return input.flatMap((set) => this.#aggregate(s, set)?.set ?? [])
    }
  }

  #spansets(e: SpansetExpr, input: Spanset[]): Spanset[] {
    if (e.kind === 'pipeline') return this.#pipe(e, input)
    if (e.kind === 'operation') return input.flatMap((set) => this.#operate(e, set))
    const mask = this.#masks.get(e)
    if (!mask) return []
    return input.flatMap((set) => {
      const rows = set.rows.filter((row) => mask[row] === 1)
      return rows.length === 0 ? [] : [{ ...set, rows }]
    })
  }

  #operate(e: SpansetOperation, set: Spanset): Spanset[] {
    const left = this.#spansets(e.lhs, [set])
    const right = this.#spansets(e.rhs, [set])
    const rows = this.#joined(e, left, right)
    return rows.length === 0 ? [] : [{ ...set, rows }]
  }

  #joined(e: SpansetOperation, left: Spanset[], right: Spanset[]): readonly number[] {
    if (e.op === '&&') {
      return left.length > 0 && right.length > 0 ? allRows([...left, ...right]) : []
    }
    if (e.op === '||') return allRows([...left, ...right])
    if (right.length === 0) return []
    if (left.length > 1 || right.length > 1) {
      throw new UnsupportedError(
        'spanset operators for multiple spansets per trace (consider using coalesce())',
      )
    }
    return relate(e.op, left[0]?.rows ?? [], right[0]!.rows, this.#nested!)
  }

  #group(expr: FieldExpr, set: Spanset): Spanset[] {
    const read = this.#readers.get(expr)!
    const name = `by(${printField(expr)})`
    const groups = new Map<string, { value: Static; rows: number[] }>()
    for (const row of set.rows) {
      const value = read(row)
      const key = staticKey(value)
      const group = groups.get(key)
      if (group) group.rows.push(row)
      else groups.set(key, { value, rows: [row] })
    }
    return [...groups.values()].map(({ value, rows }) => ({
      rows,
      attributes: [...set.attributes, { name, value }],
    }))
  }

  #scalarFilter(f: ScalarFilter, input: Spanset[]): Spanset[] {
    const { lhs, rhs } = f
    if (lhs.kind !== 'aggregate' || rhs.kind !== 'static') {
      throw new UnsupportedError(`scalar filter ${printScalar(lhs)} ${f.op} ${printScalar(rhs)}`)
    }
    return input.flatMap((set) => {
      const found = this.#aggregate(lhs, set)
      if (!found) return []
      const holds = combine(f.op, found.value, rhs.value)
      return holds.type === 'bool' && holds.value ? [found.set] : []
    })
  }

  /** The set with its aggregate; undefined when no span of it has a value. */
  #aggregate(a: Aggregate, set: Spanset): { set: Spanset; value: Static } | undefined {
    const value = a.expr
      ? aggregateOf(a.op, set.rows, this.#readers.get(a.expr)!)
      : staticInt(BigInt(set.rows.length))
    if (value.type === 'nil') return undefined
    const attributes = [...set.attributes, { name: printScalar(a), value }]
    return { set: { rows: set.rows, attributes }, value }
  }
}

/** False when the stage is more than filters joined, so that any trace may pass. */
function collectMasks(s: Stage, known: ReadonlyMap<SpansetFilter, Mask>, out: Mask[]): boolean {
  if (s.kind === 'filter') {
    out.push(known.get(s))
    return true
  }
  if (s.kind === 'pipeline') {
    return s.stages[0] !== undefined && collectMasks(s.stages[0], known, out)
  }
  if (s.kind !== 'operation') return false
  // A structural operator returns spans of its right side, a union of the left side as well.
  const isOneSided = s.op !== '&&' && s.op !== '||' && !s.op.startsWith('&')
  return collectMasks(s.rhs, known, out) && (isOneSided || collectMasks(s.lhs, known, out))
}

const allRows = (sets: readonly Spanset[]): readonly number[] =>
  sets.length === 1
    ? sets[0]!.rows
    : sets.reduce<readonly number[]>((rows, s) => mergeRows(rows, s.rows), [])

function aggregateOf(op: Aggregate['op'], rows: readonly number[], read: Reader): Static {
  let best: Static = NIL
  let count = 0
  for (const row of rows) {
    const value = read(row)
    if (value.type === 'nil') continue
    count++
    if (best.type === 'nil') best = value
    else if (op === 'min') best = compareStatics(value, best) < 0 ? value : best
    else if (op === 'max') best = compareStatics(value, best) > 0 ? value : best
    else best = add(best, value)
  }
  return op === 'avg' && best.type !== 'nil' ? divide(best, count) : best
}

/** A sum keeps the type of its first value; values of other types are passed over. */
function add(sum: Static, value: Static): Static {
  if (sum.type !== value.type) return sum
  if (sum.type === 'int') return staticInt(sum.value + (value as { value: bigint }).value)
  if (sum.type === 'duration') return staticDuration(sum.value + (value as { value: bigint }).value)
  return sum.type === 'float' ? staticFloat(sum.value + (value as { value: number }).value) : sum
}

function divide(sum: Static, count: number): Static {
  if (sum.type === 'duration') return staticDuration(sum.value / BigInt(count))
  return sum.type === 'int' || sum.type === 'float' ? staticFloat(toFloat(sum) / count) : sum
}
