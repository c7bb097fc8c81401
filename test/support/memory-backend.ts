/** Owns a backend reader and a block sink in memory for tests of block encodings. */
import { BackendError, ObjectNotFound } from '../../src/storage/backend/backend.js'
import type { BackendReader } from '../../src/storage/backend/backend.js'
import type { BlockSink, ObjectWriter } from '../../src/storage/block/encoding.js'

export class MemoryBackend implements BackendReader {
  readonly objects = new Map<string, Uint8Array>()
  /** Ranged reads so far. */
  reads = 0

  get(path: string): Promise<Uint8Array> {
    const bytes = this.objects.get(path)
    return bytes ? Promise.resolve(bytes) : Promise.reject(new ObjectNotFound(path))
  }
  async getRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.get(path)
    this.reads++
    if (offset + length > bytes.length) {
      throw new BackendError(`${path}: ${offset}+${length} is past the end, ${bytes.length}`, false)
    }
    return bytes.subarray(offset, offset + length)
  }
  /** A sink for the objects of one block. */
  sink(tenant: string, blockId: string): BlockSink {
    return {
      create: (name) => {
        const parts: Uint8Array[] = []
        const writer: ObjectWriter = {
          write: (bytes) => Promise.resolve(void parts.push(bytes.slice())),
          close: () => {
            this.objects.set(`${tenant}/${blockId}/${name}`, new Uint8Array(Buffer.concat(parts)))
            return Promise.resolve()
          },
        }
        return Promise.resolve(writer)
      },
    }
  }
}
