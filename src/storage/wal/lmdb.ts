/**
 * Owns the door to the lmdb package: one environment with one tree of bytes, written by one transaction at a time.
 *
 * What was learned by killing threads (test/stress/wal-death.test.ts) and is kept here:
 * - Writes go through `batch()`, never `transactionSync()`: the latter holds the environment's mutex while JavaScript runs, and a thread
 *   that dies of its heap limit in between never gives it back: it cannot even exit. A batch is a list that one store publishes;
 *   the transaction itself runs on a thread of the pool, which Node waits for when the worker ends.
 * - `batchStartThreshold` is out of reach, so that no transaction starts on half a batch and waits for a dead thread's other half.
 * - `overlappingSync` is off: with it the pool still syncs after the lock is free, while the dying thread's exit hook closes the file.
 *   It also costs five times the CPU (80 KB records: 6.8 against 1.3 ms per MB).
 * - `useWritemap` is off: every page written would count as ours (434 MB of RSS for 400 MB written, and 2.7 times the file).
 */
import { open, type RootDatabase, type RootDatabaseOptions } from 'lmdb'
import { assert } from '../../lib/assert.js'
import { errorText } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { WalFailed } from './errors.js'
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
  /** Address space to begin with; LMDB maps anew when the file outgrows it. */
  mapSize_bytes?: number
  /** A commit that takes longer poisons the handle. */
  commitTimeout_ms?: number
}

const DEFAULT_MAP_BYTES = 256 * 1024 * 1024
const DEFAULT_COMMIT_TIMEOUT_MS = 30_000
const MAX_READERS = 16
const NEVER = 2 ** 30

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

  private constructor(db: RootDatabase<Uint8Array, Uint8Array>, options: EnvOptions) {
    this.path = options.path
    this.#db = db
    this.#clock = options.clock
    this.#commitTimeout_ms = options.commitTimeout_ms ?? DEFAULT_COMMIT_TIMEOUT_MS
  }

  /** Opens or creates the environment in the folder `path`. Throws `WalFailed` or `WalCorrupt` with the cause. */
  static open(options: EnvOptions): LmdbEnv {
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

  /** Why this handle takes no more writes, if so. */
  get failure(): WalFailed | undefined {
    return this.#failure
  }

  get isBusy(): boolean {
    return this.#inFlight !== undefined
  }

  /** Commits the operations in one transaction; one at a time. Rejects with `WalFailed`, and so does every commit after. */
  commit(ops: readonly WriteOp[]): Promise<void> {
    assert(this.#inFlight === undefined, `a commit to ${this.path} is already in flight`)
    assert(!this.#isClosed, `commit to ${this.path} after close`)
    if (this.#failure) return Promise.reject(this.#failure)
    this.#startedAt_ms = this.#clock.monotonic()
    this.#inFlight = this.#transact(ops).finally(() => (this.#inFlight = undefined))
    if (!this.#isWatching) void this.#watch()
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

  /** Resolves when no transaction is in flight: from here a thread may end without a write cut short. */
  async quiesce(): Promise<void> {
    while (this.#inFlight) await this.#inFlight.catch(() => {})
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.quiesce()
    this.#isClosed = true
    this.#closing.abort()
    await this.#db.close()
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
