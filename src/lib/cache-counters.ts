/** Owns what a cache tells of itself, without knowing who counts it. */

export interface CacheCounters {
  readonly hits: Tally
  readonly misses: Tally
  /** What was dropped for lack of room. */
  readonly evictions: Tally
  readonly bytes: { set(value: number): void }
}

interface Tally {
  inc(by?: number): void
}

const nobody = { inc: () => undefined, set: () => undefined }

/** For a cache that nobody watches. */
export const uncounted: CacheCounters = {
  hits: nobody,
  misses: nobody,
  evictions: nobody,
  bytes: nobody,
}
