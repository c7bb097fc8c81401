/**
 * Owns the tenant index: the list of a tenant's blocks as one object, `<tenant>/index.pb.zst` and the same as `index.json.gz`, as Tempo
 * has it. Who reads it needs no listing and no meta.json of its own.
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { CorruptBlock, type BlockMeta } from '../block/encoding.js'
import { Malformed } from '../block/codec/bytes.js'
import { formatTime, parseMeta, parseTime_ns } from '../block/meta.js'
import { compress, decompressWhole } from '../block/zstd.js'
import { BackendError, ObjectNotFound, type Backend, type BackendReader } from './backend.js'
import { decodeIndexProto, encodeIndexProto } from './tenant-index-proto.js'

export const INDEX_PROTO = 'index.pb.zst'
export const INDEX_JSON = 'index.json.gz'

/** A reader's bound on what an index may be when it is unpacked: about a million blocks. */
const MAX_INDEX_BYTES = 512 * 2 ** 20

export interface CompactedMeta extends BlockMeta {
  /** RFC 3339. */
  compactedTime: string
}

export interface TenantIndex {
  /** RFC 3339. */
  readonly createdAt: string
  readonly metas: readonly BlockMeta[]
  /** Blocks that are not to be read, and not deleted yet. */
  readonly compacted: readonly CompactedMeta[]
}

/** There is no index that can be used; the message says why. */
export class NoTenantIndex extends BackendError {
  override readonly code = 'NO_TENANT_INDEX'
  constructor(tenant: string, why: string, options?: ErrorOptions) {
    super(`the index of tenant ${tenant} ${why}`, true, options)
  }
}

/** Writes both forms, the one that is read first too; of no blocks at all the index is deleted. */
export async function writeTenantIndex(
  backend: Backend,
  tenant: string,
  index: TenantIndex,
): Promise<void> {
  if (index.metas.length === 0 && index.compacted.length === 0) {
    await backend.delete(`${tenant}/${INDEX_JSON}`)
    await backend.delete(`${tenant}/${INDEX_PROTO}`)
    return
  }
  await backend.put(`${tenant}/${INDEX_PROTO}`, compress(encodeIndexProto(index)))
  await backend.put(`${tenant}/${INDEX_JSON}`, gzipSync(encodeIndexJson(index)))
}

/** Throws `NoTenantIndex` when there is none to believe, `BackendError` when the backend cannot be read. `stale_ms` 0 = of any age. */
export async function readTenantIndex(
  backend: BackendReader,
  tenant: string,
  options: { now_ms: number; stale_ms: number },
): Promise<TenantIndex> {
  const proto = await getOr(backend, `${tenant}/${INDEX_PROTO}`)
  const json = proto ? undefined : await getOr(backend, `${tenant}/${INDEX_JSON}`)
  if (!proto && !json) throw new NoTenantIndex(tenant, 'is not there')
  const index = usable(tenant, () => (proto ? unpackProto(proto) : unpackJson(json!)))
  const age_ms = ageOf_ms(index, options.now_ms)
  if (options.stale_ms > 0 && age_ms > options.stale_ms) {
    throw new NoTenantIndex(tenant, `was written at ${index.createdAt}, ${Math.round(age_ms / 1000)} s ago`) // prettier-ignore
  }
  return index
}

export function ageOf_ms({ createdAt }: TenantIndex, now_ms: number): number {
  return now_ms - Number((parseTime_ns(createdAt) ?? 0n) / 1_000_000n)
}

export function newIndex(
  now_ms: number,
  metas: readonly BlockMeta[],
  compacted: readonly CompactedMeta[],
): TenantIndex {
  return { createdAt: formatTime(BigInt(Math.floor(now_ms)) * 1_000_000n), metas, compacted }
}

export function encodeIndexJson({ createdAt, metas, compacted }: TenantIndex): Uint8Array {
  return Buffer.from(JSON.stringify({ created_at: createdAt, meta: metas, compacted }))
}

/** Go writes `null` for a list of nothing. */
export function decodeIndexJson(bytes: Uint8Array): TenantIndex {
  const json = JSON.parse(Buffer.from(bytes).toString()) as {
    created_at?: unknown
    meta?: CompactedMeta[] | null
    compacted?: CompactedMeta[] | null
  }
  return {
    createdAt: typeof json.created_at === 'string' ? json.created_at : '',
    metas: json.meta ?? [],
    compacted: json.compacted ?? [],
  }
}

function unpackProto(bytes: Uint8Array): TenantIndex {
  const proto = decompressWhole(bytes, MAX_INDEX_BYTES)
  if (!proto) throw new Malformed(0, 'it is no zstd frame that says its length')
  return decodeIndexProto(proto)
}

function unpackJson(bytes: Uint8Array): TenantIndex {
  return decodeIndexJson(gunzipSync(bytes, { maxOutputLength: MAX_INDEX_BYTES }))
}

/** Every meta as meta.json is checked: an index with one that cannot be used is not used. */
function usable(tenant: string, read: () => TenantIndex): TenantIndex {
  try {
    const index = read()
    const check = <M extends BlockMeta>(meta: M): M => {
      const checked = parseMeta(Buffer.from(JSON.stringify(meta)), meta.blockID) as M
      if (checked.tenantID === tenant) return checked
      throw new CorruptBlock(meta.blockID, 'index', 0, `its tenantID is ${checked.tenantID}`)
    }
    return { ...index, metas: index.metas.map(check), compacted: index.compacted.map(check) }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new NoTenantIndex(tenant, `cannot be used: ${why}`, { cause: error })
  }
}

async function getOr(backend: BackendReader, path: string): Promise<Uint8Array | undefined> {
  try {
    return await backend.get(path)
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}
