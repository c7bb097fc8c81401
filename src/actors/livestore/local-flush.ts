/**
 * Owns the flush queue: complete blocks on local disk go to the backend, oldest first, a few at a time, retried with
 * backoff for ever. A block's state is in LMDB, so a restart queues exactly what was not flushed.
 *
 * The order of objects is data first and meta.json last: a block without meta.json does not exist. While the block is
 * also held locally it carries `nocompact.flg`, so that no compactor merges what queries still read here.
 */
import { backoffDelay_ms } from '../../lib/backoff.js'
import { failpoint } from '../../lib/failpoints.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Counter, Histogram } from '../../lib/metrics.js'
import type { Clock } from '../../lib/time.js'
import type { Backend } from '../../storage/backend/backend.js'
import { META_OBJECT, NOCOMPACT_OBJECT } from '../../storage/block/meta.js'
import type { CompleteBlock, CompleteBlockLifecycle } from './complete-block-lifecycle.js'

/** Backoff between tries of one block; it never gives up. */
const RETRY = { base_ms: 500, max_ms: 30_000 }
/** What uploads in flight get to end at a stop; a longer one is done again, whole, after the next start. */
const STOP_GRACE_MS = 1000

export interface LocalFlushMetrics {
  readonly flushed: Counter
  readonly failed: Counter
  readonly retries: Counter
  readonly failedRetries: Counter
  readonly duration_seconds: Histogram
  readonly size_bytes: Histogram
}

export interface LocalFlushOptions {
  readonly backend: Backend
  readonly clock: Clock
  readonly log: Log
  readonly metrics: LocalFlushMetrics
  /** Uploads at once. */
  readonly concurrency: number
  /** One try of one block. */
  readonly opTimeout_ms: number
  /** A flushed block is kept on local disk for this long after it was completed. */
  readonly completeBlockTimeout_ms: number
  /** The files of a block: object name -> path on local disk. */
  readonly filesOf: (block: CompleteBlock) => Promise<readonly { name: string; path: string }[]>
  /** Called once the backend has the block; makes that durable before it resolves. */
  readonly onFlushed: (block: CompleteBlock) => Promise<void>
  /** In [0, 1): jitter. */
  readonly random: () => number
}

interface Queued {
  readonly block: CompleteBlock
  attempts: number
  due_ms: number
}

export class LocalFlush implements CompleteBlockLifecycle {
  readonly #options: LocalFlushOptions
  readonly #queue: Queued[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #waiters: (() => void)[] = []
  #isStarted = false
  #isStopping = false
  #timer: AbortController | undefined

  constructor(options: LocalFlushOptions) {
    this.#options = options
  }

  /** Blocks that the backend has not got yet. */
  get length(): number {
    return this.#queue.length + this.#running.size
  }

  start(): void {
    this.#isStarted = true
    this.#pump()
  }

  /** Waits a moment for uploads in flight. The owner closes the backend afterwards, which ends those that hang. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#timer?.abort()
    const timer = new AbortController()
    const ended = Promise.allSettled([...this.#running])
    await Promise.race([ended, this.#options.clock.sleep(STOP_GRACE_MS, timer.signal)])
    timer.abort()
  }

  completed(block: CompleteBlock): void {
    this.#enqueue(block)
  }

  reloaded(block: CompleteBlock): void {
    if (!block.isFlushed) this.#enqueue(block)
  }

  mayDelete(block: CompleteBlock): boolean {
    const age_ms = this.#options.clock.now() - block.completedAt_ms
    return block.isFlushed && age_ms >= this.#options.completeBlockTimeout_ms
  }

  /** Compaction may have the block from now on: it is read nowhere but in the backend. */
  deleted(block: CompleteBlock): Promise<void> {
    return this.#options.backend.delete(`${block.tenant}/${block.blockId}/${NOCOMPACT_OBJECT}`)
  }

  /** Resolves when nothing is left to flush. */
  async drained(): Promise<void> {
    while (this.length > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  #enqueue(block: CompleteBlock): void {
    this.#put({ block, attempts: 0, due_ms: this.#options.clock.monotonic() })
    this.#pump()
  }

  #put(queued: Queued): void {
    this.#queue.push(queued)
    this.#queue.sort((a, b) => a.block.completedAt_ms - b.block.completedAt_ms)
  }

  #pump(): void {
    if (!this.#isStarted || this.#isStopping) return
    const now = this.#options.clock.monotonic()
    while (this.#running.size < this.#options.concurrency) {
      const at = this.#queue.findIndex((queued) => queued.due_ms <= now)
      if (at < 0) break
      const [queued] = this.#queue.splice(at, 1)
      const work = this.#attempt(queued!).finally(() => {
        this.#running.delete(work)
        this.#wake()
        this.#pump()
      })
      this.#running.add(work)
    }
    this.#armTimer(now)
  }

  /** One timer for the earliest retry. */
  #armTimer(now_ms: number): void {
    this.#timer?.abort()
    const due_ms = Math.min(...this.#queue.map((queued) => queued.due_ms))
    if (!Number.isFinite(due_ms) || due_ms <= now_ms) return
    const timer = new AbortController()
    this.#timer = timer
    void this.#options.clock.sleep(due_ms - now_ms, timer.signal).then(() => {
      if (!timer.signal.aborted) this.#pump()
    })
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter()
  }

  async #attempt(queued: Queued): Promise<void> {
    const { clock, log, metrics, onFlushed } = this.#options
    const { block } = queued
    const started = clock.monotonic()
    if (queued.attempts > 0) metrics.retries.inc()
    try {
      await this.#upload(block)
      await onFlushed(block)
      metrics.flushed.inc()
      metrics.duration_seconds.observe((clock.monotonic() - started) / 1000)
      metrics.size_bytes.observe(block.size_bytes)
      log.info('block flushed', {
        block: block.blockId,
        tenant: block.tenant,
        spans: block.spans,
        bytes: block.size_bytes,
      })
    } catch (error) {
      metrics.failed.inc()
      if (queued.attempts > 0) metrics.failedRetries.inc()
      const delay_ms = backoffDelay_ms(queued.attempts++, RETRY, this.#options.random)
      queued.due_ms = clock.monotonic() + delay_ms
      log.warn('flush failed, will try again', {
        block: block.blockId,
        attempt: queued.attempts,
        retry_ms: Math.round(delay_ms),
        error: errorText(error),
      })
      this.#put(queued)
    }
  }

  /** One try, for as long as it may take; one that hangs is left behind and must write nothing more. */
  async #upload(block: CompleteBlock): Promise<void> {
    const { opTimeout_ms, clock } = this.#options
    const tried = new AbortController()
    const timeout = clock.sleep(opTimeout_ms, tried.signal).then(() => {
      if (tried.signal.aborted) return
      throw new Error(`not flushed within live_store.flush_op_timeout of ${opTimeout_ms} ms`)
    })
    try {
      await Promise.race([this.#putAll(block, tried.signal), timeout])
    } finally {
      tried.abort()
    }
  }

  async #putAll(block: CompleteBlock, isOver: AbortSignal): Promise<void> {
    const { backend, filesOf } = this.#options
    const folder = `${block.tenant}/${block.blockId}`
    const files = await filesOf(block)
    const meta = files.find((file) => file.name === META_OBJECT)
    if (!meta) throw new Error(`block ${block.blockId} has no meta.json on local disk`)
    failpoint('upload.before', folder)
    for (const { name, path } of files) {
      if (name === META_OBJECT) continue
      isOver.throwIfAborted()
      await backend.putFile(`${folder}/${name}`, path)
    }
    failpoint('upload.data.after', folder)
    isOver.throwIfAborted()
    await backend.put(`${folder}/${NOCOMPACT_OBJECT}`, new Uint8Array(0))
    isOver.throwIfAborted()
    failpoint('upload.meta.before', folder)
    await backend.putFile(`${folder}/${META_OBJECT}`, meta.path)
    failpoint('upload.meta.after', folder)
  }
}
