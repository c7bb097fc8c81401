/** Owns `blocks find`: one trace out of every block that has a part of it, put together as the store does. */
import { mapBounded } from '../../lib/concurrency.js'
import { errorText } from '../../lib/log.js'
import { combineTraces } from '../../otlp/combine.js'
import { countSpans } from '../../otlp/count-spans.js'
import { traceToJson } from '../../otlp/trace-json.js'
import { traceId as parseTraceId } from '../../http/params.js'
import { assembleTrace } from '../../storage/block/assemble.js'
import { openBlock } from '../../storage/block/registry.js'
import { listBucket, readable, type ListedBlock } from './bucket.js'
import { FAILED, OK, Usage, say, warn, type BlocksContext } from './context.js'
import { tellFaults } from './list.js'
import { size, tableOf } from './table.js'
import { traceText } from './trace-text.js'

/** Blocks that are looked into at once: each costs a footer and a filter. */
const CONCURRENCY = 8

interface Part {
  readonly block: ListedBlock
  readonly bytes: Uint8Array
}

export async function findTrace(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [tenant, id, ...more] = words
  if (tenant === undefined || id === undefined || more.length > 0) {
    throw new Usage('find takes a tenant and a trace: blocks find TENANT TRACE-ID')
  }
  const traceId = parseTraceId(id)
  const includeCompacted = ctx.options['include-compacted']
  const bucket = await listBucket(ctx, { tenant, includeCompacted })
  const blocks = includeCompacted ? (bucket.tenants.get(tenant) ?? []) : readable(bucket, tenant)
  const { parts, unread } = await search(ctx, blocks, traceId)
  let code = tellFaults(ctx, bucket)
  for (const { block, why } of unread) warn(ctx, `${tenant}/${block.blockId} could not be read: ${why}`) // prettier-ignore
  if (unread.length > 0) code = FAILED
  if (parts.length === 0) {
    ctx.output.err(`trace ${id} is in none of ${blocks.length} blocks of tenant ${tenant} in ${ctx.place}\n`) // prettier-ignore
    return FAILED
  }
  const combined = combineTraces(parts.map(({ bytes }) => bytes), { max_bytes: 0 }) // prettier-ignore
  if (ctx.options.json) {
    for (const { block } of parts) ctx.output.err(`found in ${block.blockId} (${block.meta.format})\n`) // prettier-ignore
    say(ctx, `${traceToJson(combined.trace, { v1: false })}\n`)
    return code
  }
  say(ctx, traceText(combined.trace))
  say(ctx, `\nfound in ${parts.length} of ${blocks.length} blocks`)
  say(ctx, combined.duplicateSpans > 0 ? `; ${combined.duplicateSpans} copies of spans are left out\n` : '\n') // prettier-ignore
  say(ctx, partTable(parts))
  return code === OK ? OK : FAILED
}

/** A block that cannot be read hides no trace of another. */
async function search(ctx: BlocksContext, blocks: readonly ListedBlock[], traceId: Uint8Array) {
  const parts: Part[] = []
  const unread: { block: ListedBlock; why: string }[] = []
  let done = 0
  ctx.progress.begin()
  await mapBounded(blocks, CONCURRENCY, async (block) => {
    ctx.signal.throwIfAborted()
    try {
      const bytes = await partOf(ctx, block, traceId)
      if (bytes) parts.push({ block, bytes })
    } catch (error) {
      unread.push({ block, why: errorText(error) })
    }
    ctx.progress.show(`${++done} of ${blocks.length} blocks`, done / blocks.length)
  })
  ctx.progress.clear()
  // Lanes end in any order, and an answer is the same each time.
  const byId = (a: { block: ListedBlock }, b: { block: ListedBlock }) =>
    a.block.blockId < b.block.blockId ? -1 : 1
  return { parts: parts.sort(byId), unread: unread.sort(byId) }
}

async function partOf(
  { backend }: BlocksContext,
  { meta }: ListedBlock,
  traceId: Uint8Array,
): Promise<Uint8Array | undefined> {
  const source = await openBlock(meta, backend)
  try {
    const place = await source.locate(traceId)
    return place && (await assembleTrace(await source.group(place.group), place.row))
  } finally {
    await source.close()
  }
}

function partTable(parts: readonly Part[]): string {
  return tableOf(
    [
      { title: 'BLOCK', text: ({ block }) => block.blockId },
      { title: 'VERSION', text: ({ block }) => block.meta.format },
      { title: 'LVL', text: ({ block }) => String(block.meta.compactionLevel), isNumber: true },
      { title: 'SPANS', text: ({ bytes }) => String(countSpans(bytes)), isNumber: true },
      { title: 'OTLP', text: ({ bytes }) => size(bytes.length), isNumber: true },
      { title: 'FLAGS', text: ({ block }) => block.flags.join(',') },
    ],
    parts,
  )
}
