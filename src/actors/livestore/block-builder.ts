/** Owns the threads that build blocks from cut heads, off the livestore's loop: piscina's only door. */
import { Piscina } from 'piscina'
import type { HeapLimits } from '../../memory/plan.js'
import type { BuildRequest, BuildResult } from './build-job.js'

/** A builder thread without work ends after this, and its memory with it. */
const IDLE_TIMEOUT_MS = 30_000
/** Slices wait for their build in the livestore; few enough that memory ends long before this. */
const QUEUE_MAX = 1024

export interface BlockBuilderOptions {
  /** Builds at once. */
  readonly concurrency: number
  /** Of each builder, which holds dictionaries and one row group at a time. */
  readonly heap: HeapLimits
  /** Spans of a row group: what a build holds in memory beside its heap grows with it. */
  readonly groupSpans: number
}

export class BlockBuilder {
  readonly #pool: Piscina<BuildRequest, BuildResult>
  readonly #groupSpans: number

  constructor({ concurrency, heap, groupSpans }: BlockBuilderOptions) {
    this.#groupSpans = groupSpans
    this.#pool = new Piscina<BuildRequest, BuildResult>({
      filename: new URL('./build-job.js', import.meta.url).href,
      minThreads: 0,
      maxThreads: concurrency,
      maxQueue: QUEUE_MAX,
      idleTimeout: IDLE_TIMEOUT_MS,
      // Builders sleep between jobs without blocking in Atomics.wait, so that they end when told to.
      atomics: 'disabled',
      resourceLimits: {
        maxOldGenerationSizeMb: heap.old_mib,
        maxYoungGenerationSizeMb: heap.young_mib,
      },
    })
  }

  /** Writes the block of a cut head to local disk, whole or not at all. */
  build(request: BuildRequest): Promise<BuildResult> {
    return this.#pool.run({ ...request, groupSpans: this.#groupSpans })
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
