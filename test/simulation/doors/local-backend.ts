/** Owns the local backend of the simulation: the blocks below a folder of the simulated disk. */
import { bucket, BucketClient } from '../bucket.js'

export class LocalBackend extends BucketClient {
  constructor(root: string) {
    super(bucket, root)
  }
}
