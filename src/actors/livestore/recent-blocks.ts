/**
 * Owns remembering at a start what was cut shortly before the last end: the ids of the youngest complete blocks on local disk.
 *
 * It comes before the replay, so that a record in the WAL whose spans were partly in a block already is applied as it was
 * when it came. A span is only ever left out for a copy that is in a block, or in a head that was replayed before.
 */
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { LocalBackend } from '../../storage/backend/local.js'
import type { LocalBlocks } from '../../storage/backend/local-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { openBlock } from '../../storage/block/registry.js'
import type { HeadArena } from '../../storage/head/arena.js'
import { sizeOf_bytes } from '../../storage/head/span-set.js'
import type { BlockState, LivestoreState } from '../../storage/wal/state.js'
import { spanSetOfSource, type RecentSpans } from './recent-spans.js'

export interface RecentBlocksOptions {
  readonly state: LivestoreState
  readonly blocks: LocalBlocks
  readonly arena: HeadArena
  readonly recent: RecentSpans
  readonly clock: Clock
  readonly log: Log
  readonly progress: () => void
}

export async function reloadRecent(options: RecentBlocksOptions): Promise<void> {
  const { blocks, arena, recent, clock, log, progress } = options
  const backend = new LocalBackend(blocks.root, { clock, log })
  try {
    for (const block of youngest(options)) {
      try {
        const meta = block.meta as BlockMeta
        const source = await openBlock(meta, backend)
        const set = await spanSetOfSource(arena.seed, source, recent.max_bytes)
        await source.close()
        if (set) recent.add(block.tenant, set, clock.monotonic())
        else recent.forget(source.spanCount)
      } catch (error) {
        log.warn('a retry of spans in this block would be stored again: its ids cannot be read', {
          block: block.blockId,
          tenant: block.tenant,
          error: errorText(error),
        })
      }
      progress()
    }
  } finally {
    await backend.close()
  }
}

/**
 * Complete blocks, oldest first, whose spans may come again: a client goes on trying while the store is away, so the time
 * counts from when the last block was complete. No more than there is memory for.
 */
function youngest({ state, recent }: RecentBlocksOptions): BlockState[] {
  const newestFirst = state.blocks().reverse()
  const lastSeen_ms = newestFirst[0]?.completedAt_ms ?? 0
  let room_bytes = recent.max_bytes
  const chosen: BlockState[] = []
  for (const block of newestFirst) {
    if (block.completedAt_ms < lastSeen_ms - recent.horizon_ms || room_bytes <= 0) break
    room_bytes -= sizeOf_bytes((block.meta as BlockMeta).totalObjects, block.spans)
    chosen.push(block)
  }
  return chosen.reverse()
}
