/** Owns what a backend is: objects by path (`<tenant>/<block-uuid>/<name>`), on a local disk or in S3. */

/** How the asker of one read stays in touch with it. What reads at once, as a disk does, may take no notice of either. */
export interface ReadWatch {
  /** Ends the read, which then fails. */
  readonly signal?: AbortSignal
  /** Told when the store has begun to answer with the bytes, once or, where the body is read again, more often. */
  readonly onAnswer?: () => void
}

/** What is read is never written to: a cache gives the same bytes to others. */
export interface BackendReader {
  /** True where ranges that are asked for together are merged into one read below this: who asks need not. */
  readonly mergesRanges?: boolean
  /** The whole object; throws `ObjectNotFound`, or `ObjectTooLarge` before it takes more memory than `max_bytes`. */
  get(path: string, max_bytes?: number, watch?: ReadWatch): Promise<Uint8Array>
  /** Exactly `length` bytes from `offset`; throws `ObjectNotFound`, or `ObjectTooShort` before it takes memory for bytes that are not there. */
  getRange(path: string, offset: number, length: number, watch?: ReadWatch): Promise<Uint8Array>
}

export interface Listing {
  /** Names directly under the prefix that have something below them, without slashes. */
  folders: string[]
  /** Names of objects directly under the prefix. */
  objects: string[]
}

export interface Backend extends BackendReader {
  readonly kind: 'local' | 's3'
  put(path: string, body: Uint8Array): Promise<void>
  /** Uploads a file; atomically visible under `path` afterwards. */
  putFile(path: string, file: string): Promise<void>
  /** Direct children of `prefix` ('' = tenants); an absent prefix is empty, not an error. */
  list(prefix: string): Promise<Listing>
  /**
   * Every block folder of a tenant with the names of its objects, in one flat listing: a poll must see which blocks
   * lost their meta.json to a compaction, and a listing a block would cost a request a block.
   */
  listBlocks(tenant: string): Promise<Map<string, string[]>>
  /** Deletes one object; absent is fine. */
  delete(path: string): Promise<void>
  /** Deletes every object of a block, meta.json first. */
  deleteBlock(tenant: string, blockId: string): Promise<void>
  close(): Promise<void>
}

/** What `openBackend` gives: a backend that can say at startup whether it will work. */
export interface OpenBackend extends Backend {
  /** Folder writable, bucket there and listable: throws `BackendError` with a sentence for the operator. */
  ensureReady(): Promise<void>
}

export class BackendError extends Error {
  readonly code: string = 'BACKEND'
  constructor(
    message: string,
    /** True when trying again later may work. */
    readonly retryable: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
/** The bytes that were asked for lie behind the object's end: the object is at fault, not the store. */
export class ObjectTooShort extends BackendError {
  override readonly code = 'OBJECT_TOO_SHORT'
  constructor(path: string, detail: string) {
    super(`${path} is too short: ${detail}`, false)
  }
}
export class ObjectTooLarge extends BackendError {
  override readonly code = 'OBJECT_TOO_LARGE'
  constructor(path: string, size_bytes: number, max_bytes: number) {
    super(`${path} has ${size_bytes} bytes, at most ${max_bytes} are read`, false)
  }
}
export class ObjectNotFound extends BackendError {
  override readonly code = 'OBJECT_NOT_FOUND'
  constructor(path: string) {
    super(`object not found: ${path}`, false)
  }
}
