/**
 * Owns what happens to a cut slice: its heads are built into blocks on local disk, the blocks are listed in their place,
 * the heads' memory and the WAL segment are given back. Builds are retried for ever; until one succeeds, the head stays
 * searchable and the segment stays on disk.
 */
import { backoffDelay_ms } from '../../lib/backoff.js'
import { failpoint } from '../../lib/failpoints.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import type { LocalBlocks } from '../../storage/backend/local-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { parseTime_ns } from '../../storage/block/meta.js'
import type { Catalog, LocalFacts } from '../../storage/catalog.js'
import type { HeadArena } from '../../storage/head/arena.js'
import type { BlockState, LivestoreState } from '../../storage/wal/state.js'
import type { Wal } from '../../storage/wal/wal.js'
import type { BlockBuilder } from './block-builder.js'
import type { BlockFormat } from './block-format.js'
import type { CompleteBlock, CompleteBlockLifecycle } from './complete-block-lifecycle.js'
import type { PipelineMetrics } from './metrics.js'
import type { Room } from './room.js'

/** meta.json may carry whole seconds only. */
const SLACK_NS = 1_000_000_000n
const RETRY = { base_ms: 1000, max_ms: 60_000 }

/** A head that takes no more spans. */
export interface CutHead {
  readonly tenant: string
  readonly blockId: string
  readonly headerChunk: number
  readonly spans: number
  /** Its entry in the catalog. */
  readonly entry: number
}
export interface CutSlice {
  readonly segment: number
  readonly heads: readonly CutHead[]
}

export interface BlockPipelineOptions {
  readonly partition: number
  readonly wal: Wal
  readonly state: LivestoreState
  readonly arena: HeadArena
  /** Is told when memory of live heads comes back. */
  readonly room: Room
  readonly catalog: Catalog
  readonly blocks: LocalBlocks
  readonly builder: Pick<BlockBuilder, 'build'>
  readonly lifecycle: CompleteBlockLifecycle
  /** How a tenant's blocks are to be written from now on. */
  readonly formatFor: (tenant: string) => BlockFormat
  readonly fsync: boolean
  readonly metrics: PipelineMetrics
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
}

export class BlockPipeline {
  readonly #options: BlockPipelineOptions
  /** Catalog entries of the complete blocks, by block id. */
  readonly #entries = new Map<string, number>()
  readonly #building = new Set<Promise<void>>()
  /** WAL segments that are still there: their records would become blocks again after a restart. */
  readonly #segments = new Set<number>()
  readonly #stopping = new AbortController()
  #slicesWaiting = 0

  constructor(options: BlockPipelineOptions) {
    this.#options = options
  }

  /** Slices that are cut and not yet complete. */
  get length(): number {
    return this.#slicesWaiting
  }

  /** Builds all heads of a slice, then drops its WAL segment. */
  build(slice: CutSlice): void {
    this.#slicesWaiting++
    this.#segments.add(slice.segment)
    const work = this.#buildSlice(slice).finally(() => {
      this.#slicesWaiting--
      this.#building.delete(work)
      this.#options.room.wake()
    })
    this.#building.add(work)
  }

  /** Lists a complete block that was found at start, and gives it to the lifecycle. */
  reload(state: BlockState, entry: number): void {
    this.#entries.set(state.blockId, entry)
    this.#options.lifecycle.reloaded(this.#blockOf(state))
  }

  /** Resolves when every slice handed over so far is complete. */
  async idle(): Promise<void> {
    while (this.#building.size > 0) await Promise.race(this.#building)
  }

  /** No more retries; a build in flight ends with its thread, and is done again after the next start. */
  stop(): void {
    this.#stopping.abort()
  }

  /** The lifecycle has the block in the backend. */
  async flushed(block: CompleteBlock): Promise<void> {
    const { state, catalog, clock } = this.#options
    failpoint('flush.note.before', block.blockId)
    await state.markFlushed(block.blockId, clock.now())
    failpoint('flush.note.after', block.blockId)
    const entry = this.#entries.get(block.blockId)
    if (entry !== undefined) catalog.markFlushed(entry)
  }

  /** The complete blocks that the lifecycle allows to be deleted, and whose WAL segment is gone. */
  deletable(): CompleteBlock[] {
    const { state, lifecycle } = this.#options
    return state
      .blocks()
      .filter((block) => !this.#segments.has(block.segment))
      .map((block) => this.#blockOf(block))
      .filter((block) => lifecycle.mayDelete(block))
  }

  /** Unlists a block, then deletes its files: who still reads it goes on in the backend. */
  async delete(block: CompleteBlock): Promise<void> {
    const { catalog, blocks, state, lifecycle, metrics, log } = this.#options
    const entry = this.#entries.get(block.blockId)
    if (entry !== undefined) {
      catalog.remove(entry)
      this.#entries.delete(block.blockId)
    }
    await blocks.delete(block.tenant, block.blockId)
    failpoint('local.delete.after', block.blockId)
    await lifecycle.deleted(block)
    failpoint('backend.flag.deleted', block.blockId)
    await state.removeBlock(block.blockId)
    failpoint('local.forget.after', block.blockId)
    metrics.cleared.inc()
    log.debug('local block deleted', { block: block.blockId, tenant: block.tenant })
  }

  async #buildSlice(slice: CutSlice): Promise<void> {
    for (const head of slice.heads) {
      for (let attempt = 0; !(await this.#tryBuild(slice, head, attempt)); attempt++) {
        await this.#options.clock.sleep(
          backoffDelay_ms(attempt, RETRY, this.#options.random),
          this.#stopping.signal,
        )
        if (this.#stopping.signal.aborted) return
      }
      if (this.#stopping.signal.aborted) return
    }
    // The slice is complete with the last block; its segment may go later.
    if (!(await this.#tryDrop(slice.segment))) void this.#dropLater(slice.segment)
  }

  /** Retried for ever: until it is gone, a segment takes room and keeps its blocks from being deleted. */
  async #dropLater(segment: number): Promise<void> {
    const { clock, random } = this.#options
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(backoffDelay_ms(attempt, RETRY, random), this.#stopping.signal)
      if (this.#stopping.signal.aborted || (await this.#tryDrop(segment))) return
    }
  }

  async #tryDrop(segment: number): Promise<boolean> {
    const { wal, log } = this.#options
    try {
      await wal.drop(segment)
      this.#segments.delete(segment)
      return true
    } catch (error) {
      log.warn('WAL segment not dropped, will try again', { segment, error: errorText(error) })
      return false
    }
  }

  async #tryBuild(slice: CutSlice, head: CutHead, attempt: number): Promise<boolean> {
    const { metrics, clock, log, partition } = this.#options
    const started = clock.monotonic()
    try {
      if (head.spans > 0) await this.#buildBlock(slice, head)
      else this.#options.catalog.remove(head.entry)
      this.#options.arena.retire(head.headerChunk)
      this.#options.arena.reclaim()
      this.#options.room.wake()
      metrics.duration_seconds.observe((clock.monotonic() - started) / 1000)
      return true
    } catch (error) {
      if (this.#stopping.signal.aborted) return false
      metrics.failed.inc()
      if (attempt > 0) metrics.retries.inc()
      log.error('block not built, will try again', {
        partition,
        block: head.blockId,
        tenant: head.tenant,
        attempt: attempt + 1,
        error: errorText(error),
      })
      return false
    }
  }

  async #buildBlock(slice: CutSlice, head: CutHead): Promise<void> {
    const { builder, blocks, state, catalog, arena, metrics, log, clock, formatFor, fsync } =
      this.#options
    // A predecessor may have finished the block and died before it could say so.
    const existing = await blocks.meta(head.tenant, head.blockId)
    const meta: BlockMeta =
      existing ??
      (
        await builder.build({
          arena: arena.memory,
          headChunk: head.headerChunk,
          blockId: head.blockId,
          tenant: head.tenant,
          ...formatFor(head.tenant),
          folder: blocks.root,
          fsync,
        })
      ).meta
    const block: BlockState = {
      blockId: head.blockId,
      tenant: head.tenant,
      segment: slice.segment,
      spans: meta.totalSpans ?? head.spans,
      size_bytes: meta.size,
      state: 'completed',
      attempts: 0,
      completedAt_ms: clock.now(),
      flushedAt_ms: undefined,
      meta,
    }
    failpoint('block.note.before', head.blockId)
    await state.putBlock(block)
    failpoint('block.note.after', head.blockId)
    catalog.markLocal(head.entry, factsOf(meta))
    this.#entries.set(head.blockId, head.entry)
    metrics.completed.inc()
    metrics.size_bytes.observe(meta.size)
    log.info('block complete', {
      block: head.blockId,
      tenant: head.tenant,
      spans: block.spans,
      bytes: meta.size,
    })
    this.#options.lifecycle.completed(this.#blockOf(block))
  }

  #blockOf(block: BlockState): CompleteBlock {
    return {
      blockId: block.blockId,
      tenant: block.tenant,
      partition: this.#options.partition,
      spans: block.spans,
      size_bytes: block.size_bytes,
      completedAt_ms: block.completedAt_ms,
      isFlushed: block.state === 'flushed',
    }
  }
}

/** What the catalog says of a block; meta.json's times are whole enough for pruning when widened by a second. */
export function factsOf(meta: BlockMeta): LocalFacts {
  const start_ns = parseTime_ns(meta.startTime) ?? 0n
  return {
    spans: meta.totalSpans ?? 0,
    minStart_ns: start_ns > SLACK_NS ? start_ns - SLACK_NS : 0n,
    maxEnd_ns: (parseTime_ns(meta.endTime) ?? 0n) + SLACK_NS,
    size_bytes: meta.size,
  }
}
