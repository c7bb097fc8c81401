/** Owns what the kernel says of a process: CPU seconds, and resident memory as anonymous, shared and file-mapped apart (Linux). */
import { readFileSync } from 'node:fs'

/** USER_HZ of every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
const SAMPLE_MS = 100

export interface Memory {
  readonly total_mib: number
  /** Heaps and buffers. */
  readonly anonymous_mib: number
  /** Rings, live heads: memory shared between threads shows as anonymous on Linux, memory shared with files as shared. */
  readonly shared_mib: number
  /** Pages of mapped files: the program itself, LMDB. The kernel may take them back at any time. */
  readonly file_mib: number
}

/** User and system seconds of all threads since the process began. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

export function memory(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mib = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024
  return {
    total_mib: mib('VmRSS'),
    anonymous_mib: mib('RssAnon'),
    shared_mib: mib('RssShmem'),
    file_mib: mib('RssFile'),
  }
}

/** Samples a process until `stop`; the greatest of each figure, and the parts at the greatest total. */
export class PeakMemory {
  #peak: Memory = { total_mib: 0, anonymous_mib: 0, shared_mib: 0, file_mib: 0 }
  readonly #timer: NodeJS.Timeout

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      try {
        const now = memory(pid)
        if (now.total_mib > this.#peak.total_mib) this.#peak = now
      } catch {
        // The process has ended; the peak stands.
      }
    }, SAMPLE_MS)
  }

  stop(): Memory {
    clearInterval(this.#timer)
    return this.#peak
  }
}
