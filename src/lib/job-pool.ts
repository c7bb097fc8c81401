/** Owns threads for long jobs off an actor's loop: piscina's only door. */
import { Piscina } from 'piscina'

/** A thread without work ends after this, and its memory with it. */
const IDLE_TIMEOUT_MS = 30_000

export interface JobPoolOptions {
  /** The module whose default export does a job. */
  readonly module: URL
  /** Jobs at once. */
  readonly concurrency: number
  /** Jobs that may wait; one more is refused. */
  readonly queue_max: number
  readonly heap: { readonly old_mib: number; readonly young_mib: number }
}

export class JobPool<Request, Result> {
  readonly #pool: Piscina<Request, Result>

  constructor({ module, concurrency, queue_max, heap }: JobPoolOptions) {
    this.#pool = new Piscina<Request, Result>({
      filename: module.href,
      minThreads: 0,
      maxThreads: concurrency,
      maxQueue: queue_max,
      idleTimeout: IDLE_TIMEOUT_MS,
      // Threads sleep between jobs without blocking in Atomics.wait, so that they end when told to.
      atomics: 'disabled',
      resourceLimits: {
        maxOldGenerationSizeMb: heap.old_mib,
        maxYoungGenerationSizeMb: heap.young_mib,
      },
    })
  }

  /** `signal` ends the job with its thread. */
  run(request: Request, signal?: AbortSignal): Promise<Result> {
    return this.#pool.run(request, signal ? { signal } : {})
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
