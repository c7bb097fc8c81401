/** Owns the marks of compaction and retention on blocks: Tempo's, in the order in which a crash between two of them does no harm. */
import { mapBounded } from '../../lib/concurrency.js'
import { failpoint } from '../../lib/failpoints.js'
import { ObjectNotFound, type Backend } from '../backend/backend.js'
import type { BlockMeta } from '../block/encoding.js'
import {
  COMPACTED_META_OBJECT,
  META_OBJECT,
  NOCOMPACT_OBJECT,
  objectPath,
  parseTime_ns,
  readMeta,
  serializeMeta,
} from '../block/meta.js'

const DELETE_CONCURRENCY = 8

/** A block that is read no more: replaced by a merged one, or too old. */
export interface CompactedBlock {
  readonly meta: BlockMeta
  readonly compactedAt_ms: number
}

/** The merged block begins to count, and its inputs cease to. */
export async function publish(backend: Backend, meta: BlockMeta): Promise<void> {
  const path = objectPath(meta.tenantID, meta.blockID, META_OBJECT)
  failpoint('compact.meta.before', path)
  await backend.put(path, serializeMeta(meta))
  failpoint('compact.meta.after', path)
}

/** The block is read no more. Its data stays for readers that do not know yet. */
export async function markCompacted(
  backend: Backend,
  meta: BlockMeta,
  now_ms: number,
): Promise<void> {
  const path = (name: string) => objectPath(meta.tenantID, meta.blockID, name)
  const marked = { ...meta, compactedTime: new Date(now_ms).toISOString() }
  failpoint('compact.mark.before', meta.blockID)
  await backend.put(path(COMPACTED_META_OBJECT), Buffer.from(JSON.stringify(marked)))
  failpoint('compact.mark.put', meta.blockID)
  await backend.delete(path(META_OBJECT))
  failpoint('compact.mark.after', meta.blockID)
}

/** Deletes a marked block. The mark goes last, so that a crash on the way leaves no data that nobody knows of. */
export async function clearBlock(
  backend: Backend,
  { tenantID, blockID }: BlockMeta,
): Promise<void> {
  const path = (name: string) => objectPath(tenantID, blockID, name)
  failpoint('clear.before', blockID)
  await backend.delete(path(META_OBJECT))
  const { objects } = await backend.list(`${tenantID}/${blockID}`)
  const data = objects.filter((name) => name !== COMPACTED_META_OBJECT)
  await mapBounded(data, DELETE_CONCURRENCY, (name) => backend.delete(path(name)))
  failpoint('clear.data.after', blockID)
  await backend.delete(path(COMPACTED_META_OBJECT))
  failpoint('clear.after', blockID)
}

/** Why a block must not be compacted now, though it was listed; undefined when it may. */
export async function hindrance(backend: Backend, meta: BlockMeta): Promise<string | undefined> {
  const path = (name: string) => objectPath(meta.tenantID, meta.blockID, name)
  if (!(await exists(backend, path(META_OBJECT)))) return 'it is gone, or compacted by another'
  if (await exists(backend, path(NOCOMPACT_OBJECT))) return 'it is still held elsewhere'
  return undefined
}

/** What meta.compacted.json says; undefined when the block is gone. Tempo writes no time into it: then it is `seenAt_ms`. */
export async function readCompacted(
  backend: Backend,
  tenant: string,
  blockId: string,
  seenAt_ms: number,
): Promise<CompactedBlock | undefined> {
  try {
    const meta = await readMeta(backend, tenant, blockId, COMPACTED_META_OBJECT)
    const { compactedTime, ...rest } = meta as BlockMeta & { compactedTime?: unknown }
    const at_ns = typeof compactedTime === 'string' ? parseTime_ns(compactedTime) : undefined
    return { meta: rest, compactedAt_ms: at_ns === undefined ? seenAt_ms : Number(at_ns / 1_000_000n) } // prettier-ignore
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}

export async function exists(backend: Backend, path: string): Promise<boolean> {
  try {
    await backend.get(path)
    return true
  } catch (error) {
    if (error instanceof ObjectNotFound) return false
    throw error
  }
}
