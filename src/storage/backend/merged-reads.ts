/** Owns merging reads of one object: ranges asked for in one turn of the event loop that lie near each other are one read. */

/** Bytes read for nothing between two ranges, cheaper than a second request. */
const MAX_GAP_BYTES = 128 * 1024
/** A merged read's bound; a longer single range is read alone. */
const MAX_MERGED_BYTES = 16 * 2 ** 20

interface Wanted {
  readonly offset: number
  readonly length: number
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

export class MergedReads {
  readonly #get: (offset: number, length: number) => Promise<Uint8Array>
  #queue: Wanted[] = []

  constructor(get: (offset: number, length: number) => Promise<Uint8Array>) {
    this.#get = get
  }

  /** The range; perhaps as a view of a longer one. */
  read(offset: number, length: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#queue.push({ offset, length, resolve, reject }) === 1) {
        setImmediate(() => this.#flush())
      }
    })
  }

  #flush(): void {
    const queue = this.#queue.sort((a, b) => a.offset - b.offset)
    this.#queue = []
    let run: Wanted[] = []
    let end = 0
    for (const wanted of queue) {
      const joins =
        run.length > 0 &&
        wanted.offset - end <= MAX_GAP_BYTES &&
        wanted.offset + wanted.length - run[0]!.offset <= MAX_MERGED_BYTES
      if (!joins) {
        if (run.length > 0) void this.#readRun(run, end)
        run = []
        end = 0
      }
      run.push(wanted)
      end = Math.max(end, wanted.offset + wanted.length)
    }
    if (run.length > 0) void this.#readRun(run, end)
  }

  async #readRun(run: readonly Wanted[], end: number): Promise<void> {
    const start = run[0]!.offset
    try {
      const bytes = await this.#get(start, end - start)
      for (const { offset, length, resolve } of run) {
        resolve(bytes.subarray(offset - start, offset - start + length))
      }
    } catch (error) {
      for (const { reject } of run) reject(error)
    }
  }
}
