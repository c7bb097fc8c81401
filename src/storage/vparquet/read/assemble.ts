/**
 * Owns putting traces together from the pages that hold their rows: OTLP TracesData in the order in which Tempo stored it, with
 * attributes that have columns of their own behind the others, as Tempo answers.
 */
import { ByteWriter } from '../../block/codec/bytes.js'
import { bytesField, tag, varint64 } from './any-value.js'
import type { GroupColumns } from './group-columns.js'
import { eachBytes, joinInts, type Words } from './join.js'
import { firstOf } from './attribute-view.js'
import { childOffsets, structureOf, type Structure } from './levels.js'
import { EVENT, LINK, LIST_OF, RESOURCE, SCOPE, SPAN } from './paths.js'
import type { AttributeLevel, OwnedColumns } from './paths.js'
import { RowAttributes } from './row-attributes.js'

const VARINT = 0
const FIXED64 = 1

/** One text or id a row of its table, or nothing anywhere. */
type Texts = readonly Uint8Array[] | undefined

interface TraceColumns {
  readonly structure: Structure
  readonly events: Uint32Array
  readonly links: Uint32Array
  readonly texts: Readonly<Record<keyof typeof TEXTS, Texts>>
  readonly ints: Readonly<Record<keyof typeof INTS, Words | undefined>>
  readonly attributes: Readonly<Record<AttributeLevel, RowAttributes>>
}

const TEXTS = {
  traceId: 'TraceID',
  scopeName: `${SCOPE}.Name`,
  scopeVersion: `${SCOPE}.Version`,
  spanId: `${SPAN}.SpanID`,
  parentId: `${SPAN}.ParentSpanID`,
  traceState: `${SPAN}.TraceState`,
  name: `${SPAN}.Name`,
  statusMessage: `${SPAN}.StatusMessage`,
  eventName: `${EVENT}.Name`,
  linkTraceId: `${LINK}.TraceID`,
  linkSpanId: `${LINK}.SpanID`,
  linkTraceState: `${LINK}.TraceState`,
} as const
const INTS = {
  resourceDropped: `${RESOURCE}.DroppedAttributesCount`,
  scopeDropped: `${SCOPE}.DroppedAttributesCount`,
  start: `${SPAN}.StartTimeUnixNano`,
  duration: `${SPAN}.DurationNano`,
  kind: `${SPAN}.Kind`,
  status: `${SPAN}.StatusCode`,
  dropped: `${SPAN}.DroppedAttributesCount`,
  droppedEvents: `${SPAN}.DroppedEventsCount`,
  droppedLinks: `${SPAN}.DroppedLinksCount`,
  eventTime: `${EVENT}.TimeSinceStartNano`,
  eventDropped: `${EVENT}.DroppedAttributesCount`,
  linkDropped: `${LINK}.DroppedAttributesCount`,
} as const

/** What the traces in the rows of `columns` are put together from. */
export async function openAssembly(columns: GroupColumns, owned: OwnedColumns): Promise<Assembly> {
  return new Assembly(await load(columns, owned))
}

/** All columns are asked for at once, so that neighbours are read in one range. */
async function load(columns: GroupColumns, owned: OwnedColumns): Promise<TraceColumns> {
  const structured = structure(columns)
  const children = (group: string, list: number) =>
    structured.then(async ({ counts }) => {
      const path = columns.smallest(group, list)
      const offsets = path === undefined ? undefined : await columns.read(path, true, ({ data, leaf }) => childOffsets(data, leaf, list, counts.span))
      return offsets ?? new Uint32Array(counts.span + 1)
    })
  const events = children(EVENT, LIST_OF.event)
  const links = children(LINK, LIST_OF.link)
  const rows: Record<AttributeLevel, Promise<number>> = {
    resource: structured.then(({ counts }) => counts.resource),
    scope: structured.then(({ counts }) => counts.scope),
    span: structured.then(({ counts }) => counts.span),
    event: events.then((offsets) => offsets.at(-1)!),
    link: links.then((offsets) => offsets.at(-1)!),
  }
  const attributes = async (level: AttributeLevel) =>
    RowAttributes.load(columns, level, await rows[level], owned[level])
  const text = async ([name, path]: readonly [string, string]) => [name, await readTexts(columns, path)] as const
  const int = async ([name, path]: readonly [string, string]) => [name, await readInts(columns, path)] as const
  const [all, eventOffsets, linkOffsets, texts, ints, resource, scope, span, event, link] = await Promise.all([
    structured, events, links,
    Promise.all(Object.entries(TEXTS).map(text)),
    Promise.all(Object.entries(INTS).map(int)),
    attributes('resource'), attributes('scope'), attributes('span'), attributes('event'), attributes('link'),
  ])
  return {
    structure: all,
    events: eventOffsets,
    links: linkOffsets,
    texts: Object.fromEntries(texts) as TraceColumns['texts'],
    ints: Object.fromEntries(ints) as TraceColumns['ints'],
    attributes: { resource, scope, span, event, link },
  }
} // prettier-ignore

async function structure(columns: GroupColumns): Promise<Structure> {
  const path = columns.smallest(SPAN, LIST_OF.span)
  const found =
    path && (await columns.read(path, true, ({ data, leaf }) => structureOf(data, leaf)))
  if (!found) columns.corrupt(path ?? SPAN, 'a trace without spans')
  return found
}

async function readTexts(columns: GroupColumns, path: string): Promise<Texts> {
  if (columns.isZero(path)) return undefined
  return columns.read(path, true, ({ data }) => {
    const texts: Uint8Array[] = []
    eachBytes(data, (bytes, start, end) => texts.push(bytes.subarray(start, end)))
    return texts
  })
}

async function readInts(columns: GroupColumns, path: string): Promise<Words | undefined> {
  if (columns.isZero(path)) return undefined
  return columns.read(path, true, ({ data }) => joinInts(data, false))
}

export class Assembly {
  /** One writer a nesting depth: an inner message is written, then copied with its length into the outer one. */
  readonly #trace = new ByteWriter()
  readonly #resource = new ByteWriter()
  readonly #scope = new ByteWriter()
  readonly #span = new ByteWriter()
  readonly #child = new ByteWriter()
  readonly #columns: TraceColumns

  constructor(columns: TraceColumns) {
    this.#columns = columns
  }

  /** The trace at this row of those that were read. */
  trace(row: number): Uint8Array {
    const { scope, traceOfResource, resourceOfScope } = this.#columns.structure
    this.#trace.clear()
    let resource = firstOf(traceOfResource, row)
    let nextScope = firstOf(resourceOfScope, resource)
    let nextSpan = firstOf(scope, nextScope)
    for (; traceOfResource[resource] === row; resource++) {
      this.#beginResource(resource)
      for (; resourceOfScope[nextScope] === resource; nextScope++) {
        this.#beginScope(nextScope)
        for (; scope[nextSpan] === nextScope; nextSpan++) {
          this.#writeSpan(nextSpan, row)
          bytesField(this.#scope, 2, this.#span.view())
        }
        bytesField(this.#resource, 2, this.#scope.view())
      }
      bytesField(this.#trace, 1, this.#resource.view())
    }
    return this.#trace.view().slice()
  }

  #beginResource(row: number): void {
    const { attributes, ints } = this.#columns
    this.#resource.clear()
    this.#child.clear()
    attributes.resource.write(this.#child, 1, row)
    int(this.#child, 2, ints.resourceDropped, row)
    bytesField(this.#resource, 1, this.#child.view())
  }

  #beginScope(row: number): void {
    const { attributes, ints, texts } = this.#columns
    this.#scope.clear()
    this.#child.clear()
    text(this.#child, 1, texts.scopeName, row)
    text(this.#child, 2, texts.scopeVersion, row)
    attributes.scope.write(this.#child, 3, row)
    int(this.#child, 4, ints.scopeDropped, row)
    bytesField(this.#scope, 1, this.#child.view())
  }

  #writeSpan(row: number, trace: number): void {
    const { attributes, ints, texts } = this.#columns
    const out = this.#span
    out.clear()
    text(out, 1, texts.traceId, trace)
    text(out, 2, texts.spanId, row)
    text(out, 3, texts.traceState, row)
    text(out, 4, texts.parentId, row)
    text(out, 5, texts.name, row)
    int(out, 6, ints.kind, row)
    const start = ints.start
    fixed64(out, 7, start?.lo[row] ?? 0, start?.hi[row] ?? 0)
    sumFixed64(out, 8, start, row, ints.duration, row)
    attributes.span.write(out, 9, row)
    int(out, 10, ints.dropped, row)
    this.#events(row)
    int(out, 12, ints.droppedEvents, row)
    this.#links(row)
    int(out, 14, ints.droppedLinks, row)
    this.#child.clear()
    text(this.#child, 2, texts.statusMessage, row)
    int(this.#child, 3, ints.status, row)
    if (this.#child.length > 0) bytesField(out, 15, this.#child.view())
  }

  #events(span: number): void {
    const { attributes, events, ints, texts } = this.#columns
    const out = this.#child
    for (let row = events[span]!; row < events[span + 1]!; row++) {
      out.clear()
      sumFixed64(out, 1, ints.start, span, ints.eventTime, row)
      text(out, 2, texts.eventName, row)
      attributes.event.write(out, 3, row)
      int(out, 4, ints.eventDropped, row)
      bytesField(this.#span, 11, out.view())
    }
  }

  #links(span: number): void {
    const { attributes, ints, links, texts } = this.#columns
    const out = this.#child
    for (let row = links[span]!; row < links[span + 1]!; row++) {
      out.clear()
      text(out, 1, texts.linkTraceId, row)
      text(out, 2, texts.linkSpanId, row)
      text(out, 3, texts.linkTraceState, row)
      attributes.link.write(out, 4, row)
      int(out, 5, ints.linkDropped, row)
      bytesField(this.#span, 13, out.view())
    }
  }
}

function text(out: ByteWriter, field: number, texts: Texts, row: number): void {
  const bytes = texts?.[row]
  if (bytes && bytes.length > 0) bytesField(out, field, bytes)
}

function int(out: ByteWriter, field: number, words: Words | undefined, row: number): void {
  const lo = words?.lo[row] ?? 0
  const hi = words?.hi[row] ?? 0
  if (lo === 0 && hi === 0) return
  tag(out, field, VARINT)
  varint64(out, lo, hi)
}

/** a[i] + b[j], modulo 2^64. */
function sumFixed64(
  out: ByteWriter,
  field: number,
  a: Words | undefined,
  i: number,
  b: Words | undefined,
  j: number,
): void {
  const lo = (a?.lo[i] ?? 0) + (b?.lo[j] ?? 0)
  const hi = (a?.hi[i] ?? 0) + (b?.hi[j] ?? 0) + (lo > 0xffffffff ? 1 : 0)
  fixed64(out, field, lo >>> 0, hi >>> 0)
}

function fixed64(out: ByteWriter, field: number, lo: number, hi: number): void {
  if (lo === 0 && hi === 0) return
  tag(out, field, FIXED64)
  out.u64(lo, hi)
}
