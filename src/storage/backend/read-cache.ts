/**
 * Owns the cache before a backend: ranges and objects that never change, kept by bytes, those asked for least of late dropped first. A
 * range is found again by its offset and length alone, which is how readers of blocks ask: a column, a directory, a footer at a time.
 */
import { uncounted, type CacheCounters } from '../../lib/cache-counters.js'
import { ownBytes } from '../../lib/own-bytes.js'
import { ObjectTooShort, type BackendReader, type ReadWatch } from './backend.js'
import { MergedReads } from './merged-reads.js'

/** What is longer than this part of the cache is not kept: it would cost too many others their place. */
const LONGEST_PART = 8
/** Of an entry beside its bytes: a buffer and its view, a key, places in two tables. */
export const ENTRY_BYTES = 512

export interface ReadCacheOptions {
  readonly max_bytes: number
  /** Whether what stands under this path is the same for ever, or gone. */
  readonly isImmutable: (path: string) => boolean
  readonly counters?: CacheCounters
}

interface Entry {
  readonly blockId: string
  readonly bytes: Uint8Array
}

interface Loading {
  readonly blockId: string
  readonly bytes: Promise<Uint8Array>
}

/**
 * What it gives is shared by all who ask, none of whom may write to it. Reads that failed are not remembered; equal reads at one time
 * are one. Ranges of an object that are asked for together and are not here are merged into one read.
 */
export class ReadCache implements BackendReader {
  readonly mergesRanges = true
  readonly #reader: BackendReader
  readonly #options: ReadCacheOptions
  readonly #counters: CacheCounters
  /** By path and range, the least recently used first. */
  readonly #entries = new Map<string, Entry>()
  readonly #keysOfBlock = new Map<string, Set<string>>()
  readonly #loading = new Map<string, Loading>()
  /** By path, for this turn of the event loop. */
  readonly #merging = new Map<string, MergedReads>()
  #retained_bytes = 0

  constructor(reader: BackendReader, options: ReadCacheOptions) {
    this.#reader = reader
    this.#options = options
    this.#counters = options.counters ?? uncounted
    this.#counters.bytes.set(0)
  }

  get retained_bytes(): number {
    return this.#retained_bytes
  }

  get(path: string, max_bytes?: number, watch?: ReadWatch): Promise<Uint8Array> {
    // Who names a bound is to be told when the object is longer.
    const isKept = max_bytes === undefined && this.#options.isImmutable(path)
    if (!isKept) return this.#reader.get(path, max_bytes, watch)
    return this.#through(path, path, () => this.#reader.get(path))
  }

  getRange(path: string, offset: number, length: number, watch?: ReadWatch): Promise<Uint8Array> {
    if (length <= 0) return this.#reader.getRange(path, offset, length, watch)
    const read = () => this.#read(path, offset, length)
    return this.#options.isImmutable(path)
      ? this.#through(`${path} ${offset} ${length}`, path, read)
      : read()
  }

  /** Drops all of a block, which is gone, or of which something that was read turned out to be wrong. */
  forget(blockId: string): void {
    for (const [key, loading] of this.#loading) {
      // Who waits for it has it still; who asks from now on reads anew.
      if (loading.blockId === blockId) this.#loading.delete(key)
    }
    for (const key of this.#keysOfBlock.get(blockId) ?? []) this.#drop(key)
    this.#counters.bytes.set(this.#retained_bytes)
  }

  #through(key: string, path: string, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const entry = this.#entries.get(key)
    const loading = this.#loading.get(key)
    if (entry || loading) this.#counters.hits.inc()
    if (loading) return loading.bytes
    if (entry) {
      this.#entries.delete(key)
      this.#entries.set(key, entry)
      return Promise.resolve(entry.bytes)
    }
    this.#counters.misses.inc()
    return this.#load(key, blockOf(path), read)
  }

  #load(key: string, blockId: string, read: () => Promise<Uint8Array>): Promise<Uint8Array> {
    // Unless it was forgotten meanwhile.
    const isWanted = () => this.#loading.get(key) === loading && this.#loading.delete(key)
    const loading: Loading = {
      blockId,
      bytes: read().then(
        (bytes) => (isWanted() ? this.#keep(key, blockId, bytes) : bytes),
        (error: unknown) => {
          isWanted()
          throw error
        },
      ),
    }
    this.#loading.set(key, loading)
    return loading.bytes
  }

  /** What is to be given to who asked: a view of a merged read would hold all of that. */
  #keep(key: string, blockId: string, bytes: Uint8Array): Uint8Array {
    const { max_bytes } = this.#options
    if (bytes.length + ENTRY_BYTES > max_bytes / LONGEST_PART) return bytes
    const own = ownBytes(bytes)
    this.#entries.set(key, { blockId, bytes: own })
    const keys = this.#keysOfBlock.get(blockId)
    if (keys) keys.add(key)
    else this.#keysOfBlock.set(blockId, new Set([key]))
    this.#retained_bytes += own.length + ENTRY_BYTES
    for (const oldest of this.#entries.keys()) {
      if (this.#retained_bytes <= max_bytes) break
      this.#drop(oldest)
      this.#counters.evictions.inc()
    }
    this.#counters.bytes.set(this.#retained_bytes)
    return own
  }

  #drop(key: string): void {
    const { blockId, bytes } = this.#entries.get(key)!
    this.#entries.delete(key)
    this.#retained_bytes -= bytes.length + ENTRY_BYTES
    const keys = this.#keysOfBlock.get(blockId)!
    keys.delete(key)
    if (keys.size === 0) this.#keysOfBlock.delete(blockId)
  }

  /** What is short now would be short for ever. */
  async #read(path: string, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#mergedReads(path).read(offset, length)
    if (bytes.length === length) return bytes
    throw new ObjectTooShort(path, `${bytes.length} bytes came of ${length} from ${offset} on`)
  }

  #mergedReads(path: string): MergedReads {
    let merged = this.#merging.get(path)
    if (!merged) {
      merged = new MergedReads((offset, length) => this.#reader.getRange(path, offset, length))
      this.#merging.set(path, merged)
      setImmediate(() => this.#merging.delete(path))
    }
    return merged
  }
}

/** Of `<tenant>/<block id>/<name>`. */
function blockOf(path: string): string {
  return path.split('/', 2)[1] ?? ''
}
