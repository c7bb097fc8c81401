/** Owns a column source made of plain objects: the simplest thing that is one, for tests of what reads column sources. */
import { compareBytes, toHex } from '../../src/lib/bytes.js'
import type {
  AttributeColumn,
  AttributeKey,
  Column,
  ColumnSource,
  Dictionary,
  FieldName,
  Fields,
  FixedColumn,
  IntColumn,
  Level,
  Parents,
  RowGroup,
  StringColumn,
  ValueType,
} from '../../src/otlp/columns.js'
import { attributePairs, decodeTraces, encodeAnyValue, encodeTraces } from './otlp-objects.js'
import type {
  Attributes,
  EventObject,
  LinkObject,
  ResourceSpansObject,
  SpanObject,
  Value,
} from './otlp-objects.js'

export interface MemorySourceOptions {
  id?: string // default a fixed UUID
  tenant?: string // default 'single-tenant'
  spansPerGroup?: number // a group is closed by the first whole trace that reaches it; default all in one group
}

const encoder = new TextEncoder()
const NO_BYTES = new Uint8Array(0)

/** Interns byte strings in the order of their first use. */
export class MemoryDictionary implements Dictionary {
  readonly #entries: Uint8Array[] = []
  readonly #codes = new Map<string, number>()
  get size(): number {
    return this.#entries.length
  }
  intern(bytes: Uint8Array): number {
    const key = Buffer.from(bytes).toString('latin1')
    const known = this.#codes.get(key)
    if (known !== undefined) return known
    this.#entries.push(bytes)
    this.#codes.set(key, this.#entries.length)
    return this.#entries.length
  }
  bytes(code: number): Uint8Array {
    const bytes = this.#entries[code - 1]
    if (!bytes) throw new RangeError(`code ${code} is not in 1..${this.size}`)
    return bytes
  }
  text(code: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.bytes(code))
  }
  find(text: string): number {
    return this.#codes.get(Buffer.from(text).toString('latin1')) ?? 0
  }
}

/** A span with what it was sent under. */
interface Held {
  span: SpanObject
  rs: ResourceSpansObject
  ss: ResourceSpansObject['scopes'][number]
}

interface Group extends RowGroup {
  traceIds: Uint8Array[]
}

const LEVELS: readonly Level[] = ['trace', 'resource', 'scope', 'span', 'event', 'link']

/** A source over objects or over an ExportTraceServiceRequest; traces by id, a trace's spans by start time. */
export function memorySource(
  input: readonly ResourceSpansObject[] | Uint8Array,
  options: MemorySourceOptions = {},
): ColumnSource {
  const resourceSpans = input instanceof Uint8Array ? decodeTraces(input) : input
  const dictionary = new MemoryDictionary()
  const traces = new Map<string, Held[]>()
  for (const rs of resourceSpans) {
    for (const ss of rs.scopes) {
      for (const span of ss.spans) {
        const id = toHex(fit(span.traceId, 16))
        const held = traces.get(id) ?? []
        held.push({ span, rs, ss })
        traces.set(id, held)
      }
    }
  }
  const groups: Group[] = []
  let pending: Held[][] = []
  let count = 0
  const close = () => {
    if (pending.length > 0) groups.push(memoryGroup(pending, dictionary))
    pending = []
    count = 0
  }
  for (const id of [...traces.keys()].sort()) {
    const spans = traces.get(id)!
    spans.sort((a, b) => (a.span.start < b.span.start ? -1 : a.span.start > b.span.start ? 1 : 0))
    pending.push(spans)
    count += spans.length
    if (count >= (options.spansPerGroup ?? Infinity)) close()
  }
  close()
  return {
    id: options.id ?? '00000000-0000-4000-8000-000000000001',
    tenant: options.tenant ?? 'single-tenant',
    spanCount: groups.reduce((sum, g) => sum + g.counts.span, 0),
    traceCount: traces.size,
    minStart_ns: least(groups.map((g) => g.minStart_ns)),
    maxEnd_ns: greatest(groups.map((g) => g.maxEnd_ns)),
    size_bytes: 0,
    dictionary,
    groupCount: groups.length,
    group: (index) => {
      const group = groups[index]
      if (!group) throw new RangeError(`group ${index} is not in 0..${groups.length - 1}`)
      return Promise.resolve(group)
    },
    locate: (traceId) => {
      for (const [group, { traceIds }] of groups.entries()) {
        const row = traceIds.findIndex((id) => compareBytes(id, traceId) === 0)
        if (row >= 0) return Promise.resolve({ group, row })
      }
      return Promise.resolve(undefined)
    },
    inspected_bytes: () => 0,
    close: () => Promise.resolve(),
  }
}

const least = (values: bigint[]): bigint =>
  values.reduce((a, b) => (b < a ? b : a), values[0] ?? 0n)
const greatest = (values: bigint[]): bigint => values.reduce((a, b) => (b > a ? b : a), 0n)

/** Exactly `width` bytes: shorter ids get leading zeros, as Tempo does. */
function fit(bytes: Uint8Array | undefined, width: number): Uint8Array {
  const out = new Uint8Array(width)
  if (bytes?.length) out.set(bytes.subarray(0, width), Math.max(0, width - bytes.length))
  return out
}

interface AttributeCell {
  row: number
  value: Value
}

/** One table while it is filled: plain values by row. */
class Table {
  rows = 0
  readonly fields = new Map<FieldName, Map<number, bigint | Uint8Array>>()
  readonly attributes = new Map<string, { key: AttributeKey; cells: AttributeCell[] }>()
  set(
    name: FieldName,
    row: number,
    value: bigint | number | Uint8Array | string | undefined,
  ): void {
    if (value === undefined) return
    let cells = this.fields.get(name)
    if (!cells) this.fields.set(name, (cells = new Map<number, bigint | Uint8Array>()))
    if (typeof value === 'number') cells.set(row, BigInt(value))
    else cells.set(row, typeof value === 'string' ? encoder.encode(value) : value)
  }
  addAttributes(
    level: AttributeKey['level'],
    row: number,
    attributes: Attributes | undefined,
  ): void {
    for (const [key, value] of attributePairs(attributes)) {
      const type = typeOf(value)
      const name = `${type} ${key}`
      let column = this.attributes.get(name)
      if (!column) this.attributes.set(name, (column = { key: { level, key, type }, cells: [] }))
      column.cells.push({ row, value })
    }
  }
}

function typeOf(value: Value): ValueType {
  if (typeof value === 'string') return 'string'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'float'
  return value !== null && 'utf8' in value ? 'string' : 'any'
}

/** Which fields are fixed-width bytes, strings; all others are integers. */
const FIXED: Partial<Record<FieldName, number>> = {
  'trace.id': 16,
  'span.id': 8,
  'span.parentId': 8,
}
const STRINGS: ReadonlySet<FieldName> = new Set<FieldName>([
  'trace.rootService', 'trace.rootName', 'resource.schemaUrl', 'scope.name', 'scope.version',
  'scope.schemaUrl', 'span.name', 'span.statusMessage', 'span.traceState', 'event.name',
  'link.traceId', 'link.spanId', 'link.traceState',
]) // prettier-ignore

function memoryGroup(traces: readonly Held[][], dictionary: MemoryDictionary): Group {
  const tables = Object.fromEntries(LEVELS.map((l) => [l, new Table()])) as Record<Level, Table>
  const parents = { trace: [] as number[], resource: [] as number[], scope: [] as number[] }
  const offsets = { event: [0], link: [0] }
  const resources = new Rows()
  const scopes = new Rows()
  const traceIds: Uint8Array[] = []
  for (const held of traces) {
    const row = tables.trace.rows++
    traceIds.push(fit(held[0]!.span.traceId, 16))
    fillTrace(tables.trace, row, held)
    for (const { span, rs, ss } of held) {
      parents.trace.push(row)
      const resource = { ...rs, scopes: [] }
      parents.resource.push(
        resources.of(rs, resource, tables.resource, (r) => fillResource(tables.resource, r, rs)),
      )
      const scope = { scopes: [{ ...ss, spans: [] }] }
      parents.scope.push(scopes.of(ss, scope, tables.scope, (r) => fillScope(tables.scope, r, ss)))
      fillSpan(tables.span, tables.span.rows++, span)
      for (const event of span.events ?? []) fillEvent(tables.event, tables.event.rows++, event)
      for (const link of span.links ?? []) fillLink(tables.link, tables.link.rows++, link)
      offsets.event.push(tables.event.rows)
      offsets.link.push(tables.link.rows)
    }
  }
  return rowGroup(tables, parents, offsets, dictionary, traces.flat(), traceIds)
}

/** Rows of a table by content, so that what was sent twice is one row. */
class Rows {
  readonly #byObject = new Map<object, number>()
  readonly #byContent = new Map<string, number>()
  of(
    object: object,
    content: ResourceSpansObject,
    table: Table,
    fill: (row: number) => void,
  ): number {
    let row = this.#byObject.get(object)
    if (row !== undefined) return row
    const key = toHex(encodeTraces([content]))
    row = this.#byContent.get(key)
    if (row === undefined) {
      row = table.rows++
      this.#byContent.set(key, row)
      fill(row)
    }
    this.#byObject.set(object, row)
    return row
  }
}

function fillTrace(table: Table, row: number, held: readonly Held[]): void {
  table.set('trace.id', row, fit(held[0]!.span.traceId, 16))
  table.set('trace.start', row, least(held.map(({ span }) => span.start)))
  table.set('trace.end', row, greatest(held.map(({ span }) => span.end)))
  const root = held.findLast(({ span }) => !span.parentSpanId?.some((byte) => byte !== 0))
  if (!root) return
  table.set('trace.rootName', row, root.span.name)
  const service = attributePairs(root.rs.resource?.attributes).findLast(
    ([k]) => k === 'service.name',
  )
  if (typeof service?.[1] === 'string') table.set('trace.rootService', row, service[1])
}

function fillResource(table: Table, row: number, rs: ResourceSpansObject): void {
  table.set('resource.droppedAttributes', row, rs.resource?.droppedAttributes)
  table.set('resource.schemaUrl', row, rs.schemaUrl)
  table.addAttributes('resource', row, rs.resource?.attributes)
}

function fillScope(table: Table, row: number, ss: ResourceSpansObject['scopes'][number]): void {
  table.set('scope.name', row, ss.scope?.name)
  table.set('scope.version', row, ss.scope?.version)
  table.set('scope.droppedAttributes', row, ss.scope?.droppedAttributes)
  table.set('scope.schemaUrl', row, ss.schemaUrl)
  table.addAttributes('scope', row, ss.scope?.attributes)
}

function fillSpan(table: Table, row: number, span: SpanObject): void {
  table.set('span.id', row, fit(span.spanId, 8))
  table.set('span.parentId', row, fit(span.parentSpanId, 8))
  table.set('span.start', row, span.start)
  table.set('span.duration', row, BigInt.asUintN(64, span.end - span.start))
  table.set('span.name', row, span.name)
  table.set('span.kind', row, span.kind)
  table.set('span.status', row, span.status?.code)
  table.set('span.statusMessage', row, span.status?.message)
  table.set('span.traceState', row, span.traceState)
  table.set('span.flags', row, span.flags)
  table.set('span.droppedAttributes', row, span.droppedAttributes)
  table.set('span.droppedEvents', row, span.droppedEvents)
  table.set('span.droppedLinks', row, span.droppedLinks)
  table.addAttributes('span', row, span.attributes)
}

function fillEvent(table: Table, row: number, event: EventObject): void {
  table.set('event.time', row, event.time)
  table.set('event.name', row, event.name)
  table.set('event.droppedAttributes', row, event.droppedAttributes)
  table.addAttributes('event', row, event.attributes)
}

function fillLink(table: Table, row: number, link: LinkObject): void {
  table.set('link.traceId', row, link.traceId)
  table.set('link.spanId', row, link.spanId)
  table.set('link.traceState', row, link.traceState)
  table.set('link.flags', row, link.flags)
  table.set('link.droppedAttributes', row, link.droppedAttributes)
  table.addAttributes('link', row, link.attributes)
}

function rowGroup(
  tables: Record<Level, Table>,
  parents: Record<keyof Parents, number[]>,
  offsets: Record<'event' | 'link', number[]>,
  dictionary: MemoryDictionary,
  held: readonly Held[],
  traceIds: Uint8Array[],
): Group {
  // Columns are built once, at the start, so that the dictionary is whole before the first question.
  const fields = new Map<FieldName, Column>()
  const attributes = new Map<string, { key: AttributeKey; column: AttributeColumn }>()
  for (const level of LEVELS) {
    for (const [name, cells] of tables[level].fields) {
      const column = fieldColumn(name, cells, tables[level].rows, dictionary)
      if (column) fields.set(name, column)
    }
    for (const { key, cells } of tables[level].attributes.values()) {
      const column = attributeColumn(key.type, cells, tables[level].rows, dictionary)
      attributes.set(`${key.level} ${key.type} ${key.key}`, { key, column })
    }
  }
  const counts = Object.fromEntries(LEVELS.map((l) => [l, tables[l].rows])) as Record<Level, number>
  const typedParents: Parents = {
    trace: Uint32Array.from(parents.trace),
    resource: Uint32Array.from(parents.resource),
    scope: Uint32Array.from(parents.scope),
  }
  const typedOffsets = {
    event: Uint32Array.from(offsets.event),
    link: Uint32Array.from(offsets.link),
  }
  return {
    counts,
    traceIds,
    minStart_ns: least(held.map(({ span }) => span.start)),
    maxEnd_ns: greatest(held.map(({ span }) => span.end)),
    parents: () => Promise.resolve(typedParents),
    offsets: (level) => Promise.resolve(typedOffsets[level]),
    attributes: (level) =>
      Promise.resolve([...attributes.values()].map((a) => a.key).filter((k) => k.level === level)),
    attribute: (k) => Promise.resolve(attributes.get(`${k.level} ${k.type} ${k.key}`)?.column),
    field: <F extends FieldName>(name: F) =>
      Promise.resolve(fields.get(name) as Fields[F] | undefined),
  }
}

function fieldColumn(
  name: FieldName,
  cells: ReadonlyMap<number, bigint | Uint8Array>,
  rows: number,
  dictionary: MemoryDictionary,
): Column | undefined {
  const used = [...cells].filter(([, v]) => (typeof v === 'bigint' ? v !== 0n : v.some(Boolean)))
  const width = FIXED[name]
  if (STRINGS.has(name)) {
    const texts = [...cells].filter(([, v]) => (v as Uint8Array).length > 0)
    return texts.length ? stringColumn(texts, rows, dictionary) : undefined
  }
  if (used.length === 0) return undefined
  if (width === undefined) return intColumn(cells as ReadonlyMap<number, bigint>, rows, false)
  const column: FixedColumn = { type: 'fixed', width, bytes: new Uint8Array(rows * width) }
  for (const [row, value] of cells) column.bytes.set(value as Uint8Array, row * width)
  return column
}

function stringColumn(
  cells: Iterable<readonly [number, bigint | Uint8Array]>,
  rows: number,
  dictionary: MemoryDictionary,
): StringColumn {
  const codes = new Uint32Array(rows)
  for (const [row, value] of cells) codes[row] = dictionary.intern(value as Uint8Array)
  return { type: 'string', codes, dictionary }
}

function intColumn(cells: ReadonlyMap<number, bigint>, rows: number, sparse: boolean): IntColumn {
  const lo = new Uint32Array(rows)
  const hi = new Uint32Array(rows)
  const present = new Uint8Array(rows)
  for (const [row, value] of cells) {
    lo[row] = Number(value & 0xffffffffn)
    hi[row] = Number(BigInt.asUintN(32, value >> 32n))
    present[row] = 1
  }
  return { type: 'int', lo, hi, present: sparse && present.includes(0) ? present : undefined }
}

function attributeColumn(
  type: ValueType,
  cells: readonly AttributeCell[],
  rows: number,
  dictionary: MemoryDictionary,
): AttributeColumn {
  const last = new Map(cells.map(({ row, value }) => [row, value]))
  if (type === 'int') return intColumn(last as Map<number, bigint>, rows, true)
  if (type === 'bool') {
    const values = new Uint8Array(rows)
    for (const [row, value] of last) values[row] = value ? 2 : 1
    return { type, values }
  }
  if (type === 'float') {
    const values = new Float64Array(rows)
    const present = new Uint8Array(rows)
    for (const [row, value] of last) {
      values[row] = value as number
      present[row] = 1
    }
    return { type, values, present: present.includes(0) ? present : undefined }
  }
  const codes = new Uint32Array(rows)
  for (const [row, value] of last) {
    codes[row] = dictionary.intern(type === 'any' ? encodeAnyValue(value) : stringBytes(value))
  }
  return { type, codes, dictionary }
}

function stringBytes(value: Value): Uint8Array {
  if (typeof value === 'string') return encoder.encode(value)
  return value !== null && typeof value === 'object' && 'utf8' in value ? value.utf8 : NO_BYTES
}
