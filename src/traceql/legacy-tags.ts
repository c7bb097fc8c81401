/** Owns the search of before TraceQL: `tags=` in logfmt with minDuration and maxDuration, as a TraceQL query with the same meaning. */
import { ValidationError } from './errors.js'
import { parseGoDuration_ns, unquoteGo } from './literals.js'
import { printAttribute, printField } from './print.js'
import { attributeOf, intrinsicOf } from './ast.js'
import type { AttributeExpr, CompareOp, FieldExpr } from './ast.js'
import { STATUS_NAMES, durationText, staticString } from './static.js'
import { quoteRegex } from './regex.js'

/** Tags that mean a certain place; their values match anywhere in the text. */
const PLACES: ReadonlyMap<string, AttributeExpr> = new Map([
  ['root.name', intrinsicOf('rootName')],
  ['root.service.name', intrinsicOf('rootServiceName')],
  ['name', intrinsicOf('name')],
  ...[
    'service.name',
    'cluster',
    'namespace',
    'pod',
    'container',
    'k8s.cluster.name',
    'k8s.namespace.name',
    'k8s.pod.name',
    'k8s.container.name',
  ].map((key) => [key, attributeOf('resource', key)] as const),
  ['http.method', attributeOf('span', 'http.method')],
  ['http.url', attributeOf('span', 'http.url')],
])

/** A query text; `{}` when nothing is asked. Throws ValidationError with Tempo's words for bad input. */
export function legacyTagsToQuery(tags: string, minDuration: string, maxDuration: string): string {
  const filters = [...parseLogfmt(tags)].map(([key, value]) => `{ ${tagFilter(key, value)} }`)
  const least = durationParam('minDuration', minDuration)
  const most = durationParam('maxDuration', maxDuration)
  if (most !== undefined && least !== undefined && least > most) {
    throw new ValidationError('invalid maxDuration: must be greater than minDuration')
  }
  if (least !== undefined) filters.push(durationFilter('>=', least))
  if (most !== undefined) filters.push(durationFilter('<=', most))
  return filters.length === 0 ? '{}' : filters.join(' && ')
}

const durationFilter = (op: CompareOp, value_ms: bigint): string =>
  `{ traceDuration ${op} ${durationText(value_ms * 1_000_000n)} }`

/** Milliseconds; undefined when the parameter is not given or 0, which is no bound. */
function durationParam(name: string, text: string): bigint | undefined {
  if (text === '') return undefined
  const ns = parseGoDuration_ns(text)
  if (ns === undefined) throw new ValidationError(`invalid ${name}: "${text}" is no duration`)
  const ms = ns / 1_000_000n
  return ms > 0n ? ms : undefined
}

function tagFilter(key: string, value: string): string {
  if (key === 'status.code') {
    const known = (STATUS_NAMES as readonly string[]).includes(value)
    return `status = ${known ? value : 'unset'}`
  }
  if (key === 'http.status_code' && /^[+-]?\d{1,18}$/.test(value)) {
    return `span.http.status_code = ${value}`
  }
  const place = PLACES.get(key)
  if (place) return comparison(place, '=~', `.*${quoteRegex(value)}.*`)
  return comparison(attributeOf('none', key), '=', value)
}

function comparison(attribute: AttributeExpr, op: '=' | '=~', text: string): string {
  const value: FieldExpr = { kind: 'static', value: staticString(text) }
  // Backticks cannot hold backticks, quotes can hold all.
  const printed =
    text.includes('`') || text.includes('\r') ? JSON.stringify(text) : printField(value)
  return `${printAttribute(attribute)} ${op} ${printed}`
}

/** `a=b c="d e"`, as go-logfmt reads it; a key without a value has the empty text. */
function parseLogfmt(text: string): Map<string, string> {
  const tags = new Map<string, string>()
  const pair = /[\s]*(?:([^\s="]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"=]*))?)(?=\s|$)/y
  let at = 0
  while (text.slice(at).trim() !== '') {
    pair.lastIndex = at
    const match = pair.exec(text)
    if (!match)
      throw new ValidationError(
        `invalid tags: unexpected text at pos ${at + 1}: ${text.slice(at, at + 20)}`,
      )
    const [whole, key, raw = ''] = match
    const value = raw.startsWith('"') ? unquoteGo(raw) : raw
    if (value === undefined) throw new ValidationError(`invalid tags: bad quotes at pos ${at + 1}`)
    if (tags.has(key!)) throw new ValidationError(`invalid tags: tag ${key!} has been set twice`)
    tags.set(key!, value)
    at += whole.length
  }
  return tags
}
