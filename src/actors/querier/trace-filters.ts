/** Owns the trace filters of blocks, kept by bytes, so that a trace by id opens the blocks that may have it and no others. */
import { uncounted, type CacheCounters } from '../../lib/cache-counters.js'
import type { TraceFilter } from '../../otlp/columns.js'

export class TraceFilters {
  /** Least recently used first. A block never changes under its UUID, so an entry is never wrong. */
  readonly #filters = new Map<string, TraceFilter>()
  #retained_bytes = 0

  constructor(
    readonly max_bytes: number,
    readonly counters: CacheCounters = uncounted,
  ) {
    counters.bytes.set(0)
  }

  get retained_bytes(): number {
    return this.#retained_bytes
  }

  has(blockId: string): boolean {
    return this.#filters.has(blockId)
  }

  /** True when it is known that the block has not got the trace. */
  rulesOut(blockId: string, traceId: Uint8Array): boolean {
    const filter = this.#filters.get(blockId)
    if (!filter) return false
    this.counters.hits.inc()
    this.#filters.delete(blockId)
    this.#filters.set(blockId, filter)
    return !filter.mayHave(traceId)
  }

  /** Takes a filter that had to be read. */
  keep(blockId: string, filter: TraceFilter): void {
    this.counters.misses.inc()
    if (this.#filters.has(blockId) || filter.retained_bytes > this.max_bytes) return
    this.#filters.set(blockId, filter)
    this.#retained_bytes += filter.retained_bytes
    for (const [oldest, { retained_bytes }] of this.#filters) {
      if (this.#retained_bytes <= this.max_bytes) break
      this.#filters.delete(oldest)
      this.#retained_bytes -= retained_bytes
      this.counters.evictions.inc()
    }
    this.counters.bytes.set(this.#retained_bytes)
  }
}
