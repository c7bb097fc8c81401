/** Owns which attributes a found span is returned with: those that the query asks of, where their values let the span be seen. */
import { attributeOf } from '../ast.js'
import type { AttributeExpr, Intrinsic } from '../ast.js'
import { printAttribute } from '../print.js'
import { NIL, staticString } from '../static.js'
import type { Static } from '../static.js'
import { isSeen } from './conditions.js'
import type { Condition, Conditions } from './conditions.js'
import { LEVEL_OF, levelReader, ownReader, readerOf } from './values.js'
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
  const wanted = new Map<string, { attribute: AttributeExpr; conditions: readonly Condition[] }>()
  for (const entry of conditions.byAttribute.values()) {
    wanted.set(printAttribute(entry.attribute), entry)
  }
  for (const attribute of conditions.selected) {
    wanted.set(printAttribute(attribute), { attribute, conditions: FETCH })
  }
  const out: ReturnedAttribute[] = []
  for (const { attribute, conditions: asked } of wanted.values()) {
    const { intrinsic } = attribute
    if (intrinsic !== undefined && NOT_RETURNED.has(intrinsic)) continue
    if (attribute.scope === 'none' && intrinsic === undefined) {
      for (const scope of ['span', 'resource'] as const) {
        out.push(await seenReader(view, attributeOf(scope, attribute.name), asked))
      }
    } else out.push(await seenReader(view, attribute, asked))
  }
  return out
}

const NIL_TEXT = staticString('nil')

async function seenReader(
  view: GroupView,
  attribute: AttributeExpr,
  asked: readonly Condition[],
): Promise<ReturnedAttribute> {
  const isIntrinsic = attribute.intrinsic !== undefined
  // Where absence was asked for, absence is what is returned.
  const missing = asked.some(({ op }) => op === 'not exists') ? NIL_TEXT : NIL
  const seen = (value: Static): Static =>
    value.type === 'nil' ? missing : isSeen(asked, value, isIntrinsic) ? value : NIL
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
