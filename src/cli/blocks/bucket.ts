/** Owns what the commands know of the blocks of a backend: which there are, and what hinders that one is read or merged. */
import { stat } from 'node:fs/promises'
import { silentLog } from '../../lib/log.js'
import { ObjectNotFound, type Backend } from '../../storage/backend/backend.js'
import { isSegment } from '../../storage/backend/path.js'
import { emptyBlocklist, pollBlocklist } from '../../storage/backend/blocklist.js'
import { replacedBlocks } from '../../storage/backend/replaced-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { META_OBJECT, objectPath, parseMeta, parseTime_ns } from '../../storage/block/meta.js'
import { readCompacted } from '../../storage/compaction/marks.js'
import { mapBounded } from '../../lib/concurrency.js'
import { Failure, Usage, type BlocksContext } from './context.js'

const META_CONCURRENCY = 16
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const TENANTS_SHOWN = 10

/**
 * compacted: marked, read by nobody, and deleted later. replaced: a merged block stands for it, but it is not marked yet.
 * nocompact: held elsewhere, or being converted, so that compaction leaves it alone.
 */
export type BlockFlag = 'compacted' | 'replaced' | 'nocompact'

export interface ListedBlock {
  readonly tenant: string
  readonly blockId: string
  readonly meta: BlockMeta
  readonly flags: readonly BlockFlag[]
  readonly compactedAt_ms: number | undefined
}

export interface Bucket {
  /** By tenant, each in the order of ids. */
  readonly tenants: ReadonlyMap<string, readonly ListedBlock[]>
  /** Blocks whose meta.json cannot be used, by `<tenant>/<block>`, and why. */
  readonly rejected: ReadonlyMap<string, string>
  /** What could not be read, so that blocks may be missing. */
  readonly failures: readonly string[]
}

export interface ListOptions {
  readonly tenant?: string | undefined
  readonly includeCompacted?: boolean
}

/** Throws `BackendError`, and `Failure` when a tenant is named that has no blocks. */
export async function listBucket(ctx: BlocksContext, options: ListOptions): Promise<Bucket> {
  const { tenant } = options
  if (tenant !== undefined && !isSegment(tenant))
    throw new Usage(`${JSON.stringify(tenant)} is no tenant`)
  await mustExist(ctx)
  ctx.progress.begin()
  let read = 0
  const backend = watched(ctx.backend, tenant, () => {
    ctx.progress.show(`reading what the blocks say of themselves: ${++read}`)
  })
  const list = await pollBlocklist(backend, emptyBlocklist, { log: silentLog })
  const tenants = new Map<string, ListedBlock[]>()
  for (const [name, { metas, nocompact, compacted }] of list.tenants) {
    const live = [...metas.values()]
    const replaced = replacedBlocks(live)
    const blocks = live.map((meta): ListedBlock => {
      const flags: BlockFlag[] = []
      if (replaced.has(meta.blockID)) flags.push('replaced')
      if (nocompact.has(meta.blockID)) flags.push('nocompact')
      return { tenant: name, blockId: meta.blockID, meta, flags, compactedAt_ms: undefined }
    })
    if (options.includeCompacted)
      blocks.push(...(await compactedBlocks(backend, ctx, name, compacted)))
    blocks.sort((a, b) => (a.blockId < b.blockId ? -1 : 1))
    if (blocks.length > 0) tenants.set(name, blocks)
  }
  ctx.progress.clear()
  const failures = list.failures.map(({ message }) => message)
  const { rejected } = list
  if (tenant !== undefined && !tenants.has(tenant) && rejected.size + failures.length === 0) {
    throw await noSuchTenant(ctx, tenant)
  }
  return { tenants, rejected, failures }
}

/** Blocks that a query of the tenant would read: those that are neither compacted nor replaced. */
export function readable(bucket: Bucket, tenant: string): ListedBlock[] {
  return (bucket.tenants.get(tenant) ?? []).filter(
    ({ flags }) => !flags.includes('compacted') && !flags.includes('replaced'),
  )
}

/** One block, by its id or the beginning of it. A compacted one can be looked at too. */
export async function findBlock(
  ctx: BlocksContext,
  tenant: string,
  text: string,
): Promise<ListedBlock> {
  if (!isSegment(tenant)) throw new Usage(`${JSON.stringify(tenant)} is no tenant`)
  const wanted = text.toLowerCase()
  if (!/^[0-9a-f-]{1,36}$/.test(wanted)) throw new Usage(`${JSON.stringify(text)} is no block id`)
  await mustExist(ctx)
  const blockId = UUID.test(wanted) ? wanted : await completed(ctx, tenant, wanted)
  const { backend } = ctx
  const path = objectPath(tenant, blockId, META_OBJECT)
  try {
    const meta = parseMeta(await backend.get(path), blockId)
    return { tenant, blockId, meta, flags: [], compactedAt_ms: undefined }
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error
  }
  const marked = await readCompacted(backend, tenant, blockId, ctx.clock.now())
  if (marked) return compactedBlock(tenant, blockId, marked)
  throw new Failure(`tenant ${tenant} has no block ${blockId} in ${ctx.place}`)
}

/** Times of a block; meta.json was checked when it was read. */
export function timesOf(meta: BlockMeta): { start_ns: bigint; end_ns: bigint } {
  return { start_ns: parseTime_ns(meta.startTime) ?? 0n, end_ns: parseTime_ns(meta.endTime) ?? 0n }
}

async function completed(ctx: BlocksContext, tenant: string, beginning: string): Promise<string> {
  const { folders } = await ctx.backend.list(tenant)
  const ids = folders.filter((name) => UUID.test(name) && name.startsWith(beginning))
  if (ids.length === 1) return ids[0]!
  if (ids.length === 0)
    throw new Failure(`tenant ${tenant} has no block ${beginning}… in ${ctx.place}`)
  throw new Usage(`${ids.length} blocks of tenant ${tenant} begin with ${beginning}: give more of the id`) // prettier-ignore
}

async function compactedBlocks(
  backend: Backend,
  ctx: BlocksContext,
  tenant: string,
  ids: ReadonlySet<string>,
): Promise<ListedBlock[]> {
  const read = await mapBounded([...ids], META_CONCURRENCY, async (blockId) => {
    const marked = await readCompacted(backend, tenant, blockId, ctx.clock.now())
    return marked && compactedBlock(tenant, blockId, marked)
  })
  return read.filter((block) => block !== undefined)
}

function compactedBlock(
  tenant: string,
  blockId: string,
  { meta, compactedAt_ms }: { meta: BlockMeta; compactedAt_ms: number },
): ListedBlock {
  return { tenant, blockId, meta, flags: ['compacted'], compactedAt_ms }
}

/** A backend in which there is one tenant only, and which tells each object that is read whole. */
function watched(backend: Backend, tenant: string | undefined, onGet: () => void): Backend {
  return {
    kind: backend.kind,
    get: (path) => {
      onGet()
      return backend.get(path)
    },
    getRange: (path, offset, length) => backend.getRange(path, offset, length),
    put: (path, body) => backend.put(path, body),
    putFile: (path, file) => backend.putFile(path, file),
    list: (prefix) =>
      prefix === '' && tenant !== undefined
        ? Promise.resolve({ folders: [tenant], objects: [] })
        : backend.list(prefix),
    listBlocks: (of) => backend.listBlocks(of),
    delete: (path) => backend.delete(path),
    deleteBlock: (of, blockId) => backend.deleteBlock(of, blockId),
    close: () => backend.close(),
  }
}

/** A folder that is not there would look like one without blocks. */
async function mustExist({ backend, storage }: BlocksContext): Promise<void> {
  if (backend.kind !== 'local') return
  const found = await stat(storage.local_path).catch(() => undefined)
  if (!found?.isDirectory()) {
    throw new Failure(
      `there is no folder ${storage.local_path}: --path names the folder of the blocks, --bucket or --config another place`,
    )
  }
}

async function noSuchTenant({ backend, place }: BlocksContext, tenant: string): Promise<Failure> {
  const { folders } = await backend.list('')
  const others = folders.filter((name) => name !== tenant)
  const some = others.slice(0, TENANTS_SHOWN).join(', ')
  const more = others.length > TENANTS_SHOWN ? ' and more' : ''
  const there = others.length === 0 ? 'there is no other' : `others there are ${some}${more}`
  return new Failure(`tenant ${tenant} has no blocks in ${place}: ${there}`)
}
