/** Owns what a querier makes of a source that could not be read: what it tells the frontend, counts, and logs, once in a while for a block. */
import { errorText, type Log } from '../../lib/log.js'
import type { Counter } from '../../lib/metrics.js'
import { Seldom } from '../../lib/seldom.js'
import type { Clock } from '../../lib/time.js'
import { CorruptBlock, UnsupportedBlock } from '../../storage/block/encoding.js'
import type { FailedSource, SourceRef } from './contract.js'

/** A damaged block is met by every query of its time: it is logged this often. */
const TOLD_AGAIN_MS = 600_000

type Reason = 'corrupt' | 'unsupported_version' | 'error'

export interface UnreadableOptions {
  readonly clock: Clock
  readonly log: Log
  /** By tenant and reason. */
  readonly counter: Counter
}

export class Unreadable {
  readonly #options: UnreadableOptions
  readonly #told: Seldom

  constructor(options: UnreadableOptions) {
    this.#options = options
    this.#told = new Seldom(options.clock, TOLD_AGAIN_MS)
  }

  failed({ tenant, blockId }: SourceRef, error: unknown): FailedSource {
    const { counter, log } = this.#options
    const reason = reasonOf(error)
    const isDamaged = reason !== 'error'
    const message = errorText(error)
    counter.labels(tenant, reason).inc()
    if (this.#told.isNews(`${tenant}/${blockId} ${reason}`)) {
      const words = isDamaged
        ? 'a damaged block is left out of answers, which say so'
        : 'block could not be read'
      log.warn(words, { block: blockId, tenant, error: message })
    }
    return { blockId, message, isDamaged }
  }
}

function reasonOf(error: unknown): Reason {
  if (error instanceof UnsupportedBlock) return 'unsupported_version'
  return error instanceof CorruptBlock ? 'corrupt' : 'error'
}
