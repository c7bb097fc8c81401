/** Owns one slice: the live heads of one WAL segment, one a tenant. A slice is cut, built and dropped as a whole. */
import type { HeadWriter } from '../../storage/head/writer.js'

export interface TenantHead {
  readonly tenant: string
  readonly blockId: string
  readonly writer: HeadWriter
  /** Its entry in the catalog. */
  readonly entry: number
}

export class Slice {
  readonly heads = new Map<string, TenantHead>()
  /** When the first span came, monotonic ms; undefined while there is none. */
  startedAt_ms: number | undefined
  lastAppend_ms = 0

  /** `segment` is the WAL segment with the same records. */
  constructor(readonly segment: number) {}

  /** Bytes of the arena that the heads hold. */
  get arena_bytes(): number {
    let bytes = 0
    for (const head of this.heads.values()) bytes += head.writer.arena_bytes
    return bytes
  }

  get spans(): number {
    let spans = 0
    for (const head of this.heads.values()) spans += head.writer.spanCount
    return spans
  }

  noteAppend(now_ms: number): void {
    this.startedAt_ms ??= now_ms
    this.lastAppend_ms = now_ms
  }
}

export interface CutLimits {
  /** Since the first span of the slice: Tempo's `live_store.max_block_duration`. */
  readonly maxAge_ms: number
  /** Since the last span of the slice. */
  readonly maxIdle_ms: number
  /** Of the arena. */
  readonly max_bytes: number
}

export type CutReason = 'age' | 'idle' | 'bytes' | 'arena_full' | 'ordered'

/** Why the slice is to be cut now, if it is. A slice without spans never is. */
export function cutReason(slice: Slice, now_ms: number, limits: CutLimits): CutReason | undefined {
  if (slice.startedAt_ms === undefined) return undefined
  if (slice.arena_bytes >= limits.max_bytes) return 'bytes'
  if (now_ms - slice.startedAt_ms >= limits.maxAge_ms) return 'age'
  if (now_ms - slice.lastAppend_ms >= limits.maxIdle_ms) return 'idle'
  return undefined
}
