/**
 * Owns what is known of the allocator under this process: glibc as it comes keeps freed memory for each thread, which only its
 * environment can change, and only before the process begins.
 */

/** What makes it give memory back. */
export const TUNED =
  'MALLOC_ARENA_MAX=4 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072'

export function isAllocatorTuned(env: Readonly<Record<string, string | undefined>>): boolean {
  const isGlibcTuned =
    env.MALLOC_ARENA_MAX !== undefined && env.MALLOC_TRIM_THRESHOLD_ !== undefined
  return isGlibcTuned || /jemalloc|tcmalloc|mimalloc/.test(env.LD_PRELOAD ?? '')
}
