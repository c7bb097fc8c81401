/** Owns `blocks verify`: reads every block whole, one after the other, and tells of each whether it can be trusted. */
import { errorText } from '../../lib/log.js'
import { BackendError, ObjectNotFound } from '../../storage/backend/backend.js'
import { CorruptBlock, UnsupportedBlock } from '../../storage/block/encoding.js'
import { META_OBJECT, objectPath } from '../../storage/block/meta.js'
import { exists } from '../../storage/compaction/marks.js'
import { verifyBlock, type Verified } from '../../storage/verify/verify-block.js'
import { findBlock, listBucket, type ListedBlock } from './bucket.js'
import { FAILED, OK, Usage, say, sayJson, type BlocksContext } from './context.js'
import { size, tableOf } from './table.js'

/**
 * ok: all of it was read. corrupt: it cannot be trusted. unsupported: it is whole for all we know, another program reads it.
 * unread: the backend failed. gone: deleted or compacted meanwhile, which is no fault.
 */
type Verdict = 'ok' | 'corrupt' | 'unsupported' | 'unread' | 'gone'

interface Result {
  readonly tenant: string
  readonly block: string
  readonly format: string
  readonly size_bytes: number
  readonly verdict: Verdict
  readonly read: Verified | undefined
  readonly problem: string | undefined
}

export async function verifyBlocks(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [named, id, ...more] = words
  const tenant = named ?? ctx.options.tenant
  if (more.length > 0) throw new Usage('verify takes a tenant and a block at most')
  const chosen = await choose(ctx, tenant, id)
  const whole_bytes = chosen.blocks.reduce((sum, { meta }) => sum + meta.size, 0)
  const results: Result[] = [...chosen.rejected]
  let done_bytes = 0
  ctx.progress.begin()
  for (const block of chosen.blocks) {
    const label = `${block.blockId} (${results.length + 1} of ${chosen.blocks.length + chosen.rejected.length})`
    results.push(
      await verifyOne(ctx, block, (share) =>
        ctx.progress.show(label, (done_bytes + share * block.meta.size) / (whole_bytes || 1)),
      ),
    )
    done_bytes += block.meta.size
  }
  ctx.progress.clear()
  const bad = results.filter(({ verdict }) => verdict !== 'ok' && verdict !== 'gone').length
  if (ctx.options.json) {
    sayJson(ctx, { blocks: results, failures: chosen.failures, bad })
  } else tell(ctx, results, bad)
  for (const failure of chosen.failures) ctx.output.err(`warning: blocks may be missing: ${failure}\n`) // prettier-ignore
  return bad + chosen.failures.length > 0 ? FAILED : OK
}

interface Chosen {
  readonly blocks: readonly ListedBlock[]
  /** Blocks whose meta.json cannot be used. */
  readonly rejected: readonly Result[]
  readonly failures: readonly string[]
}

async function choose(
  ctx: BlocksContext,
  tenant: string | undefined,
  id: string | undefined,
): Promise<Chosen> {
  if (id !== undefined && tenant !== undefined) {
    return chooseOne(ctx, tenant, id)
  }
  const includeCompacted = ctx.options['include-compacted']
  const { tenants, rejected, failures } = await listBucket(ctx, { tenant, includeCompacted })
  const unusable = [...rejected].map(([path, problem]) => {
    const at = path.lastIndexOf('/')
    return unusableMeta(path.slice(0, at), path.slice(at + 1), problem)
  })
  return { blocks: [...tenants.values()].flat(), rejected: unusable, failures }
}

async function chooseOne(ctx: BlocksContext, tenant: string, id: string): Promise<Chosen> {
  try {
    return { blocks: [await findBlock(ctx, tenant, id)], rejected: [], failures: [] }
  } catch (error) {
    if (!(error instanceof CorruptBlock)) throw error
    const rejected = unusableMeta(tenant, error.blockId, error.message)
    return { blocks: [], rejected: [rejected], failures: [] }
  }
}

function unusableMeta(tenant: string, block: string, problem: string): Result {
  const nothing = { format: '?', size_bytes: 0, read: undefined }
  return { tenant, block, ...nothing, verdict: 'corrupt', problem }
}

async function verifyOne(
  ctx: BlocksContext,
  { tenant, blockId, meta, flags }: ListedBlock,
  onProgress: (share: number) => void,
): Promise<Result> {
  const { backend, signal } = ctx
  const of = { tenant, block: blockId, format: meta.format, size_bytes: meta.size }
  try {
    const read = await verifyBlock(meta, backend, { onProgress, signal })
    return { ...of, verdict: 'ok', read, problem: undefined }
  } catch (error) {
    signal.throwIfAborted()
    const isLive = !flags.includes('compacted')
    if (isLive && error instanceof ObjectNotFound && (await isGone(ctx, tenant, blockId))) {
      return { ...of, verdict: 'gone', read: undefined, problem: 'deleted or compacted meanwhile' }
    }
    return { ...of, verdict: verdictOf(error), read: undefined, problem: errorText(error) }
  }
}

/** A server beside us may have compacted it, and deleted it, since it was listed. */
async function isGone({ backend }: BlocksContext, tenant: string, blockId: string): Promise<boolean> {
  return !(await exists(backend, objectPath(tenant, blockId, META_OBJECT)))
} // prettier-ignore

function verdictOf(error: unknown): Verdict {
  if (error instanceof UnsupportedBlock) return 'unsupported'
  if (error instanceof CorruptBlock || error instanceof ObjectNotFound) return 'corrupt'
  return error instanceof BackendError ? 'unread' : 'corrupt'
}

function tell(ctx: BlocksContext, results: readonly Result[], bad: number): void {
  if (results.length === 0) {
    say(ctx, `no blocks in ${ctx.place}\n`)
    return
  }
  const counted = ({ read }: Result, of: keyof Verified) => String(read?.[of] ?? '-')
  say(
    ctx,
    tableOf(
      [
        { title: 'TENANT', text: ({ tenant }) => tenant },
        { title: 'BLOCK', text: ({ block }) => block },
        { title: 'VERSION', text: ({ format }) => format },
        { title: 'SIZE', text: ({ size_bytes }) => size(size_bytes), isNumber: true },
        { title: 'GROUPS', text: (result) => counted(result, 'groups'), isNumber: true },
        { title: 'COLUMNS', text: (result) => counted(result, 'columns'), isNumber: true },
        { title: 'TRACES', text: (result) => counted(result, 'traces'), isNumber: true },
        { title: 'SPANS', text: (result) => counted(result, 'spans'), isNumber: true },
        { title: 'RESULT', text: ({ verdict }) => verdict },
      ],
      results,
    ),
  )
  for (const { problem } of results) if (problem !== undefined) say(ctx, `${problem}\n`)
  say(ctx, bad === 0 ? `${results.length} ${results.length === 1 ? 'block' : 'blocks'}, all good\n` : `${bad} of ${results.length} blocks are not good\n`) // prettier-ignore
}
