/**
 * Owns which attributes have columns of their own: the static ones of vParquet4, and those that a block's meta.json assigns
 * to numbered columns, by default Tempo's. The order in meta.json gives the numbers.
 */
import type { AttributeKey } from '../../../otlp/columns.js'
import type { ColumnSetting } from '../../../config/dedicated-columns.js'
import type { DedicatedColumn } from '../../block/encoding.js'
import type { Version } from './schema.js'

export type Scope = 'resource' | 'span' | 'event'

export interface AssignedColumn {
  readonly key: string
  readonly type: 'string' | 'int'
  /** `String01`, `Int01`. */
  readonly column: string
  readonly isBlob: boolean
}

export interface DedicatedMapping {
  /** In the order of the schema. Those of vParquet4 that no attribute is assigned to have an empty key. */
  readonly columns: readonly AssignedColumn[]
  /** Arrays go there too (vParquet5). */
  readonly isRepeated: boolean
}

const STRINGS_4 = 10
const STRINGS_5 = 20
const INTS_5 = 5

/** Tempo's defaults, in its order: blocks are compacted together only when they have the same. */
export const DEFAULT_DEDICATED_COLUMNS: readonly DedicatedColumn[] = [
  { s: 'resource', n: 'k8s.cluster.name' },
  { s: 'resource', n: 'k8s.namespace.name' },
  { s: 'resource', n: 'k8s.pod.name' },
  { s: 'resource', n: 'k8s.container.name' },
  { n: 'http.request.method' },
  { n: 'http.response.status_code', t: 'int' },
  { n: 'url.path' },
  { n: 'url.route' },
  { n: 'server.address' },
  { n: 'server.port', t: 'int' },
  { n: 'http.method' },
  { n: 'http.url' },
  { n: 'http.route' },
  { n: 'http.status_code', t: 'int' },
]

/** vParquet4's static columns, by scope: attribute, its type, column. */
export const STATIC_4: Readonly<Record<'resource' | 'span', readonly AssignedColumn[]>> = {
  resource: [
    fixed('cluster', 'Cluster'),
    fixed('namespace', 'Namespace'),
    fixed('pod', 'Pod'),
    fixed('container', 'Container'),
    fixed('k8s.cluster.name', 'K8sClusterName'),
    fixed('k8s.namespace.name', 'K8sNamespaceName'),
    fixed('k8s.pod.name', 'K8sPodName'),
    fixed('k8s.container.name', 'K8sContainerName'),
  ],
  span: [
    fixed('http.method', 'HttpMethod'),
    fixed('http.url', 'HttpUrl'),
    { ...fixed('http.status_code', 'HttpStatusCode'), type: 'int' },
  ],
}

function fixed(key: string, column: string): AssignedColumn {
  return { key, type: 'string', column, isBlob: false }
}

export const SERVICE_NAME = 'service.name'

/** Those that a block of this version can have; the others Tempo leaves out of its meta.json too. */
export function usable(version: Version, columns: readonly DedicatedColumn[]): DedicatedColumn[] {
  if (version === 'vParquet5') return [...columns]
  return columns.filter(({ s = 'span', n, t = 'string', o = [] }) => {
    if (o.length > 0 || s === 'event' || t !== 'string') return false
    if (s === 'resource' && n === SERVICE_NAME) return false
    return !STATIC_4[s].some(({ key, type }) => key === n && type === t)
  })
}

/** As meta.json has what the configuration says. */
export function columnsOf(settings: readonly ColumnSetting[]): DedicatedColumn[] {
  return settings.map(({ scope, name, type, options = [] }) => ({
    ...(scope !== 'span' && { s: scope }),
    n: name,
    ...(type !== 'string' && { t: type }),
    ...(options.length > 0 && { o: options }),
  }))
}

/** The numbered columns of a scope. */
export function mappingOf(
  version: Version,
  columns: readonly DedicatedColumn[],
  scope: Scope,
): DedicatedMapping {
  const isNew = version === 'vParquet5'
  const inScope = columns.filter(({ s = 'span' }) => s === scope)
  const numbered = (type: 'string' | 'int', name: string, most: number): AssignedColumn[] =>
    inScope
      .filter(({ t = 'string' }) => t === type)
      .slice(0, most)
      .map(({ n, o = [] }, i) => ({ key: n, type, column: numberOf(name, i), isBlob: o.includes('blob') })) // prettier-ignore
  const strings = numbered('string', 'String', isNew ? STRINGS_5 : STRINGS_4)
  if (isNew) {
    return { columns: [...strings, ...numbered('int', 'Int', INTS_5)], isRepeated: true }
  }
  if (scope === 'event') return { columns: [], isRepeated: false }
  const unused = Array.from({ length: STRINGS_4 - strings.length }, (_, i) =>
    fixed('', numberOf('String', strings.length + i)),
  )
  return { columns: [...strings, ...unused], isRepeated: false }
}

const numberOf = (name: string, i: number) => `${name}${String(i + 1).padStart(2, '0')}`

/** The name of the column that takes values of this attribute; undefined = the generic ones do. */
export function columnFor(
  key: AttributeKey,
  columns: readonly AssignedColumn[],
): AssignedColumn | undefined {
  return columns.find((assigned) => assigned.key === key.key && assigned.type === key.type)
}
