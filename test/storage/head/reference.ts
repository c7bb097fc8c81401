/** Owns the judge of heads: spans of requests and spans read back through columns, both as the same plain text. */
import { toHex } from '../../../src/lib/bytes.js'
import type {
  AttributeColumn,
  AttributeKey,
  ColumnSource,
  FieldName,
  Fields,
  Level,
  RowGroup,
} from '../../../src/otlp/columns.js'
import {
  attributePairs,
  decodeAnyValue,
  decodeTraces,
  type Attributes,
  type Value,
} from '../../support/otlp-objects.js'

/** A span with all that belongs to it, as text; the key is trace id, span id and kind. */
export type Spans = Map<string, string>

/** What a head must hold after these requests: the first of spans with one key. */
export function spansOf(requests: readonly Uint8Array[]): Spans {
  const spans: Spans = new Map()
  for (const request of requests) {
    for (const rs of decodeTraces(request)) {
      const resource = {
        attributes: attributeTexts(rs.resource?.attributes),
        dropped: rs.resource?.droppedAttributes ?? 0,
        schemaUrl: rs.schemaUrl ?? '',
      }
      for (const ss of rs.scopes) {
        const scope = {
          name: ss.scope?.name ?? '',
          version: ss.scope?.version ?? '',
          attributes: attributeTexts(ss.scope?.attributes),
          dropped: ss.scope?.droppedAttributes ?? 0,
          schemaUrl: ss.schemaUrl ?? '',
        }
        for (const span of ss.spans) {
          const kind = int32(span.kind ?? 0)
          const key = `${toHex(span.traceId)} ${toHex(span.spanId)} ${kind}`
          if (spans.has(key)) continue
          const parent = new Uint8Array(8)
          parent.set((span.parentSpanId ?? new Uint8Array(0)).subarray(0, 8))
          const text = {
            parent: toHex(parent),
            name: span.name ?? '',
            start: span.start,
            duration: BigInt.asUintN(64, span.end - span.start),
            status: int32(span.status?.code ?? 0),
            statusMessage: span.status?.message ?? '',
            traceState: span.traceState ?? '',
            flags: span.flags ?? 0,
            dropped: [span.droppedAttributes, span.droppedEvents, span.droppedLinks].map(
              (n) => n ?? 0,
            ),
            attributes: attributeTexts(span.attributes),
            events: (span.events ?? []).map((event) => ({
              time: event.time,
              name: event.name ?? '',
              dropped: event.droppedAttributes ?? 0,
              attributes: attributeTexts(event.attributes),
            })),
            links: (span.links ?? []).map((link) => ({
              traceId: toHex(link.traceId),
              spanId: toHex(link.spanId),
              traceState: link.traceState ?? '',
              flags: link.flags ?? 0,
              dropped: link.droppedAttributes ?? 0,
              attributes: attributeTexts(link.attributes),
            })),
            resource,
            scope,
          }
          spans.set(key, toText(text))
        }
      }
    }
  }
  return spans
}

/** All spans of a source, read column by column; checks on the way what every group promises. */
export async function readSpans(source: ColumnSource): Promise<Spans> {
  const spans: Spans = new Map()
  const traces = new Set<string>()
  for (let index = 0; index < source.groupCount; index++) {
    await readGroup(await source.group(index), spans, traces)
  }
  return spans
}

async function readGroup(group: RowGroup, spans: Spans, traces: Set<string>): Promise<void> {
  const fields = await Fieldbook.read(group)
  const parents = await group.parents()
  const eventOffsets = await group.offsets('event')
  const linkOffsets = await group.offsets('link')
  const attributes = new Map<Level, string[][]>()
  for (const level of ['resource', 'scope', 'span', 'event', 'link'] as const) {
    attributes.set(level, await attributesOf(group, level))
  }
  const of = (level: Level, row: number) => attributes.get(level)![row]!
  for (let trace = 0; trace < group.counts.trace; trace++) {
    const id = fields.hex('trace.id', trace, 16)
    if (traces.has(id)) throw new Error(`trace ${id} is in two places`)
    traces.add(id)
  }
  let previous = 0n
  for (let row = 0; row < group.counts.span; row++) {
    const trace = parents.trace[row]!
    const start = fields.big('span.start', row)
    if (row > 0 && trace < parents.trace[row - 1]!) throw new Error(`trace falls at row ${row}`)
    if (row > 0 && trace === parents.trace[row - 1]! && start < previous) {
      throw new Error(`start falls at row ${row}`)
    }
    previous = start
    const resource = parents.resource[row]!
    const scope = parents.scope[row]!
    const text = {
      parent: fields.hex('span.parentId', row, 8),
      name: fields.text('span.name', row),
      start,
      duration: fields.big('span.duration', row),
      status: int32(fields.number('span.status', row)),
      statusMessage: fields.text('span.statusMessage', row),
      traceState: fields.text('span.traceState', row),
      flags: fields.number('span.flags', row),
      dropped: [
        fields.number('span.droppedAttributes', row),
        fields.number('span.droppedEvents', row),
        fields.number('span.droppedLinks', row),
      ],
      attributes: of('span', row),
      events: [] as object[],
      links: [] as object[],
      resource: {
        attributes: of('resource', resource),
        dropped: fields.number('resource.droppedAttributes', resource),
        schemaUrl: fields.text('resource.schemaUrl', resource),
      },
      scope: {
        name: fields.text('scope.name', scope),
        version: fields.text('scope.version', scope),
        attributes: of('scope', scope),
        dropped: fields.number('scope.droppedAttributes', scope),
        schemaUrl: fields.text('scope.schemaUrl', scope),
      },
    }
    for (let event = eventOffsets[row]!; event < eventOffsets[row + 1]!; event++) {
      text.events.push({
        time: fields.big('event.time', event),
        name: fields.text('event.name', event),
        dropped: fields.number('event.droppedAttributes', event),
        attributes: of('event', event),
      })
    }
    for (let link = linkOffsets[row]!; link < linkOffsets[row + 1]!; link++) {
      text.links.push({
        traceId: toHex(fields.bytes('link.traceId', link)),
        spanId: toHex(fields.bytes('link.spanId', link)),
        traceState: fields.text('link.traceState', link),
        flags: fields.number('link.flags', link),
        dropped: fields.number('link.droppedAttributes', link),
        attributes: of('link', link),
      })
    }
    const traceId = fields.hex('trace.id', trace, 16)
    const kind = int32(fields.number('span.kind', row))
    const key = `${traceId} ${fields.hex('span.id', row, 8)} ${kind}`
    if (spans.has(key)) throw new Error(`span ${key} is there twice`)
    spans.set(key, toText(text))
  }
}

const FIELD_NAMES = [
  'trace.id', 'resource.droppedAttributes', 'resource.schemaUrl', 'scope.name', 'scope.version',
  'scope.droppedAttributes', 'scope.schemaUrl', 'span.id', 'span.parentId', 'span.start',
  'span.duration', 'span.name', 'span.kind', 'span.status', 'span.statusMessage', 'span.traceState',
  'span.flags', 'span.droppedAttributes', 'span.droppedEvents', 'span.droppedLinks', 'event.time',
  'event.name', 'event.droppedAttributes', 'link.traceId', 'link.spanId', 'link.traceState',
  'link.flags', 'link.droppedAttributes', 'trace.start', 'trace.end', 'trace.rootService',
  'trace.rootName',
] as const // prettier-ignore

/** All fields of a group by row; what is absent reads as empty or 0. */
export class Fieldbook {
  readonly #columns = new Map<FieldName, Fields[FieldName] | undefined>()

  static async read(group: RowGroup): Promise<Fieldbook> {
    const book = new Fieldbook()
    for (const name of FIELD_NAMES) book.#columns.set(name, await group.field(name))
    return book
  }

  big(name: FieldName, row: number): bigint {
    const column = this.#columns.get(name)
    if (!column) return 0n
    if (column.type !== 'int') throw new Error(`${name} is ${column.type}`)
    if (column.present && column.present[row] === 0) return 0n
    return (BigInt(column.hi[row]!) << 32n) | BigInt(column.lo[row]!)
  }

  number(name: FieldName, row: number): number {
    return Number(this.big(name, row))
  }

  bytes(name: FieldName, row: number): Uint8Array {
    const column = this.#columns.get(name)
    if (!column) return new Uint8Array(0)
    if (column.type !== 'string') throw new Error(`${name} is ${column.type}`)
    return column.codes[row] === 0 ? new Uint8Array(0) : column.dictionary.bytes(column.codes[row]!)
  }

  text(name: FieldName, row: number): string {
    return Buffer.from(this.bytes(name, row)).toString('utf8')
  }

  hex(name: FieldName, row: number, width: number): string {
    const column = this.#columns.get(name)
    if (!column) return '00'.repeat(width)
    if (column.type !== 'fixed') throw new Error(`${name} is ${column.type}`)
    return toHex(column.bytes.subarray(row * width, (row + 1) * width))
  }
}

async function attributesOf(group: RowGroup, level: AttributeKey['level']): Promise<string[][]> {
  const rows: string[][] = Array.from({ length: group.counts[level] }, () => [])
  for (const key of await group.attributes(level)) {
    const column = await group.attribute(key)
    if (!column)
      throw new Error(`attribute ${key.level} ${key.key} ${key.type} is listed but absent`)
    let found = 0
    rows.forEach((row, index) => {
      const value = valueAt(column, index)
      if (value === undefined) return
      row.push(`${key.key}=${value}`)
      found++
    })
    if (found === 0) throw new Error(`attribute ${key.level} ${key.key} ${key.type} has no value`)
  }
  for (const row of rows) row.sort()
  return rows
}

/** One attribute value as text; undefined when the row has none. */
export function valueAt(column: AttributeColumn, row: number): string | undefined {
  switch (column.type) {
    case 'string':
      if (column.codes[row] === 0) return undefined
      return `string:${Buffer.from(column.dictionary.bytes(column.codes[row]!)).toString('latin1')}`
    case 'any':
      if (column.codes[row] === 0) return undefined
      return `any:${anyText(decodeAnyValue(column.dictionary.bytes(column.codes[row]!)))}`
    case 'bool':
      return column.values[row] === 0 ? undefined : `bool:${column.values[row] === 2}`
    case 'int': {
      if (column.present && column.present[row] === 0) return undefined
      const value = (BigInt(column.hi[row]!) << 32n) | BigInt(column.lo[row]!)
      return `int:${BigInt.asIntN(64, value)}`
    }
    case 'float':
      if (column.present && column.present[row] === 0) return undefined
      return `float:${bits(column.values[row]!)}`
  }
}

/** Of several attributes with one key and type the last counts. */
function attributeTexts(attributes: Attributes | undefined): string[] {
  const last = new Map<string, string>()
  for (const [key, value] of attributePairs(attributes)) {
    const text = valueText(value)
    last.set(`${key} ${text.slice(0, text.indexOf(':'))}`, `${key}=${text}`)
  }
  return [...last.values()].sort()
}

function valueText(value: Value): string {
  if (typeof value === 'string') return `string:${Buffer.from(value, 'utf8').toString('latin1')}`
  if (typeof value === 'boolean') return `bool:${value}`
  if (typeof value === 'bigint') return `int:${value}`
  if (typeof value === 'number') return `float:${bits(value)}`
  if (value !== null && 'utf8' in value)
    return `string:${Buffer.from(value.utf8).toString('latin1')}`
  return `any:${anyText(value)}`
}

function anyText(value: Value): string {
  return toText(value)
}

function bits(value: number): string {
  return new BigUint64Array(Float64Array.of(value).buffer)[0]!.toString(16)
}

function int32(value: number): number {
  return Number(BigInt.asIntN(32, BigInt(value)))
}

function toText(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`
    if (typeof item === 'number')
      return Number.isInteger(item) && !Object.is(item, -0) ? item : bits(item)
    return item instanceof Uint8Array ? toHex(item) : item
  })
}
