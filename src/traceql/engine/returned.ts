/** Owns which attributes a found span is returned with: those that the query asks of, where their values let the span be seen. */
import { attributeOf, intrinsicOf } from '../ast.js'
import type { AttributeExpr, Intrinsic } from '../ast.js'
import { printAttribute } from '../print.js'
import { NIL, staticString } from '../static.js'
import type { Static } from '../static.js'
import { seenPart } from './conditions.js'
import type { Condition, Conditions } from './conditions.js'
import { levelReader, ownReader, readerOf } from './values.js'
import { LEVEL_OF } from './view.js'
import type { ListIntrinsic, Reader } from './values.js'
import type { GroupView } from './view.js'

/** These have places of their own in an answer. */
const NOT_RETURNED: ReadonlySet<Intrinsic> = new Set<Intrinsic>([
  'name',
  'duration',
  'traceDuration',
  'rootName',
  'rootServiceName',
  'trace:id',
  'span:id',
])

export interface ReturnedAttribute {
  /** With its scope, for labels of exemplars. */
  readonly attribute: AttributeExpr
  readonly read: Reader
}

const FETCH: readonly Condition[] = [{ op: 'fetch', operand: undefined }]

/** Readers of what is returned; a reader gives nil where the query did not see a value. */
export async function returnedAttributes(
  view: GroupView,
  conditions: Conditions,
): Promise<ReturnedAttribute[]> {
  const wanted = new Map<string, { attribute: AttributeExpr; seenBy: readonly Condition[] }>()
  const want = (attribute: AttributeExpr, seenBy: readonly Condition[]) =>
    wanted.set(printAttribute(attribute), { attribute, seenBy })
  for (const { attribute, conditions: own } of conditions.byAttribute.values()) {
    const { intrinsic } = attribute
    if (intrinsic !== undefined) want(attribute, conditions.structural.has(intrinsic) ? FETCH : own)
    else for (const a of placesOf(attribute)) want(a, conditions.seenBy(a, levelOf(a)))
  }
  for (const selected of conditions.selected) {
    for (const attribute of placesOf(selected)) want(attribute, FETCH)
  }
  const shown = [...wanted.values()].filter(
    ({ attribute: { intrinsic } }) => intrinsic === undefined || !NOT_RETURNED.has(intrinsic),
  )
  return Promise.all(shown.map(({ attribute, seenBy }) => seenReader(view, attribute, seenBy)))
}

/** An unscoped attribute is looked for, and returned, in two places. */
const placesOf = (a: AttributeExpr): readonly AttributeExpr[] =>
  a.scope === 'none' && a.intrinsic === undefined
    ? [attributeOf('span', a.name), attributeOf('resource', a.name)]
    : [a]

const levelOf = (a: AttributeExpr) => (a.scope === 'none' ? 'span' : LEVEL_OF[a.scope])

/** The span's name, where the query sees it. */
export async function nameReader(
  view: GroupView,
  conditions: Conditions,
): Promise<Reader | undefined> {
  const name = intrinsicOf('name')
  const isSelected = conditions.selected.some((a) => a.intrinsic === 'name')
  const seenBy = isSelected ? FETCH : conditions.of(name)
  if (seenBy.length === 0) return undefined
  return (await seenReader(view, name, seenBy)).read
}

const NIL_TEXT = staticString('nil')

async function seenReader(
  view: GroupView,
  attribute: AttributeExpr,
  seenBy: readonly Condition[],
): Promise<ReturnedAttribute> {
  const isIntrinsic = attribute.intrinsic !== undefined
  // Where absence was asked for, absence is what is returned.
  const missing = seenBy.some(({ op }) => op === 'not exists') ? NIL_TEXT : NIL
  const seen = (value: Static): Static =>
    value.type === 'nil' ? missing : seenPart(seenBy, value, isIntrinsic)
  const prefix = attribute.intrinsic?.split(':')[0] ?? attribute.scope
  if (prefix !== 'event' && prefix !== 'link') {
    const read = await readerOf(view, attribute)
    return { attribute, read: (row) => seen(read(row)) }
  }
  const offsets = await view.offsets(prefix)
  const read = isIntrinsic
    ? await ownReader(view, attribute.intrinsic as ListIntrinsic)
    : await levelReader(view, LEVEL_OF[prefix], attribute.name)
  const last: Reader = (row) => {
    for (let i = offsets[row + 1]! - 1; i >= offsets[row]!; i--) {
      const value = seen(read(i))
      if (value.type !== 'nil') return value
    }
    return NIL
  }
  return { attribute, read: last }
}
