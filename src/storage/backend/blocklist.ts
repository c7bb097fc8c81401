/** Owns the list of blocks that the backend has: found by listing, each meta.json read once, bad ones told and passed over. */
import { mapBounded } from '../../lib/concurrency.js'
import { errorText, type Log } from '../../lib/log.js'
import { CorruptBlock, type BlockMeta } from '../block/encoding.js'
import { COMPACTED_META_OBJECT, META_OBJECT, NOCOMPACT_OBJECT, readMeta } from '../block/meta.js'
import { BackendError, ObjectNotFound, type Backend } from './backend.js'

const TENANT_CONCURRENCY = 4
const META_CONCURRENCY = 16
const BLOCK_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

export interface TenantBlocks {
  /** By block id, in the order of the ids. */
  readonly metas: ReadonlyMap<string, BlockMeta>
  /** Blocks with `nocompact.flg`: someone holds them still, compaction must pass them over. */
  readonly nocompact: ReadonlySet<string>
  /** Blocks that compaction replaced (`meta.compacted.json`): not to be read, to be deleted later. */
  readonly compacted: ReadonlySet<string>
  /** Those of them that have their meta.json still: a crash between the two steps of a mark. */
  readonly halfMarked?: ReadonlySet<string>
}

export interface Blocklist {
  readonly tenants: ReadonlyMap<string, TenantBlocks>
  /** meta.json files that cannot be used, by `<tenant>/<block>`, and why. */
  readonly rejected: ReadonlyMap<string, string>
  /** What this poll could not read; the tenant's list or the block is as it was before. */
  readonly failures: readonly BackendError[]
  /** Tenants of which blocks may be missing: since the start, they could not be listed or a meta.json could not be read. */
  readonly unread: ReadonlySet<string>
  /** How many meta.json files this poll read. */
  readonly metasRead: number
}

export const emptyBlocklist: Blocklist = {
  tenants: new Map(),
  rejected: new Map(),
  failures: [],
  unread: new Set(),
  metasRead: 0,
}

export interface PollOptions {
  log: Log
  /** The blocks of a tenant from where another program lists them; undefined = list them here. May throw `BackendError`. */
  fromIndex?: (tenant: string) => Promise<TenantBlocks | undefined>
  tenant_concurrency?: number
  meta_concurrency?: number
}

/**
 * The blocks of all tenants now. What did not change is the same object as in `previous`: a tenant's `TenantBlocks`, and
 * each meta. A tenant that cannot be listed keeps its blocks, since a hiccup must not hide data; throws only when the
 * tenants themselves cannot be listed.
 */
export async function pollBlocklist(
  backend: Backend,
  previous: Blocklist,
  options: PollOptions,
): Promise<Blocklist> {
  const poll = new Poll(backend, previous, options)
  const { folders } = await backend.list('')
  const concurrency = options.tenant_concurrency ?? TENANT_CONCURRENCY
  const found = await mapBounded(folders, concurrency, (tenant) => poll.tenant(tenant))
  const tenants = new Map<string, TenantBlocks>()
  for (const [i, tenant] of folders.entries()) {
    const blocks = found[i]
    if (blocks) tenants.set(tenant, blocks)
  }
  const { rejected, failures, unread, metasRead } = poll
  return { tenants, rejected, failures, unread, metasRead }
}

/** The metas alone, in the shape in which they are sent between threads. */
export function metasByTenant(list: Blocklist): Readonly<Record<string, readonly BlockMeta[]>> {
  const tenants = [...list.tenants].map(([tenant, { metas }]) => [tenant, [...metas.values()]])
  // fromEntries defines own properties: a tenant may be called `__proto__`.
  return Object.fromEntries(tenants) as Record<string, BlockMeta[]>
}

class Poll {
  readonly rejected = new Map<string, string>()
  readonly failures: BackendError[] = []
  readonly unread = new Set<string>()
  metasRead = 0

  constructor(
    private readonly backend: Backend,
    private readonly previous: Blocklist,
    private readonly options: PollOptions,
  ) {}

  /** Undefined when the folder holds no block: it may not be a tenant at all. */
  async tenant(tenant: string): Promise<TenantBlocks | undefined> {
    const before = this.previous.tenants.get(tenant)
    let listed: Map<string, string[]>
    try {
      const indexed = await this.options.fromIndex?.(tenant)
      if (indexed) return indexed
      listed = await this.list(tenant, before)
    } catch (error) {
      this.fail(error, { tenant })
      // A list that was whole is only old; one that never was stays so.
      if (!before || this.previous.unread.has(tenant)) this.unread.add(tenant)
      return before
    }
    const live: string[] = []
    const nocompact = new Set<string>()
    const compacted = new Set<string>()
    const halfMarked = new Set<string>()
    for (const [block, objects] of listed) {
      if (!BLOCK_ID.test(block)) continue
      // Both are there for a moment when a block is marked: it is already replaced.
      if (objects.includes(COMPACTED_META_OBJECT)) {
        compacted.add(block)
        if (objects.includes(META_OBJECT)) halfMarked.add(block)
      } else if (objects.includes(META_OBJECT)) {
        live.push(block)
        if (objects.includes(NOCOMPACT_OBJECT)) nocompact.add(block)
      }
    }
    const metas = await this.metas(tenant, live.sort(), before)
    if (metas.size === 0 && compacted.size === 0) return undefined
    const now = { metas, nocompact, compacted, halfMarked }
    return before && isSame(before, now) ? before : now
  }

  /**
   * A listing takes pages, between which a compactor may mark a block whose replacement would have been on an earlier one. The
   * replacement is always there first, so a listing that begins after a mark was seen has it.
   */
  private async list(tenant: string, before: TenantBlocks | undefined) {
    const listed = await this.backend.listBlocks(tenant)
    const isNews = [...listed].some(
      ([block, objects]) =>
        objects.includes(COMPACTED_META_OBJECT) && !before?.compacted.has(block),
    )
    return isNews ? this.backend.listBlocks(tenant) : listed
  }

  private async metas(
    tenant: string,
    blocks: readonly string[],
    before: TenantBlocks | undefined,
  ): Promise<Map<string, BlockMeta>> {
    const concurrency = this.options.meta_concurrency ?? META_CONCURRENCY
    const read = await mapBounded(
      blocks,
      concurrency,
      async (block) => before?.metas.get(block) ?? (await this.meta(tenant, block)),
    )
    const metas = new Map<string, BlockMeta>()
    for (const [i, block] of blocks.entries()) {
      const meta = read[i]
      if (meta) metas.set(block, meta)
    }
    return metas
  }

  private async meta(tenant: string, block: string): Promise<BlockMeta | undefined> {
    try {
      this.metasRead++
      const meta = await readMeta(this.backend, tenant, block)
      if (meta.tenantID === tenant) return meta
      const detail = `its tenantID is ${JSON.stringify(meta.tenantID)}`
      throw new CorruptBlock(block, META_OBJECT, 0, detail)
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined // deleted since it was listed
      if (error instanceof CorruptBlock) this.reject(tenant, block, error.message)
      else {
        this.fail(error, { tenant, block })
        this.unread.add(tenant)
      }
    }
    return undefined
  }

  /** A bad meta.json stays bad: it is told once, and read again only so that a repaired one is seen. */
  private reject(tenant: string, block: string, why: string): void {
    const key = `${tenant}/${block}`
    this.rejected.set(key, why)
    if (this.previous.rejected.get(key) === why) return
    this.options.log.warn('a block is left out: its meta.json cannot be used', {
      tenant,
      block,
      reason: why,
    })
  }

  private fail(error: unknown, fields: { tenant: string; block?: string }): void {
    if (!(error instanceof BackendError)) throw error
    this.failures.push(error)
    this.options.log.warn('blocks could not be listed; the last list is kept', {
      ...fields,
      error: errorText(error),
    })
  }
}

function isSame(a: TenantBlocks, b: TenantBlocks): boolean {
  if (a.metas.size !== b.metas.size) return false
  for (const [block, meta] of a.metas) if (b.metas.get(block) !== meta) return false
  const halves = [a, b].map(({ halfMarked = new Set<string>() }) => halfMarked)
  return (
    isSameSet(a.nocompact, b.nocompact) &&
    isSameSet(a.compacted, b.compacted) &&
    isSameSet(halves[0]!, halves[1]!)
  )
}

function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((value) => b.has(value))
}
