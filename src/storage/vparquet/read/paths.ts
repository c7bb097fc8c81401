/** Owns where Tempo's parquet keeps what a table of ours has: the column of each field, and those of attributes. */
import type { AttributeKey, FieldName, Level } from '../../../otlp/columns.js'
import type { BlockMeta, DedicatedColumn } from '../../block/encoding.js'

export type AttributeLevel = AttributeKey['level']

export const RESOURCE = 'rs.Resource'
export const SCOPE = 'rs.ss.Scope'
export const SPAN = 'rs.ss.Spans'
export const EVENT = 'rs.ss.Spans.Events'
export const LINK = 'rs.ss.Spans.Links'
export const GROUP_OF: Readonly<Record<AttributeLevel, string>> = {
  resource: RESOURCE,
  scope: SCOPE,
  span: SPAN,
  event: EVENT,
  link: LINK,
}
/** Repetition level of each table's list. */
export const LIST_OF: Readonly<Record<Level, number>> = {
  trace: 0,
  resource: 1,
  scope: 2,
  span: 3,
  event: 4,
  link: 4,
}
/** A column in which every row of the table has a value. */
export const COUNTED_BY: Readonly<Record<Exclude<Level, 'trace'>, string>> = {
  resource: `${RESOURCE}.ServiceName`,
  scope: `${SCOPE}.Name`,
  span: `${SPAN}.SpanID`,
  event: `${EVENT}.Name`,
  link: `${LINK}.TraceID`,
}

export type FieldColumn =
  | { readonly path: string; readonly kind: 'text' | 'int' }
  | { readonly path: string; readonly kind: 'id'; readonly width: number }

const text = (path: string): FieldColumn => ({ path, kind: 'text' })
const int = (path: string): FieldColumn => ({ path, kind: 'int' })
const id = (path: string, width: number): FieldColumn => ({ path, kind: 'id', width })

/** What Tempo keeps; schema URLs and flags it does not. `event.time` is relative to the span's start. */
export const COLUMN_OF: Partial<Readonly<Record<FieldName, FieldColumn>>> = {
  'trace.id': id('TraceID', 16),
  'trace.start': int('StartTimeUnixNano'),
  'trace.end': int('EndTimeUnixNano'),
  'trace.rootService': text('RootServiceName'),
  'trace.rootName': text('RootSpanName'),
  'resource.droppedAttributes': int(`${RESOURCE}.DroppedAttributesCount`),
  'scope.name': text(`${SCOPE}.Name`),
  'scope.version': text(`${SCOPE}.Version`),
  'scope.droppedAttributes': int(`${SCOPE}.DroppedAttributesCount`),
  'span.id': id(`${SPAN}.SpanID`, 8),
  'span.parentId': id(`${SPAN}.ParentSpanID`, 8),
  'span.start': int(`${SPAN}.StartTimeUnixNano`),
  'span.duration': int(`${SPAN}.DurationNano`),
  'span.name': text(`${SPAN}.Name`),
  'span.kind': int(`${SPAN}.Kind`),
  'span.status': int(`${SPAN}.StatusCode`),
  'span.statusMessage': text(`${SPAN}.StatusMessage`),
  'span.traceState': text(`${SPAN}.TraceState`),
  'span.droppedAttributes': int(`${SPAN}.DroppedAttributesCount`),
  'span.droppedEvents': int(`${SPAN}.DroppedEventsCount`),
  'span.droppedLinks': int(`${SPAN}.DroppedLinksCount`),
  'event.time': int(`${EVENT}.TimeSinceStartNano`),
  'event.name': text(`${EVENT}.Name`),
  'event.droppedAttributes': int(`${EVENT}.DroppedAttributesCount`),
  'link.traceId': text(`${LINK}.TraceID`),
  'link.spanId': text(`${LINK}.SpanID`),
  'link.traceState': text(`${LINK}.TraceState`),
  'link.droppedAttributes': int(`${LINK}.DroppedAttributesCount`),
}

export const SERVICE_NAME = 'service.name'

/** An attribute that has a column of its own. */
export interface OwnColumn {
  readonly key: string
  readonly type: 'string' | 'int'
  readonly path: string
  /** The empty text is no value: the column has one for every row. */
  readonly emptyIsAbsent: boolean
}

export type OwnedColumns = Readonly<Record<AttributeLevel, readonly OwnColumn[]>>

/** vParquet3 and 4: attributes with columns of their own whatever meta.json says. */
const STATIC: Partial<Readonly<Record<AttributeLevel, readonly (readonly [string, string])[]>>> = {
  resource: [
    ['cluster', 'Cluster'],
    ['namespace', 'Namespace'],
    ['pod', 'Pod'],
    ['container', 'Container'],
    ['k8s.cluster.name', 'K8sClusterName'],
    ['k8s.namespace.name', 'K8sNamespaceName'],
    ['k8s.pod.name', 'K8sPodName'],
    ['k8s.container.name', 'K8sContainerName'],
  ],
  span: [
    ['http.method', 'HttpMethod'],
    ['http.url', 'HttpUrl'],
    ['http.status_code', 'HttpStatusCode'],
  ],
}

/** The columns of a level that the file has, in the order of meta.json. */
export function ownColumns(
  dedicated: readonly DedicatedColumn[],
  level: AttributeLevel,
  has: (path: string) => boolean,
): OwnColumn[] {
  const group = GROUP_OF[level]
  const columns: OwnColumn[] = []
  if (level === 'resource') {
    const path = `${group}.ServiceName`
    columns.push({ key: SERVICE_NAME, type: 'string', path, emptyIsAbsent: true })
  }
  for (const [key, name] of STATIC[level] ?? []) {
    const type = name === 'HttpStatusCode' ? 'int' : 'string'
    columns.push({ key, type, path: `${group}.${name}`, emptyIsAbsent: false })
  }
  const numbers = { string: 0, int: 0 }
  for (const { s = 'span', n: key, t: type = 'string' } of dedicated) {
    if (s !== level) continue
    const name = type === 'string' ? 'String' : 'Int'
    const number = String(++numbers[type]).padStart(2, '0')
    const path = `${group}.DedicatedAttributes.${name}${number}`
    columns.push({ key, type, path, emptyIsAbsent: false })
  }
  return columns.filter(({ path }) => has(path))
}

const SCOPES = new Set<unknown>(['resource', 'span', 'event', undefined])
const TYPES = new Set<unknown>(['string', 'int', undefined])

/** What meta.json says of dedicated columns, or the sentence that says what is wrong with it. Others' types are left out, as by Tempo. */
export function dedicatedOf(meta: BlockMeta): readonly DedicatedColumn[] | string {
  const columns: unknown = meta.dedicatedColumns ?? []
  if (!Array.isArray(columns)) return 'dedicatedColumns is no list'
  const isWhole = (column: unknown): column is DedicatedColumn =>
    typeof column === 'object' && column !== null && 'n' in column && typeof column.n === 'string'
  if (!columns.every(isWhole)) return 'a dedicated column has no name'
  return columns.filter(({ s, t }) => SCOPES.has(s) && TYPES.has(t))
}
