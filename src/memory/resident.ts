/** Owns what the kernel says of this process's resident memory: in all, and (on Linux) its parts. */
import { readFileSync } from 'node:fs'

export interface ResidentMemory {
  readonly total_bytes: number
  /** Heaps, buffers, and memory shared between threads. 0 where the kernel does not tell. */
  readonly anonymous_bytes: number
  /** Shared with other processes or with files in memory. */
  readonly shared_bytes: number
  /** Pages of mapped files: the program itself, LMDB. The kernel takes them back when it needs them. */
  readonly file_bytes: number
}

export function residentMemory(): ResidentMemory {
  let status: string
  try {
    status = readFileSync('/proc/self/status', 'utf8')
  } catch {
    const total_bytes = process.memoryUsage.rss()
    return { total_bytes, anonymous_bytes: 0, shared_bytes: 0, file_bytes: 0 }
  }
  return {
    total_bytes: field(status, 'VmRSS'),
    anonymous_bytes: field(status, 'RssAnon'),
    shared_bytes: field(status, 'RssShmem'),
    file_bytes: field(status, 'RssFile'),
  }
}

function field(status: string, name: string): number {
  return 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
}
