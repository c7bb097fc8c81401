/** Owns a backend in memory for tests: the same rules as the real ones, with faults to order, a record of calls, and a block sink. */
import { readFile } from 'node:fs/promises'
import {
  ObjectNotFound,
  ObjectTooLarge,
  ObjectTooShort,
  type Listing,
  type OpenBackend,
} from '../../src/storage/backend/backend.js'
import type { BlockSink, ObjectWriter } from '../../src/storage/block/encoding.js'
import { objectSegments, prefixSegments } from '../../src/storage/backend/path.js'

export type Operation = 'get' | 'getRange' | 'put' | 'putFile' | 'list' | 'listBlocks' | 'delete'

export class MemoryBackend implements OpenBackend {
  readonly kind = 'local'
  readonly objects = new Map<string, Uint8Array>()
  readonly calls: string[] = []
  /** Ranged reads so far. */
  reads = 0
  /** Called before each operation; throw to make it fail, await to make it slow. */
  fault: (operation: Operation, path: string) => void | Promise<void> = () => {}

  ensureReady(): Promise<void> {
    return Promise.resolve()
  }

  async get(path: string, max_bytes = Infinity): Promise<Uint8Array> {
    await this.begin('get', path)
    const object = this.object(path)
    if (object.length > max_bytes) throw new ObjectTooLarge(path, object.length, max_bytes)
    return object.slice()
  }

  async getRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    await this.begin('getRange', path)
    this.reads++
    const object = this.object(path)
    if (offset + length > object.length) {
      throw new ObjectTooShort(path, `${object.length} bytes`)
    }
    return object.slice(offset, offset + length)
  }

  async put(path: string, body: Uint8Array): Promise<void> {
    await this.begin('put', path)
    this.objects.set(path, body.slice())
  }

  async putFile(path: string, file: string): Promise<void> {
    await this.begin('putFile', path)
    this.objects.set(path, await readFile(file))
  }

  async list(prefix: string): Promise<Listing> {
    await this.begin('list', prefix)
    const depth = prefixSegments(prefix).length
    const folders = new Set<string>()
    const objects: string[] = []
    for (const path of this.objects.keys()) {
      if (prefix !== '' && !path.startsWith(`${prefix}/`)) continue
      const rest = path.split('/').slice(depth)
      if (rest.length > 1) folders.add(rest[0]!)
      else objects.push(rest[0]!)
    }
    return { folders: [...folders].sort(), objects: objects.sort() }
  }

  async listBlocks(tenant: string): Promise<Map<string, string[]>> {
    await this.begin('listBlocks', tenant)
    const blocks = new Map<string, string[]>()
    for (const path of [...this.objects.keys()].sort()) {
      const [owner, block, name, ...deeper] = path.split('/')
      if (owner !== tenant || block === undefined || name === undefined) continue
      if (deeper.length > 0) continue
      blocks.set(block, [...(blocks.get(block) ?? []), name])
    }
    return blocks
  }

  async delete(path: string): Promise<void> {
    await this.begin('delete', path)
    this.objects.delete(path)
  }

  async deleteBlock(tenant: string, blockId: string): Promise<void> {
    await this.delete(`${tenant}/${blockId}/meta.json`)
    for (const path of [...this.objects.keys()]) {
      if (path.startsWith(`${tenant}/${blockId}/`)) await this.delete(path)
    }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** A sink for the objects of one block. */
  sink(tenant: string, blockId: string): BlockSink {
    return {
      create: (name) => {
        const parts: Uint8Array[] = []
        const writer: ObjectWriter = {
          write: (bytes) => Promise.resolve(void parts.push(bytes.slice())),
          close: () => {
            const whole = new Uint8Array(Buffer.concat(parts))
            this.objects.set(`${tenant}/${blockId}/${name}`, whole)
            return Promise.resolve()
          },
        }
        return Promise.resolve(writer)
      },
    }
  }

  private async begin(operation: Operation, path: string): Promise<void> {
    this.calls.push(`${operation} ${path}`)
    if (operation === 'list') prefixSegments(path)
    else objectSegments(path)
    await this.fault(operation, path)
  }

  private object(path: string): Uint8Array {
    const object = this.objects.get(path)
    if (!object) throw new ObjectNotFound(path)
    return object
  }
}
