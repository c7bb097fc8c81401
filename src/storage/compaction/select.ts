/**
 * Owns which blocks are merged with which. Blocks belong together when they end in the same window of time and are of the same
 * encoding, dedicated columns and replication factor. In windows of the last day only blocks of the same level are merged, lowest levels
 * first, so that a span is not written again with each new block; older windows are merged until little is left to merge.
 */
import type { BlockMeta } from '../block/encoding.js'
import { parseTime_ns } from '../block/meta.js'

/** How long a window takes part by levels. The window that is just this old is left alone: another compactor may see it on the other side. */
const ACTIVE_S = 24 * 3600
const NS_PER_S = 1_000_000_000n

export interface SelectOptions {
  readonly window_ms: number
  readonly max_objects: number
  readonly max_block_bytes: number
  readonly min_input_blocks: number
  readonly max_input_blocks: number
  /** Blocks of this level are not merged further; 0 = no bound. */
  readonly max_level: number
}

interface Candidate {
  readonly meta: BlockMeta
  /** Windows from the newest back. */
  readonly age: number
  readonly isActive: boolean
  readonly columns: string
}

/** Groups of blocks that are to be merged, the most useful first. No block is in two. */
export function selectBlocks(
  metas: readonly BlockMeta[],
  now_ms: number,
  options: SelectOptions,
): BlockMeta[][] {
  const window_s = Math.max(1, Math.floor(options.window_ms / 1000))
  const now_s = Math.floor(now_ms / 1000)
  const current = Math.floor(now_s / window_s)
  const active = Math.floor((now_s - ACTIVE_S) / window_s)
  const candidates: Candidate[] = []
  for (const meta of metas) {
    if (options.max_level > 0 && meta.compactionLevel >= options.max_level) continue
    const end_s = Number((parseTime_ns(meta.endTime) ?? 0n) / NS_PER_S)
    const window = Math.floor(end_s / window_s)
    if (window === active) continue
    const columns = JSON.stringify(meta.dedicatedColumns ?? [])
    candidates.push({ meta, age: current - window, isActive: window > active, columns })
  }
  return stripes(candidates.sort(compare), options)
}

/** In the order in which blocks are taken: those that are to be merged stand next to each other, small ones first. */
function compare(a: Candidate, b: Candidate): number {
  if (a.isActive !== b.isActive) return a.isActive ? -1 : 1
  const [x, y] = [a.meta, b.meta]
  const byLevel = x.compactionLevel - y.compactionLevel
  return (
    (a.isActive ? byLevel : 0) ||
    a.age - b.age ||
    x.replicationFactor - y.replicationFactor ||
    byLevel ||
    x.totalObjects - y.totalObjects ||
    compareText(x.format, y.format) ||
    compareText(a.columns, b.columns) ||
    compareText(x.blockID, y.blockID)
  )
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function stripes(candidates: readonly Candidate[], options: SelectOptions): BlockMeta[][] {
  const chosen: BlockMeta[][] = []
  for (let first = 0; first < candidates.length;) {
    let end = first + 1
    let { totalObjects: objects, size: bytes } = candidates[first]!.meta
    for (; end < candidates.length; end++) {
      const { meta } = candidates[end]!
      if (end - first >= options.max_input_blocks) break
      if (!belongTogether(candidates[first]!, candidates[end]!)) break
      objects += meta.totalObjects
      bytes += meta.size
      if (objects > options.max_objects || bytes > options.max_block_bytes) break
    }
    const stripe = candidates.slice(first, end).map(({ meta }) => meta)
    if (stripe.length >= Math.max(2, options.min_input_blocks)) chosen.push(stripe)
    // One that found no company is passed over by itself; two that are too few are passed over together.
    first = end
  }
  return chosen
}

function belongTogether(a: Candidate, b: Candidate): boolean {
  return (
    a.isActive === b.isActive &&
    a.age === b.age &&
    (!a.isActive || a.meta.compactionLevel === b.meta.compactionLevel) &&
    a.meta.replicationFactor === b.meta.replicationFactor &&
    a.meta.format === b.meta.format &&
    a.columns === b.columns
  )
}
