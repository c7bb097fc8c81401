/**
 * Owns compaction: tenant after tenant, groups of blocks are merged on a thread of their own, then the merged block takes the place of
 * its inputs, here in one step and in the backend in an order that bears a crash between any two:
 *
 *     data of the merged block ─▶ its meta.json, which names the inputs ─▶ each input marked (meta.compacted.json, no meta.json)
 */
import { errorText, type Log } from '../../lib/log.js'
import type { PressureLevel } from '../../lib/pressure.js'
import type { Clock } from '../../lib/time.js'
import type { LimitsSource } from '../../limits/view.js'
import type { Config } from '../../config.js'
import type { Backend } from '../../storage/backend/backend.js'
import { CorruptBlock, type BlockMeta } from '../../storage/block/encoding.js'
import { COMPACTED_META_OBJECT, META_OBJECT, objectPath } from '../../storage/block/meta.js'
import { knownEncodings } from '../../storage/block/registry.js'
import { mergedBlockId, type CompactResult } from '../../storage/compaction/compact.js'
import { exists, hindrance, markCompacted, publish } from '../../storage/compaction/marks.js'
import { mergeNeed_bytes } from '../../storage/compaction/need.js'
import type { Scratch } from '../../storage/compaction/scratch.js'
import { selectBlocks } from '../../storage/compaction/select.js'
import type { BlockRegistry } from './block-registry.js'
import type { BucketView } from './bucket-view.js'
import type { MergeRoom } from './merge-room.js'
import type { CompactionMetrics } from './metrics.js'

/**
 * What a failed compaction left behind is cleared away after this, and the tenant is let be until then: a request that was given up may
 * still be carried out by the store, and a meta.json that arrives late must find the block that it is of.
 */
export const LATE_WRITE_MS = 120_000
/** A block whose bytes are corrupt is not tried again for this long; nobody mends it by itself. */
const SET_ASIDE_MS = 3_600_000
const SET_ASIDE_MAX = 10_000
/** While spans need the memory, compaction waits; it is looked at so often. */
const PRESSURE_POLL_MS = 1000
/** A merge takes a few MiB between two looks. */
const OVER_POLL_MS = 100
/** Blocks of other formats are left as they are. */
const MERGED_FORMATS: ReadonlySet<string> = new Set(knownEncodings())

/** Merges and uploads data; on a thread of its own, or in a test on this one. */
export type RunCompaction = (
  inputs: readonly BlockMeta[],
  signal: AbortSignal,
) => Promise<CompactResult>

export interface CompactorOptions {
  readonly backend: Backend
  readonly view: BucketView
  readonly registry: Pick<BlockRegistry, 'exchange'>
  readonly run: RunCompaction
  readonly scratch: Scratch
  readonly settings: Config['compaction']
  readonly limits: LimitsSource
  readonly metrics: CompactionMetrics
  readonly clock: Clock
  readonly log: Log
  readonly pressure: () => PressureLevel
  /** Memory that a merge may take. */
  readonly room: Pick<MergeRoom, 'free_bytes' | 'isOver'>
  /** Told of a tenant whose blocks have changed. */
  readonly onChanged: (tenant: string) => Promise<void>
  readonly abort: AbortSignal
}

export class Compactor {
  readonly #options: CompactorOptions
  /** The tenant whose turn was last. */
  #last = ''
  readonly #pausedUntil_ms = new Map<string, number>()
  /** Corrupt blocks, by tenant and id. */
  readonly #setAside = new Map<string, number>()
  /** Inputs of the compaction under way: retention leaves them alone. */
  #busy: ReadonlySet<string> = new Set()

  constructor(options: CompactorOptions) {
    this.#options = options
  }

  get isMerging(): boolean {
    return this.#busy.size > 0
  }

  isBusy({ blockID }: BlockMeta): boolean {
    return this.#busy.has(blockID)
  }

  /** One tenant that has something to merge, if any has. */
  async cycle(): Promise<void> {
    const { view, abort, clock } = this.#options
    await this.clearLeftovers()
    const { tenants } = view
    const first = tenants.findIndex((tenant) => tenant > this.#last)
    const inTurn = first < 0 ? tenants : [...tenants.slice(first), ...tenants.slice(0, first)]
    for (const tenant of inTurn) {
      if (abort.aborted) return
      if (this.#isLeftAlone(tenant, clock.monotonic())) continue
      await this.#finishMarks(tenant)
      if (await this.#compactTenant(tenant)) {
        this.#last = tenant
        return
      }
    }
  }

  /**
   * Of compactions that did not come to their end: where meta.json is there, the block counts and only its inputs' marks may be missing,
   * which the list tells; else nobody knows of the block, and its data is deleted.
   */
  async clearLeftovers(): Promise<void> {
    const { scratch, backend, clock, log } = this.#options
    for (const { tenant, blockId, begunAt_ms } of await scratch.leftovers()) {
      if (clock.now() - begunAt_ms < LATE_WRITE_MS) continue
      try {
        const path = (name: string) => objectPath(tenant, blockId, name)
        const isDone =
          (await exists(backend, path(META_OBJECT))) ||
          (await exists(backend, path(COMPACTED_META_OBJECT)))
        if (!isDone) await backend.deleteBlock(tenant, blockId)
        await scratch.forget(tenant, blockId)
        log.info('cleared what an unfinished compaction left', { tenant, block: blockId, isDone })
      } catch (error) {
        log.warn('what an unfinished compaction left is not cleared yet', { tenant, block: blockId, error: errorText(error) }) // prettier-ignore
      }
    }
  }

  #isLeftAlone(tenant: string, now: number): boolean {
    const { limits, view } = this.#options
    if (limits.of(tenant).compaction_disabled || !view.isWhole(tenant)) return true
    const until_ms = this.#pausedUntil_ms.get(tenant)
    if (until_ms !== undefined && until_ms > now) return true
    this.#pausedUntil_ms.delete(tenant)
    return false
  }

  /** Marks what a merged block stands for, where a crash or a failure kept that from being done. */
  async #finishMarks(tenant: string): Promise<void> {
    const { view } = this.#options
    const unmarked = [...view.unmarked(tenant), ...view.halfMarked(tenant)]
    if (unmarked.length === 0) return
    await view.alone(() => this.#markAll(unmarked))
    await this.#options.onChanged(tenant)
  }

  /** True when there was something to do. */
  async #compactTenant(tenant: string): Promise<boolean> {
    const { clock, abort, settings, metrics, onChanged } = this.#options
    const began = clock.monotonic()
    const passedOver = new Set<string>()
    let done = 0
    for (;;) {
      const groups = this.#groups(tenant, passedOver)
      const outstanding = groups.reduce((sum, group) => sum + group.length, 0)
      if (groups.length > 0 || done > 0) metrics.outstanding.labels(tenant).set(outstanding)
      const isOver = clock.monotonic() - began > settings.max_time_per_tenant_ms
      const [group] = groups
      if (!group || abort.aborted || isOver) break
      if (done > 0 && this.#isLeftAlone(tenant, clock.monotonic())) break
      await this.#waitForMemory()
      const fitting = this.#fitting(group)
      // One group is done once or not at all in a turn.
      for (const { blockID } of fitting ?? group) passedOver.add(blockID)
      if (!fitting) continue
      await this.#compact(tenant, fitting)
      done++
    }
    if (done > 0) await onChanged(tenant)
    return done > 0
  }

  #groups(tenant: string, passedOver: ReadonlySet<string>): BlockMeta[][] {
    const { view, settings, limits, clock } = this.#options
    const now = clock.monotonic()
    const free = view
      .candidates(tenant)
      .filter((meta) => MERGED_FORMATS.has(meta.format) && !passedOver.has(meta.blockID))
      .filter((meta) => (this.#setAside.get(`${tenant}/${meta.blockID}`) ?? 0) <= now)
    const window_ms = limits.of(tenant).compaction_window_ms || settings.window_ms
    return selectBlocks(free, clock.now(), { ...settings, window_ms })
  }

  async #waitForMemory(): Promise<void> {
    const { pressure, clock, abort } = this.#options
    while (pressure() !== 'none' && !abort.aborted) await clock.sleep(PRESSURE_POLL_MS, abort)
  }

  /** As many of the group as there is memory for; without room for any it waits for a later cycle, and others are tried. */
  #fitting(group: readonly BlockMeta[]): readonly BlockMeta[] | undefined {
    const { settings, log, room } = this.#options
    const room_bytes = room.free_bytes
    const least = Math.max(2, settings.min_input_blocks)
    for (let count = group.length; count >= least; count--) {
      const some = group.slice(0, count)
      if (mergeNeed_bytes(some) <= room_bytes) return some
    }
    const needed_bytes = mergeNeed_bytes(group.slice(0, least))
    log.debug('no memory to merge blocks now', { inputs: least, needed_bytes, room_bytes })
    return undefined
  }

  async #compact(tenant: string, inputs: readonly BlockMeta[]): Promise<void> {
    const { clock, metrics, abort } = this.#options
    const started = clock.monotonic()
    this.#busy = new Set(inputs.map(({ blockID }) => blockID))
    try {
      if (await this.#isHindered(tenant, inputs)) return
      const result = await this.#runUnlessShort(inputs)
      if (!(await this.#exchange(tenant, inputs, result))) return
      const seconds = (clock.monotonic() - started) / 1000
      metrics.duration.observe(seconds)
      this.#count(inputs, result, seconds)
    } catch (error) {
      if (!abort.aborted) await this.#failed(tenant, inputs, error)
    } finally {
      this.#busy = new Set()
    }
  }

  /** Ends when spans need the memory that it takes; what it did is then done again later. */
  async #runUnlessShort(inputs: readonly BlockMeta[]): Promise<CompactResult> {
    const { run, room, clock, abort } = this.#options
    const ended = new AbortController()
    const signal = AbortSignal.any([ended.signal, abort])
    const over = new AbortController()
    const watch = async () => {
      while (!over.signal.aborted && !signal.aborted) {
        if (room.isOver) ended.abort(new Error('memory is short: it is done later'))
        await clock.sleep(OVER_POLL_MS, over.signal)
      }
    }
    const watching = watch()
    try {
      return await run(inputs, signal)
    } catch (error) {
      throw ended.signal.aborted ? ended.signal.reason : error
    } finally {
      over.abort()
      await watching
    }
  }

  async #isHindered(tenant: string, inputs: readonly BlockMeta[]): Promise<boolean> {
    const { backend, log } = this.#options
    for (const meta of inputs) {
      const why = await hindrance(backend, meta)
      if (why === undefined) continue
      log.info('blocks are not compacted now', { tenant, block: meta.blockID, reason: why })
      return true
    }
    return false
  }

  /** From here on the merged block counts; false when an input changed meanwhile. */
  #exchange(
    tenant: string,
    inputs: readonly BlockMeta[],
    { meta }: CompactResult,
  ): Promise<boolean> {
    const { view, backend, registry, scratch } = this.#options
    return view.alone(async () => {
      if (await this.#isHindered(tenant, inputs)) {
        await backend.deleteBlock(tenant, meta.blockID)
        await scratch.forget(tenant, meta.blockID)
        return false
      }
      await publish(backend, meta)
      registry.exchange(inputs, [meta])
      view.added(meta)
      await scratch.forget(tenant, meta.blockID)
      await this.#markAll(inputs)
      return true
    })
  }

  /** One that cannot be marked is left out by every reader all the same, and marked in a later cycle. */
  async #markAll(metas: readonly BlockMeta[]): Promise<void> {
    const { backend, view, clock, metrics, log } = this.#options
    for (const meta of metas) {
      try {
        const now_ms = clock.now()
        await markCompacted(backend, meta, now_ms)
        view.marked(meta, now_ms)
      } catch (error) {
        metrics.errors.inc()
        log.warn('a block that was merged into another is not marked yet', {
          tenant: meta.tenantID,
          block: meta.blockID,
          error: errorText(error),
        })
      }
    }
  }

  async #failed(tenant: string, inputs: readonly BlockMeta[], error: unknown): Promise<void> {
    const { metrics, log, clock, scratch } = this.#options
    metrics.errors.inc()
    const block = mergedBlockId(inputs)
    log.warn('compaction failed', { tenant, block, inputs: inputs.map(({ blockID }) => blockID).join(), error: errorText(error) }) // prettier-ignore
    await scratch.empty(tenant, block)
    const now = clock.monotonic()
    this.#pausedUntil_ms.set(tenant, now + LATE_WRITE_MS)
    const { blockId, code } = error as Partial<CorruptBlock>
    if (code !== 'CORRUPT_BLOCK' || blockId === undefined) return
    if (this.#setAside.size >= SET_ASIDE_MAX) this.#setAside.clear()
    this.#setAside.set(`${tenant}/${blockId}`, now + SET_ASIDE_MS)
  }

  #count(inputs: readonly BlockMeta[], { meta, counts }: CompactResult, seconds: number): void {
    const { metrics, log } = this.#options
    const level = String(meta.compactionLevel - 1)
    metrics.blocks.labels(level).inc(inputs.length)
    metrics.objectsWritten.labels(level).inc(meta.totalObjects)
    metrics.bytesWritten.labels(level).inc(meta.size)
    metrics.objectsCombined.labels(level).inc(counts.combinedTraces)
    metrics.spansDeduped.labels(String(meta.replicationFactor)).inc(counts.duplicateSpans)
    metrics.outputSize.observe(meta.size)
    log.info('blocks compacted', {
      tenant: meta.tenantID,
      block: meta.blockID,
      inputs: inputs.length,
      level: meta.compactionLevel,
      traces: counts.traces,
      combined_traces: counts.combinedTraces,
      spans: counts.spans,
      duplicate_spans: counts.duplicateSpans,
      bytes: meta.size,
      input_bytes: inputs.reduce((sum, { size }) => sum + size, 0),
      seconds: Math.round(seconds * 10) / 10,
    })
  }
}
