/**
 * Owns one partition: what comes off its ring goes into the WAL and the live heads in one step, is committed, and is cut
 * into blocks when the slice is old, idle or large.
 *
 * The order is what makes an ack durable and a restart exact:
 *     stage rows in the heads -> WAL transaction (records + offset) -> publish the rows -> commit the ring
 * A death before the transaction leaves nothing; after it, the replacement finds the records in the WAL beyond what the
 * heads have published, applies them, and goes on from the WAL's offset.
 */
import { randomUUID } from 'node:crypto'
import type { AckMarker } from '../../bus/acks.js'
import type { BusRecord, Consumer } from '../../bus/consumer.js'
import type { PoisonGuard } from '../../bus/poison.js'
import { failpoint } from '../../lib/failpoints.js'
import type { Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import type { Catalog } from '../../storage/catalog.js'
import type { HeadArena } from '../../storage/head/arena.js'
import { MalformedOtlp } from '../../storage/head/errors.js'
import { HeadWriter, type AppendResult } from '../../storage/head/writer.js'
import type { Wal } from '../../storage/wal/wal.js'
import { DISCARD_REASONS } from '../distributor/contract.js'
import type { BlockPipeline, CutHead } from './block-pipeline.js'
import type { Judge } from './judge.js'
import type { PartitionMetrics } from './metrics.js'
import type { RecentSpans } from './recent-spans.js'
import type { Room } from './room.js'
import { cutReason, Slice, type CutLimits, type CutReason, type TenantHead } from './slice.js'

/** One WAL transaction takes about this much. */
const BATCH_BYTES_MAX = 1024 * 1024
/** How often the partition looks whether its slice is to be cut, when no span comes; above the bus's own re-check, which needs no timer. */
const CUT_CHECK_MS = 1200
/** Wait for builds to free memory, before looking again: what a reader held comes back without a word. */
const ROOM_WAIT_MS = 1000
/** Decoded tenant names that are kept; with more tenants than this, they are decoded again now and then. */
const NAMES_MAX = 10_000

/** As the distributor says that a message ends inside a field. */
const UNREADABLE_CODE = 1

interface Staged {
  readonly until: number
  /** What of the records before `until` goes into the WAL: all but those that were refused. */
  readonly taken: readonly BusRecord[]
  readonly obstacle: 'arena_full' | 'head_full' | undefined
}

export interface PartitionOptions {
  readonly partition: number
  readonly consumer: Consumer
  /** Knows which records may have killed a predecessor. */
  readonly guard: PoisonGuard
  /** Dies of a record that says so; for tests. */
  readonly killer?: ((bytes: Uint8Array) => void) | undefined
  readonly wal: Wal
  readonly arena: HeadArena
  readonly acks: AckMarker
  readonly catalog: Catalog
  readonly pipeline: BlockPipeline
  readonly room: Room
  /** Spans of the heads that were cut lately, for retries that come after the cut. */
  readonly recent: RecentSpans
  /** Judges the records by their tenants' limits. */
  readonly judge: Judge
  readonly limits: CutLimits
  /** A slice that was found at start is not cut for this long: a client's retry of an unanswered request still finds its first copy there. */
  readonly retryHorizon_ms: number
  readonly metrics: PartitionMetrics
  readonly clock: Clock
  readonly log: Log
  readonly progress: () => void
}

export class Partition {
  readonly #options: PartitionOptions
  readonly #names = new Map<string, string>()
  #slice: Slice
  #orderedCut: (() => void)[] = []
  #isStopping = false
  readonly #notCutBefore_ms: number

  /** `slice` is what recovery found in the current WAL segment. */
  constructor(options: PartitionOptions, slice: Slice) {
    this.#options = options
    this.#slice = slice
    options.judge.joinAs((tenant) => this.#slice.heads.get(tenant)?.writer.traceCount ?? 0)
    this.#notCutBefore_ms =
      slice.spans > 0 ? options.clock.monotonic() + options.retryHorizon_ms : 0
  }

  get number(): number {
    return this.#options.partition
  }

  get slice(): Slice {
    return this.#slice
  }

  get appliedOffset(): number {
    return this.#options.wal.appliedOffset
  }

  /** Consumes until the signal, then what is left in the ring. Rejects when the partition can't go on: a crash. */
  async run(signal: AbortSignal): Promise<void> {
    const { consumer, clock, recent } = this.#options
    signal.addEventListener('abort', () => (this.#isStopping = true), { once: true })
    while (!signal.aborted) {
      await consumer.wait({ timeout_ms: CUT_CHECK_MS, signal })
      if (!(await this.#takeAll())) return
      recent.expire(clock.monotonic())
      const reason = this.#dueCut(clock.monotonic())
      if (reason) await this.#cut(reason)
    }
    await this.#takeAll()
  }

  /** Cuts the slice at the next turn of the loop; resolves when it is handed to the builders. */
  cutNow(): Promise<void> {
    return new Promise((resolve) => this.#orderedCut.push(resolve))
  }

  async close(): Promise<void> {
    await this.#options.wal.close()
  }

  /** False when a record could not be taken: what follows it must not be committed either, or it would count as durable. */
  async #takeAll(): Promise<boolean> {
    const { consumer, progress } = this.#options
    for (;;) {
      const batch = consumer.poll({ max_bytes: BATCH_BYTES_MAX })
      if (!batch) return true
      const isTaken = this.#options.guard.isWatching
        ? await this.#applyWarily(batch.records)
        : await this.#apply(batch.records)
      if (!isTaken) return false
      progress()
      if (this.#slice.arena_bytes >= this.#options.limits.max_bytes) await this.#cut('bytes')
    }
  }

  /** Records that something speaks against are applied alone, each after a durable count; the others go together as ever. */
  async #applyWarily(records: readonly BusRecord[]): Promise<boolean> {
    const { guard, progress } = this.#options
    let free: BusRecord[] = []
    for (const record of records) {
      if (guard.isFree(record)) {
        free.push(record)
        continue
      }
      if (!(await this.#apply(free))) return false
      free = []
      const admission = await guard.admit(record)
      if (admission === 'stop') return false
      if (admission !== 'take') await this.#putAside(record, admission.aside)
      else if (!(await this.#apply([record]))) return false
      await guard.done()
      progress()
    }
    return this.#apply(free)
  }

  /** The record is a dead letter: the log goes past it without it, and its sender is told. */
  async #putAside(record: BusRecord, spans: number): Promise<void> {
    const { wal, acks, consumer } = this.#options
    await wal.append([], record.end)
    acks.reject(record.correlation, spans, DISCARD_REASONS.quarantined)
    consumer.commit(record.end)
  }

  /** False when the records could not all be taken, which ends the partition. */
  async #apply(records: readonly BusRecord[]): Promise<boolean> {
    const { wal, consumer, metrics, clock } = this.#options
    let from = 0
    while (from < records.length) {
      const touched = new Set<TenantHead>()
      const { until, taken, obstacle } = this.#stage(records, from, touched)
      if (until === from) {
        // What does not fit any more while we stop was not acknowledged; its sender comes again.
        if (this.#isStopping) return false
        await this.#makeRoom(obstacle)
        continue
      }
      const applied = records[until - 1]!.end
      const started = clock.monotonic()
      await wal.append(
        taken.map((record) => {
          const tenant = this.#tenantOf(record)
          return {
            tenant,
            blockId: this.#slice.heads.get(tenant)!.blockId,
            startOffset: record.offset,
            endOffset: record.end,
            timestamp_ms: record.timestamp_ms,
            bytes: record.value,
          }
        }),
        applied,
      )
      metrics.commit_seconds.observe((clock.monotonic() - started) / 1000)
      for (const head of touched) head.writer.publish(applied)
      consumer.commit(applied)
      this.#slice.noteAppend(clock.monotonic())
      metrics.records.inc(until - from)
      from = until
    }
    return true
  }

  /** Appends records to the heads until one does not fit; `until` is the index of the first that was not taken. */
  #stage(records: readonly BusRecord[], from: number, touched: Set<TenantHead>): Staged {
    const { metrics, judge } = this.#options
    const taken: BusRecord[] = []
    for (let i = from; i < records.length; i++) {
      const record = records[i]!
      const head = this.#headOf(this.#tenantOf(record))
      if (!head) return { until: i, taken, obstacle: 'arena_full' }
      const judged = judge.stage(head, record, (part) => this.#append(head, part))
      if (!judged) continue
      const { result, record: kept } = judged
      if (result.code !== 'ok') return { until: i, taken, obstacle: result.code }
      // What is stored already, in a slice that was cut, is acknowledged and not stored again.
      if (kept && result.spans > 0) taken.push(kept)
      touched.add(head)
      metrics.received(head.tenant, record.value.length, result)
    }
    return { until: records.length, taken, obstacle: undefined }
  }

  /** The distributor has validated the bytes; should a fault have got past it, the sender is told and the rest goes on. */
  #append(head: TenantHead, record: BusRecord): AppendResult | undefined {
    try {
      this.#options.killer?.(record.value)
      return head.writer.append(record.value, this.#options.recent.of(head.tenant))
    } catch (error) {
      if (!(error instanceof MalformedOtlp)) throw error
      const { acks, log, partition } = this.#options
      acks.refuse(record.correlation, UNREADABLE_CODE, 0)
      log.error('record refused: not readable as OTLP', {
        partition,
        offset: record.offset,
        error: error.message,
      })
      return undefined
    }
  }

  #tenantOf(record: BusRecord): string {
    // latin1 is a cheap exact key for the map; the name itself is UTF-8.
    const key = record.key.toString('latin1')
    let name = this.#names.get(key)
    if (name === undefined) {
      if (this.#names.size >= NAMES_MAX) this.#names.clear()
      this.#names.set(key, (name = record.key.toString('utf8')))
    }
    return name
  }

  /** The head of a tenant in this slice; undefined when memory or the catalog is full. */
  #headOf(tenant: string): TenantHead | undefined {
    const existing = this.#slice.heads.get(tenant)
    if (existing) return existing
    const { arena, catalog, partition, wal } = this.#options
    // Before memory is taken: what is given back at once looks like room that somebody has made, and the next try comes at once.
    if (!catalog.hasRoom) return undefined
    const blockId = wal.blockOf(tenant) ?? randomUUID()
    const writer = HeadWriter.create(arena, { blockId, tenant, partition })
    if (!writer) return undefined
    const entry = catalog.addHead(blockId, tenant, writer.headerChunk, this.#slice.segment)
    const head = { tenant, blockId, writer, entry }
    this.#slice.heads.set(tenant, head)
    return head
  }

  #dueCut(now_ms: number): CutReason | undefined {
    if (this.#orderedCut.length > 0) return 'ordered'
    if (now_ms < this.#notCutBefore_ms) return undefined
    return cutReason(this.#slice, now_ms, this.#options.limits)
  }

  /** Closes the WAL segment and hands its heads to the builders; the next slice begins. */
  async #cut(reason: CutReason): Promise<void> {
    const { wal, catalog, pipeline, judge, recent, metrics, clock, log, partition } = this.#options
    const waiters = this.#orderedCut.splice(0)
    const slice = this.#slice
    if (slice.heads.size > 0) {
      failpoint('cut.before', partition)
      await wal.rotate()
      for (const head of slice.heads.values()) catalog.markCut(head.entry)
      judge.cut(slice.heads.values())
      recent.addHeads(slice.heads.values(), clock.monotonic())
      this.#slice = new Slice(wal.current.seq)
      metrics.cut(reason)
      log.debug('slice cut', {
        partition,
        reason,
        segment: slice.segment,
        spans: slice.spans,
        tenants: slice.heads.size,
      })
      pipeline.build({ segment: slice.segment, heads: cutHeads(slice) })
      failpoint('cut.after', partition)
    }
    for (const resolve of waiters) resolve()
  }

  /** Back-pressure: nothing is taken from the ring until there is memory for it. */
  async #makeRoom(obstacle: Staged['obstacle']): Promise<void> {
    const { arena, room, guard, metrics, clock, progress } = this.#options
    const { freed } = room
    if (obstacle === 'head_full') return this.#cut('bytes')
    if (arena.reclaim() > 0) return
    if (this.#slice.spans > 0) await this.#cut('arena_full')
    else this.#letGo()
    const started = clock.monotonic()
    await guard.pause()
    await room.wait(clock, ROOM_WAIT_MS, freed)
    await guard.resume()
    progress()
    metrics.backPressure_seconds.inc((clock.monotonic() - started) / 1000)
  }

  /**
   * Heads without a span hold memory too: two partitions with nothing else would wait for one another for ever. They are given back in
   * the turn in which they were made, without a cut: that would begin a WAL segment at each try.
   */
  #letGo(): void {
    const { arena, catalog } = this.#options
    for (const { entry, writer } of this.#slice.heads.values()) {
      catalog.remove(entry)
      arena.retire(writer.headerChunk)
    }
    this.#slice.heads.clear()
    arena.reclaim()
  }
}

/** The heads of a slice as the builders see them. */
function cutHeads(slice: Slice): CutHead[] {
  return [...slice.heads.values()].map(({ tenant, blockId, writer, entry }) => ({
    tenant,
    blockId,
    entry,
    headerChunk: writer.headerChunk,
    spans: writer.spanCount,
  }))
}
