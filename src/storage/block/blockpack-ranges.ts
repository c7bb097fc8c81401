/** Owns reading ranges of one block's data object: they are merged where that is not done below, and what is not there is `CorruptBlock`. */
import { ObjectTooShort } from '../backend/backend.js'
import type { BackendReader } from '../backend/backend.js'
import { MergedReads } from '../backend/merged-reads.js'
import { CorruptBlock } from './encoding.js'

export class RangeReader {
  readonly #merged: MergedReads | undefined
  read_bytes = 0
  constructor(
    readonly backend: BackendReader,
    readonly path: string,
    readonly blockId: string,
    readonly size: number,
  ) {
    if (!backend.mergesRanges) this.#merged = new MergedReads((at, length) => this.#get(at, length))
  }

  /** Exactly these bytes of the object; throws `CorruptBlock` when it ends before. */
  read(offset: number, length: number): Promise<Uint8Array> {
    if (length === 0) return Promise.resolve(new Uint8Array(0))
    return this.#merged ? this.#merged.read(offset, length) : this.#get(offset, length)
  }

  async #get(offset: number, length: number): Promise<Uint8Array> {
    const corrupt = (detail: string) => new CorruptBlock(this.blockId, 'object', offset, detail)
    if (offset + length > this.size) throw corrupt(`${length} bytes are not within ${this.size}`)
    try {
      const bytes = await this.backend.getRange(this.path, offset, length)
      if (bytes.length !== length) throw corrupt(`${bytes.length} bytes of ${length} came`)
      this.read_bytes += length
      return bytes
    } catch (error) {
      // A range that the object has not got is a fault of the block, not of the store; a refused key is none of the block's.
      if (!(error instanceof ObjectTooShort)) throw error
      throw corrupt(error.message)
    }
  } // prettier-ignore
}
