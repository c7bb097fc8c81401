/**
 * Owns the image of one output group: slices of input row groups seen as one set of tables. Columns are gathered one at a
 * time when the encoder asks, so that the memory of a build is a few columns, not a group of objects.
 */
import type {
  AttributeKey,
  Column,
  FieldName,
  IntColumn,
  Level,
  Parents,
  RowGroup,
} from '../../otlp/columns.js'
import {
  StringSpace,
  float64s,
  gather,
  gatherFixed,
  gatherPresent,
  lengthOf,
  uint32s,
  uint8s,
  type Rows,
} from './blockpack-gather.js'

export type ColumnRef =
  | { readonly kind: 'field'; readonly name: FieldName }
  | { readonly kind: 'attribute'; readonly key: AttributeKey }

export const levelOf = (ref: ColumnRef): Level =>
  ref.kind === 'attribute' ? ref.key.level : (ref.name.slice(0, ref.name.indexOf('.')) as Level)
const nameOf = (ref: ColumnRef): string =>
  ref.kind === 'attribute' ? `${ref.key.level} ${ref.key.type} ${ref.key.key}` : ref.name

/** One row group of the input with its structure loaded and its columns remembered while slices of it are used. */
export class InputGroup {
  readonly #columns = new Map<string, Promise<Column | undefined>>()
  private constructor(
    readonly group: RowGroup,
    readonly parents: Parents,
    readonly attributes: readonly AttributeKey[],
    readonly events: Uint32Array,
    readonly links: Uint32Array,
    /** First span of each trace, and the end. */
    readonly traceOffsets: Uint32Array,
    /** Span rows by start time within each trace; undefined when they are so already. */
    readonly order: Uint32Array | undefined,
  ) {}

  static async open(group: RowGroup): Promise<InputGroup> {
    const levels = ['resource', 'scope', 'span', 'event', 'link'] as const
    const [parents, events, links, starts, ...attributes] = await Promise.all([
      group.parents(),
      group.offsets('event'),
      group.offsets('link'),
      group.field('span.start'),
      ...levels.map((level) => group.attributes(level)),
    ])
    const traceOffsets = new Uint32Array(group.counts.trace + 1)
    for (const trace of parents.trace) traceOffsets[trace + 1]!++
    for (let i = 0; i < group.counts.trace; i++) traceOffsets[i + 1]! += traceOffsets[i]!
    const order = starts && startOrder(traceOffsets, starts)
    return new InputGroup(group, parents, attributes.flat(), events, links, traceOffsets, order)
  }

  column(ref: ColumnRef): Promise<Column | undefined> {
    const name = nameOf(ref)
    let column = this.#columns.get(name)
    if (!column) {
      column = ref.kind === 'field' ? this.group.field(ref.name) : this.group.attribute(ref.key)
      this.#columns.set(name, column)
    }
    return column
  }
}

/** The span rows sorted by start within their trace; ties keep their order. */
function startOrder(traceOffsets: Uint32Array, { lo, hi }: IntColumn): Uint32Array | undefined {
  const later = (a: number, b: number) => hi[a]! > hi[b]! || (hi[a] === hi[b] && lo[a]! > lo[b]!)
  let order: Uint32Array | undefined
  for (let trace = 0; trace + 1 < traceOffsets.length; trace++) {
    const from = traceOffsets[trace]!
    const to = traceOffsets[trace + 1]!
    let sorted = true
    for (let row = from + 1; row < to && sorted; row++) sorted = !later(row - 1, row)
    if (sorted) continue
    order ??= Uint32Array.from({ length: lo.length }, (_, row) => row)
    const rows = order.subarray(from, to)
    rows.sort((a, b) => (later(a, b) ? 1 : later(b, a) ? -1 : a - b))
  }
  return order
}

/** Traces from..to of an input group. */
export interface Slice {
  readonly input: InputGroup
  readonly traceFrom: number
  readonly traceTo: number
}

interface SliceRows {
  readonly input: InputGroup
  readonly rows: Record<Level, Rows>
}

export class GroupImage {
  readonly #slices: SliceRows[] = []
  readonly #strings = new StringSpace()
  readonly counts: Record<Level, number> = { trace: 0, resource: 0, scope: 0, span: 0, event: 0, link: 0 } // prettier-ignore
  readonly spansPerTrace: Uint32Array
  readonly eventsPerSpan: Uint32Array
  readonly linksPerSpan: Uint32Array
  resourceRows: Uint32Array
  scopeRows: Uint32Array

  private constructor(slices: readonly Slice[]) {
    let spans = 0
    let traces = 0
    for (const { input, traceFrom, traceTo } of slices) {
      traces += traceTo - traceFrom
      spans += input.traceOffsets[traceTo]! - input.traceOffsets[traceFrom]!
    }
    this.spansPerTrace = new Uint32Array(traces)
    this.eventsPerSpan = new Uint32Array(spans)
    this.linksPerSpan = new Uint32Array(spans)
    this.resourceRows = new Uint32Array(spans)
    this.scopeRows = new Uint32Array(spans)
    for (const slice of slices) this.#add(slice)
  }

  static async of(slices: readonly Slice[]): Promise<GroupImage> {
    const image = new GroupImage(slices)
    if (slices.length > 1) {
      image.resourceRows = await image.#deduplicate('resource', image.resourceRows)
      image.scopeRows = await image.#deduplicate('scope', image.scopeRows)
    }
    return image
  }

  #add({ input, traceFrom, traceTo }: Slice): void {
    const { traceOffsets, order, parents } = input
    const from = traceOffsets[traceFrom]!
    const to = traceOffsets[traceTo]!
    const span: Rows = order ? { from, to, list: order.subarray(from, to) } : { from, to }
    for (let t = traceFrom; t < traceTo; t++) {
      this.spansPerTrace[this.counts.trace + t - traceFrom] =
        traceOffsets[t + 1]! - traceOffsets[t]!
    }
    const base = this.counts.span
    const rows: Record<Level, Rows> = {
      trace: { from: traceFrom, to: traceTo },
      span,
      resource: denseRows(parents.resource, span, this.resourceRows, base, this.counts.resource, input.group.counts.resource),
      scope: denseRows(parents.scope, span, this.scopeRows, base, this.counts.scope, input.group.counts.scope),
      event: childRows(input.events, span, this.eventsPerSpan, base),
      link: childRows(input.links, span, this.linksPerSpan, base),
    } // prettier-ignore
    for (const level of Object.keys(rows) as Level[]) this.counts[level] += lengthOf(rows[level])
    this.#slices.push({ input, rows })
  }

  /** Every attribute column of any slice, in the order of their first appearance. */
  attributes(): AttributeKey[] {
    const keys = new Map<string, AttributeKey>()
    for (const { input } of this.#slices) {
      for (const key of input.attributes) keys.set(`${key.level} ${key.type} ${key.key}`, key)
    }
    return [...keys.values()]
  }

  /** The column over all slices; undefined when none has it. */
  async column(ref: ColumnRef): Promise<Column | undefined> {
    const level = levelOf(ref)
    const columns = await Promise.all(this.#slices.map(({ input }) => input.column(ref)))
    const rows = this.#slices.map((slice) => slice.rows[level])
    const first = columns.find((column) => column !== undefined)
    if (!first) return undefined
    const total = this.counts[level]
    switch (first.type) {
      case 'string':
      case 'any': {
        const strings = this.#strings.unify(columns as (typeof first | undefined)[], rows, total)
        return { type: first.type, ...strings }
      }
      case 'int': {
        const ints = columns as (IntColumn | undefined)[]
        const isSparse = ref.kind === 'attribute'
        return {
          type: 'int',
          lo: gather(uint32s, ints.map((c) => c?.lo), rows, total),
          hi: gather(uint32s, ints.map((c) => c?.hi), rows, total),
          present: gatherPresent(ints, rows, total, isSparse),
        } // prettier-ignore
      }
      case 'float': {
        const floats = columns as (typeof first | undefined)[]
        return {
          type: 'float',
          values: gather(float64s, floats.map((c) => c?.values), rows, total),
          present: gatherPresent(floats, rows, total, true),
        } // prettier-ignore
      }
      case 'bool': {
        const bools = columns as (typeof first | undefined)[]
        return { type: 'bool', values: gather(uint8s, bools.map((c) => c?.values), rows, total) }
      }
      case 'fixed': {
        const fixed = columns as (typeof first | undefined)[]
        const bytes = fixed.map((c) => c?.bytes)
        return { ...first, bytes: gatherFixed(first.width, bytes, rows, total) }
      }
    }
  } // prettier-ignore

  /** Rows of equal content in different slices become one; returns the new row of each span. */
  async #deduplicate(level: 'resource' | 'scope', ofSpan: Uint32Array): Promise<Uint32Array> {
    const refs: ColumnRef[] = this.attributes()
      .filter((key) => key.level === level)
      .map((key) => ({ kind: 'attribute', key }))
    for (const name of CONTENT_FIELDS[level]) refs.push({ kind: 'field', name })
    const texts = Array.from({ length: this.counts[level] }, () => '')
    for (const ref of refs) {
      const column = await this.column(ref)
      if (column)
        for (let row = 0; row < texts.length; row++)
          texts[row] = `${texts[row]!}${cell(column, row)},`
    }
    const kept = new Map<string, number>()
    const newRow = texts.map((text) => {
      const known = kept.get(text) ?? kept.size
      kept.set(text, known)
      return known
    })
    let base = 0
    let next = 0
    for (const slice of this.#slices) {
      const list = slice.rows[level].list!
      const fresh = list.filter((_, i) => newRow[base + i] === next && ++next > 0)
      base += list.length
      slice.rows[level] = { from: 0, to: 0, list: fresh }
    }
    this.counts[level] = kept.size
    return ofSpan.map((row) => newRow[row]!)
  }
}

const CONTENT_FIELDS = {
  resource: ['resource.droppedAttributes', 'resource.schemaUrl'],
  scope: ['scope.name', 'scope.version', 'scope.droppedAttributes', 'scope.schemaUrl'],
} as const

function cell(column: Column, row: number): string {
  switch (column.type) {
    case 'string':
    case 'any':
      return String(column.codes[row]!)
    case 'int':
      return column.present?.[row] === 0 ? '' : `${column.hi[row]!}:${column.lo[row]!}`
    case 'float':
      return column.present?.[row] === 0 ? '' : Object.is(column.values[row], -0) ? '-0' : String(column.values[row]!)
    case 'bool':
      return String(column.values[row]!)
    case 'fixed':
      return ''
  } // prettier-ignore
}

/** Numbers the parents that the rows use, in the order of their first use, from `next` on; returns those parents' rows. */
function denseRows(
  parents: Uint32Array,
  { from, to, list }: Rows,
  target: Uint32Array,
  at: number,
  next: number,
  parentCount: number,
): Rows {
  const dense = new Uint32Array(parentCount).fill(0xffffffff)
  const used: number[] = []
  for (let i = from; i < to; i++) {
    const parent = parents[list ? list[i - from]! : i]!
    if (dense[parent] === 0xffffffff) {
      dense[parent] = next + used.length
      used.push(parent)
    }
    target[at++] = dense[parent]!
  }
  return { from: 0, to: 0, list: Uint32Array.from(used) }
}

/** The events or links of the span rows, and how many each span has. */
function childRows(offsets: Uint32Array, span: Rows, counts: Uint32Array, at: number): Rows {
  const { from, to, list } = span
  let total = 0
  for (let i = from; i < to; i++) {
    const row = list ? list[i - from]! : i
    total += counts[at + i - from] = offsets[row + 1]! - offsets[row]!
  }
  if (!list) return { from: offsets[from]!, to: offsets[to]! }
  const children = new Uint32Array(total)
  let next = 0
  for (const row of list) {
    for (let child = offsets[row]!; child < offsets[row + 1]!; child++) children[next++] = child
  }
  return { from: 0, to: 0, list: children }
}
