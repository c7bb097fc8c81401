/** Owns a row group of Tempo's parquet as the tables that the engine reads: each column is decoded when it is asked for. */
import type {
  AttributeColumn,
  AttributeKey,
  FieldName,
  Fields,
  IntColumn,
  Level,
  Parents,
  RowGroup,
} from '../../../otlp/columns.js'
import { addTo } from '../../block/codec/words.js'
import { openAssembly, type Assembly } from './assemble.js'
import { AttributeView, mayHoldText } from './attribute-view.js'
import { GroupColumns } from './group-columns.js'
import { joinIds, joinInts, joinStrings, valueCount } from './join.js'
import { childOffsets, structureOf, type Structure } from './levels.js'
import { COLUMN_OF, COUNTED_BY, EVENT, LINK, LIST_OF, SPAN } from './paths.js'
import type { AttributeLevel, FieldColumn, OwnedColumns } from './paths.js'

/** A page has to be decoded as a whole, which costs more than a few more traces of it. */
const WINDOW_TRACES = 64

/** Rows of each table, from the footer; read where it does not say. */
export async function countRows(columns: GroupColumns): Promise<Record<Level, number>> {
  const [resource, scope, span, event, link] = await Promise.all(
    (['resource', 'scope', 'span', 'event', 'link'] as const).map((level) => columns.countOf(COUNTED_BY[level])),
  )
  return { trace: columns.context.meta.numRows, resource: resource!, scope: scope!, span: span!, event: event!, link: link! }
} // prettier-ignore

/** What was found out of some rows on the way to their number. */
export interface Known {
  readonly counts: Readonly<Record<Level, number>>
  readonly structure: Structure
  readonly offsets: Readonly<Record<'event' | 'link', Uint32Array>>
}

/** The same of a range of a row group's traces, of which the footer says nothing. */
export async function readPart(columns: GroupColumns, traces: number): Promise<Known> {
  const structure = (await structureIn(columns)) ?? noSpans()
  const { counts } = structure
  if (counts.span > 0 && counts.trace !== traces) columns.corrupt(SPAN, `${counts.trace} traces where ${traces} belong`)
  const [event, link] = await Promise.all([
    offsetsIn(columns, 'event', counts.span),
    offsetsIn(columns, 'link', counts.span),
  ])
  const rows = (offsets: Uint32Array) => offsets[counts.span]!
  return {
    counts: { ...counts, trace: traces, event: rows(event), link: rows(link) },
    structure,
    offsets: { event, link },
  }
} // prettier-ignore

/** The tables from traces to spans; undefined when there is no span. */
async function structureIn(columns: GroupColumns): Promise<Structure | undefined> {
  const path = columns.smallest(SPAN, LIST_OF.span)
  if (!path) return undefined
  return columns.read(path, true, ({ data, leaf }) => structureOf(data, leaf))
}

/** Where each span has its events or links. */
async function offsetsIn(
  columns: GroupColumns,
  level: 'event' | 'link',
  spans: number,
): Promise<Uint32Array> {
  const path = columns.smallest(level === 'event' ? EVENT : LINK, LIST_OF[level])
  if (!path) return new Uint32Array(spans + 1)
  const list = LIST_OF[level]
  const offsets = await columns.read(path, true, ({ data, leaf }) =>
    childOffsets(data, leaf, list, spans),
  )
  return offsets ?? new Uint32Array(spans + 1)
}

export class VparquetGroup implements RowGroup {
  readonly #columns: GroupColumns
  readonly #owned: OwnedColumns
  readonly #kept = new Map<string, Promise<unknown>>()
  /** The last traces that were asked for: those of one answer are often neighbours. */
  #window: { from: number; assembly: Promise<Assembly> } | undefined
  readonly #views = new Map<AttributeLevel, AttributeView>()

  constructor(
    columns: GroupColumns,
    readonly counts: Readonly<Record<Level, number>>,
    owned: OwnedColumns,
    readonly minStart_ns: bigint,
    readonly maxEnd_ns: bigint,
    known?: Known,
  ) {
    this.#columns = columns
    this.#owned = owned
    if (!known) return
    this.#kept.set('parents', Promise.resolve(known.structure))
    for (const level of ['event', 'link'] as const) {
      this.#kept.set(`offsets ${level}`, Promise.resolve(known.offsets[level]))
    }
  }

  /** The trace as OTLP, in the order in which it is stored; reads only the pages that it and its neighbours are in. */
  async assemble(traceRow: number): Promise<Uint8Array> {
    if (!(traceRow >= 0 && traceRow < this.counts.trace)) {
      throw new RangeError(`trace row ${traceRow} is not in 0..${this.counts.trace - 1}`)
    }
    const from = traceRow - (traceRow % WINDOW_TRACES)
    if (this.#window?.from !== from) {
      const { context, rows = { from: 0 } } = this.#columns
      const to = Math.min(from + WINDOW_TRACES, this.counts.trace)
      const columns = new GroupColumns(context, { from: rows.from + from, to: rows.from + to })
      this.#window = { from, assembly: openAssembly(columns, this.#owned) }
    }
    const { assembly } = this.#window
    try {
      return (await assembly).trace(traceRow - from)
    } catch (error) {
      this.#window = undefined
      throw error
    }
  }

  parents(): Promise<Parents> {
    return this.#once('parents', async () => {
      const structure = await structureIn(this.#columns)
      if (!structure) return noSpans()
      for (const level of ['trace', 'resource', 'scope', 'span'] as const) {
        const found = structure.counts[level]
        if (found !== this.counts[level]) this.#columns.corrupt(SPAN, `${found} rows of ${level}, other columns have ${this.counts[level]}`)
      }
      return structure
    })
  } // prettier-ignore

  offsets(level: 'event' | 'link'): Promise<Uint32Array> {
    return this.#once(`offsets ${level}`, async () => {
      const spans = this.counts.span
      if (this.counts[level] === 0) return new Uint32Array(spans + 1)
      const offsets = await offsetsIn(this.#columns, level, spans)
      const found = offsets[spans]!
      if (found !== this.counts[level]) this.#columns.corrupt(level === 'event' ? EVENT : LINK, `${found} rows of ${level}, other columns have ${this.counts[level]}`)
      return offsets
    })
  } // prettier-ignore

  attributes(level: AttributeLevel): Promise<readonly AttributeKey[]> {
    return this.#once(`keys ${level}`, () => this.#view(level).keys())
  }

  attribute({ level, key, type }: AttributeKey): Promise<AttributeColumn | undefined> {
    return this.#once(`attribute ${level} ${type} ${key}`, () => this.#view(level).column(key, type))
  } // prettier-ignore

  field<F extends FieldName>(name: F): Promise<Fields[F] | undefined> {
    const column = COLUMN_OF[name]
    // Relative to the span's start, zeros are times.
    if (!column || (this.#columns.isZero(column.path) && name !== 'event.time')) {
      return Promise.resolve(undefined)
    }
    return this.#once(name, () =>
      name === 'event.time' ? this.#eventTimes(column) : this.#field(name, column),
    ) as Promise<Fields[F] | undefined>
  }

  async mayHave(key: AttributeKey | FieldName, text: string): Promise<boolean> {
    // What is not valid UTF-8 reads as the replacement character, which says nothing of the bytes.
    if (text.includes('\ufffd')) return true
    const bytes = Buffer.from(text)
    if (typeof key !== 'string') {
      return key.type !== 'string' || this.#view(key.level).mayHaveText(key.key, bytes)
    }
    const column = COLUMN_OF[key]
    if (column?.kind !== 'text' || text === '') return true
    return mayHoldText(this.#columns, column.path, bytes)
  }

  async #field(name: FieldName, column: FieldColumn): Promise<unknown> {
    const rows = this.counts[name.slice(0, name.indexOf('.')) as Level]
    return this.#columns.read(column.path, false, ({ data }) => {
      const found = valueCount(data)
      if (found !== rows) this.#columns.corrupt(column.path, `${found} values for ${rows} rows`)
      switch (column.kind) {
        case 'id':
          return { type: 'fixed', width: column.width, bytes: joinIds(data, column.width) }
        case 'int':
          return { type: 'int', ...joinInts(data, false), present: undefined }
        case 'text':
          return { type: 'string', ...joinStrings(data, true) }
      }
    })
  }

  /** They are kept relative to the start of their span. */
  async #eventTimes(column: FieldColumn): Promise<IntColumn | undefined> {
    const [times, starts, offsets] = await Promise.all([
      this.#field('event.time', column) as Promise<IntColumn | undefined>,
      this.field('span.start'),
      this.offsets('event'),
    ])
    if (!times) return undefined
    const sums: IntColumn = { ...times, lo: times.lo.slice(), hi: times.hi.slice() }
    for (let span = 0; starts && span < this.counts.span; span++) {
      const lo = starts.lo[span]!
      const hi = starts.hi[span]!
      for (let i = offsets[span]!; i < offsets[span + 1]!; i++) addTo(sums, i, lo, hi)
    }
    return sums
  }

  #view(level: AttributeLevel): AttributeView {
    let view = this.#views.get(level)
    if (!view) {
      view = new AttributeView(this.#columns, level, this.counts[level], this.#owned[level])
      this.#views.set(level, view)
    }
    return view
  }

  /** What was decoded stays for the life of the group object; a failed try is not kept. */
  #once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(name)
    if (known) return known as Promise<T>
    const made = make()
    this.#kept.set(name, made)
    made.catch(() => this.#kept.delete(name))
    return made
  }
}

const noSpans = (): Structure => ({
  trace: new Uint32Array(0),
  resource: new Uint32Array(0),
  scope: new Uint32Array(0),
  counts: { trace: 0, resource: 0, scope: 0, span: 0 },
  traceOfResource: new Uint32Array(0),
  resourceOfScope: new Uint32Array(0),
})
