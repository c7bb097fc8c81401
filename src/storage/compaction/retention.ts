/** Owns which blocks are too old or too many: those to mark, and those that were marked long enough ago to be deleted. */
import type { BlockMeta } from '../block/encoding.js'
import { parseTime_ns } from '../block/meta.js'
import type { CompactedBlock } from './marks.js'

export interface RetentionOptions {
  /** A block lives this long after its last span. */
  readonly block_retention_ms: number
  /** A marked block stays this long. */
  readonly compacted_block_retention_ms: number
  /** No marked block goes before: someone may be reading it. */
  readonly readersGone_ms: number
}

export interface SizeOptions {
  /** 0 = any. */
  readonly max_bytes: number
  readonly low_bytes: number
}

export const endOf_ms = (meta: BlockMeta): number =>
  Number((parseTime_ns(meta.endTime) ?? 0n) / 1_000_000n)

export function isExpired(meta: BlockMeta, now_ms: number, options: RetentionOptions): boolean {
  return endOf_ms(meta) < now_ms - options.block_retention_ms
}

/** True when the data of a marked block may go. `isFull`: the bytes are wanted now. */
export function isDue(
  { compactedAt_ms }: CompactedBlock,
  now_ms: number,
  options: RetentionOptions,
  isFull: boolean,
): boolean {
  const { compacted_block_retention_ms, readersGone_ms } = options
  const kept_ms = isFull ? 0 : compacted_block_retention_ms
  return now_ms - compactedAt_ms >= Math.max(kept_ms, readersGone_ms)
}

/**
 * The oldest blocks that have to go so that the others take no more than the low watermark; none while all together, those that are
 * marked already included, are within the maximum.
 */
export function beyondSize(
  live: readonly BlockMeta[],
  marked: readonly CompactedBlock[],
  { max_bytes, low_bytes }: SizeOptions,
): BlockMeta[] {
  if (max_bytes === 0) return []
  let bytes = live.reduce((sum, { size }) => sum + size, 0)
  const all = marked.reduce((sum, { meta }) => sum + meta.size, bytes)
  if (all <= max_bytes || bytes <= low_bytes) return []
  const oldestFirst = [...live].sort(
    (a, b) => endOf_ms(a) - endOf_ms(b) || (a.blockID < b.blockID ? -1 : 1),
  )
  const gone: BlockMeta[] = []
  for (const meta of oldestFirst) {
    if (bytes <= low_bytes) break
    gone.push(meta)
    bytes -= meta.size
  }
  return gone
}
