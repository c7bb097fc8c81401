/** Owns the open files of the local backend: a bounded set, least recently used closed first, idle ones closed after a while. */
import { open, type FileHandle } from 'node:fs/promises'
import type { Clock } from '../../lib/time.js'

/** A deleted block's bytes stay on disk while a handle is open, so an unused one is not kept for long. */
const IDLE_MS = 30_000

interface Entry {
  readonly handle: Promise<FileHandle>
  users: number
  used_at_ms: number
  dropped: boolean
}

export class FileHandles {
  /** In order of last use: the first is the oldest. */
  private readonly entries = new Map<string, Entry>()
  private readonly closing = new Set<Promise<void>>()
  private sweeper: AbortController | undefined

  constructor(
    private readonly clock: Clock,
    /** Idle handles kept open; handles in use come on top, as many as there are reads under way. */
    private readonly capacity: number,
  ) {}

  get openCount(): number {
    return this.entries.size
  }

  /** Runs `read` with the file open; the handle is not closed meanwhile. */
  async use<T>(file: string, read: (handle: FileHandle) => Promise<T>): Promise<T> {
    const entry = this.acquire(file)
    try {
      return await read(await entry.handle)
    } finally {
      this.release(file, entry)
    }
  }

  /** Closes the handle of a file that was replaced or deleted, once its readers are done. */
  forget(file: string): void {
    const entry = this.entries.get(file)
    if (entry) this.drop(file, entry)
  }

  async close(): Promise<void> {
    this.sweeper?.abort()
    for (const [file, entry] of this.entries) this.drop(file, entry)
    await Promise.all(this.closing)
  }

  private acquire(file: string): Entry {
    let entry = this.entries.get(file)
    if (entry) {
      this.entries.delete(file)
    } else {
      entry = { handle: open(file, 'r'), users: 0, used_at_ms: 0, dropped: false }
      // A file that cannot be opened must not stay remembered: it may be there the next time.
      entry.handle.catch(() => this.forget(file))
    }
    this.entries.set(file, entry)
    entry.users++
    this.evict()
    if (!this.sweeper) void this.sweepIdle()
    return entry
  }

  private release(file: string, entry: Entry): void {
    entry.users--
    entry.used_at_ms = this.clock.monotonic()
    if (entry.dropped && entry.users === 0) this.closeHandle(entry)
    else if (this.entries.get(file) === entry) this.evict()
  }

  private evict(): void {
    if (this.entries.size <= this.capacity) return
    for (const [file, entry] of this.entries) {
      if (entry.users > 0) continue
      this.drop(file, entry)
      if (this.entries.size <= this.capacity) return
    }
  }

  private drop(file: string, entry: Entry): void {
    if (this.entries.get(file) === entry) this.entries.delete(file)
    if (entry.dropped) return
    entry.dropped = true
    if (entry.users === 0) this.closeHandle(entry)
  }

  private closeHandle(entry: Entry): void {
    const closed: Promise<void> = entry.handle
      .then((handle) => handle.close())
      .catch(() => {
        // It was never opened, or closing failed: either way there is nothing left to hold.
      })
      .finally(() => this.closing.delete(closed))
    this.closing.add(closed)
  }

  /** Runs only while files are open, so that an idle backend keeps no timer and its process can end. */
  private async sweepIdle(): Promise<void> {
    const sweeper = new AbortController()
    this.sweeper = sweeper
    while (this.entries.size > 0 && !sweeper.signal.aborted) {
      await this.clock.sleep(IDLE_MS, sweeper.signal)
      const before_ms = this.clock.monotonic() - IDLE_MS
      for (const [file, entry] of this.entries) {
        if (entry.users === 0 && entry.used_at_ms <= before_ms) this.drop(file, entry)
      }
    }
    this.sweeper = undefined
  }
}
