/** Owns the heads that a thread has open or had open lately, so that a query finds the work of the one before it. */
import type { HeadArena, ArenaReader } from './arena.js'
import { HeadReader, type HeadSource } from './source.js'

/** Heads remembered; the least recently used goes first. */
const READERS_MAX = 256

export class HeadReaders {
  readonly #arena: HeadArena
  readonly #slot: ArenaReader
  /** By header chunk, least recently used first. */
  readonly #readers = new Map<number, HeadReader>()

  /** `slot` is the thread's own reader slot in the arena; make one object a thread. */
  constructor(arena: HeadArena, slot: number) {
    this.#arena = arena
    this.#slot = arena.reader(slot)
  }

  /** A head's last snapshot, traces by arrival; undefined when that block is no open head any more. */
  open(headChunk: number, blockId: string): HeadSource | undefined {
    return this.#open(headChunk, blockId, undefined)
  }

  /** The same with one trace alone; a source without groups when the head has not got it. */
  openTrace(headChunk: number, blockId: string, traceId: Uint8Array): HeadSource | undefined {
    return this.#open(headChunk, blockId, traceId)
  }

  #open(
    headChunk: number,
    blockId: string,
    traceId: Uint8Array | undefined,
  ): HeadSource | undefined {
    const identity = this.#arena.identity(headChunk)
    let reader = this.#readers.get(headChunk)
    this.#readers.delete(headChunk)
    if (identity === 0) return undefined
    if (reader?.identity !== identity) reader = new HeadReader(this.#arena, headChunk)
    const source = reader.open({
      order: 'arrival',
      reader: this.#slot,
      ...(traceId && { traceId }),
    })
    if (!source) return undefined
    this.#readers.set(headChunk, reader)
    if (this.#readers.size > READERS_MAX) {
      const [oldest] = this.#readers.keys()
      if (oldest !== undefined) this.#readers.delete(oldest)
    }
    if (source.id === blockId) return source
    // The chunk was recycled for another head between the catalog's entry and now.
    void source.close()
    return undefined
  }
}
