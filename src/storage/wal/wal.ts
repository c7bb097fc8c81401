/**
 * Owns the write-ahead log of one partition: its folder of segments, the newest of which takes the appends.
 *
 *   <wal_path>/wal/p<partition>/0000000007/           a segment: data.mdb, lock.mdb
 *                               0000000003.dropping/  being deleted; what a crash left of it goes at the next open
 *                               0000000005.damaged-1/ could not be read; kept for a person to look at
 *
 * A process that dies at any point leaves one of: the newest segment open; the newest closed and its successor missing or without a
 * header (it held nothing yet); a folder in the middle of being deleted. `open` takes each of them to one open segment.
 */
import { readdirSync, renameSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../../lib/assert.js'
import { makeFoldersSync, syncFolder } from '../../lib/durable-folders.js'
import { failpoint } from '../../lib/failpoints.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { WalCorrupt, type WalFailed } from './errors.js'
import { replaySegment } from './replay.js'
import {
  Segment,
  type SegmentInfo,
  type SegmentOptions,
  type WalRecord,
  type WalSync,
} from './segment.js'

export interface WalOptions {
  /** `live_store.wal.path`; the log lives in `wal/p<partition>` below it. */
  path: string
  partition: number
  sync: WalSync
  clock: Clock
  log: Log
  /** Address space of a segment to begin with; it grows by itself. */
  mapSize_bytes?: number
  /** A commit that takes longer fails the log. */
  commitTimeout_ms?: number
  /** What a commit leaves free on the file system. */
  minFree_bytes?: number
  /** Given: an open waits for the disk to have room, until the signal. Otherwise it fails. */
  waitForRoom?: AbortSignal
}

const SEGMENT_NAME = /^\d{10}$/
const DROPPING = '.dropping'

export class Wal {
  readonly path: string
  readonly #options: WalOptions
  readonly #closed = new Map<number, SegmentInfo>()
  /** Renamed, and not yet deleted. */
  readonly #dropping = new Set<number>()
  readonly #replaying = new Map<number, number>()
  #current: Segment
  #isRotating = false
  #isClosed = false

  private constructor(path: string, options: WalOptions, closed: SegmentInfo[], current: Segment) {
    this.path = path
    this.#options = options
    this.#current = current
    for (const info of closed) this.#closed.set(info.seq, info)
  }

  /** Opens the log of a partition, or begins it. Throws `WalVersionUnsupported` or `WalFailed`. */
  static async open(options: WalOptions): Promise<Wal> {
    const path = join(options.path, 'wal', `p${options.partition}`)
    makeFoldersSync(path)
    const seqs = sweep(path, options.log)
    const closed: SegmentInfo[] = []
    let current: Segment | undefined
    for (const seq of seqs) {
      const segment = await openSegment(path, seq, options)
      if (!segment) continue
      if (seq === seqs.at(-1) && !segment.isClosed) current = segment
      else closed.push(await retire(segment))
    }
    const last = closed.at(-1)
    current ??= await beginSegment(path, (seqs.at(-1) ?? 0) + 1, last?.appliedOffset ?? 0, options)
    return new Wal(path, options, closed, current)
  }

  /** The ring is applied up to here, durably; 0 when the log is new. */
  get appliedOffset(): number {
    return this.#current.appliedOffset
  }

  /** What stopped the log, if anything did. */
  get failure(): WalFailed | undefined {
    return this.#current.failure
  }

  /** True while appends wait for the disk to have room; they go on by themselves. */
  get isDiskFull(): boolean {
    return this.#current.isDiskFull
  }

  /** True while a transaction is in flight. */
  get isBusy(): boolean {
    return this.#current.isBusy
  }

  /** The segment that takes the appends. */
  get current(): SegmentInfo {
    return this.#current.info()
  }

  /** All segments, oldest first. */
  segments(): SegmentInfo[] {
    return [...this.#closed.values(), this.#current.info()]
  }

  /** The block assigned to a tenant in the current segment. */
  blockOf(tenant: string): string | undefined {
    return this.#current.blockOf(tenant)
  }

  /**
   * Appends records in ring order, and the offset up to which the ring is applied with them; resolves when both are committed. Copies the
   * bytes before it returns. May be called again meanwhile. Rejects with `WalFailed`: then nothing of it may be acknowledged, and the log
   * has to be closed and opened again.
   */
  append(records: readonly WalRecord[], appliedOffset: number): Promise<void> {
    assert(
      !this.#isRotating && !this.#isClosed,
      `append to ${this.path} while it rotates or after close`,
    )
    return this.#current.append(records, appliedOffset)
  }

  /** Closes the current segment for appends, begins the next from its offset, and tells what was closed. */
  async rotate(): Promise<SegmentInfo> {
    assert(
      !this.#isRotating && !this.#isClosed,
      `rotation of ${this.path} while it rotates or after close`,
    )
    this.#isRotating = true
    try {
      const old = this.#current
      await old.closeForAppends()
      const info = old.info()
      failpoint('wal.rotate.closed', info.path)
      this.#current = await beginSegment(this.path, old.seq + 1, info.appliedOffset, this.#options)
      this.#closed.set(info.seq, info)
      await old.close()
      failpoint('wal.rotate.begun', info.path)
      return info
    } finally {
      this.#isRotating = false
    }
  }

  /** Deletes a closed segment: call it once its blocks are durable elsewhere, and again when it was rejected. */
  async drop(seq: number): Promise<void> {
    const path = segmentPath(this.path, seq)
    const info = this.#closed.get(seq)
    const isKnown = info !== undefined || this.#dropping.has(seq)
    assert(isKnown, `segment ${seq} of ${this.path} is not closed or does not exist`)
    assert(!this.#replaying.has(seq), `segment ${seq} of ${this.path} is being replayed`)
    if (info) {
      failpoint('wal.drop.before', path)
      renameSync(path, path + DROPPING)
      this.#closed.delete(seq)
      this.#dropping.add(seq)
    }
    // A segment that came back after a power cut would become blocks again that may be gone from here since.
    if (this.#options.sync === 'flushed') syncFolder(this.path)
    failpoint('wal.drop.renamed', path)
    await rm(path + DROPPING, { recursive: true, force: true })
    this.#dropping.delete(seq)
    failpoint('wal.drop.after', path)
  }

  /** The committed records of a segment that end after `from`, in order, about 256 KiB at a time. */
  async *replay(seq: number, from = 0): AsyncGenerator<WalRecord[]> {
    const isCurrent = seq === this.#current.seq
    const info = this.#closed.get(seq)
    assert(isCurrent || info !== undefined, `there is no segment ${seq} in ${this.path}`)
    this.#replaying.set(seq, (this.#replaying.get(seq) ?? 0) + 1)
    let segment: Segment | undefined
    try {
      segment = isCurrent
        ? this.#current
        : await Segment.open(segmentPath(this.path, seq), segmentOptions(this.#options))
      if (segment) yield* replaySegment(segment, from, this.#options.log)
    } finally {
      const left = this.#replaying.get(seq)! - 1
      if (left === 0) this.#replaying.delete(seq)
      else this.#replaying.set(seq, left)
      if (!isCurrent) await segment?.close()
    }
  }

  /** Resolves when nothing is in flight: the safe point at which the owner's thread may end. */
  quiesce(): Promise<void> {
    return this.#current.quiesce()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#current.close()
  }
}

/** Deletes what was being dropped; the numbers of the segments, oldest first. */
function sweep(path: string, log: Log): number[] {
  const names = readdirSync(path)
  for (const name of names.filter((name) => name.endsWith(DROPPING))) {
    rmSync(join(path, name), { recursive: true, force: true })
    log.info('wal segment dropped', { path: join(path, name), reason: 'left over from a crash' })
  }
  return names
    .filter((name) => SEGMENT_NAME.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}

/** A segment that is damaged is set aside and told, so that the rest can go on; one without a header never held anything. */
async function openSegment(
  path: string,
  seq: number,
  options: WalOptions,
): Promise<Segment | undefined> {
  const folder = segmentPath(path, seq)
  try {
    const segment = await Segment.open(folder, segmentOptions(options))
    if (!segment) {
      rmSync(folder, { recursive: true, force: true })
      options.log.info('wal segment without a header removed', { path: folder })
    }
    return segment
  } catch (error) {
    if (!(error instanceof WalCorrupt)) throw error
    const aside = `${folder}.damaged-${options.clock.now()}`
    renameSync(folder, aside)
    options.log.error('wal segment is damaged: set aside, its records are not searchable', {
      path: aside,
      reason: errorText(error),
    })
    return undefined
  }
}

/** Only the newest segment may be open for appends. */
async function retire(segment: Segment): Promise<SegmentInfo> {
  await segment.closeForAppends()
  const info = segment.info()
  await segment.close()
  return info
}

function beginSegment(
  path: string,
  seq: number,
  baseOffset: number,
  options: WalOptions,
): Promise<Segment> {
  return Segment.create(segmentPath(path, seq), seq, baseOffset, segmentOptions(options))
}

function segmentPath(path: string, seq: number): string {
  return join(path, String(seq).padStart(10, '0'))
}

function segmentOptions({ path: _, ...options }: WalOptions): SegmentOptions {
  return options
}
