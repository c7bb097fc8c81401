/** Owns the choice of backend in the simulation: the one bucket, or the blocks on the simulated disk. */
import type { OpenBackend } from '../../../src/storage/backend/backend.js'
import { bucket, BucketClient } from '../bucket.js'

export function openBackend(): Promise<OpenBackend> {
  return Promise.resolve(new BucketClient(bucket))
}

export function openLocal(root: string): Promise<OpenBackend> {
  return Promise.resolve(new BucketClient(bucket, root))
}
