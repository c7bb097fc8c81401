/**
 * Owns the simulated backend: objects that appear whole, slowly, after an error that lied, or after their sender has
 * died. It is strongly consistent, as S3 is: what was put is listed.
 */
import {
  BackendError,
  ObjectNotFound,
  type Listing,
  type OpenBackend,
} from '../../src/storage/backend/backend.js'
import { disk } from './disk.js'
import { asError, quietly, world } from './world.js'

export interface BucketMood {
  errorsOneIn: number
  slowness_ms: number
}
export const HEALTHY_BUCKET: BucketMood = { errorsOneIn: 0, slowness_ms: 0 }

/** A request that failed may still arrive, up to so much later. */
const LATE_MS = 2000

export class Bucket {
  readonly objects = new Map<string, Uint8Array>()
  mood: BucketMood = HEALTHY_BUCKET

  hasBlock(tenant: string, blockId: string): boolean {
    return this.objects.has(`${tenant}/${blockId}/meta.json`)
  }
}

/** One life's way to the bucket, or to the blocks on local disk below `root`. */
export class BucketClient implements OpenBackend {
  readonly kind = 's3'
  readonly #open = new Set<(error: Error) => void>()
  #isClosed = false

  constructor(
    private readonly bucket: Bucket,
    private readonly root?: string,
  ) {}

  ensureReady(): Promise<void> {
    return this.#request('head bucket', () => undefined)
  }

  get(path: string): Promise<Uint8Array> {
    return this.#request(`get ${path}`, () => this.#object(path).slice())
  }

  getRange(path: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#request(`get ${path}`, () => this.#object(path).slice(offset, offset + length))
  }

  put(path: string, body: Uint8Array): Promise<void> {
    return this.#request(`put ${path}`, () => void this.bucket.objects.set(path, body.slice()))
  }

  /** The file is read as the request is sent; what arrives is whole. */
  putFile(path: string, file: string): Promise<void> {
    let body: Uint8Array | undefined
    try {
      body = disk.read(file).slice()
    } catch (error) {
      return Promise.reject(asError(error))
    }
    return this.#request(`put ${path}`, () => void this.bucket.objects.set(path, body))
  }

  list(prefix: string): Promise<Listing> {
    return this.#request(`list ${prefix}`, () => {
      const folders = new Set<string>()
      const objects: string[] = []
      const depth = prefix === '' ? 0 : prefix.split('/').length
      for (const path of this.bucket.objects.keys()) {
        if (prefix !== '' && !path.startsWith(`${prefix}/`)) continue
        const rest = path.split('/').slice(depth)
        if (rest.length > 1) folders.add(rest[0]!)
        else objects.push(rest[0]!)
      }
      return { folders: [...folders].sort(), objects: objects.sort() }
    })
  }

  listBlocks(tenant: string): Promise<Map<string, string[]>> {
    return this.#request(`list ${tenant}`, () => {
      const blocks = new Map<string, string[]>()
      for (const path of [...this.bucket.objects.keys()].sort()) {
        const [owner, block, name] = path.split('/')
        if (owner === tenant) blocks.set(block!, [...(blocks.get(block!) ?? []), name!])
      }
      return blocks
    })
  }

  delete(path: string): Promise<void> {
    return this.#request(`delete ${path}`, () => void this.bucket.objects.delete(path))
  }

  async deleteBlock(tenant: string, blockId: string): Promise<void> {
    await this.delete(`${tenant}/${blockId}/meta.json`)
  }

  /** Ends the requests that hang. */
  close(): Promise<void> {
    this.#isClosed = true
    for (const fail of [...this.#open]) fail(new BackendError('the client was closed', false))
    return Promise.resolve()
  }

  #object(path: string): Uint8Array {
    const object =
      this.root === undefined
        ? this.bucket.objects.get(path)
        : disk.files.get(`${this.root}/${path}`)
    if (!object) throw new ObjectNotFound(path)
    return object
  }

  #request<T>(what: string, effect: () => T): Promise<T> {
    if (this.#isClosed) return Promise.reject(new BackendError('the client is closed', false))
    if (this.root !== undefined) return disk.io(what, effect)
    const { errorsOneIn, slowness_ms } = this.bucket.mood
    const { random } = world
    const delay_ms = 1 + random.float() * 10 + random.float() * slowness_ms
    const isFailing = errorsOneIn > 0 && random.oneIn(errorsOneIn)
    return new Promise((resolve, reject) => {
      const over = () => this.#open.delete(reject)
      this.#open.add(reject)
      const request = world.io(`bucket: ${what}`, delay_ms, () => {
        if (!isFailing) return effect()
        if (random.oneIn(3)) effect()
        else if (random.oneIn(2)) world.at(random.float() * LATE_MS, world.outside, `late: ${what}`, () => quietly(effect)) // prettier-ignore
        throw new BackendError(`simulated 503: ${what}`, true)
      })
      request.finally(over).then(resolve, reject)
    })
  }
}

/** The bucket of the seed that runs. */
export let bucket = new Bucket()

export function newBucket(): Bucket {
  bucket = new Bucket()
  return bucket
}
