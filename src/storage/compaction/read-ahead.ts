/** Owns reading a block from its front to its end in large ranges: a merge reads every column, each a small range. */
import type { BackendReader } from '../backend/backend.js'

/** One range; a few are kept, since the columns of a row group lie side by side and are asked for in another order. */
const CHUNK_BYTES = 1 << 20
const CHUNKS = 6

/** What one open input keeps of its bytes at most. */
export const READ_AHEAD_BYTES = CHUNK_BYTES * CHUNKS

interface Chunk {
  readonly index: number
  readonly bytes: Promise<Uint8Array>
}

/** The objects of one block, whose data object is `size` bytes long. */
export class ReadAhead implements BackendReader {
  readonly #backend: BackendReader
  readonly #size: number
  readonly #dataPath: string
  /** The least recently used first. */
  #chunks: Chunk[] = []

  constructor(backend: BackendReader, dataPath: string, size: number) {
    this.#backend = backend
    this.#dataPath = dataPath
    this.#size = size
  }

  get(path: string, max_bytes?: number): Promise<Uint8Array> {
    return this.#backend.get(path, max_bytes)
  }

  async getRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    const end = offset + length
    // What is long needs no help, and what is not there is refused by who knows.
    if (path !== this.#dataPath || length >= CHUNK_BYTES || end > this.#size) {
      return this.#backend.getRange(path, offset, length)
    }
    const first = Math.floor(offset / CHUNK_BYTES)
    const last = Math.floor((end - 1) / CHUNK_BYTES)
    const head = await this.#chunk(first)
    const from = offset - first * CHUNK_BYTES
    if (first === last) return head.subarray(from, from + length)
    const tail = await this.#chunk(last)
    const bytes = new Uint8Array(length)
    bytes.set(head.subarray(from))
    bytes.set(tail.subarray(0, end - last * CHUNK_BYTES), head.length - from)
    return bytes
  }

  #chunk(index: number): Promise<Uint8Array> {
    const known = this.#chunks.find((chunk) => chunk.index === index)
    const chunk = known ?? { index, bytes: this.#read(index) }
    this.#chunks = [...this.#chunks.filter((one) => one !== chunk), chunk].slice(-CHUNKS)
    return chunk.bytes
  }

  #read(index: number): Promise<Uint8Array> {
    const offset = index * CHUNK_BYTES
    const length = Math.min(CHUNK_BYTES, this.#size - offset)
    const bytes = this.#backend.getRange(this.#dataPath, offset, length)
    bytes.catch(() => {
      this.#chunks = this.#chunks.filter((chunk) => chunk.index !== index)
    })
    return bytes
  }
}
