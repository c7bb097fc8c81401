/**
 * Owns what is known of the allocator under this process. glibc as it comes keeps freed memory for each thread: its environment
 * can change that, before the process begins, and a call can have it given back from time to time.
 */
import { openTrim } from './trim.js'

/** What makes it give memory back. */
export const TUNED =
  'MALLOC_ARENA_MAX=4 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072'

/** What becomes of freed memory: kept for later, given back when the watch asks, or given back at once. */
export type Allocator = 'keeps' | 'trims' | 'tuned'

export function allocatorOf(env: Readonly<Record<string, string | undefined>>): Allocator {
  const isGlibcTuned =
    env.MALLOC_ARENA_MAX !== undefined && env.MALLOC_TRIM_THRESHOLD_ !== undefined
  if (isGlibcTuned || /jemalloc|tcmalloc|mimalloc/.test(env.LD_PRELOAD ?? '')) return 'tuned'
  return openTrim() ? 'trims' : 'keeps'
}
