/** Owns turning a row group's columns into the pages of Tempo's schema, one part of a parquet row group at a time. */
import type { FieldName, Fields, IntColumn, RowGroup, StringColumn } from '../../../otlp/columns.js'
import type { DedicatedColumn } from '../../block/encoding.js'
import { AttributeShredder, type OwnColumn } from './attributes.js'
import { Chunks, idStrings, pick32, pick64, pickIds, type Halves } from './columns.js'
import { SERVICE_NAME, STATIC_4, mappingOf, type Scope } from './dedicated.js'
import { BytesList } from './growing.js'
import { NestedSets, type SpanTree } from './nested-set.js'
import type { Version } from './schema.js'
import { serviceStats } from './service-stats.js'
import { structureOf, type Structure } from './structure.js'
import { difference64, roundedStarts, traceTimes } from './times.js'

const SPANS = 'rs.ss.Spans'
const STEPS_S = [15, 60, 300, 3600] as const
const HEX_BYTES = 32

type Field = <F extends FieldName>(name: F) => Promise<Fields[F] | undefined>

export interface Added {
  /** Of the traces: 16 bytes each. */
  readonly ids: Uint8Array
  /** The least start of a trace, 0 when none is known: those that are 0 do not count. */
  readonly minStart_ns: bigint
}

export class Shredder {
  readonly #chunks: Chunks
  readonly #resources: AttributeShredder
  readonly #scopes: AttributeShredder
  readonly #spans: AttributeShredder
  readonly #events: AttributeShredder
  readonly #links: AttributeShredder
  readonly #nestedSets = new NestedSets()

  constructor(version: Version, chunks: Chunks, dedicated: readonly DedicatedColumn[]) {
    this.#chunks = chunks
    const make = (prefix: string, own: readonly OwnColumn[] = [], taken?: string) =>
      new AttributeShredder(chunks, { prefix, own, ...(taken && { taken }) })
    const own = (prefix: string, scope: Scope) => ownColumns(version, chunks, dedicated, prefix, scope) // prettier-ignore
    this.#resources = make('rs.Resource.Attrs', own('rs.Resource', 'resource'), SERVICE_NAME)
    this.#scopes = make('rs.ss.Scope.Attrs')
    this.#spans = make(`${SPANS}.Attrs`, own(SPANS, 'span'))
    this.#events = make(`${SPANS}.Events.Attrs`, own(`${SPANS}.Events`, 'event'))
    this.#links = make(`${SPANS}.Links.Attrs`)
  }

  /** Adds the pages of all traces of a group. */
  async add(group: RowGroup): Promise<Added> {
    const structure = await structureOf(group)
    const field: Field = (name) => group.field(name)
    const ids = (await field('trace.id'))?.bytes ?? new Uint8Array(16 * group.counts.trace)
    const starts = await field('span.start')
    const statuses = await field('span.status')
    const minStart_ns = await this.#traces(group, structure, ids, starts, statuses)
    await this.#resourceRows(group, structure)
    await this.#scopeRows(group, structure)
    await this.#spanRows(group, structure, starts, statuses)
    await this.#eventRows(group, structure, starts)
    await this.#linkRows(group, structure)
    return { ids, minStart_ns }
  }

  async #traces(
    group: RowGroup,
    structure: Structure,
    ids: Uint8Array,
    starts: IntColumn | undefined,
    statuses: IntColumn | undefined,
  ): Promise<bigint> {
    const chunks = this.#chunks
    const { levels, traces, resourceRows } = structure
    const ends = new Uint32Array(traces)
    for (let i = 0; i < traces; i++) ends[i] = 16 * (i + 1)
    chunks.bytes('TraceID', levels.trace, { bytes: ids, ends })
    chunks.bytes('TraceIDText', levels.trace, hexTexts(ids))
    const { start, end, duration } = traceTimes(
      traces,
      starts,
      await group.field('trace.end'),
      structure,
    )
    chunks.int64('StartTimeUnixNano', levels.trace, start)
    chunks.int64('EndTimeUnixNano', levels.trace, end)
    chunks.int64('DurationNano', levels.trace, duration)
    const all = rowsUpTo(traces)
    chunks.strings('RootServiceName', levels.trace, await group.field('trace.rootService'), all)
    chunks.strings('RootSpanName', levels.trace, await group.field('trace.rootName'), all)
    const services = await servicesOf(group)
    const stats = serviceStats(structure, services, statuses)
    const perTrace = levels.trace.list(stats.counts)
    chunks.strings('ServiceStats.ServiceName', perTrace, stats.services, stats.rows)
    chunks.int32('ServiceStats.SpanCount', perTrace, stats.spans)
    chunks.int32('ServiceStats.ErrorCount', perTrace, stats.errors)
    chunks.strings('rs.Resource.ServiceName', levels.resource, services, resourceRows)
    return leastStart(start)
  }

  async #resourceRows(group: RowGroup, structure: Structure): Promise<void> {
    const levels = structure.levels.resource
    const rows = structure.resourceRows
    const inputRows = group.counts.resource
    await this.#resources.add(group, { level: 'resource', levels, rows, inputRows })
    const dropped = await group.field('resource.droppedAttributes')
    this.#chunks.int32('rs.Resource.DroppedAttributesCount', levels, pick32(dropped, rows))
  }

  async #scopeRows(group: RowGroup, structure: Structure): Promise<void> {
    const chunks = this.#chunks
    const levels = structure.levels.scope
    const rows = structure.scopeRows
    chunks.strings('rs.ss.Scope.Name', levels, await group.field('scope.name'), rows)
    chunks.strings('rs.ss.Scope.Version', levels, await group.field('scope.version'), rows)
    const inputRows = group.counts.scope
    await this.#scopes.add(group, { level: 'scope', levels, rows, inputRows })
    const dropped = await group.field('scope.droppedAttributes')
    chunks.int32('rs.ss.Scope.DroppedAttributesCount', levels, pick32(dropped, rows))
    chunks.int32('rs.ss.SpanCount', levels, new Int32Array(structure.spanCounts))
  }

  async #spanRows(
    group: RowGroup,
    structure: Structure,
    starts: IntColumn | undefined,
    statuses: IntColumn | undefined,
  ): Promise<void> {
    const chunks = this.#chunks
    const rows = structure.spanRows
    const levels = structure.levels.span
    await this.#tree(group, structure)
    const strings: [string, FieldName & `span.${'name' | 'traceState' | 'statusMessage'}`][] = [
      ['Name', 'span.name'],
      ['TraceState', 'span.traceState'],
      ['StatusMessage', 'span.statusMessage'],
    ]
    for (const [name, field] of strings) {
      chunks.strings(`${SPANS}.${name}`, levels, await group.field(field), rows)
    }
    const start = pick64(starts, rows)
    chunks.int64(`${SPANS}.StartTimeUnixNano`, levels, start)
    const duration = pick64(await group.field('span.duration'), rows)
    chunks.int64(`${SPANS}.DurationNano`, levels, duration)
    const status = pick64(statuses, rows)
    chunks.int64(`${SPANS}.StatusCode`, levels, status)
    await this.#spans.add(group, { level: 'span', levels, rows, inputRows: group.counts.span })
    const dropped: [string, FieldName & `span.dropped${string}`][] = [
      ['DroppedAttributesCount', 'span.droppedAttributes'],
      ['DroppedEventsCount', 'span.droppedEvents'],
      ['DroppedLinksCount', 'span.droppedLinks'],
    ]
    for (const [name, field] of dropped) {
      chunks.int32(`${SPANS}.${name}`, levels, pick32(await group.field(field), rows))
    }
    if (!chunks.has(`${SPANS}.StartTimeRounded15`)) return
    const rounded = roundedStarts(start, STEPS_S)
    for (const [i, step] of STEPS_S.entries()) {
      chunks.int32(`${SPANS}.StartTimeRounded${step}`, levels, rounded[i]!)
    }
  }

  async #tree(group: RowGroup, structure: Structure): Promise<void> {
    const chunks = this.#chunks
    const { spanRows, traceOffsets } = structure
    const levels = structure.levels.span
    const ids = pickIds(await group.field('span.id'), spanRows)
    const parentIds = pickIds(await group.field('span.parentId'), spanRows)
    const kinds: Halves = pick64(await group.field('span.kind'), spanRows)
    const numbers = () => new Int32Array(spanRows.length)
    const tree: SpanTree = { parent: numbers(), left: numbers(), right: numbers(), childCount: numbers() } // prettier-ignore
    const input = { ids, parentIds, kinds: kinds.lo }
    for (let trace = 0; trace < structure.traces; trace++) {
      this.#nestedSets.assign(input, traceOffsets[trace]!, traceOffsets[trace + 1]!, tree)
    }
    chunks.bytes(`${SPANS}.SpanID`, levels, idStrings(ids))
    chunks.bytes(`${SPANS}.ParentSpanID`, levels, idStrings(parentIds))
    chunks.int32(`${SPANS}.ParentID`, levels, tree.parent)
    chunks.int32(`${SPANS}.NestedSetLeft`, levels, tree.left)
    chunks.int32(`${SPANS}.NestedSetRight`, levels, tree.right)
    chunks.int32(`${SPANS}.ChildCount`, levels, tree.childCount)
    chunks.int64(`${SPANS}.Kind`, levels, kinds)
  }

  async #eventRows(
    group: RowGroup,
    structure: Structure,
    starts: IntColumn | undefined,
  ): Promise<void> {
    const chunks = this.#chunks
    const { spanRows, eventRows: rows } = structure
    const levels = structure.levels.event
    const offsets = await group.offsets('event')
    const spanOf = new Uint32Array(rows.length)
    let at = 0
    for (const span of spanRows) {
      for (let n = offsets[span + 1]! - offsets[span]!; n > 0; n--) spanOf[at++] = span
    }
    const times = pick64(await group.field('event.time'), rows)
    chunks.int64(`${SPANS}.Events.TimeSinceStartNano`, levels, difference64(times, pick64(starts, spanOf))) // prettier-ignore
    chunks.strings(`${SPANS}.Events.Name`, levels, await group.field('event.name'), rows)
    await this.#events.add(group, { level: 'event', levels, rows, inputRows: group.counts.event })
    const dropped = await group.field('event.droppedAttributes')
    chunks.int32(`${SPANS}.Events.DroppedAttributesCount`, levels, pick32(dropped, rows))
  }

  async #linkRows(group: RowGroup, structure: Structure): Promise<void> {
    const chunks = this.#chunks
    const rows = structure.linkRows
    const levels = structure.levels.link
    const strings: [string, FieldName & `link.${'traceId' | 'spanId' | 'traceState'}`][] = [
      ['TraceID', 'link.traceId'],
      ['SpanID', 'link.spanId'],
      ['TraceState', 'link.traceState'],
    ]
    for (const [name, field] of strings) {
      chunks.strings(`${SPANS}.Links.${name}`, levels, await group.field(field), rows)
    }
    await this.#links.add(group, { level: 'link', levels, rows, inputRows: group.counts.link })
    const dropped = await group.field('link.droppedAttributes')
    chunks.int32(`${SPANS}.Links.DroppedAttributesCount`, levels, pick32(dropped, rows))
  }
}

/** The least start that is known; 0 when none is. */
function leastStart({ lo, hi }: Halves): bigint {
  let least = -1
  for (let i = 0; i < lo.length; i++) {
    if (lo[i] === 0 && hi[i] === 0) continue
    if (least < 0 || hi[i]! < hi[least]! || (hi[i] === hi[least] && lo[i]! < lo[least]!)) least = i
  }
  return least < 0 ? 0n : (BigInt(hi[least]!) << 32n) | BigInt(lo[least]!)
}

/** The columns that attributes of a scope have of their own: static ones, then the numbered ones. */
function ownColumns(
  version: Version,
  chunks: Chunks,
  dedicated: readonly DedicatedColumn[],
  prefix: string,
  scope: Scope,
): OwnColumn[] {
  const statics = version === 'vParquet4' && scope !== 'event' ? STATIC_4[scope] : []
  const mapping = mappingOf(version, dedicated, scope)
  return [
    ...statics.map((assigned) => ({
      assigned,
      chunk: chunks.get(`${prefix}.${assigned.column}`)!,
      isRepeated: false,
    })),
    ...mapping.columns.map((assigned) => ({
      assigned,
      chunk: chunks.get(`${prefix}.DedicatedAttributes.${assigned.column}`)!,
      isRepeated: mapping.isRepeated,
    })),
  ]
}

async function servicesOf(group: RowGroup): Promise<StringColumn | undefined> {
  const column = await group.attribute({ level: 'resource', key: SERVICE_NAME, type: 'string' })
  return column?.type === 'string' ? column : undefined
}

function rowsUpTo(count: number): Uint32Array {
  const rows = new Uint32Array(count)
  for (let i = 0; i < count; i++) rows[i] = i
  return rows
}

/** Trace ids in hex without the zeros in front, as Tempo has them for people. */
function hexTexts(ids: Uint8Array): BytesList {
  const text = Buffer.from(Buffer.from(ids).toString('hex'), 'latin1')
  const list = new BytesList()
  for (let at = 0; at < text.length; at += HEX_BYTES) {
    let from = at
    while (from < at + HEX_BYTES && text[from] === 0x30) from++
    list.push(text.subarray(from, at + HEX_BYTES))
  }
  return list
}
