/** Owns the thread on which blocks are merged, and what is told of a merge under way. */
import type { Config } from '../../config.js'
import { JobPool } from '../../lib/job-pool.js'
import type { Log } from '../../lib/log.js'
import type { Gauge } from '../../lib/metrics.js'
import type { Clock } from '../../lib/time.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import type { CompactResult } from '../../storage/compaction/compact.js'
import type { CompactionJob } from './compaction-job.js'

const TELL_MS = 10_000

export interface CompactionPoolOptions {
  readonly config: Config
  readonly scratch: string
  readonly progress: Gauge
  readonly clock: Clock
  readonly log: Log
}

export class CompactionPool {
  readonly #options: CompactionPoolOptions
  /** Made when there is something to merge. */
  #pool: JobPool<CompactionJob, CompactResult> | undefined

  constructor(options: CompactionPoolOptions) {
    this.#options = options
  }

  async run(inputs: readonly BlockMeta[], signal: AbortSignal): Promise<CompactResult> {
    const { config, scratch } = this.#options
    this.#pool ??= new JobPool({
      module: new URL('./compaction-job.js', import.meta.url),
      concurrency: 1,
      queue_max: 1,
      heap: config.memory.heaps.builder,
    })
    const progress = new SharedArrayBuffer(8)
    const over = new AbortController()
    const telling = this.#tell(inputs, new Float64Array(progress), over.signal)
    try {
      const { storage } = config
      return await this.#pool.run({ inputs, scratch, storage, progress }, signal)
    } finally {
      over.abort()
      await telling
    }
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }

  async #tell(
    inputs: readonly BlockMeta[],
    written: Float64Array,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, log, progress } = this.#options
    // Blocks of others do not say how many spans they have.
    const total = inputs.reduce((sum, { totalSpans }) => sum + (totalSpans ?? 0), 0)
    const started = clock.monotonic()
    for (;;) {
      await clock.sleep(TELL_MS, signal)
      progress.set(signal.aborted || total === 0 ? 0 : Math.min(1, written[0]! / total))
      if (signal.aborted) return
      const spans = written[0]!
      const seconds = (clock.monotonic() - started) / 1000
      log.info('blocks are being compacted', {
        tenant: inputs[0]!.tenantID,
        inputs: inputs.length,
        spans,
        of_spans: total,
        spans_per_second: Math.round(spans / seconds),
      })
    }
  }
}
