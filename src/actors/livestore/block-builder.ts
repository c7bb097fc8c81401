/** Owns the threads that build blocks from cut heads, off the livestore's loop: piscina's only door. */
import { Piscina } from 'piscina'
import type { BuildRequest, BuildResult } from './build-job.js'

/** A builder thread without work ends after this, and its memory with it. */
const IDLE_TIMEOUT_MS = 30_000
/** Slices wait for their build in the livestore; few enough that memory ends long before this. */
const QUEUE_MAX = 1024
/** Heap of a builder, MiB: it holds dictionaries and one row group at a time. */
const BUILDER_OLD_MIB = 256
const BUILDER_YOUNG_MIB = 4

export class BlockBuilder {
  readonly #pool: Piscina<BuildRequest, BuildResult>

  constructor(concurrency: number) {
    this.#pool = new Piscina<BuildRequest, BuildResult>({
      filename: new URL('./build-job.js', import.meta.url).href,
      minThreads: 0,
      maxThreads: concurrency,
      maxQueue: QUEUE_MAX,
      idleTimeout: IDLE_TIMEOUT_MS,
      // Builders sleep between jobs without blocking in Atomics.wait, so that they end when told to.
      atomics: 'disabled',
      resourceLimits: {
        maxOldGenerationSizeMb: BUILDER_OLD_MIB,
        maxYoungGenerationSizeMb: BUILDER_YOUNG_MIB,
      },
    })
  }

  /** Writes the block of a cut head to local disk, whole or not at all. */
  build(request: BuildRequest): Promise<BuildResult> {
    return this.#pool.run(request)
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
