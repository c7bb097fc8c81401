/** Owns meta.json: building it, writing it as Tempo does, and reading what Tempo or another version of us wrote. */
import { CorruptBlock } from './encoding.js'
import type { BlockMeta } from './encoding.js'

export const META_OBJECT = 'meta.json'
/** Tempo's marks on a block: replaced or past retention; and left alone by compaction while it is held elsewhere. */
export const COMPACTED_META_OBJECT = 'meta.compacted.json'
export const NOCOMPACT_OBJECT = 'nocompact.flg'

/** `<tenant>/<block id>/<name>` */
export function objectPath(tenant: string, blockId: string, name: string): string {
  return `${tenant}/${blockId}/${name}`
}

/** RFC 3339 with nanoseconds, without the zeros at the end, as Go prints it. */
export function formatTime(time_ns: bigint): string {
  const seconds = time_ns / 1_000_000_000n
  const nanos = (time_ns % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '')
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -5)
  return nanos === '' ? `${whole}Z` : `${whole}.${nanos}Z`
}

/** Nanoseconds since the epoch of an RFC 3339 time; undefined when the text is none. */
export function parseTime_ns(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!match) return undefined
  const ms = Date.parse(`${match[1]!}${match[3]!}`)
  if (Number.isNaN(ms)) return undefined
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))
}

/** Fields with their kind; `id` is a UUID, `count` a whole number that may be left out by another writer. */
const FIELDS: readonly (readonly [keyof BlockMeta, 'text' | 'id' | 'time' | 'count'])[] = [
  ['format', 'text'],
  ['blockID', 'id'],
  ['tenantID', 'text'],
  ['startTime', 'time'],
  ['endTime', 'time'],
  ['totalObjects', 'count'],
  ['totalSpans', 'count'],
  ['size', 'count'],
  ['compactionLevel', 'count'],
  ['indexPageSize', 'count'],
  ['totalRecords', 'count'],
  ['bloomShards', 'count'],
  ['footerSize', 'count'],
  ['replicationFactor', 'count'],
]
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The bytes of meta.json. */
export function serializeMeta(meta: BlockMeta): Uint8Array {
  return Buffer.from(JSON.stringify(meta))
}

/** Throws `CorruptBlock` with every fault of the object; unknown keys are kept for whoever wrote them. */
export function parseMeta(bytes: Uint8Array, blockId: string): BlockMeta {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString())
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'no JSON'
    throw new CorruptBlock(blockId, META_OBJECT, 0, detail)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new CorruptBlock(blockId, META_OBJECT, 0, 'is no JSON object')
  }
  const meta: Record<string, unknown> = { ...json }
  const faults = FIELDS.flatMap(([field, kind]) => faultOf(meta, field, kind) ?? [])
  if (faults.length === 0 && String(meta.blockID).toLowerCase() !== blockId.toLowerCase()) {
    faults.push(`blockID is ${String(meta.blockID)}`)
  }
  if (faults.length > 0) throw new CorruptBlock(blockId, META_OBJECT, 0, faults.join('; '))
  return meta as unknown as BlockMeta
}

/** What is wrong with a field; counts that are left out become 0, `totalSpans` stays away. */
function faultOf(meta: Record<string, unknown>, field: string, kind: string): string | undefined {
  const value = meta[field]
  if (kind === 'count') {
    if (value === undefined && field !== 'totalSpans') meta[field] = 0
    if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0)) return undefined
    return `${field} is no count`
  }
  if (typeof value !== 'string' || value === '') return `${field} is no text`
  if (kind === 'id' && !UUID.test(value)) return `${field} is no UUID`
  if (kind === 'time' && parseTime_ns(value) === undefined) return `${field} is no RFC 3339 time`
  return undefined
}
