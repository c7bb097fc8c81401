/** Owns `blocks search`: TraceQL over the blocks themselves, the newest first, without a server. */
import { mapBounded } from '../../lib/concurrency.js'
import { errorText } from '../../lib/log.js'
import { openBlock } from '../../storage/block/registry.js'
import { isQueryError } from '../../traceql/errors.js'
import { planSearch } from '../../traceql/plan.js'
import { toSearchResponse } from '../../traceql/response.js'
import {
  NO_TRACES,
  mergeSearch,
  searchSource,
  type FoundTrace,
  type SearchOptions,
  type SearchPartial,
} from '../../traceql/search.js'
import { listBucket, readable, timesOf, type ListedBlock } from './bucket.js'
import { FAILED, Usage, say, sayJson, warn, type BlocksContext } from './context.js'
import { tellFaults } from './list.js'
import { wholeOption } from './options.js'
import { shortened, size, span, tableOf, time } from './table.js'
import { timeOption } from './times.js'

const DEFAULT_LIMIT = 20
/** One block is evaluated while another one's columns are on their way. */
const CONCURRENCY = 2
/** meta.json of Tempo may carry whole seconds only. */
const META_SLACK_NS = 1_000_000_000n
/** Times without an end; the engine takes a range by both or none. */
const FIRST_NS = 1n
const LAST_NS = 2n ** 63n - 1n

interface Found {
  readonly merged: SearchPartial
  readonly searched: number
  /** Blocks that could not have had a newer trace than those that were found. */
  readonly passedOver: number
  readonly unread: readonly { block: ListedBlock; why: string }[]
}

export async function searchBlocks(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [tenant, query, ...more] = words
  if (tenant === undefined || query === undefined || more.length > 0) {
    throw new Usage("search takes a tenant and a query: blocks search TENANT '{ status = error }'")
  }
  const { options, clock } = ctx
  const plan = planSearch(query)
  const start_ns = timeOption('start', options.start, clock.now())
  const end_ns = timeOption('end', options.end, clock.now())
  if (start_ns !== undefined && end_ns !== undefined && start_ns >= end_ns) {
    throw new Usage('--start must be before --end')
  }
  const isRange = start_ns !== undefined || end_ns !== undefined
  const search: SearchOptions = {
    start_ns: isRange ? (start_ns ?? FIRST_NS) : undefined,
    end_ns: isRange ? (end_ns ?? LAST_NS) : undefined,
    limit: wholeOption('limit', options.limit, DEFAULT_LIMIT),
    spansPerSpanSet: wholeOption('spss', options.spss, 0),
    deadline: () => ctx.signal.aborted,
  }
  const bucket = await listBucket(ctx, { tenant })
  const blocks = readable(bucket, tenant).filter(({ meta }) => overlaps(timesOf(meta), search))
  const found = await searchAll(ctx, blocks, plan, search)
  let code = tellFaults(ctx, bucket)
  for (const { block, why } of found.unread) warn(ctx, `${tenant}/${block.blockId} could not be read: ${why}`) // prettier-ignore
  if (found.unread.length > 0) code = FAILED
  if (options.json) {
    const totalBlock_bytes = blocks.reduce((sum, { meta }) => sum + meta.size, 0)
    sayJson(ctx, toSearchResponse(found.merged, { totalBlocks: blocks.length, totalJobs: blocks.length, completedJobs: found.searched + found.passedOver, totalBlock_bytes })) // prettier-ignore
  } else say(ctx, textOf(found, blocks.length))
  return code
}

function overlaps(
  { start_ns, end_ns }: { start_ns: bigint; end_ns: bigint },
  range: SearchOptions,
): boolean {
  if (range.start_ns === undefined || range.end_ns === undefined) return true
  return end_ns + META_SLACK_NS >= range.start_ns && start_ns - META_SLACK_NS <= range.end_ns
}

async function searchAll(
  ctx: BlocksContext,
  blocks: readonly ListedBlock[],
  plan: ReturnType<typeof planSearch>,
  search: SearchOptions,
): Promise<Found> {
  const newest = [...blocks].sort((a, b) => (timesOf(a.meta).end_ns > timesOf(b.meta).end_ns ? -1 : 1)) // prettier-ignore
  const whole_bytes = blocks.reduce((sum, { meta }) => sum + meta.size, 0) || 1
  const unread: { block: ListedBlock; why: string }[] = []
  let merged = NO_TRACES
  let searched = 0
  let passedOver = 0
  let done_bytes = 0
  ctx.progress.begin()
  await mapBounded(newest, CONCURRENCY, async (block) => {
    ctx.signal.throwIfAborted()
    if (isTooOld(block, merged, search.limit)) passedOver++
    else {
      try {
        const part = await searchOne(ctx, block, plan, search)
        merged = mergeSearch([merged, part], search.limit)
        searched++
      } catch (error) {
        if (isQueryError(error)) throw error
        unread.push({ block, why: errorText(error) })
      }
    }
    done_bytes += block.meta.size
    const label = `${searched + passedOver} of ${blocks.length} blocks, ${merged.traces.length} traces`
    ctx.progress.show(label, done_bytes / whole_bytes)
  })
  ctx.progress.clear()
  ctx.signal.throwIfAborted()
  return { merged, searched, passedOver, unread }
}

/** There are enough traces, and all of this block's ended before the oldest of them began. */
function isTooOld({ meta }: ListedBlock, { traces }: SearchPartial, limit: number): boolean {
  const oldest = traces.at(-1)
  if (limit === 0 || traces.length < limit || !oldest) return false
  return timesOf(meta).end_ns + META_SLACK_NS < oldest.start_ns
}

async function searchOne(
  { backend }: BlocksContext,
  { meta }: ListedBlock,
  plan: ReturnType<typeof planSearch>,
  search: SearchOptions,
): Promise<SearchPartial> {
  const source = await openBlock(meta, backend)
  try {
    return await searchSource(source, plan, search)
  } finally {
    await source.close()
  }
}

function textOf({ merged, searched, passedOver }: Found, blocks: number): string {
  const { traces, inspectedSpans, inspected_bytes } = merged
  const rest = passedOver > 0 ? `, ${passedOver} older ones could not matter` : ''
  const said = `${traces.length} traces; ${searched} of ${blocks} blocks searched${rest}, ${inspectedSpans} spans, ${size(inspected_bytes)} read\n` // prettier-ignore
  if (traces.length === 0) return said
  const matched = ({ spansets }: FoundTrace) => spansets.reduce((sum, set) => sum + set.matched, 0)
  return (
    tableOf(
      [
        { title: 'TRACE', text: ({ traceId }) => traceId.padStart(32, '0') },
        { title: 'START', text: ({ start_ns }) => time(start_ns) },
        { title: 'DURATION', text: ({ start_ns, end_ns }) => span(end_ns > start_ns ? end_ns - start_ns : 0n), isNumber: true }, // prettier-ignore
        { title: 'MATCHED', text: (trace) => String(matched(trace)), isNumber: true },
        { title: 'ROOT SERVICE', text: ({ rootServiceName }) => shortened(rootServiceName || '-') },
        { title: 'ROOT SPAN', text: ({ rootTraceName }) => shortened(rootTraceName) },
      ],
      traces,
    ) + `\n${said}`
  )
}
