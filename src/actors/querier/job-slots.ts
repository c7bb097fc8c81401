/** Owns how many jobs a querier works on at once: each holds columns in memory, and all share one thread. Others wait in order. */

export interface JobSlotsOptions {
  readonly max: number
  /** True while the process uses most of its memory: then one job at a time. */
  readonly isMemoryHigh: () => boolean
}

/** What waits is bounded by the bus, which lets an asker have so many asks in flight. */
export class JobSlots {
  readonly #options: JobSlotsOptions
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(options: JobSlotsOptions) {
    this.#options = options
  }

  get taken(): number {
    return this.#taken
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs the work once there is a slot. Nobody waits for an aborted job: it runs at once, to find that out itself. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const isAdmitted = await this.#admitted(signal)
    if (!isAdmitted) return work()
    try {
      return await work()
    } finally {
      this.#taken--
      this.#admit()
    }
  }

  #hasRoom(): boolean {
    return this.#taken < (this.#options.isMemoryHigh() ? 1 : this.#options.max)
  }

  async #admitted(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false
    if (this.#waiting.length === 0 && this.#hasRoom()) {
      this.#taken++
      return true
    }
    return new Promise((resolve) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        resolve(false)
      }
      const enter = () => {
        signal.removeEventListener('abort', leave)
        this.#taken++
        resolve(true)
      }
      this.#waiting.push(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#hasRoom()) this.#waiting.shift()!()
  }
}
