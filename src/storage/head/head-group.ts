/** Owns a row group of a head: columns gathered from shared memory in the order shown, only those asked for. */
import type {
  AttributeColumn,
  AttributeKey,
  FieldName,
  Fields,
  IntColumn,
  Level,
  Parents,
  RowGroup,
  StringColumn,
  ValueType,
} from '../../otlp/columns.js'
import { attributeColumn } from './head-attributes.js'
import type { HeadDictionary } from './head-dictionary.js'
import { readField } from './head-fields.js'
import type { HeadView } from './head-view.js'
import {
  ANY,
  BATCH,
  BATCH_COLUMN,
  BOOL,
  DOUBLE,
  EVENT,
  EVENT_COLUMN,
  INT32,
  INT64,
  LINK,
  LINK_COLUMN,
  RESOURCE,
  RESOURCE_COLUMN,
  SCOPE,
  SCOPE_COLUMN,
  SHAPE,
  SPAN,
  SPAN_COLUMN,
  STRING,
  TRACE,
} from './layout.js'
import type { SpanOrder } from './order.js'

/** What a group needs to know of its source. */
export interface GroupOwner {
  readonly view: HeadView
  readonly dictionary: HeadDictionary
  /** Throws when the source is closed, counts bytes otherwise. */
  inspect(bytes: number): void
}

interface NestedRows {
  readonly rows: Uint32Array
  readonly offsets: Uint32Array
}

export interface LevelRows {
  readonly table: number
  readonly rows: Uint32Array
}

const TABLE_OF: Record<Level, number> = {
  trace: TRACE,
  resource: RESOURCE,
  scope: SCOPE,
  span: SPAN,
  event: EVENT,
  link: LINK,
}
const SHAPE_OF: Record<AttributeKey['level'], { shape: number; values: number }> = {
  resource: RESOURCE_COLUMN,
  scope: SCOPE_COLUMN,
  span: SPAN_COLUMN,
  event: EVENT_COLUMN,
  link: LINK_COLUMN,
}
const TYPE_NAMES: Record<number, ValueType> = {
  [STRING]: 'string',
  [INT32]: 'int',
  [INT64]: 'int',
  [DOUBLE]: 'float',
  [BOOL]: 'bool',
  [ANY]: 'any',
}

export class HeadGroup implements RowGroup {
  readonly owner: GroupOwner
  readonly traces: Uint32Array
  readonly spans: Uint32Array
  /** Where each trace's spans begin in `spans`; one more than traces. */
  readonly starts: Uint32Array
  #counts: Record<Level, number> | undefined
  #parents: Parents | undefined
  #resources: Uint32Array | undefined
  #scopes: Uint32Array | undefined
  readonly #nested = new Map<'event' | 'link', NestedRows>()
  readonly #shapes = new Map<Level, { shapes: Uint32Array; values: Uint32Array }>()
  #range: { min: bigint; max: bigint } | undefined

  constructor(owner: GroupOwner, order: SpanOrder, index: number) {
    this.owner = owner
    const first = order.groups[index]!
    const last = order.groups[index + 1]!
    const begin = order.starts[first]!
    const end = order.starts[last]!
    this.traces = order.traces.subarray(first, last)
    this.spans = order.spans.subarray(begin, end)
    this.starts = order.starts.slice(first, last + 1).map((at) => at - begin)
  }

  get counts(): Readonly<Record<Level, number>> {
    return (this.#counts ??= {
      trace: this.traces.length,
      resource: this.level('resource').rows.length,
      scope: this.level('scope').rows.length,
      span: this.spans.length,
      event: this.level('event').rows.length,
      link: this.level('link').rows.length,
    })
  }

  get minStart_ns(): bigint {
    return this.#times().min
  }

  get maxEnd_ns(): bigint {
    return this.#times().max
  }

  parents(): Promise<Parents> {
    return settled(() => this.parentRows())
  }

  offsets(level: 'event' | 'link'): Promise<Uint32Array> {
    return settled(() => this.#nestedRows(level).offsets)
  }

  attributes(level: AttributeKey['level']): Promise<readonly AttributeKey[]> {
    return settled(() => this.#attributeKeys(level))
  }

  attribute(key: AttributeKey): Promise<AttributeColumn | undefined> {
    return settled(() => this.attributeNow(key))
  }

  field<F extends FieldName>(name: F): Promise<Fields[F] | undefined> {
    return settled(() => readField(this, name))
  }

  mayHave(_key: AttributeKey | FieldName, text: string): Promise<boolean> {
    return settled(() => text === '' || this.owner.dictionary.find(text) !== 0)
  }

  /** The table and rows behind a level, in the order shown. */
  level(level: Level): LevelRows {
    const table = TABLE_OF[level]
    switch (level) {
      case 'trace':
        return { table, rows: this.traces }
      case 'span':
        return { table, rows: this.spans }
      case 'resource':
        this.parentRows()
        return { table, rows: this.#resources! }
      case 'scope':
        this.parentRows()
        return { table, rows: this.#scopes! }
      default:
        return { table, rows: this.#nestedRows(level).rows }
    }
  }

  attributeNow(key: AttributeKey): AttributeColumn | undefined {
    const code = this.owner.dictionary.find(key.key)
    if (code === 0) return undefined
    const { shapes, values } = this.#shapesOf(key.level)
    this.owner.inspect(shapes.length * 4)
    return attributeColumn(this.owner, shapes, values, code, key.type)
  }

  /** Words of a column of a level; undefined when all are 0. */
  words(level: Level, column: number): Uint32Array | undefined {
    const { table, rows } = this.level(level)
    this.owner.inspect(rows.length * 4)
    const out = new Uint32Array(rows.length)
    return this.owner.view.gather(table, column, rows, out) ? out : undefined
  }

  strings(codes: Uint32Array | undefined): StringColumn | undefined {
    return codes && { type: 'string', codes, dictionary: this.owner.dictionary }
  }

  integers(lo: Uint32Array | undefined, hi?: Uint32Array): IntColumn | undefined {
    const some = lo ?? hi
    if (!some) return undefined
    const zeros = lo && hi ? some : new Uint32Array(some.length)
    return { type: 'int', lo: lo ?? zeros, hi: hi ?? zeros, present: undefined }
  }

  /** The same of derived halves, which may turn out to be zero throughout. */
  integersOf(halves: { lo: Uint32Array; hi: Uint32Array }): IntColumn | undefined {
    const isZero = halves.lo.every((word) => word === 0) && halves.hi.every((word) => word === 0)
    return isZero ? undefined : this.integers(halves.lo, halves.hi)
  }

  parentRows(): Parents {
    if (this.#parents) return this.#parents
    const { view } = this.owner
    const { spans, starts } = this
    this.owner.inspect(spans.length * 8)
    const trace = new Uint32Array(spans.length)
    for (let i = 0; i + 1 < starts.length; i++) trace.fill(i, starts[i], starts[i + 1])
    const batch = new Uint32Array(spans.length)
    view.gather(SPAN, SPAN_COLUMN.batch, spans, batch)
    const resource = this.#localRows(batch, BATCH_COLUMN.resource, view.count(RESOURCE))
    const scope = this.#localRows(batch, BATCH_COLUMN.scope, view.count(SCOPE))
    this.#resources = resource.rows
    this.#scopes = scope.rows
    this.#parents = { trace, resource: resource.of, scope: scope.of }
    return this.#parents
  }

  /** Numbers the rows that the group uses, in the order of their first use. */
  #localRows(batch: Uint32Array, column: number, count: number) {
    const { view } = this.owner
    const rowOfBatch = view.column(BATCH, column)
    const local = new Int32Array(count).fill(-1)
    const rows: number[] = []
    const of = new Uint32Array(batch.length)
    for (let i = 0; i < batch.length; i++) {
      const row = rowOfBatch[batch[i]!]!
      if (local[row]! < 0) local[row] = rows.push(row) - 1
      of[i] = local[row]!
    }
    return { rows: Uint32Array.from(rows), of }
  }

  #nestedRows(level: 'event' | 'link'): NestedRows {
    const known = this.#nested.get(level)
    if (known) return known
    const { spans } = this
    this.owner.inspect(spans.length * 4)
    const offsets = new Uint32Array(spans.length + 1)
    let rows = new Uint32Array(0)
    if (this.owner.view.count(TABLE_OF[level]) > 0) {
      const firsts = this.owner.view.nestedStarts(level, spans, offsets)
      rows = new Uint32Array(offsets[spans.length]!)
      for (let i = 0, at = 0; i < spans.length; i++) {
        for (let row = firsts[i]!; at < offsets[i + 1]!; row++) rows[at++] = row
      }
    }
    const made = { rows, offsets }
    this.#nested.set(level, made)
    return made
  }

  #shapesOf(level: AttributeKey['level']) {
    const known = this.#shapes.get(level)
    if (known) return known
    const { table, rows } = this.level(level)
    this.owner.inspect(rows.length * 8)
    const shapes = new Uint32Array(rows.length)
    const values = new Uint32Array(rows.length)
    this.owner.view.gather(table, SHAPE_OF[level].shape, rows, shapes)
    this.owner.view.gather(table, SHAPE_OF[level].values, rows, values)
    const made = { shapes, values }
    this.#shapes.set(level, made)
    return made
  }

  #attributeKeys(level: AttributeKey['level']): AttributeKey[] {
    const { view, dictionary } = this.owner
    const { shapes } = this.#shapesOf(level)
    this.owner.inspect(0)
    const isUsed = new Uint8Array(view.count(SHAPE))
    for (const shape of shapes) isUsed[shape] = 1
    const items = new Set<number>()
    for (let shape = 1; shape < isUsed.length; shape++) {
      if (isUsed[shape] === 0) continue
      for (const item of view.items(shape)) {
        items.add((item & 7) === INT64 ? (item & ~7) | INT32 : item)
      }
    }
    return [...items]
      .sort((a, b) => a - b)
      .map((item) => ({ level, key: dictionary.text(item >>> 3), type: TYPE_NAMES[item & 7]! }))
  }

  #times() {
    if (this.#range) return this.#range
    const start = readField(this, 'trace.start')
    const end = readField(this, 'trace.end')
    this.#range = { min: extreme(start, -1), max: extreme(end, 1) }
    return this.#range
  }
}

/** Greatest (sign 1) or least (sign -1) value of a column; 0 when it is zero throughout. */
function extreme(column: IntColumn | undefined, sign: number): bigint {
  if (!column) return 0n
  const { lo, hi } = column
  let best = 0
  for (let i = 1; i < lo.length; i++) {
    const difference = hi[i]! - hi[best]! || lo[i]! - lo[best]!
    if (difference * sign > 0) best = i
  }
  return (BigInt(hi[best]!) << 32n) | BigInt(lo[best]!)
}

/** Reads are synchronous underneath; a throw becomes a rejection, as callers of a promise expect. */
function settled<T>(read: () => T): Promise<T> {
  return new Promise((resolve) => resolve(read()))
}
