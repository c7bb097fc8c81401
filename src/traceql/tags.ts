/** Owns autocompletion: names of attributes by scope and the values of one, of a source, filtered by a query when one is given. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { systemClock } from '../lib/time.js'
import type { ColumnSource } from '../otlp/columns.js'
import type { AttributeExpr, Scope, SpansetFilter } from './ast.js'
import { attributeOf, intrinsicOf } from './ast.js'
import { Conditions } from './engine/conditions.js'
import { FilterEvaluator } from './engine/filter.js'
import { levelReader, ownReader, readerOf } from './engine/values.js'
import type { ListIntrinsic, Reader } from './engine/values.js'
import { GroupView, LEVEL_OF } from './engine/view.js'
import type { AttributeLevel } from './engine/view.js'
import { ValidationError } from './errors.js'
import { parse } from './parser.js'
import type {
  MetadataMetrics,
  TagNamesResponse,
  TagNamesV2Response,
  TagValuesResponse,
  TagValuesV2Response,
} from './response.js'
import { withoutZeros } from './response.js'
import { elementsOf, staticText } from './static.js'
import type { Static } from './static.js'
import { fieldProblem } from './validate-field.js'
import { isQueryError } from './errors.js'

export type TagScope = Exclude<Scope, 'none'>
const SCOPES: readonly TagScope[] = ['resource', 'span', 'event', 'link', 'instrumentation']

/** What Tempo lists as intrinsics; the numbering of trees is left out there too. */
export const INTRINSIC_TAGS: readonly string[] = [
  'duration',
  'event:name',
  'event:timeSinceStart',
  'instrumentation:name',
  'instrumentation:version',
  'kind',
  'link:spanID',
  'link:traceID',
  'name',
  'rootName',
  'rootServiceName',
  'span:duration',
  'span:id',
  'span:kind',
  'span:name',
  'span:parentID',
  'span:status',
  'span:statusMessage',
  'status',
  'statusMessage',
  'trace:duration',
  'trace:id',
  'trace:rootName',
  'trace:rootService',
  'traceDuration',
]

export interface TagNamesPartial {
  readonly scopes: Readonly<Partial<Record<TagScope, readonly string[]>>>
  readonly inspected_bytes: number
  readonly truncated: boolean
}
export interface TagValue {
  readonly type: string
  readonly value: string
}
export interface TagValuesPartial {
  readonly values: readonly TagValue[]
  readonly inspected_bytes: number
  readonly truncated: boolean
}

export interface TagOptions {
  readonly start_ns?: bigint | undefined
  readonly end_ns?: bigint | undefined
  /** Bytes of names or values to gather at most; 0 = no limit. */
  readonly max_bytes?: number
  readonly deadline?: (() => boolean) | undefined
}

/** Gathers texts until they weigh too much. */
class Gatherer<T> {
  readonly #seen = new Map<string, T>()
  readonly #max_bytes: number
  #bytes = 0
  isFull = false
  constructor(max_bytes: number) {
    this.#max_bytes = max_bytes
  }
  has(key: string): boolean {
    return this.#seen.has(key)
  }
  add(key: string, value: T, weight = Buffer.byteLength(key)): void {
    if (this.isFull || this.#seen.has(key)) return
    if (this.#max_bytes > 0 && this.#bytes + weight > this.#max_bytes) {
      this.isFull = true
      return
    }
    this.#bytes += weight
    this.#seen.set(key, value)
  }
  values(): T[] {
    return [...this.#seen.values()]
  }
}

/** '' and 'none' mean all scopes; 'intrinsic' has none in the data. Throws ValidationError for any other word. */
export function scopesOf(scope: string): readonly TagScope[] {
  if (scope === '' || scope === 'none') return SCOPES
  if (scope === 'intrinsic' || scope === 'trace') return []
  const found = SCOPES.find((s) => s === scope)
  if (!found) {
    throw new ValidationError(
      `unknown scope: ${scope} (expecting ${SCOPES.join(', ')}, intrinsic or none)`,
    )
  }
  return [found]
}

/** The filter of a tag query. Half-typed queries are common here, so what does not parse is cut down, at worst to no filter. */
export function parseTagFilter(query: string): SpansetFilter | undefined {
  const text = query.trim()
  if (text === '') return undefined
  return tryFilter(text) ?? tryFilter(completeMatchers(text))
}

function tryFilter(text: string): SpansetFilter | undefined {
  if (text === '') return undefined
  try {
    const [first] = parse(text).pipeline?.stages ?? []
    if (first?.kind !== 'filter' || fieldProblem(first.expr)) return undefined
    const isAll = first.expr.kind === 'static' || first.expr.kind === 'attribute'
    return isAll ? undefined : first
  } catch (error) {
    if (isQueryError(error)) return undefined
    throw error
  }
}

const MATCHER =
  /(?:(?:resource|span|event|link|instrumentation)?\.(?:[^\s{}()=~!<>&|^,"]|"(?:[^"\\]|\\.)*")+|(?:[a-z]+:)?[a-zA-Z]+)\s*(?:!=|=~|!~|>=|<=|=|>|<)\s*(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[\w.]+)/g

/** The pattern's work grows with the square of the text; nobody has typed half of a query this long. */
const MAX_COMPLETED_CHARS = 4096

/** `{ .a = "x" && .b = }` as `{ .a = "x" }`; a query with `||` is not cut, since that would change what it means. */
function completeMatchers(text: string): string {
  if (text.includes('||') || text.length > MAX_COMPLETED_CHARS) return ''
  const matchers = text.match(MATCHER) ?? []
  return matchers.length === 0 ? '' : `{ ${matchers.join(' && ')} }`
}

interface Filtered {
  readonly view: GroupView
  /** Undefined = all spans. */
  readonly mask: Uint8Array | undefined
}

/** The groups in range, each with the spans that the filter lets pass. */
async function* filteredGroups(
  source: ColumnSource,
  query: string,
  options: TagOptions,
): AsyncGenerator<Filtered> {
  const filter = parseTagFilter(query)
  const evaluator =
    filter && new FilterEvaluator(Conditions.of({ kind: 'pipeline', stages: [filter] }))
  const { start_ns, end_ns } = options
  for (let i = 0; i < source.groupCount; i++) {
    const group = await source.group(i)
    if (start_ns && end_ns && (group.minStart_ns > end_ns || group.maxEnd_ns < start_ns)) continue
    const view = new GroupView(group, source.dictionary)
    if (!filter || !evaluator) yield { view, mask: undefined }
    else {
      const mask = await evaluator.filter(view, filter.expr)
      if (mask?.includes(1)) yield { view, mask }
    }
    if (options.deadline?.()) return
  }
}

/** Rows of a level that belong to spans of the mask. */
async function rowsOf(
  { view, mask }: Filtered,
  level: AttributeLevel | 'trace',
): Promise<Uint8Array | undefined> {
  if (!mask || level === 'span') return mask
  const out = new Uint8Array(view.rows(level))
  if (level === 'event' || level === 'link') {
    const owners = await view.owners(level)
    for (let i = 0; i < out.length; i++) out[i] = mask[owners[i]!]!
    return out
  }
  const parents = (await view.parents())[level]
  for (let i = 0; i < mask.length; i++) if (mask[i] === 1) out[parents[i]!] = 1
  return out
}

export async function tagNamesOf(
  source: ColumnSource,
  scope = '',
  query = '',
  options: TagOptions = {},
): Promise<TagNamesPartial> {
  const before = source.inspected_bytes()
  const wanted = scopesOf(scope)
  const names = new Map(wanted.map((s) => [s, new Gatherer<string>(options.max_bytes ?? 0)]))
  for await (const filtered of filteredGroups(source, query, options)) {
    for (const [of, gatherer] of names) {
      await gatherNames(filtered, LEVEL_OF[of], gatherer, options.deadline)
    }
  }
  const scopes: Partial<Record<TagScope, readonly string[]>> = {}
  for (const [of, gatherer] of names) {
    const found = gatherer.values().sort()
    if (found.length > 0) scopes[of] = found
  }
  return {
    scopes,
    inspected_bytes: Math.max(0, source.inspected_bytes() - before),
    truncated: [...names.values()].some(({ isFull }) => isFull),
  }
}

/** Keys come from clients: with ten thousand of them, each looked for in every row, other queries must have their turn. */
const TURN_MS = 50

async function gatherNames(
  filtered: Filtered,
  level: AttributeLevel,
  out: Gatherer<string>,
  deadline: TagOptions['deadline'],
): Promise<void> {
  const { view } = filtered
  const rows = await rowsOf(filtered, level)
  let turnEnds_ms = systemClock.monotonic() + TURN_MS
  for (const { key } of await view.group.attributes(level)) {
    if (out.has(key) || out.isFull) continue
    if (!rows || (await occurs(view, level, key, rows))) out.add(key, key)
    if (systemClock.monotonic() < turnEnds_ms) continue
    await nextTurn()
    if (deadline?.()) return
    turnEnds_ms = systemClock.monotonic() + TURN_MS
  }
}

async function occurs(
  view: GroupView,
  level: AttributeLevel,
  key: string,
  rows: Uint8Array,
): Promise<boolean> {
  const read = await levelReader(view, level, key)
  return rows.some((wanted, row) => wanted === 1 && read(row).type !== 'nil')
}

/** What one tag is: an intrinsic or an attribute. Throws ValidationError when the name is neither. */
export function parseTag(tag: string): AttributeExpr {
  try {
    const [first] = parse(`{ ${tag} }`).pipeline?.stages ?? []
    if (first?.kind === 'filter' && first.expr.kind === 'attribute') return first.expr
  } catch (error) {
    if (!isQueryError(error)) throw error
  }
  throw new ValidationError(
    `invalid tag name: ${tag} (write .key, span.key, resource.key or an intrinsic)`,
  )
}

const V1_PLACES: ReadonlyMap<string, AttributeExpr> = new Map([
  ['name', intrinsicOf('name')],
  ['status.code', intrinsicOf('status')],
  ['rootName', intrinsicOf('rootName')],
  ['rootServiceName', intrinsicOf('rootServiceName')],
  ['root.name', intrinsicOf('rootName')],
  ['root.service.name', intrinsicOf('rootServiceName')],
  ['service.name', attributeOf('resource', 'service.name')],
])

/** Names of the first API are bare keys. */
export const parseTagV1 = (tag: string): AttributeExpr =>
  V1_PLACES.get(tag) ?? attributeOf('none', tag)

const IDS = new Set(['trace:id', 'span:id', 'span:parentID', 'link:traceID', 'link:spanID'])
const NO_VALUES = new Set(['duration', 'traceDuration', 'event:timeSinceStart', 'parent'])

/** Values of a tag (`span.http.method`, `name`); ids and durations have none worth listing. */
export async function tagValuesOf(
  source: ColumnSource,
  tag: string | AttributeExpr,
  query = '',
  options: TagOptions = {},
): Promise<TagValuesPartial> {
  const attribute = typeof tag === 'string' ? parseTag(tag) : tag
  const before = source.inspected_bytes()
  const out = new Gatherer<TagValue>(options.max_bytes ?? 0)
  const { intrinsic } = attribute
  if (intrinsic === 'status' || intrinsic === 'kind') {
    for (const value of KEYWORDS[intrinsic]) out.add(value, { type: 'keyword', value })
  } else if (intrinsic === undefined || !(IDS.has(intrinsic) || NO_VALUES.has(intrinsic))) {
    for await (const filtered of filteredGroups(source, query, options)) {
      await gatherValues(filtered, attribute, out)
      if (out.isFull) break
    }
  }
  return {
    values: out.values(),
    inspected_bytes: Math.max(0, source.inspected_bytes() - before),
    truncated: out.isFull,
  }
}

const KEYWORDS = {
  status: ['ok', 'error', 'unset'],
  kind: ['client', 'server', 'producer', 'consumer', 'internal', 'unspecified'],
} as const

async function gatherValues(
  filtered: Filtered,
  attribute: AttributeExpr,
  out: Gatherer<TagValue>,
): Promise<void> {
  for (const { read, level } of await readersOf(filtered.view, attribute)) {
    const rows = await rowsOf(filtered, level)
    const count = filtered.view.rows(level)
    let last: Static | undefined
    for (let row = 0; row < count && !out.isFull; row++) {
      if (rows && rows[row] !== 1) continue
      const value = read(row)
      // Readers give the same object for the same code: neighbours are often alike.
      if (value === last || value.type === 'nil') continue
      last = value
      for (const element of elementsOf(value)) addValue(element, out)
    }
  }
}

function addValue(value: Static, out: Gatherer<TagValue>): void {
  const text = staticText(value)
  const key = `${value.type} ${text}`
  if (!out.has(key))
    out.add(key, { type: value.type, value: text }, value.type.length + Buffer.byteLength(text))
}

interface LevelValues {
  readonly level: AttributeLevel | 'trace'
  readonly read: Reader
}

async function readersOf(view: GroupView, a: AttributeExpr): Promise<LevelValues[]> {
  if (a.intrinsic !== undefined) {
    const list = a.intrinsic.split(':')[0]
    if (list === 'event' || list === 'link') {
      return [{ level: list, read: await ownReader(view, a.intrinsic as ListIntrinsic) }]
    }
    return [{ level: 'span', read: await readerOf(view, a) }]
  }
  const levels: readonly AttributeLevel[] =
    a.scope === 'none' ? ['resource', 'span', 'scope'] : [LEVEL_OF[a.scope]]
  return Promise.all(
    levels.map(async (level) => ({ level, read: await levelReader(view, level, a.name) })),
  )
}

export function mergeTagNames(partials: readonly TagNamesPartial[], limit = 0): TagNamesPartial {
  const scopes: Partial<Record<TagScope, readonly string[]>> = {}
  let truncated = partials.some((p) => p.truncated)
  for (const scope of SCOPES) {
    const names = [...new Set(partials.flatMap((p) => p.scopes[scope] ?? []))].sort()
    if (limit > 0 && names.length > limit) truncated = true
    if (names.length > 0) scopes[scope] = limit > 0 ? names.slice(0, limit) : names
  }
  return { scopes, inspected_bytes: totalBytes(partials), truncated }
}

export function mergeTagValues(
  partials: readonly TagValuesPartial[],
  limit = 0,
  max_bytes = 0,
): TagValuesPartial {
  const out = new Gatherer<TagValue>(max_bytes)
  for (const { type, value } of partials.flatMap((p) => p.values)) {
    out.add(`${type} ${value}`, { type, value }, type.length + Buffer.byteLength(value))
  }
  const values = out.values().sort((a, b) => (a.type + a.value < b.type + b.value ? -1 : 1))
  const isOver = limit > 0 && values.length > limit
  return {
    values: isOver ? values.slice(0, limit) : values,
    inspected_bytes: totalBytes(partials),
    truncated: isOver || out.isFull || partials.some((p) => p.truncated),
  }
}

const totalBytes = (partials: readonly { inspected_bytes: number }[]): number =>
  partials.reduce((sum, p) => sum + p.inspected_bytes, 0)

const metricsOf = (p: { inspected_bytes: number }): MetadataMetrics =>
  withoutZeros({ inspectedBytes: String(p.inspected_bytes) })

/** Of /api/search/tags: all scopes in one list, without intrinsics. */
export function toTagNamesResponse(merged: TagNamesPartial): TagNamesResponse {
  const tagNames = [...new Set(Object.values(merged.scopes).flat())].sort()
  return { tagNames, metrics: metricsOf(merged) }
}

/** Of /api/v2/search/tags; intrinsics are listed when no scope or theirs is asked for. */
export function toTagNamesV2Response(merged: TagNamesPartial, scope = ''): TagNamesV2Response {
  const scopes = SCOPES.flatMap((name): { name: string; tags: readonly string[] }[] => {
    const tags = merged.scopes[name]
    return tags ? [{ name: name, tags }] : []
  })
  const asksIntrinsics = scope === '' || scope === 'none' || scope === 'intrinsic'
  if (asksIntrinsics) scopes.push({ name: 'intrinsic', tags: INTRINSIC_TAGS })
  return { scopes, metrics: metricsOf(merged) }
}

export function toTagValuesResponse(merged: TagValuesPartial): TagValuesResponse {
  return { tagValues: merged.values.map(({ value }) => value), metrics: metricsOf(merged) }
}

export function toTagValuesV2Response(merged: TagValuesPartial): TagValuesV2Response {
  return { tagValues: merged.values, metrics: metricsOf(merged) }
}
