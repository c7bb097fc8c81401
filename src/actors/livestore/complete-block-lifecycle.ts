/**
 * Owns the lifecycle of complete blocks on local disk: what happens between "the block is complete" and "its files
 * may go". The livestore calls the hooks; the one in use flushes to the backend from a queue of its own.
 */

export interface CompleteBlock {
  readonly blockId: string
  readonly tenant: string
  readonly partition: number
  readonly spans: number
  readonly size_bytes: number
  /** Blocks are kept for `complete_block_timeout` from here, Unix ms. */
  readonly completedAt_ms: number
  readonly isFlushed: boolean
}

/** Tempo's completeBlockLifecycle: the same moments, so that another fate (Kafka, no backend at all) is another class. */
export interface CompleteBlockLifecycle {
  start(): void
  /** Stops at a safe point; what was not done is done after the next start. */
  stop(): Promise<void>
  /** A block has become complete and durable on local disk. */
  completed(block: CompleteBlock): void
  /** A block was found complete on local disk at start. */
  reloaded(block: CompleteBlock): void
  /** True when the files of the block may be deleted; never before it is flushed. */
  mayDelete(block: CompleteBlock): boolean
  /** The files of the block are gone from local disk. May be called again after a crash. */
  deleted(block: CompleteBlock): Promise<void>
}
