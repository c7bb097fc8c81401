/**
 * Owns what is known of the allocator under this process. glibc as it comes keeps freed memory for each thread: its environment
 * can change that, before the process begins, and a call can have it given back from time to time.
 */
import { openTrim, type Trim } from './trim.js'

/** What makes it give memory back. */
export const TUNED =
  'MALLOC_ARENA_MAX=4 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072'

/** What becomes of freed memory: kept for later, given back when the watch asks, or given back at once. */
export type Allocator = 'keeps' | 'trims' | 'tuned'

type Env = Readonly<Record<string, string | undefined>>

export function allocatorOf(env: Env): Allocator {
  if (isTuned(env)) return 'tuned'
  return openTrim() ? 'trims' : 'keeps'
}

/** The call that gives freed memory back, where the allocator is one that `trims`. */
export function trimOf(env: Env): Trim | undefined {
  return isTuned(env) ? undefined : openTrim()
}

function isTuned(env: Env): boolean {
  const isGlibcTuned =
    env.MALLOC_ARENA_MAX !== undefined && env.MALLOC_TRIM_THRESHOLD_ !== undefined
  return isGlibcTuned || /jemalloc|tcmalloc|mimalloc/.test(env.LD_PRELOAD ?? '')
}
