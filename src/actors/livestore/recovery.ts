/**
 * Owns the start of a partition: it finds what a predecessor left and makes one state of it.
 *
 * After the death of an actor, the heads are still in shared memory and in the catalog: they are adopted as they were
 * last published, and only the records that the WAL has beyond that are applied. After the death of the process there
 * are no heads: they are rebuilt from the WAL's segments, under the block ids that the WAL has noted for them, so a
 * block that was already complete is recognised and nothing is built or counted twice.
 */
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import type { LocalBlocks } from '../../storage/backend/local-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import type { Catalog } from '../../storage/catalog.js'
import type { HeadArena } from '../../storage/head/arena.js'
import { MalformedOtlp } from '../../storage/head/errors.js'
import { HeadWriter, type AppendResult } from '../../storage/head/writer.js'
import type { BlockState, LivestoreState } from '../../storage/wal/state.js'
import type { SegmentInfo, WalRecord } from '../../storage/wal/segment.js'
import type { Wal } from '../../storage/wal/wal.js'
import { factsOf, type BlockPipeline, type CutHead } from './block-pipeline.js'
import type { ReplayGuard } from './replay-guard.js'
import { reloadRecent } from './recent-blocks.js'
import type { RecentSpans } from './recent-spans.js'
import type { Room } from './room.js'
import { Slice } from './slice.js'

/** Wait for builds to free memory during a replay. */
const ROOM_WAIT_MS = 1000
/** So often in a row when this partition builds nothing itself: other partitions' builds free memory too. */
const IDLE_WAITS_MAX = 20

export interface RecoveryOptions {
  readonly partition: number
  readonly wal: Wal
  readonly state: LivestoreState
  readonly arena: HeadArena
  readonly catalog: Catalog
  readonly blocks: LocalBlocks
  readonly pipeline: BlockPipeline
  readonly room: Room
  readonly guard: ReplayGuard
  /** Dies of a record that says so; for tests. */
  readonly killer?: ((bytes: Uint8Array) => void) | undefined
  /** Is told what was cut lately: blocks that are complete, and the closed segments that are replayed. */
  readonly recent: RecentSpans
  readonly clock: Clock
  readonly log: Log
  readonly progress: () => void
}

/** Returns the slice to go on with; cut slices and complete blocks are handed to the pipeline. */
export async function recover(options: RecoveryOptions): Promise<Slice> {
  const { wal, arena, catalog, partition, log } = options
  arena.sweep(partition)
  finishNoted(options)
  retireUnlisted(options)
  await reloadBlocks(options)
  await reloadRecent(options)
  const listed = catalog.entries().filter(({ facts }) => facts.state !== 'local')
  const current = wal.current.seq
  const slice = new Slice(current)
  let spans = 0
  for (const segment of wal.segments()) {
    const heads = listed.filter(({ facts }) => facts.segment === segment.seq)
    const replay = new Replay(options, segment)
    for (const { entry, facts } of heads) {
      if (facts.state === 'head' && segment.seq !== current) catalog.markCut(entry)
      replay.adopt(entry, facts.tenant, facts.blockId, facts.headChunk)
    }
    await replay.run()
    spans += replay.replayedSpans
    if (segment.seq === current) {
      for (const head of replay.heads.values()) slice.heads.set(head.tenant, head)
      if (slice.spans > 0) slice.noteAppend(options.clock.monotonic())
    } else {
      options.recent.addHeads(replay.heads.values(), options.clock.monotonic())
      options.pipeline.build({ segment: segment.seq, heads: replay.cutHeads() })
    }
  }
  await options.guard.end()
  log.info('partition ready', {
    partition,
    applied_offset: wal.appliedOffset,
    live_spans: slice.spans,
    replayed_spans: spans,
    segments: wal.segments().length,
  })
  return slice
}

/** Blocks that were complete and noted when their maker died, and whose entry still said that they are being built. */
function finishNoted({ catalog, state }: RecoveryOptions): void {
  for (const { entry, facts } of catalog.entries()) {
    const block = facts.state === 'cut' ? state.block(facts.blockId) : undefined
    if (block) catalog.markLocal(entry, factsOf(block.meta as BlockMeta))
  }
}

/** Heads that no entry of the catalog names: their maker died in between, and they hold nothing that was acknowledged. */
function retireUnlisted({ arena, catalog, partition }: RecoveryOptions): void {
  const named = new Set(
    catalog
      .entries()
      .filter(({ facts }) => facts.state !== 'local')
      .map(({ facts }) => facts.headChunk),
  )
  for (const head of arena.heads(partition)) {
    if (head.state === 'open' && !named.has(head.headerChunk)) arena.retire(head.headerChunk)
  }
}

/** Complete blocks: all of them are listed, and those that the backend has not got are queued again. */
async function reloadBlocks(options: RecoveryOptions): Promise<void> {
  const { state, blocks, catalog, pipeline, wal, log, clock } = options
  const entries = new Map(
    catalog
      .entries()
      .filter(({ facts }) => facts.state === 'local')
      .map(({ entry, facts }) => [facts.blockId, entry]),
  )
  const inSegments = new Set(wal.segments().flatMap((segment) => [...segment.blocks.values()]))
  const onDisk = await blocks.sweep((folder, error) =>
    log.error('local block is damaged: set aside, its spans are not searchable', {
      folder,
      error: errorText(error),
    }),
  )
  const found = new Set(onDisk.map((meta) => meta.blockID))
  for (const block of state.blocks()) {
    if (found.has(block.blockId)) continue
    const entry = entries.get(block.blockId)
    if (entry !== undefined) catalog.remove(entry)
    // The backend has it; a deletion that was begun is finished when its time comes.
    if (block.state === 'flushed') continue
    log.warn('local block is gone from disk', { block: block.blockId, tenant: block.tenant })
    await state.removeBlock(block.blockId)
  }
  for (const meta of onDisk) {
    let block = state.block(meta.blockID)
    // Complete on disk but not noted yet: the replay of its segment finds it, unless the segment is gone too.
    if (!block && inSegments.has(meta.blockID)) continue
    if (!block) {
      block = orphan(
        meta.blockID,
        meta.tenantID,
        meta.totalSpans ?? 0,
        meta.size,
        meta,
        clock.now(),
      )
      await state.putBlock(block)
    }
    const isFlushed = block.state === 'flushed'
    const entry =
      entries.get(block.blockId) ??
      catalog.addLocal(block.blockId, block.tenant, factsOf(meta), isFlushed)
    if (entry < 0)
      throw new Error(
        `catalog of partition ${options.partition} is full: ${onDisk.length} local blocks`,
      )
    if (isFlushed && catalog.read(entry)?.isFlushed === false) catalog.markFlushed(entry)
    pipeline.reload(block, entry)
  }
}

function orphan(
  blockId: string,
  tenant: string,
  spans: number,
  size_bytes: number,
  meta: unknown,
  now_ms: number,
): BlockState {
  return {
    blockId,
    tenant,
    segment: 0,
    spans,
    size_bytes,
    state: 'completed',
    attempts: 0,
    completedAt_ms: now_ms,
    flushedAt_ms: undefined,
    meta,
  }
}

interface ReplayedHead {
  readonly tenant: string
  readonly blockId: string
  readonly writer: HeadWriter
  readonly entry: number
}

/** The heads of one segment: adopted where they are, made anew where not, and brought up to the WAL. */
class Replay {
  readonly heads = new Map<string, ReplayedHead>()
  replayedSpans = 0
  readonly #options: RecoveryOptions
  readonly #segment: SegmentInfo
  #idleWaits = 0
  /** Tenants whose block is complete, so that their records are done with. */
  readonly #done = new Set<string>()

  constructor(options: RecoveryOptions, segment: SegmentInfo) {
    this.#options = options
    this.#segment = segment
  }

  adopt(entry: number, tenant: string, blockId: string, headChunk: number): void {
    const writer = HeadWriter.adopt(this.#options.arena, headChunk)
    this.heads.set(tenant, { tenant, blockId, writer, entry })
  }

  async run(): Promise<void> {
    const { wal, state, progress } = this.#options
    for (const [tenant, blockId] of this.#segment.blocks) {
      // A block that is on disk and was not noted is a head once more: the pipeline finds its files and notes it.
      if (!this.heads.has(tenant) && state.block(blockId)) this.#done.add(tenant)
    }
    const missing = [...this.#segment.blocks.keys()].filter((tenant) => !this.#done.has(tenant))
    const from = missing.map((tenant) => this.heads.get(tenant)?.writer.appliedOffset ?? 0)
    if (missing.length > 0) {
      for await (const records of wal.replay(this.#segment.seq, Math.min(...from))) {
        await this.#applyAll(records)
        progress()
      }
    }
    for (const head of this.heads.values()) head.writer.publish(this.#segment.appliedOffset)
  }

  cutHeads(): CutHead[] {
    return [...this.heads.values()].map(({ tenant, blockId, writer, entry }) => ({
      tenant,
      blockId,
      entry,
      headerChunk: writer.headerChunk,
      spans: writer.spanCount,
    }))
  }

  get #isClosed(): boolean {
    return this.#segment.seq !== this.#options.wal.current.seq
  }

  async #applyAll(records: readonly WalRecord[]): Promise<void> {
    const { guard } = this.#options
    await guard.begin(records)
    for (const record of records) {
      if (this.#isDone(record)) continue
      if (await guard.admit(record, this.#segment.seq)) await this.#apply(record)
    }
  }

  #isDone({ tenant, endOffset }: WalRecord): boolean {
    return (
      this.#done.has(tenant) || endOffset <= (this.heads.get(tenant)?.writer.appliedOffset ?? 0)
    )
  }

  async #apply(record: WalRecord): Promise<void> {
    for (;;) {
      const head = this.heads.get(record.tenant) ?? this.#create(record.tenant, record.blockId)
      if (head) {
        const result = this.#append(head, record)
        if (!result) return
        if (result.code === 'ok') {
          this.#idleWaits = 0
          head.writer.publish(record.endOffset)
          this.replayedSpans += result.spans
          return
        }
      }
      await this.#makeRoom()
    }
  }

  /** A record that is no OTLP was refused when it came; it must not keep the partition from starting. */
  #append(head: ReplayedHead, record: WalRecord): AppendResult | undefined {
    try {
      this.#options.killer?.(record.bytes)
      return head.writer.append(record.bytes, this.#options.recent.of(head.tenant))
    } catch (error) {
      if (!(error instanceof MalformedOtlp)) throw error
      const { log, partition } = this.#options
      log.error('WAL record left out: not readable as OTLP', {
        partition,
        offset: record.startOffset,
        tenant: record.tenant,
        error: error.message,
      })
      return undefined
    }
  }

  #create(tenant: string, blockId: string): ReplayedHead | undefined {
    const { arena, catalog, partition } = this.#options
    const writer = HeadWriter.create(arena, { blockId, tenant, partition })
    if (!writer) return undefined
    const entry = catalog.addHead(blockId, tenant, writer.headerChunk, this.#segment.seq)
    if (entry < 0) throw new Error(`catalog of partition ${partition} is full`)
    if (this.#isClosed) catalog.markCut(entry)
    const head = { tenant, blockId, writer, entry }
    this.heads.set(tenant, head)
    return head
  }

  /** Heads of earlier segments are being built; their memory comes back one by one. */
  async #makeRoom(): Promise<void> {
    const { arena, pipeline, room, guard, clock, progress, log } = this.#options
    const { freed } = room
    if (arena.reclaim() > 0) {
      this.#idleWaits = 0
      return
    }
    const mark = await guard.pause()
    this.#idleWaits = pipeline.length > 0 ? 0 : this.#idleWaits + 1
    if (this.#idleWaits > IDLE_WAITS_MAX) {
      throw new Error(
        `memory for live heads (actors.head_bytes) is too small for segment ${this.#segment.seq} of partition ${this.#options.partition}`,
      )
    }
    log.debug('replay waits for a build to free memory')
    // What another partition's build has freed is not a wait in vain.
    if (await room.wait(clock, ROOM_WAIT_MS, freed)) this.#idleWaits = 0
    progress()
    await guard.resume(mark)
  }
}
