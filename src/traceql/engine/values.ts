/** Owns reading a value span by span, for what is not a plain comparison: grouping, aggregates, arithmetic, returned attributes. */
import { toHex } from '../../lib/bytes.js'
import type { AttributeColumn, IntColumn, StringColumn } from '../../otlp/columns.js'
import type { AttributeExpr, Intrinsic } from '../ast.js'
import { NIL, staticBool, staticDuration, staticFloat, staticInt, staticString } from '../static.js'
import type { Static } from '../static.js'
import { decodeArray } from './any-value.js'
import { SERVICE_NAME } from './conditions.js'
import { LEVEL_OF, VALUE_TYPES } from './view.js'
import type { AttributeLevel, GroupView } from './view.js'

export type Reader = (row: number) => Static

const EMPTY = staticString('')
const ALWAYS_NIL: Reader = () => NIL
const ALWAYS_EMPTY: Reader = () => EMPTY

/** Tempo writes trace ids without leading zeros, and a zero id as the empty text. */
export const traceIdText = (id: Uint8Array): string => toHex(id).replace(/^0+/, '')
/** Span ids have all 16 digits; shorter ids are padded. */
export const spanIdText = (id: Uint8Array): string => toHex(id).padStart(16, '0').slice(-16)

export const int64At = ({ lo, hi }: IntColumn, row: number): bigint =>
  (BigInt(hi[row]! | 0) << 32n) | BigInt(lo[row]!)
export const uint64At = ({ lo, hi }: IntColumn, row: number): bigint =>
  (BigInt(hi[row]!) << 32n) | BigInt(lo[row]!)

/** The value of an attribute by span row. Of several events or links the first that has it counts. */
export async function readerOf(view: GroupView, a: AttributeExpr): Promise<Reader> {
  if (a.intrinsic !== undefined) return intrinsicReader(view, a.intrinsic)
  if (a.scope === 'none') {
    const [span, resource] = await Promise.all([
      levelReader(view, 'span', a.name),
      levelReader(view, 'resource', a.name),
    ])
    const lifted = await liftReader(view, 'resource', resource)
    return (row) => {
      const value = span(row)
      return value.type === 'nil' ? lifted(row) : value
    }
  }
  const level = LEVEL_OF[a.scope]
  return liftReader(view, level, await levelReader(view, level, a.name))
}

/** From rows of a level to rows of spans. */
async function liftReader(view: GroupView, level: AttributeLevel, read: Reader): Promise<Reader> {
  if (level === 'span' || read === ALWAYS_NIL) return read
  if (level === 'event' || level === 'link') {
    const offsets = await view.offsets(level)
    return (row) => {
      for (let i = offsets[row]!; i < offsets[row + 1]!; i++) {
        const value = read(i)
        if (value.type !== 'nil') return value
      }
      return NIL
    }
  }
  const parents = await view.parents()
  const rows = parents[level]
  return (row) => read(rows[row]!)
}

/** The value of a key by row of its own level. */
export async function levelReader(
  view: GroupView,
  level: AttributeLevel,
  key: string,
): Promise<Reader> {
  const columns = await Promise.all(VALUE_TYPES.map((type) => view.attribute(level, key, type)))
  const readers = columns.filter((c) => c !== undefined).map(columnReader)
  const missing = level === 'resource' && key === SERVICE_NAME ? EMPTY : NIL
  if (readers.length === 0) return missing === NIL ? ALWAYS_NIL : ALWAYS_EMPTY
  const [only] = readers
  if (readers.length === 1 && only && missing === NIL) return only
  return (row) => {
    for (const read of readers) {
      const value = read(row)
      if (value.type !== 'nil') return value
    }
    return missing
  }
}

function columnReader(column: AttributeColumn): Reader {
  switch (column.type) {
    case 'string':
      return stringReader(column, NIL)
    case 'int':
      return intReader(column, 'int')
    case 'float': {
      const { values, present } = column
      return (row) => (present?.[row] === 0 ? NIL : staticFloat(values[row]!))
    }
    case 'bool':
      return (row) => (column.values[row] === 0 ? NIL : staticBool(column.values[row] === 2))
    case 'any': {
      const known = new Map<number, Static>()
      return byCode(
        column.codes,
        known,
        (code) => decodeArray(column.dictionary.bytes(code)) ?? NIL,
      )
    }
  }
}

function byCode(
  codes: Uint32Array,
  known: Map<number, Static>,
  make: (code: number) => Static,
): Reader {
  return (row) => {
    const code = codes[row]!
    if (code === 0) return NIL
    let value = known.get(code)
    if (!value) known.set(code, (value = make(code)))
    return value
  }
}

function stringReader(column: StringColumn | undefined, missing: Static): Reader {
  if (!column) return missing.type === 'nil' ? ALWAYS_NIL : ALWAYS_EMPTY
  const { codes, dictionary } = column
  const read = byCode(codes, new Map(), (code) => staticString(dictionary.text(code)))
  return missing.type === 'nil' ? read : (row) => (codes[row] === 0 ? missing : read(row))
}

function intReader(column: IntColumn, type: 'int' | 'duration'): Reader {
  const { present } = column
  return (row) => (present?.[row] === 0 ? NIL : { type, value: int64At(column, row) })
}

const FIELD_OF = {
  name: 'span.name',
  statusMessage: 'span.statusMessage',
  rootName: 'trace.rootName',
  rootServiceName: 'trace.rootService',
  'instrumentation:name': 'scope.name',
  'instrumentation:version': 'scope.version',
  'event:name': 'event.name',
} as const

async function throughTrace(view: GroupView, read: Reader): Promise<Reader> {
  const { trace } = await view.parents()
  return (row) => read(trace[row]!)
}

/** The first event's or link's own value. */
async function throughList(
  view: GroupView,
  level: 'event' | 'link',
  read: Reader,
): Promise<Reader> {
  const offsets = await view.offsets(level)
  return (row) => (offsets[row] === offsets[row + 1] ? NIL : read(offsets[row]!))
}

async function intrinsicReader(view: GroupView, intrinsic: Intrinsic): Promise<Reader> {
  switch (intrinsic) {
    case 'name':
    case 'statusMessage':
      return stringReader(await view.field(FIELD_OF[intrinsic]), EMPTY)
    case 'rootName':
    case 'rootServiceName':
      return throughTrace(view, stringReader(await view.field(FIELD_OF[intrinsic]), EMPTY))
    case 'instrumentation:name':
    case 'instrumentation:version':
      return liftReader(view, 'scope', stringReader(await view.field(FIELD_OF[intrinsic]), EMPTY))
    case 'duration': {
      const column = await view.field('span.duration')
      return column ? intReader(column, 'duration') : () => staticDuration(0n)
    }
    case 'traceDuration':
      return throughTrace(view, intReader(await view.traceDurations(), 'duration'))
    case 'status':
    case 'kind': {
      const column = await view.field(intrinsic === 'status' ? 'span.status' : 'span.kind')
      return (row) => ({ type: intrinsic, value: column ? column.lo[row]! : 0 })
    }
    case 'nestedSetLeft':
    case 'nestedSetRight':
    case 'nestedSetParent':
    case 'span:childCount': {
      const values = (await view.nestedSets())[NESTED[intrinsic]]
      return (row) => staticInt(BigInt(values[row]!))
    }
    case 'trace:id':
    case 'span:id':
    case 'span:parentID':
      return idReader(view, intrinsic)
    case 'event:name':
    case 'event:timeSinceStart':
    case 'link:traceID':
    case 'link:spanID':
      return throughList(
        view,
        intrinsic.startsWith('event') ? 'event' : 'link',
        await ownReader(view, intrinsic),
      )
    case 'parent':
      return ALWAYS_NIL
  }
}

export const NESTED = {
  nestedSetLeft: 'left',
  nestedSetRight: 'right',
  nestedSetParent: 'parent',
  'span:childCount': 'childCount',
} as const

async function idReader(
  view: GroupView,
  intrinsic: 'trace:id' | 'span:id' | 'span:parentID',
): Promise<Reader> {
  const field = { 'trace:id': 'trace.id', 'span:id': 'span.id', 'span:parentID': 'span.parentId' }
  const column = await view.field(field[intrinsic] as 'trace.id' | 'span.id' | 'span.parentId')
  const textOf = intrinsic === 'trace:id' ? traceIdText : spanIdText
  const width = intrinsic === 'trace:id' ? 16 : 8
  const none = staticString(textOf(new Uint8Array(width)))
  const read: Reader = column
    ? (row) => staticString(textOf(column.bytes.subarray(row * width, (row + 1) * width)))
    : () => none
  return intrinsic === 'trace:id' ? throughTrace(view, read) : read
}

export type ListIntrinsic = 'event:name' | 'event:timeSinceStart' | 'link:traceID' | 'link:spanID'

/** An event's or link's intrinsic by its own row. */
export async function ownReader(view: GroupView, intrinsic: ListIntrinsic): Promise<Reader> {
  if (intrinsic === 'event:name') return stringReader(await view.field('event.name'), EMPTY)
  if (intrinsic === 'event:timeSinceStart')
    return intReader(await view.timesSinceStart(), 'duration')
  const column = await view.field(intrinsic === 'link:traceID' ? 'link.traceId' : 'link.spanId')
  const textOf = intrinsic === 'link:traceID' ? traceIdText : spanIdText
  const none = staticString(textOf(new Uint8Array(0)))
  if (!column) return () => none
  const read = byCode(column.codes, new Map(), (code) =>
    staticString(textOf(column.dictionary.bytes(code))),
  )
  return (row) => (column.codes[row] === 0 ? none : read(row))
}
