/** Owns meta.json: building it, writing it as Tempo does, and reading what Tempo or another version of us wrote. */
import { ObjectTooLarge, type BackendReader } from '../backend/backend.js'
import { CorruptBlock } from './encoding.js'
import type { BlockMeta } from './encoding.js'

export const META_OBJECT = 'meta.json'
/** Tempo's marks on a block: replaced or past retention; and left alone by compaction while it is held elsewhere. */
export const COMPACTED_META_OBJECT = 'meta.compacted.json'
export const NOCOMPACT_OBJECT = 'nocompact.flg'

/** Real ones have a few KiB; it is JSON, which takes a multiple of it as objects. */
export const META_BYTES_MAX = 256 * 1024
/** Of texts in it; they come into words and lists. */
const TEXT_CHARS_MAX = 1024
/** Sending and printing objects is recursive. */
const DEPTH_MAX = 32

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

/** `id` is a UUID, `count` a whole number; counts and lists may be left out by another writer. */
type FieldKind = 'text' | 'id' | 'time' | 'count' | 'texts' | 'sections'
/** Fields with their kind. */
const FIELDS: readonly (readonly [keyof BlockMeta, FieldKind])[] = [
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
  ['dedicatedColumns', 'sections'],
  ['compactedFrom', 'texts'],
]
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The bytes of meta.json. */
export function serializeMeta(meta: BlockMeta): Uint8Array {
  return Buffer.from(JSON.stringify(meta))
}

/** A block's meta.json from where the block is. Throws `CorruptBlock`, and what the backend throws. */
export async function readMeta(
  backend: BackendReader,
  tenant: string,
  blockId: string,
  name = META_OBJECT,
): Promise<BlockMeta> {
  try {
    const bytes = await backend.get(objectPath(tenant, blockId, name), META_BYTES_MAX)
    return parseMeta(bytes, blockId, name)
  } catch (error) {
    if (!(error instanceof ObjectTooLarge)) throw error
    throw new CorruptBlock(blockId, name, META_BYTES_MAX, error.message)
  }
}

/** Throws `CorruptBlock` with every fault of the object; unknown keys are kept for whoever wrote them. */
export function parseMeta(bytes: Uint8Array, blockId: string, name = META_OBJECT): BlockMeta {
  const corrupt = (at: number, detail: string) => new CorruptBlock(blockId, name, at, detail)
  if (bytes.length > META_BYTES_MAX) {
    throw corrupt(META_BYTES_MAX, `has ${bytes.length} bytes, at most ${META_BYTES_MAX} are read`)
  }
  if (bytes.length === 0) throw corrupt(0, 'is empty')
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString())
  } catch (error) {
    // V8's own words quote the file, which may hold anything.
    const detail = error instanceof Error ? error.message : ''
    const at = / at position (\d+)/.exec(detail)?.[1] ?? 0
    throw corrupt(/ end of /.test(detail) ? bytes.length : Number(at), 'is not JSON')
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw corrupt(0, 'is no JSON object')
  }
  if (isDeeper(json, DEPTH_MAX)) throw corrupt(0, `is nested more than ${DEPTH_MAX} levels deep`)
  // As Go reads them: null is nothing written.
  const written = Object.entries(json).filter(([, value]) => value !== null)
  const meta: Record<string, unknown> = Object.fromEntries(written)
  const faults = FIELDS.flatMap(([field, kind]) => faultOf(meta, field, kind) ?? [])
  if (faults.length === 0 && String(meta.blockID).toLowerCase() !== blockId.toLowerCase()) {
    faults.push(`blockID is ${String(meta.blockID)}`)
  }
  if (faults.length > 0) throw corrupt(0, faults.join('; '))
  return meta as unknown as BlockMeta
}

/** What is wrong with a field; counts that are left out become 0, `totalSpans` stays away. */
function faultOf(
  meta: Record<string, unknown>,
  field: string,
  kind: FieldKind,
): string | undefined {
  const value = meta[field]
  if (kind === 'texts' || kind === 'sections') {
    if (value === undefined) return undefined
    const isOne = kind === 'texts' ? isText : isSection
    return Array.isArray(value) && value.every(isOne) ? undefined : `${field} is no list of ${kind}`
  }
  if (kind === 'count') {
    if (value === undefined && field !== 'totalSpans') meta[field] = 0
    if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0)) return undefined
    return `${field} is no count`
  }
  if (!isText(value)) return `${field} is no text`
  if (value.length > TEXT_CHARS_MAX) return `${field} is longer than ${TEXT_CHARS_MAX} characters`
  if (kind === 'id' && !UUID.test(value)) return `${field} is no UUID`
  if (kind === 'time' && parseTime_ns(value) === undefined) return `${field} is no RFC 3339 time`
  return undefined
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isSection(value: unknown): value is object {
  return isObject(value) && !Array.isArray(value)
}

/** Level by level: what came from another must not choose how deep a recursion goes. */
function isDeeper(json: object, most: number): boolean {
  let level: object[] = [json]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > most) return true
    level = level.flatMap((one): object[] => Object.values(one).filter(isObject))
  }
  return false
}
