/** Owns what the backend-worker knows of the backend's blocks: what the last poll found, and what it did itself since. */
import { BackendError, type Backend } from '../../storage/backend/backend.js'
import {
  emptyBlocklist,
  type Blocklist,
  type TenantBlocks,
} from '../../storage/backend/blocklist.js'
import { inputsOf, replacedBlocks } from '../../storage/backend/replaced-blocks.js'
import { newIndex, type TenantIndex } from '../../storage/backend/tenant-index.js'
import { CorruptBlock, type BlockMeta } from '../../storage/block/encoding.js'
import { mapBounded } from '../../lib/concurrency.js'
import { readCompacted, type CompactedBlock } from '../../storage/compaction/marks.js'

const META_CONCURRENCY = 16
const NO_BLOCKS: TenantBlocks = { metas: new Map(), nocompact: new Set(), compacted: new Set() }

export class BucketView {
  #list: Blocklist = emptyBlocklist
  /** By tenant and block id: those of `list` that are compacted, as far as they could be read. */
  #compacted = new Map<string, Map<string, CompactedBlock>>()
  #turn: Promise<unknown> = Promise.resolve()

  /** Runs one at a time whatever lists the backend or changes which blocks are read: a poll must not see half of a change. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work)
    this.#turn = done.catch(() => undefined)
    return done
  }

  get list(): Blocklist {
    return this.#list
  }

  get tenants(): string[] {
    return [...this.#list.tenants.keys()].sort()
  }

  /** False when blocks of the tenant may be missing in the list. */
  isWhole(tenant: string): boolean {
    return !this.#list.unread.has(tenant)
  }

  /** What a poll found; reads which blocks are compacted and since when, where it is not known yet. */
  async take(list: Blocklist, backend: Backend, now_ms: number): Promise<void> {
    const compacted = new Map<string, Map<string, CompactedBlock>>()
    for (const [tenant, blocks] of list.tenants) {
      const known = this.#compacted.get(tenant)
      const read = await mapBounded([...blocks.compacted], META_CONCURRENCY, (id) =>
        Promise.resolve(known?.get(id) ?? this.#read(backend, tenant, id, now_ms)),
      )
      const found = read.flatMap((block) => (block ? [[block.meta.blockID, block] as const] : []))
      compacted.set(tenant, new Map(found))
    }
    this.#compacted = compacted
    this.#list = list
  }

  /** The blocks of a tenant that are read. */
  live(tenant: string): BlockMeta[] {
    const metas = this.#metas(tenant)
    const replaced = replacedBlocks(metas)
    return metas.filter(({ blockID }) => !replaced.has(blockID))
  }

  /** Blocks that a merged one has taken the place of and that are not marked so yet: a crash, or a failure, left them. */
  unmarked(tenant: string): BlockMeta[] {
    const metas = this.#metas(tenant)
    const replaced = replacedBlocks(metas)
    return metas.filter(({ blockID }) => replaced.has(blockID))
  }

  /** Blocks that may be merged: nobody holds them, and all that they replaced is marked. */
  candidates(tenant: string): BlockMeta[] {
    const { nocompact, metas } = this.#blocks(tenant)
    const isFree = (meta: BlockMeta) =>
      !nocompact.has(meta.blockID) && !inputsOf(meta).some((id) => metas.has(id))
    return this.live(tenant).filter((meta) => meta.totalObjects > 0 && isFree(meta))
  }

  /** Marked blocks whose meta.json is there still, for programs that look at that alone. */
  halfMarked(tenant: string): BlockMeta[] {
    const { halfMarked } = this.#blocks(tenant)
    return this.compacted(tenant).flatMap(({ meta }) => halfMarked?.has(meta.blockID) ? [meta] : []) // prettier-ignore
  }

  isHeld(meta: BlockMeta): boolean {
    return this.#blocks(meta.tenantID).nocompact.has(meta.blockID)
  }

  compacted(tenant: string): CompactedBlock[] {
    return [...(this.#compacted.get(tenant)?.values() ?? [])]
  }

  index(tenant: string, now_ms: number): TenantIndex {
    const compacted = this.compacted(tenant).map(({ meta, compactedAt_ms }) => ({
      ...meta,
      compactedTime: new Date(compactedAt_ms).toISOString(),
    }))
    return newIndex(now_ms, this.live(tenant), compacted)
  }

  /** A block was published. */
  added(meta: BlockMeta): void {
    const blocks = this.#blocks(meta.tenantID)
    const metas = new Map(blocks.metas).set(meta.blockID, meta)
    this.#set(meta.tenantID, { ...blocks, metas })
  }

  /** A block was marked: it is read no more. */
  marked(meta: BlockMeta, now_ms: number): void {
    const { tenantID, blockID } = meta
    const blocks = this.#blocks(tenantID)
    const metas = new Map(blocks.metas)
    metas.delete(blockID)
    const halfMarked = new Set(blocks.halfMarked)
    halfMarked.delete(blockID)
    const compacted = new Set(blocks.compacted).add(blockID)
    this.#set(tenantID, { ...blocks, metas, compacted, halfMarked })
    const known = this.#compacted.get(tenantID) ?? new Map<string, CompactedBlock>()
    this.#compacted.set(tenantID, known.set(blockID, { meta, compactedAt_ms: now_ms }))
  }

  /** A marked block was deleted. */
  cleared({ tenantID, blockID }: BlockMeta): void {
    const blocks = this.#blocks(tenantID)
    const compacted = new Set(blocks.compacted)
    compacted.delete(blockID)
    this.#set(tenantID, { ...blocks, compacted })
    this.#compacted.get(tenantID)?.delete(blockID)
  }

  #metas(tenant: string): readonly BlockMeta[] {
    return [...this.#blocks(tenant).metas.values()]
  }

  #blocks(tenant: string): TenantBlocks {
    return this.#list.tenants.get(tenant) ?? NO_BLOCKS
  }

  #set(tenant: string, blocks: TenantBlocks): void {
    this.#list = { ...this.#list, tenants: new Map(this.#list.tenants).set(tenant, blocks) }
  }

  /** One that cannot be read is looked at again by the next poll; until then it is not deleted. */
  async #read(
    backend: Backend,
    tenant: string,
    id: string,
    now_ms: number,
  ): Promise<CompactedBlock | undefined> {
    try {
      return await readCompacted(backend, tenant, id, now_ms)
    } catch (error) {
      if (error instanceof BackendError || error instanceof CorruptBlock) return undefined
      throw error
    }
  }
}
