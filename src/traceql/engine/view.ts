/** Owns one row group while a query looks at it: each column is asked for once, what is derived from columns is kept. */
import type {
  AttributeColumn,
  AttributeKey,
  Dictionary,
  FieldName,
  Fields,
  IntColumn,
  Level,
  Parents,
  RowGroup,
  ValueType,
} from '../../otlp/columns.js'
import { assignNestedSets } from './nested-set.js'
import type { NestedSets } from './nested-set.js'

export type AttributeLevel = AttributeKey['level']
export const LEVEL_OF = {
  resource: 'resource',
  span: 'span',
  event: 'event',
  link: 'link',
  instrumentation: 'scope',
} as const satisfies Record<string, AttributeLevel>

export const VALUE_TYPES: readonly ValueType[] = ['string', 'int', 'float', 'bool', 'any']

export class GroupView {
  readonly group: RowGroup
  readonly dictionary: Dictionary
  readonly spanCount: number
  readonly #kept = new Map<string, Promise<unknown>>()
  constructor(group: RowGroup, dictionary: Dictionary) {
    this.group = group
    this.dictionary = dictionary
    this.spanCount = group.counts.span
  }

  #once<T>(name: string, make: () => Promise<T>): Promise<T> {
    let found = this.#kept.get(name)
    if (!found) this.#kept.set(name, (found = make()))
    return found as Promise<T>
  }

  parents(): Promise<Parents> {
    return this.#once('parents', () => this.group.parents())
  }

  offsets(level: 'event' | 'link'): Promise<Uint32Array> {
    return this.#once(`offsets ${level}`, () => this.group.offsets(level))
  }

  attribute(
    level: AttributeLevel,
    key: string,
    type: ValueType,
  ): Promise<AttributeColumn | undefined> {
    return this.#once(`attribute ${level} ${type} ${key}`, () =>
      this.group.attribute({ level, key, type }),
    )
  }

  field<F extends FieldName>(name: F): Promise<Fields[F] | undefined> {
    return this.#once(`field ${name}`, () => this.group.field(name))
  }

  rows(level: Level): number {
    return this.group.counts[level]
  }

  /** counts.trace + 1 offsets of each trace's spans. */
  traceOffsets(): Promise<Uint32Array> {
    return this.#once('trace offsets', async () => {
      const { trace } = await this.parents()
      const offsets = new Uint32Array(this.rows('trace') + 1)
      for (let row = 0; row < trace.length; row++) offsets[trace[row]! + 1]!++
      for (let i = 1; i < offsets.length; i++) offsets[i]! += offsets[i - 1]!
      return offsets
    })
  }

  /** The span of each event or link. */
  owners(level: 'event' | 'link'): Promise<Uint32Array> {
    return this.#once(`owners ${level}`, async () => {
      const offsets = await this.offsets(level)
      const owners = new Uint32Array(this.rows(level))
      for (let span = 0; span < this.spanCount; span++) {
        owners.fill(span, offsets[span], offsets[span + 1])
      }
      return owners
    })
  }

  nestedSets(): Promise<NestedSets> {
    return this.#once('nested sets', async () => {
      const [ids, parentIds, kinds, offsets] = await Promise.all([
        this.field('span.id'),
        this.field('span.parentId'),
        this.field('span.kind'),
        this.traceOffsets(),
      ])
      return assignNestedSets(offsets, this.spanCount, ids?.bytes, parentIds?.bytes, kinds?.lo)
    })
  }

  /** trace.end - trace.start. */
  traceDurations(): Promise<IntColumn> {
    return this.#once('trace durations', async () => {
      const [start, end] = await Promise.all([this.field('trace.start'), this.field('trace.end')])
      return subtract(end, start, this.rows('trace'))
    })
  }

  /** event.time - span.start of its span. */
  timesSinceStart(): Promise<IntColumn> {
    return this.#once('times since start', async () => {
      const [time, start, owners] = await Promise.all([
        this.field('event.time'),
        this.field('span.start'),
        this.owners('event'),
      ])
      const count = this.rows('event')
      const begins: IntColumn = {
        type: 'int',
        lo: new Uint32Array(count),
        hi: new Uint32Array(count),
        present: undefined,
      }
      for (let i = 0; start && i < count; i++) {
        begins.lo[i] = start.lo[owners[i]!]!
        begins.hi[i] = start.hi[owners[i]!]!
      }
      return subtract(time, begins, count)
    })
  }
}

/** a - b in 64 bits; a missing column is zeros. */
function subtract(a: IntColumn | undefined, b: IntColumn | undefined, count: number): IntColumn {
  const lo = new Uint32Array(count)
  const hi = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const low = (a ? a.lo[i]! : 0) - (b ? b.lo[i]! : 0)
    lo[i] = low >>> 0
    hi[i] = (a ? a.hi[i]! : 0) - (b ? b.hi[i]! : 0) - (low < 0 ? 1 : 0)
  }
  return { type: 'int', lo, hi, present: undefined }
}
