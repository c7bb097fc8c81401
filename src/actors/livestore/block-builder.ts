/** Owns the threads that build blocks from cut heads, off the livestore's loop. */
import { JobPool } from '../../lib/job-pool.js'
import type { HeapLimits } from '../../memory/plan.js'
import type { BuildRequest, BuildResult } from './build-job.js'

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
  readonly #pool: JobPool<BuildRequest, BuildResult>
  readonly #groupSpans: number

  constructor({ concurrency, heap, groupSpans }: BlockBuilderOptions) {
    this.#groupSpans = groupSpans
    const module = new URL('./build-job.js', import.meta.url)
    this.#pool = new JobPool({ module, concurrency, queue_max: QUEUE_MAX, heap })
  }

  /** Writes the block of a cut head to local disk, whole or not at all. */
  build(request: BuildRequest): Promise<BuildResult> {
    return this.#pool.run({ ...request, groupSpans: this.#groupSpans })
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}
