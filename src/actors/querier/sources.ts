/**
 * Owns finding a block wherever it is by now: a live head in shared memory, a complete block on local disk, or the
 * backend. A block moves only in that order and keeps its UUID, so a miss at one place is followed by the next.
 */
import { uncounted, type CacheCounters } from '../../lib/cache-counters.js'
import { errorText, type Log } from '../../lib/log.js'
import { Seldom } from '../../lib/seldom.js'
import type { Clock } from '../../lib/time.js'
import { ObjectNotFound, type BackendReader } from '../../storage/backend/backend.js'
import { CorruptBlock, UnsupportedBlock, type BlockMeta } from '../../storage/block/encoding.js'
import { META_OBJECT, readMeta } from '../../storage/block/meta.js'
import { openBlock } from '../../storage/block/registry.js'
import type { Catalog, CatalogEntry } from '../../storage/catalog.js'
import type { ColumnSource } from '../../otlp/columns.js'
import type { SourceRef } from './contract.js'

/** Opens live heads; `undefined` = the head is gone by now (its block is complete). */
export interface HeadOpener {
  open(headChunk: number, blockId: string): ColumnSource | undefined
}

/** Open blocks kept for the next query: a footer and what the encoding caches, not column data. */
export const OPEN_BLOCKS_MAX = 256

/** Local copies remembered as damaged; past it they are found out again. */
const DAMAGED_MAX = 1024
/** An unreadable local copy is met by every query: it is logged this often. */
const TOLD_AGAIN_MS = 600_000

/** A source in use; a head's memory is held until `release`, a block stays open for the next query. */
export interface Lease {
  readonly source: ColumnSource
  release(): Promise<void>
}

interface OpenBlock {
  readonly source: Promise<ColumnSource>
  /** Of these it is known that they are kept; a block grows while it is used, and is counted after each use. */
  counted_bytes: number
}

export interface SourcesOptions {
  readonly catalogs: readonly Catalog[]
  readonly heads: HeadOpener
  /** Complete blocks on this machine, by partition, and the backend. */
  readonly local: readonly BackendReader[]
  readonly backend: BackendReader
  /** Told of a block of which something that was read is wrong, or gone: nothing of it may be kept. */
  readonly onDistrust?: (blockId: string) => void
  readonly clock: Clock
  readonly log: Log
  /** What open blocks may keep; the least recently used is closed past it. */
  readonly max_bytes?: number // default 64 MiB
  /** Of open blocks. */
  readonly counters?: CacheCounters
}

export class Sources {
  readonly #options: SourcesOptions
  /** Least recently used first. */
  readonly #blocks = new Map<string, OpenBlock>()
  readonly #max_bytes: number
  /** Blocks whose local copy turned out to be damaged while it was read, and how. */
  readonly #damaged = new Map<string, CorruptBlock>()
  readonly #told: Seldom
  readonly #counters: CacheCounters
  /** Over all open blocks. */
  #counted_bytes = 0

  constructor(options: SourcesOptions) {
    this.#options = options
    this.#max_bytes = options.max_bytes ?? 64 * 1024 * 1024
    this.#told = new Seldom(options.clock, TOLD_AGAIN_MS)
    this.#counters = options.counters ?? uncounted
    this.#counters.bytes.set(0)
  }

  /** What the open blocks keep, about. */
  get retained_bytes(): number {
    return this.#counted_bytes
  }

  /** The source of a block; undefined when it holds nothing any more (an empty head that was dropped). Throws when it cannot be read. */
  async open(ref: SourceRef, openHead?: HeadOpener['open']): Promise<Lease | undefined> {
    const entry = this.#entryOf(ref.blockId)
    if (entry && entry.state !== 'local') {
      const { heads } = this.#options
      const head = openHead
        ? openHead(entry.headChunk, ref.blockId)
        : heads.open(entry.headChunk, ref.blockId)
      if (head) return { source: head, release: () => head.close() }
    }
    const open = this.#blocks.get(ref.blockId)
    if (open) {
      this.#counters.hits.inc()
      this.#blocks.delete(ref.blockId)
      this.#blocks.set(ref.blockId, open)
      return this.#lease(ref.blockId, open)
    }
    // A head that was gone a moment ago has become a local block; look at the entry as it is now.
    this.#counters.misses.inc()
    const now = this.#entryOf(ref.blockId)
    const block: OpenBlock = { source: this.#openBlock(ref, now ?? entry), counted_bytes: 0 }
    this.#keep(ref.blockId, block)
    try {
      return await this.#lease(ref.blockId, block)
    } catch (error) {
      // Listed by nobody and stored nowhere: a head that was dropped because it never held a span.
      if (error instanceof ObjectNotFound && !now && !ref.meta) return undefined
      throw error
    }
  }

  /** A read from an open block failed: it is opened afresh the next time, and from the backend if its local copy is damaged. */
  failed(blockId: string, error: unknown): void {
    this.forget(blockId)
    this.#distrust(blockId, error)
    if (!(error instanceof CorruptBlock) || this.#entryOf(blockId)?.state !== 'local') return
    if (this.#damaged.size >= DAMAGED_MAX) this.#damaged.clear()
    this.#damaged.set(blockId, error)
  }

  /** Forgets an open block. */
  forget(blockId: string): void {
    const open = this.#blocks.get(blockId)
    this.#blocks.delete(blockId)
    this.#counted_bytes -= open?.counted_bytes ?? 0
    this.#counters.bytes.set(this.#counted_bytes)
    void open?.source.then((source) => source.close()).catch(() => undefined)
  }

  async close(): Promise<void> {
    for (const blockId of [...this.#blocks.keys()]) this.forget(blockId)
    await Promise.resolve()
  }

  #entryOf(blockId: string): CatalogEntry | undefined {
    for (const catalog of this.#options.catalogs) {
      const entry = catalog.find(blockId)
      if (entry) return entry
    }
    return undefined
  }

  async #openBlock(ref: SourceRef, entry: CatalogEntry | undefined): Promise<ColumnSource> {
    const { local, backend } = this.#options
    if (!entry) return openFrom(backend, ref, ref.meta)
    const here = local[entry.partition]!
    const damaged = this.#damaged.get(ref.blockId)
    let fault: unknown = damaged
    if (!damaged) {
      try {
        return await openFrom(here, ref, undefined)
      } catch (error) {
        // The backend's copy is the same.
        if (error instanceof UnsupportedBlock) throw error
        fault = error
      }
    }
    if (!(fault instanceof ObjectNotFound)) this.#tell(ref, fault)
    try {
      return await openFrom(backend, ref, ref.meta)
    } catch (error) {
      // Not flushed yet: the local copy is all there is, and what is whole in it is answered from.
      if (!(error instanceof ObjectNotFound) || fault instanceof ObjectNotFound) throw error
      if (damaged) return openFrom(here, ref, undefined)
      throw fault
    }
  }

  #tell({ tenant, blockId }: SourceRef, error: unknown): void {
    if (!this.#told.isNews(blockId)) return
    const fields = { tenant, block: blockId, error: errorText(error) }
    this.#options.log.warn('local block unreadable, trying the backend', fields)
  }

  #keep(blockId: string, block: OpenBlock): void {
    this.#blocks.set(blockId, block)
    block.source.catch((error: unknown) => {
      if (this.#blocks.get(blockId) === block) this.#blocks.delete(blockId)
      this.#distrust(blockId, error)
    })
    if (this.#blocks.size <= OPEN_BLOCKS_MAX) return
    const [oldest] = this.#blocks.keys()
    if (oldest !== undefined) this.#evict(oldest)
  }

  #distrust(blockId: string, error: unknown): void {
    const isDoubtful = error instanceof CorruptBlock || error instanceof ObjectNotFound
    if (isDoubtful) this.#options.onDistrust?.(blockId)
  }

  async #lease(blockId: string, block: OpenBlock): Promise<Lease> {
    const source = await block.source
    this.#count(blockId, block, source)
    return {
      source,
      release: () => {
        this.#count(blockId, block, source)
        this.#trim()
        return Promise.resolve()
      },
    }
  }

  #count(blockId: string, block: OpenBlock, source: ColumnSource): void {
    // One that was forgotten meanwhile counts no more.
    if (this.#blocks.get(blockId) !== block) return
    const bytes = source.retained_bytes?.() ?? 0
    this.#counted_bytes += bytes - block.counted_bytes
    block.counted_bytes = bytes
    this.#counters.bytes.set(this.#counted_bytes)
  }

  /** A block that others still read only loses what it remembers. */
  #trim(): void {
    for (const blockId of this.#blocks.keys()) {
      if (this.#counted_bytes <= this.#max_bytes) break
      this.#evict(blockId)
    }
  }

  #evict(blockId: string): void {
    this.#counters.evictions.inc()
    this.forget(blockId)
  }
}

async function openFrom(
  backend: BackendReader,
  ref: SourceRef,
  meta: BlockMeta | undefined,
): Promise<ColumnSource> {
  const { tenant, blockId } = ref
  const known = meta ?? (await readMeta(backend, tenant, blockId))
  try {
    return await openBlock(known, backend)
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error
    // meta.json is written last and deleted first: where it is and the data is not, the block is damaged, not gone.
    await readMeta(backend, tenant, blockId)
    throw new CorruptBlock(blockId, 'object', 0, `${error.message}, though its ${META_OBJECT} is there`) // prettier-ignore
  }
}
