/**
 * Owns one segment: the records of one partition and time slice, of all tenants, in one LMDB file that is only appended to and later
 * dropped whole. At most one transaction is in flight; appends that come meanwhile go together into the next.
 */
import { assert } from '../../lib/assert.js'
import { syncUpwards } from '../../lib/durable-folders.js'
import { failpoint } from '../../lib/failpoints.js'
import type { Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { WalCorrupt, WalFailed, WalVersionUnsupported } from './errors.js'
import { FramePacker } from './frame.js'
import {
  FORMAT_VERSION,
  HEADER_KEY,
  PROGRESS_KEY,
  decodeHeader,
  decodeProgress,
  decodeTenant,
  encodeHeader,
  encodeProgress,
  encodeTenant,
  frameKey,
  isUuid,
  tenantKey,
  type Progress,
  type SegmentHeader,
  type TenantBlock,
} from './keys.js'
import { LmdbEnv, type WriteOp } from './lmdb.js'

/** `committed` survives the death of the process, `flushed` also that of the machine. */
export type WalSync = 'committed' | 'flushed'

/** One record of the ring: one tenant's OTLP bytes, and the block they will go to. */
export interface WalRecord {
  tenant: string
  blockId: string
  startOffset: number
  endOffset: number
  timestamp_ms: number
  bytes: Uint8Array
}

export interface SegmentInfo {
  seq: number
  path: string
  baseOffset: number
  /** The ring is applied up to here. */
  appliedOffset: number
  isClosed: boolean
  recordCount: number
  /** OTLP bytes, without headers. */
  size_bytes: number
  createdAt_ms: number
  /** Block UUID of each tenant that has records here. */
  blocks: ReadonlyMap<string, string>
}

export interface SegmentOptions {
  partition: number
  sync: WalSync
  clock: Clock
  log: Log
  mapSize_bytes?: number
  commitTimeout_ms?: number
  minFree_bytes?: number
  /** Given: an open waits for the disk to have room, until the signal. Otherwise it fails. */
  waitForRoom?: AbortSignal
}

interface Waiter {
  resolve: () => void
  reject: (error: WalFailed) => void
}

/** Appends that may wait for the transaction in flight; a caller that gets here does not wait for its acks. */
const MAX_STAGED_BYTES = 256 * 1024 * 1024

export class Segment {
  readonly #options: SegmentOptions
  readonly #header: SegmentHeader
  readonly #tenants: TenantBlock[]
  readonly #tenantIndexes = new Map<string, number>()
  readonly #packer = new FramePacker()
  #committed: Progress
  #staged: Progress
  #stagedBytes = 0
  #waiters: Waiter[] = []
  #env: LmdbEnv
  #pumping: Promise<void> | undefined
  #reopening: Promise<void> | undefined

  private constructor(
    env: LmdbEnv,
    header: SegmentHeader,
    progress: Progress,
    tenants: TenantBlock[],
    options: SegmentOptions,
  ) {
    this.#env = env
    this.#options = options
    this.#header = header
    this.#committed = progress
    this.#staged = { ...progress }
    this.#tenants = tenants
    for (const [index, { tenant }] of tenants.entries()) this.#tenantIndexes.set(tenant, index)
  }

  /** Makes a new segment in the folder; it exists once its header is committed. */
  static async create(
    path: string,
    seq: number,
    baseOffset: number,
    options: SegmentOptions,
  ): Promise<Segment> {
    const env = await openEnv(path, options)
    // Before the header: a segment that has one is sure to be found, also when the process dies right after it.
    if (options.sync === 'flushed') syncUpwards(path)
    const header: SegmentHeader = {
      format: FORMAT_VERSION,
      partition: options.partition,
      seq,
      baseOffset,
      createdAt_ms: options.clock.now(),
    }
    const progress = emptyProgress(baseOffset)
    await env.commit([
      { key: HEADER_KEY, value: encodeHeader(header) },
      { key: PROGRESS_KEY, value: encodeProgress(progress) },
    ])
    failpoint('wal.segment.created', path)
    return new Segment(env, header, progress, [], options)
  }

  /** Opens what is there; undefined when the program died before the header of a new segment was committed. */
  static async open(path: string, options: SegmentOptions): Promise<Segment | undefined> {
    const env = await openEnv(path, options)
    try {
      const headerBytes = env.get(HEADER_KEY)
      if (!headerBytes) {
        await env.close()
        return undefined
      }
      const header = decodeHeader(headerBytes)
      if (!header) throw new WalCorrupt(path, 'its header is no JSON with a format version')
      if (header.format > FORMAT_VERSION) {
        throw new WalVersionUnsupported(path, header.format, FORMAT_VERSION)
      }
      const progress = decodeProgress(env.get(PROGRESS_KEY) ?? new Uint8Array())
      if (!progress) throw new WalCorrupt(path, 'its progress entry is missing or short')
      const tenants = readTenants(env, path, progress.tenantCount)
      return new Segment(env, header, progress, tenants, options)
    } catch (error) {
      await env.close()
      throw error
    }
  }

  get path(): string {
    return this.#env.path
  }

  get seq(): number {
    return this.#header.seq
  }

  get isClosed(): boolean {
    return this.#committed.closed
  }

  get frameCount(): number {
    return this.#committed.frameCount
  }

  /** Committed: what a replacement finds. */
  get appliedOffset(): number {
    return this.#committed.appliedOffset
  }

  get failure(): WalFailed | undefined {
    return this.#env.failure
  }

  get isDiskFull(): boolean {
    return this.#env.isDiskFull
  }

  get isBusy(): boolean {
    return this.#pumping !== undefined
  }

  /** The block of a tenant, also when its first record is not committed yet. */
  blockOf(tenant: string): string | undefined {
    const index = this.#tenantIndexes.get(tenant)
    return index === undefined ? undefined : this.#tenants[index]!.blockId
  }

  info(): SegmentInfo {
    const tenants = this.#tenants.slice(0, this.#committed.tenantCount)
    return {
      seq: this.seq,
      path: this.path,
      baseOffset: this.#header.baseOffset,
      appliedOffset: this.#committed.appliedOffset,
      isClosed: this.#committed.closed,
      recordCount: this.#committed.recordCount,
      size_bytes: this.#committed.size_bytes,
      createdAt_ms: this.#header.createdAt_ms,
      blocks: new Map(tenants.map(({ tenant, blockId }) => [tenant, blockId])),
    }
  }

  /** Resolves when records, new tenants and `appliedOffset` are committed, all in one transaction. Copies the bytes at once. */
  append(records: readonly WalRecord[], appliedOffset: number): Promise<void> {
    if (this.#env.failure) return Promise.reject(this.#env.failure)
    this.#checkAppend(records, appliedOffset)
    for (const record of records) {
      this.#packer.add({ ...record, tenantIndex: this.#tenantIndex(record) })
      this.#staged.recordCount++
      this.#staged.size_bytes += record.bytes.length
      this.#stagedBytes += record.bytes.length
    }
    this.#staged.appliedOffset = appliedOffset
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#pumping ??= this.#pump()
    })
  }

  /** Writes the mark after which nobody appends here. */
  async closeForAppends(): Promise<void> {
    while (this.#pumping) await this.#pumping
    if (this.#committed.closed) return
    this.#staged.closed = true
    await this.append([], this.#staged.appliedOffset)
  }

  /** The bytes of a frame. */
  async frame(index: number): Promise<Uint8Array | undefined> {
    while (this.#reopening) await this.#reopening
    return this.#env.get(frameKey(index))
  }

  /** Maps the file anew: pages that were read through the map count as our memory until then. Appends and reads wait meanwhile. */
  async releaseMemory(): Promise<void> {
    while (this.#pumping) await this.#pumping
    this.#pumping = this.#reopening = this.#reopen()
    await this.#reopening
  }

  tenantAt(index: number): TenantBlock | undefined {
    return this.#tenants[index]
  }

  /** Resolves when nothing is in flight; appends that wait for room on the disk fail. */
  async quiesce(): Promise<void> {
    if (this.#env.isDiskFull) await this.#env.quiesce()
    while (this.#pumping) await this.#pumping
  }

  async close(): Promise<void> {
    await this.quiesce()
    await this.#env.close()
  }

  #checkAppend(records: readonly WalRecord[], appliedOffset: number): void {
    assert(!this.#committed.closed, `append to closed segment ${this.path}`)
    assert(
      this.#stagedBytes <= MAX_STAGED_BYTES,
      `${this.#stagedBytes} bytes wait for the commit in flight on ${this.path}, the bound is ${MAX_STAGED_BYTES}`,
    )
    let at = this.#staged.appliedOffset
    for (const { startOffset, endOffset } of records) {
      assert(
        startOffset >= at && endOffset > startOffset,
        `record ${startOffset}..${endOffset} after offset ${at}`,
      )
      at = endOffset
    }
    assert(
      appliedOffset >= at,
      `applied offset ${appliedOffset} is before the end of the last record, ${at}`,
    )
  }

  #tenantIndex({ tenant, blockId }: WalRecord): number {
    const known = this.#tenantIndexes.get(tenant)
    if (known !== undefined) {
      const assigned = this.#tenants[known]!.blockId
      assert(
        assigned === blockId,
        `tenant ${tenant} has block ${assigned} in segment ${this.seq}, not ${blockId}`,
      )
      return known
    }
    assert(isUuid(blockId), `block id "${blockId}" of tenant ${tenant} is no UUID`)
    const index = this.#tenants.push({ tenant, blockId }) - 1
    this.#tenantIndexes.set(tenant, index)
    this.#staged.tenantCount++
    return index
  }

  /** Commits what is staged until nothing is; the only place that writes. Never rejects: the waiters are told. */
  async #pump(): Promise<void> {
    // Appends of the same turn of the loop share the first transaction.
    await Promise.resolve()
    while (this.#waiters.length > 0) {
      const waiters = this.#waiters
      this.#waiters = []
      const { ops, progress, release } = this.#takeStaged()
      try {
        failpoint('wal.commit.before', this.path)
        await this.#env.commit(ops)
        failpoint('wal.commit.after', `${this.path} ${progress.appliedOffset}`)
      } catch (error) {
        for (const waiter of [...waiters, ...this.#waiters]) waiter.reject(error as WalFailed)
        this.#waiters = []
        break
      }
      this.#committed = progress
      release()
      for (const waiter of waiters) waiter.resolve()
    }
    // In the same breath as the last look at the waiters: one that comes after it starts a new pump.
    this.#pumping = undefined
  }

  async #reopen(): Promise<void> {
    await this.#env.close()
    this.#env = await openEnv(this.path, this.#options)
    this.#reopening = undefined
    this.#pumping = this.#waiters.length > 0 ? this.#pump() : undefined
  }

  #takeStaged(): { ops: WriteOp[]; progress: Progress; release: () => void } {
    const { frames, release } = this.#packer.take()
    const ops: WriteOp[] = []
    for (let i = this.#committed.tenantCount; i < this.#staged.tenantCount; i++) {
      ops.push({ key: tenantKey(i), value: encodeTenant(this.#tenants[i]!) })
    }
    for (const frame of frames) {
      ops.push({ key: frameKey(this.#staged.frameCount++), value: frame })
    }
    const progress = { ...this.#staged }
    ops.push({ key: PROGRESS_KEY, value: encodeProgress(progress) })
    this.#stagedBytes = 0
    return { ops, progress, release }
  }
}

function openEnv(path: string, options: SegmentOptions): Promise<LmdbEnv> {
  const { sync, partition: _, waitForRoom, ...rest } = options
  return LmdbEnv.openWhenRoom({ ...rest, path, fsync: sync === 'flushed' }, waitForRoom)
}

function emptyProgress(appliedOffset: number): Progress {
  return {
    appliedOffset,
    frameCount: 0,
    recordCount: 0,
    size_bytes: 0,
    tenantCount: 0,
    closed: false,
  }
}

function readTenants(env: LmdbEnv, path: string, count: number): TenantBlock[] {
  return Array.from({ length: count }, (_, index) => {
    const value = env.get(tenantKey(index))
    if (!value) throw new WalCorrupt(path, `tenant ${index} of ${count} is missing`)
    return decodeTenant(value)
  })
}
