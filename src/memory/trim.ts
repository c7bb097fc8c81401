/**
 * Owns giving freed memory back to the kernel: glibc keeps for each thread what was freed, and does not return pages between
 * two chunks that are in use. `malloc_trim` returns them all; a foreign call is the only way to it.
 */
import { createRequire } from 'node:module'

/** Returns all free pages of all threads' arenas: some 10 ms for each 100 MiB, in which a thread that allocates may wait. */
export type Trim = () => void

const GLIBC = 'libc.so.6'

let opened: { readonly trim: Trim | undefined } | undefined

/** Undefined where there is nothing to call: another allocator, another system, or its package is not installed (it is optional). */
export function openTrim(): Trim | undefined {
  opened ??= { trim: open() }
  return opened.trim
}

function open(): Trim | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    const trim = koffi.load(GLIBC).func('int malloc_trim(size_t pad)') as (pad: number) => number
    return () => void trim(0)
  } catch {
    return undefined
  }
}
