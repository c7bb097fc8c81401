/**
 * Owns the door to the lmdb package: one environment with one tree of bytes, written by one transaction at a time.
 *
 * What was learned by killing threads (test/stress/wal-death.test.ts) and is kept here:
 * - Writes go through `batch()`, never `transactionSync()`: the latter holds the environment's mutex while JavaScript runs, and a thread
 *   that dies of its heap limit in between never gives it back: it cannot even exit. A batch is a list that one store publishes;
 *   the transaction itself runs on a thread of the pool, which Node waits for when the worker ends.
 * - `batchStartThreshold` is out of reach, so that no transaction starts on half a batch and waits for a dead thread's other half.
 * - A thread that is ended by another (terminate) while it is inside an open makes node-addon-api throw where nothing can be thrown, and
 *   that aborts the process. Commits call the addon too briefly: none of 100 terminated in mid-work did, but two of three series met a
 *   rotation. So an owner is stopped by message, and only one that hangs is terminated. A heap limit ends a thread in the same way, so an
 *   open is refused when the heap is nearly full: an exception kills one thread, not all.
 * - LMDB never gets to see a full disk: on a write error lmdb 3.5.6 prints 106 characters into 100 bytes, and the broken heap aborts the
 *   process. A commit waits here until the file system has room for it and a reserve.
 * - `overlappingSync` is off: with it the pool still syncs after the lock is free, while the dying thread's exit hook closes the file.
 *   It also costs five times the CPU (80 KB records: 6.8 against 1.3 ms per MB).
 * - `useWritemap` is off: every page written would count as ours (434 MB of RSS for 400 MB written, and 2.7 times the file).
 */
import { statfsSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { open, type RootDatabase, type RootDatabaseOptions } from 'lmdb'
import { assert } from '../../lib/assert.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { WalDiskFull, WalFailed } from './errors.js'
import { preflight } from './preflight.js'

export interface WriteOp {
  key: Uint8Array
  /** Must stay as it is until the commit: it is not copied. Undefined removes the key. */
  value: Uint8Array | undefined
}

export interface EnvOptions {
  path: string
  /** True: a commit waits for fdatasync. False: a commit survives the death of the process, not of the machine. */
  fsync: boolean
  clock: Clock
  log: Log
  /** Address space to begin with; LMDB maps anew when the file outgrows it. */
  mapSize_bytes?: number
  /** A commit that takes longer poisons the handle. */
  commitTimeout_ms?: number
  /** What a commit leaves free on the file system. */
  minFree_bytes?: number
  /** Free bytes of the file system of a path; for tests. */
  freeBytes?: (path: string) => number
}

const DEFAULT_MAP_BYTES = 256 * 1024 * 1024
const DEFAULT_COMMIT_TIMEOUT_MS = 30_000
/** Enough for other writers until the next look, and for the pages that a commit copies. */
const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024
/** As long as so little is written since the last look, the reserve covers it. */
const MAX_UNCHECKED_BYTES = 8 * 1024 * 1024
const MAX_UNCHECKED_MS = 250
const SPACE_RETRY_MS = 500
const MAX_READERS = 16
const NEVER = 2 ** 30
/** An open allocates about 1 MiB, but the young generation counts in the limit and may have to move over meanwhile. */
const MAX_NEEDED_HEAP_BYTES = 56 * 1024 * 1024
const NEEDED_HEAP_SHARE = 0.4

/** Options that lmdb 3.5.6 reads but does not declare. */
interface UndeclaredOptions {
  batchStartThreshold: number
}

export class LmdbEnv {
  readonly path: string
  readonly #db: RootDatabase<Uint8Array, Uint8Array>
  readonly #clock: Clock
  readonly #commitTimeout_ms: number
  #inFlight: Promise<void> | undefined
  #startedAt_ms = 0
  #isWatching = false
  #failure: WalFailed | undefined
  #failInFlight: ((error: WalFailed) => void) | undefined
  #isClosed = false
  readonly #closing = new AbortController()
  readonly #log: Log
  readonly #minFree_bytes: number
  readonly #freeBytes: (path: string) => number
  #unchecked_bytes = Infinity
  #checkedAt_ms = 0
  #spaceWait: AbortController | undefined

  private constructor(db: RootDatabase<Uint8Array, Uint8Array>, options: EnvOptions) {
    this.path = options.path
    this.#db = db
    this.#clock = options.clock
    this.#log = options.log
    this.#minFree_bytes = options.minFree_bytes ?? DEFAULT_MIN_FREE_BYTES
    this.#freeBytes = options.freeBytes ?? freeBytesOf
    this.#commitTimeout_ms = options.commitTimeout_ms ?? DEFAULT_COMMIT_TIMEOUT_MS
  }

  /** Opens or creates the environment in the folder `path`. Throws `WalFailed` or `WalCorrupt` with the cause. */
  static open(options: EnvOptions): LmdbEnv {
    mustHaveHeap(options.path)
    preflight(options.path)
    const settings: RootDatabaseOptions & UndeclaredOptions = {
      noSubdir: false,
      maxDbs: 1,
      maxReaders: MAX_READERS,
      mapSize: options.mapSize_bytes ?? DEFAULT_MAP_BYTES,
      encoding: 'binary',
      keyEncoding: 'binary',
      compression: false,
      cache: false,
      noSync: !options.fsync,
      overlappingSync: false,
      useWritemap: false,
      eventTurnBatching: false,
      batchStartThreshold: NEVER,
    }
    try {
      return new LmdbEnv(open<Uint8Array, Uint8Array>(options.path, settings), options)
    } catch (error) {
      throw new WalFailed(options.path, `cannot open: ${errorText(error)}`)
    }
  }

  /** As `open`; without room on the disk it waits until there is some, or rejects at the signal. */
  static async openWhenRoom(options: EnvOptions, signal?: AbortSignal): Promise<LmdbEnv> {
    const { path, clock, log } = options
    for (let isTold = false; ; isTold = true) {
      try {
        const env = LmdbEnv.open(options)
        if (isTold) log.info('disk has room again: wal is open', { path })
        return env
      } catch (error) {
        if (!(error instanceof WalDiskFull) || !signal || signal.aborted) throw error
        if (!isTold) log.error('disk is full: wal waits for room to open a file', { path, reason: error.reason }) // prettier-ignore
        await clock.sleep(SPACE_RETRY_MS, signal)
      }
    }
  }

  /** Why this handle takes no more writes, if so. */
  get failure(): WalFailed | undefined {
    return this.#failure
  }

  /** True while a commit waits for the file system to have room. */
  get isDiskFull(): boolean {
    return this.#spaceWait !== undefined
  }

  /**
   * Commits the operations in one transaction; one at a time. While the disk is full it waits. Rejects with `WalFailed`, and so does
   * every commit after.
   */
  commit(ops: readonly WriteOp[]): Promise<void> {
    assert(this.#inFlight === undefined, `a commit to ${this.path} is already in flight`)
    assert(!this.#isClosed, `commit to ${this.path} after close`)
    if (this.#failure) return Promise.reject(this.#failure)
    this.#inFlight = this.#commit(ops).finally(() => (this.#inFlight = undefined))
    return this.#inFlight
  }

  /** A copy of the value, or undefined. */
  get(key: Uint8Array): Uint8Array | undefined {
    const value = this.#db.getBinary(key)
    return value && plainBytes(value)
  }

  /** Copies of all entries whose key begins with `first`; for small trees only. */
  entries(first: number): { key: Uint8Array; value: Uint8Array }[] {
    const range = this.#db.getRange({ start: Uint8Array.of(first), end: Uint8Array.of(first + 1) })
    return Array.from(range, ({ key, value }) => ({
      key: plainBytes(key).slice(),
      value: plainBytes(value).slice(),
    }))
  }

  /**
   * Resolves when no transaction is in flight: from here a thread may end without a write cut short. A commit that waits for room on the
   * disk fails instead.
   */
  async quiesce(): Promise<void> {
    this.#spaceWait?.abort()
    while (this.#inFlight) await this.#inFlight.catch(() => {})
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.quiesce()
    this.#isClosed = true
    this.#closing.abort()
    await this.#db.close()
  }

  async #commit(ops: readonly WriteOp[]): Promise<void> {
    let size_bytes = 0
    for (const { value } of ops) size_bytes += value?.length ?? 0
    if (!this.#hasRoom(size_bytes)) await this.#waitForRoom(size_bytes)
    this.#startedAt_ms = this.#clock.monotonic()
    if (!this.#isWatching) void this.#watch()
    await this.#transact(ops)
  }

  #hasRoom(size_bytes: number): boolean {
    const now_ms = this.#clock.monotonic()
    this.#unchecked_bytes += size_bytes
    const isRecent = now_ms - this.#checkedAt_ms < MAX_UNCHECKED_MS
    if (this.#unchecked_bytes <= MAX_UNCHECKED_BYTES && isRecent) return true
    if (this.#freeBytes(this.path) < size_bytes + this.#minFree_bytes) return false
    this.#unchecked_bytes = size_bytes
    this.#checkedAt_ms = now_ms
    return true
  }

  /** Nothing is acknowledged meanwhile, so the ring fills and the clients are told to come back later. */
  async #waitForRoom(size_bytes: number): Promise<void> {
    const needed = size_bytes + this.#minFree_bytes
    const told = { path: this.path, needed_bytes: needed, free_bytes: this.#freeBytes(this.path) }
    this.#log.error('disk is full: wal commits wait for room, spans are not acknowledged', told)
    const wait = (this.#spaceWait = new AbortController())
    this.#unchecked_bytes = Infinity
    do {
      await this.#clock.sleep(SPACE_RETRY_MS, wait.signal)
      if (wait.signal.aborted) {
        this.#spaceWait = undefined
        throw (this.#failure ??= new WalFailed(this.path, `disk is full: ${needed} bytes needed`))
      }
    } while (!this.#hasRoom(size_bytes))
    this.#spaceWait = undefined
    this.#log.info('disk has room again: wal commits go on', { path: this.path })
  }

  #transact(ops: readonly WriteOp[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#failInFlight = reject
      const fail = (reason: string) => reject((this.#failure ??= new WalFailed(this.path, reason)))
      try {
        this.#db
          .batch(() => {
            for (const { key, value } of ops) {
              if (value) void this.#db.put(key, value)
              else void this.#db.remove(key)
            }
          })
          .then(
            () => resolve(),
            (error: unknown) => void commitCause(error).then(fail),
          )
      } catch (error) {
        fail(errorText(error))
      }
    })
  }

  /** lmdb-js leaves a promise for ever pending when a transaction cannot begin, so somebody has to look at the clock. */
  async #watch(): Promise<void> {
    this.#isWatching = true
    for (;;) {
      await this.#clock.sleep(this.#commitTimeout_ms / 4, this.#closing.signal)
      if (!this.#inFlight) break
      const waited_ms = this.#clock.monotonic() - this.#startedAt_ms
      if (waited_ms <= this.#commitTimeout_ms) continue
      this.#failure ??= new WalFailed(this.path, `no commit within ${Math.round(waited_ms)} ms`)
      this.#failInFlight?.(this.#failure)
      break
    }
    this.#isWatching = false
  }
}

function freeBytesOf(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

function mustHaveHeap(path: string): void {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  const needed = Math.min(MAX_NEEDED_HEAP_BYTES, Math.floor(limit * NEEDED_HEAP_SHARE))
  if (limit - used >= needed) return
  const reason = `cannot open: this thread uses ${used} of ${limit} bytes of heap, ${needed} must be free`
  throw new WalFailed(path, reason)
}

/** lmdb-js answers with Buffers, whose `slice` shares and whose equality differs. */
function plainBytes({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length)
}

/** The text behind lmdb-js's "Commit failed (see commitError for details)". */
async function commitCause(error: unknown): Promise<string> {
  const { commitError } = error as { commitError?: Promise<unknown> }
  if (!commitError) return errorText(error)
  try {
    await commitError
  } catch (cause) {
    return errorText(cause)
  }
  return errorText(error)
}
