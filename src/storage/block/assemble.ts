/** Owns putting a trace together: from the columns of any row group to OTLP TracesData bytes, which tempopb.Trace equals. */
import type {
  AttributeColumn,
  AttributeKey,
  FieldName,
  Fields,
  IntColumn,
  RowGroup,
  StringColumn,
} from '../../otlp/columns.js'
import { ByteWriter } from './codec/bytes.js'
import { BlockGroup } from './blockpack-group.js'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** The trace at `traceRow` of the group's table of traces, as repeated ResourceSpans = 1. */
export async function assembleTrace(group: RowGroup, traceRow: number): Promise<Uint8Array> {
  if (traceRow < 0 || traceRow >= group.counts.trace) {
    throw new RangeError(`trace row ${traceRow} is not in 0..${group.counts.trace - 1}`)
  }
  if (group.assemble) return group.assemble(traceRow)
  // A block's group can hand out the one page that the trace is in.
  const near = group instanceof BlockGroup ? group.narrow(traceRow) : { group, row: traceRow }
  const columns = await loadColumns(near.group)
  return new Assembly(columns).trace(near.row)
}

interface KeyedColumn {
  /** The KeyValue's key field, tag and length included. */
  readonly key: Uint8Array
  readonly column: AttributeColumn
}

type LoadedFields = { readonly [F in FieldName]?: Fields[F] | undefined }

interface Columns {
  readonly trace: Uint32Array
  readonly resource: Uint32Array
  readonly scope: Uint32Array
  readonly events: Uint32Array
  readonly links: Uint32Array
  readonly fields: LoadedFields
  readonly attributes: Readonly<Record<AttributeKey['level'], readonly KeyedColumn[]>>
}

const FIELDS: readonly FieldName[] = [
  'trace.id',
  'resource.droppedAttributes',
  'resource.schemaUrl',
  'scope.name',
  'scope.version',
  'scope.droppedAttributes',
  'scope.schemaUrl',
  'span.id',
  'span.parentId',
  'span.start',
  'span.duration',
  'span.name',
  'span.kind',
  'span.status',
  'span.statusMessage',
  'span.traceState',
  'span.flags',
  'span.droppedAttributes',
  'span.droppedEvents',
  'span.droppedLinks',
  'event.time',
  'event.name',
  'event.droppedAttributes',
  'link.traceId',
  'link.spanId',
  'link.traceState',
  'link.flags',
  'link.droppedAttributes',
]

/** Everything is asked for at once, so that a block can read it in one range. */
async function loadColumns(group: RowGroup): Promise<Columns> {
  const attributes = async (level: AttributeKey['level']): Promise<KeyedColumn[]> => {
    const keys = await group.attributes(level)
    const columns = await Promise.all(keys.map((key) => group.attribute(key)))
    return keys.flatMap((key, i) => {
      const column = columns[i]
      return column ? { key: keyField(key.key), column } : []
    })
  }
  const [parents, events, links, fields, resource, scope, span, event, link] = await Promise.all([
    group.parents(),
    group.offsets('event'),
    group.offsets('link'),
    Promise.all(FIELDS.map(async (name) => [name, await group.field(name)] as const)),
    attributes('resource'),
    attributes('scope'),
    attributes('span'),
    attributes('event'),
    attributes('link'),
  ])
  return {
    ...parents,
    events,
    links,
    fields: Object.fromEntries(fields),
    attributes: { resource, scope, span, event, link },
  }
}

function keyField(key: string): Uint8Array {
  const out = new ByteWriter(key.length + 16)
  bytesField(out, 1, Buffer.from(key))
  return out.view().slice()
}

class Assembly {
  /** One writer a nesting depth: an inner message is written, then copied with its length into the outer one. */
  readonly #trace = new ByteWriter()
  readonly #resource = new ByteWriter()
  readonly #scope = new ByteWriter()
  readonly #span = new ByteWriter()
  readonly #child = new ByteWriter()
  readonly #pair = new ByteWriter()
  readonly #value = new ByteWriter()

  constructor(readonly columns: Columns) {}

  trace(traceRow: number): Uint8Array {
    const { trace, resource, scope } = this.columns
    const from = firstAtLeast(trace, traceRow)
    const to = firstAtLeast(trace, traceRow + 1)
    const groups = new Map<number, Map<number, number[]>>()
    for (let row = from; row < to; row++) {
      let scopes = groups.get(resource[row]!)
      if (!scopes) groups.set(resource[row]!, (scopes = new Map<number, number[]>()))
      const spans = scopes.get(scope[row]!)
      if (spans) spans.push(row)
      else scopes.set(scope[row]!, [row])
    }
    for (const [row, scopes] of groups) this.#resourceSpans(traceRow, row, scopes)
    return this.#trace.view().slice()
  }

  #resourceSpans(traceRow: number, row: number, scopes: ReadonlyMap<number, number[]>): void {
    const { fields } = this.columns
    const out = this.#resource
    out.clear()
    this.#child.clear()
    this.#attributes(this.#child, 1, 'resource', row)
    intField(this.#child, 2, fields['resource.droppedAttributes'], row)
    bytesField(out, 1, this.#child.view())
    for (const [scopeRow, spans] of scopes) this.#scopeSpans(traceRow, scopeRow, spans)
    textField(out, 3, fields['resource.schemaUrl'], row)
    bytesField(this.#trace, 1, out.view())
  }

  #scopeSpans(traceRow: number, row: number, spans: readonly number[]): void {
    const { fields } = this.columns
    const out = this.#scope
    out.clear()
    this.#child.clear()
    textField(this.#child, 1, fields['scope.name'], row)
    textField(this.#child, 2, fields['scope.version'], row)
    this.#attributes(this.#child, 3, 'scope', row)
    intField(this.#child, 4, fields['scope.droppedAttributes'], row)
    bytesField(out, 1, this.#child.view())
    for (const span of spans) {
      this.#writeSpan(traceRow, span)
      bytesField(out, 2, this.#span.view())
    }
    textField(out, 3, fields['scope.schemaUrl'], row)
    bytesField(this.#resource, 2, out.view())
  }

  #writeSpan(traceRow: number, row: number): void {
    const { fields } = this.columns
    const out = this.#span
    out.clear()
    idField(out, 1, fields['trace.id']?.bytes, 16, traceRow)
    idField(out, 2, fields['span.id']?.bytes, 8, row)
    textField(out, 3, fields['span.traceState'], row)
    idField(out, 4, fields['span.parentId']?.bytes, 8, row)
    textField(out, 5, fields['span.name'], row)
    intField(out, 6, fields['span.kind'], row)
    this.#times(row)
    this.#attributes(out, 9, 'span', row)
    intField(out, 10, fields['span.droppedAttributes'], row)
    this.#events(row)
    intField(out, 12, fields['span.droppedEvents'], row)
    this.#links(row)
    intField(out, 14, fields['span.droppedLinks'], row)
    this.#status(row)
    fixed32Field(out, 16, fields['span.flags'], row)
  }

  #times(row: number): void {
    const start = this.columns.fields['span.start']
    const duration = this.columns.fields['span.duration']
    const lo = start?.lo[row] ?? 0
    const hi = start?.hi[row] ?? 0
    const endLo = lo + (duration?.lo[row] ?? 0)
    const endHi = hi + (duration?.hi[row] ?? 0) + (endLo > 0xffffffff ? 1 : 0)
    fixed64Field(this.#span, 7, lo, hi)
    fixed64Field(this.#span, 8, endLo >>> 0, endHi >>> 0)
  }

  #status(row: number): void {
    const { fields } = this.columns
    this.#child.clear()
    textField(this.#child, 2, fields['span.statusMessage'], row)
    intField(this.#child, 3, fields['span.status'], row)
    if (this.#child.length > 0) bytesField(this.#span, 15, this.#child.view())
  }

  #events(span: number): void {
    const { events, fields } = this.columns
    const out = this.#child
    for (let row = events[span]!; row < events[span + 1]!; row++) {
      out.clear()
      const time = fields['event.time']
      fixed64Field(out, 1, time?.lo[row] ?? 0, time?.hi[row] ?? 0)
      textField(out, 2, fields['event.name'], row)
      this.#attributes(out, 3, 'event', row)
      intField(out, 4, fields['event.droppedAttributes'], row)
      bytesField(this.#span, 11, out.view())
    }
  }

  #links(span: number): void {
    const { links, fields } = this.columns
    const out = this.#child
    for (let row = links[span]!; row < links[span + 1]!; row++) {
      out.clear()
      textField(out, 1, fields['link.traceId'], row)
      textField(out, 2, fields['link.spanId'], row)
      textField(out, 3, fields['link.traceState'], row)
      this.#attributes(out, 4, 'link', row)
      intField(out, 5, fields['link.droppedAttributes'], row)
      fixed32Field(out, 6, fields['link.flags'], row)
      bytesField(this.#span, 13, out.view())
    }
  }

  #attributes(out: ByteWriter, field: number, level: AttributeKey['level'], row: number): void {
    for (const { key, column } of this.columns.attributes[level]) {
      const value = this.#anyValue(column, row)
      if (!value) continue
      this.#pair.clear()
      this.#pair.bytes(key)
      bytesField(this.#pair, 2, value)
      bytesField(out, field, this.#pair.view())
    }
  }

  /** The AnyValue's bytes; undefined when the row has none. */
  #anyValue(column: AttributeColumn, row: number): Uint8Array | undefined {
    const out = this.#value
    out.clear()
    switch (column.type) {
      case 'string':
        if (column.codes[row] === 0) return undefined
        bytesField(out, 1, column.dictionary.bytes(column.codes[row]!))
        return out.view()
      case 'bool':
        if (column.values[row] === 0) return undefined
        tag(out, 2, VARINT)
        out.u8(column.values[row]! - 1)
        return out.view()
      case 'int':
        if (column.present?.[row] === 0) return undefined
        tag(out, 3, VARINT)
        varint64(out, column.lo[row]!, column.hi[row]!)
        return out.view()
      case 'float':
        if (column.present?.[row] === 0) return undefined
        tag(out, 4, FIXED64)
        out.f64(column.values[row]!)
        return out.view()
      case 'any':
        return column.codes[row] === 0 ? undefined : column.dictionary.bytes(column.codes[row]!)
    }
  }
}

/** The first row of which the value, which never decreases, is at least `least`. */
function firstAtLeast(values: Uint32Array, least: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! < least) low = middle + 1
    else high = middle
  }
  return low
}

function tag(out: ByteWriter, field: number, wire: number): void {
  out.varint(field * 8 + wire)
}

function bytesField(out: ByteWriter, field: number, bytes: Uint8Array): void {
  tag(out, field, BYTES)
  out.varint(bytes.length)
  out.bytes(bytes)
}

function textField(
  out: ByteWriter,
  field: number,
  column: StringColumn | undefined,
  row: number,
): void {
  const code = column?.codes[row] ?? 0
  if (column && code !== 0) bytesField(out, field, column.dictionary.bytes(code))
}

/** Nothing for an id of zeros, which is an empty one. */
function idField(
  out: ByteWriter,
  field: number,
  ids: Uint8Array | undefined,
  width: number,
  row: number,
): void {
  const id = ids?.subarray(width * row, width * (row + 1))
  if (id?.some((byte) => byte !== 0)) bytesField(out, field, id)
}

function intField(
  out: ByteWriter,
  field: number,
  column: IntColumn | undefined,
  row: number,
): void {
  const lo = column?.lo[row] ?? 0
  const hi = column?.hi[row] ?? 0
  if (lo === 0 && hi === 0) return
  tag(out, field, VARINT)
  varint64(out, lo, hi)
}

function fixed32Field(
  out: ByteWriter,
  field: number,
  column: IntColumn | undefined,
  row: number,
): void {
  const value = column?.lo[row] ?? 0
  if (value === 0) return
  tag(out, field, FIXED32)
  out.u32(value)
}

function fixed64Field(out: ByteWriter, field: number, lo: number, hi: number): void {
  if (lo === 0 && hi === 0) return
  tag(out, field, FIXED64)
  out.u64(lo, hi)
}

function varint64(out: ByteWriter, lo: number, hi: number): void {
  while (hi !== 0 || lo > 127) {
    out.u8((lo & 127) | 128)
    lo = ((lo >>> 7) | (hi << 25)) >>> 0
    hi >>>= 7
  }
  out.u8(lo)
}
