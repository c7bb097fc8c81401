/** Owns blocks in S3 or anything that speaks it (MinIO): the one door to the AWS SDK. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  type CompletedPart,
  type GetObjectCommandOutput,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { open, type FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Config } from '../../config.js'
import { mapBounded } from '../../lib/concurrency.js'
import type { Log } from '../../lib/log.js'
import { retry } from '../../lib/retry.js'
import type { Clock } from '../../lib/time.js'
import {
  BackendError,
  ObjectTooLarge,
  ObjectTooShort,
  type Listing,
  type OpenBackend,
  type ReadWatch,
} from './backend.js'
import { isSegment, objectSegments, prefixSegments } from './path.js'
import { s3Endpoint } from './s3-endpoint.js'
import { s3Failure, type S3Place } from './s3-errors.js'

/** A file up to this size goes in one request; a larger one in parts of this size. */
const PART_BYTES = 8 << 20
/** S3's limit; a file of more parts gets larger ones. */
const MAX_PARTS = 10_000
/** Parts under way at once: with `PART_BYTES` this is the memory of an upload. */
const PART_CONCURRENCY = 2
const DELETE_CONCURRENCY = 8
const MAX_SOCKETS = 32
const CONNECT_TIMEOUT_MS = 5_000
/** One request, its body and the SDK's retries together: a part of `PART_BYTES` passes at 1.1 Mbit/s. */
const OPERATION_TIMEOUT_MS = 60_000
/** Tries of one request within the SDK (100 ms doubling with jitter): about 1.5 s of a restarting server. */
const REQUEST_ATTEMPTS = 5
/** Tries of a read whose body broke off, which the SDK does not repeat. */
const BODY_ATTEMPTS = 3
const BODY_RETRY_MIN_MS = 50
const BODY_RETRY_MAX_MS = 1_000
const GIVEN_UP = 'who asked for it gave it up'

export interface S3Options {
  clock: Clock
  log: Log
  part_bytes?: number
  operation_timeout_ms?: number
  /** Tries of one request before its error is told; the flush queue tries for ever above this. */
  request_attempts?: number
}

export class S3Backend implements OpenBackend {
  readonly kind = 's3'
  private readonly client: S3Client
  private readonly place: S3Place
  private readonly root: string
  private readonly bucket: string
  /** Of the requests under way. */
  private readonly deadlines = new Set<AbortController>()
  private readonly closed = new AbortController()

  constructor(
    s3: Config['storage']['s3'],
    private readonly options: S3Options,
  ) {
    const { endpoint, region } = s3Endpoint(s3)
    this.bucket = s3.bucket
    this.place = { bucket: s3.bucket, endpoint: endpoint ?? `AWS S3 in ${region}` }
    const prefix = s3.prefix.replace(/^\/+|\/+$/g, '')
    this.root = prefix === '' ? '' : `${prefix}/`
    this.client = new S3Client(clientConfig(s3, endpoint, region, options))
  }

  async ensureReady(): Promise<void> {
    await this.send('the bucket cannot be used', '', (signal) =>
      this.client.send(
        new ListObjectsV2Command({ Bucket: this.bucket, Prefix: this.root, MaxKeys: 1 }),
        { abortSignal: signal },
      ),
    )
  }

  async get(path: string, max_bytes = Infinity, watch?: ReadWatch): Promise<Uint8Array> {
    return this.read(path, undefined, max_bytes, watch)
  }

  async getRange(
    path: string,
    offset: number,
    length: number,
    watch?: ReadWatch,
  ): Promise<Uint8Array> {
    if (length > 0) return this.read(path, { offset, length }, Infinity, watch)
    objectSegments(path)
    return new Uint8Array(0) // HTTP has no empty range
  }

  async put(path: string, body: Uint8Array): Promise<void> {
    const Key = this.keyOf(path)
    await this.send(`cannot write ${path}`, path, (abortSignal) =>
      this.client.send(
        new PutObjectCommand({
          Bucket: this.bucket,
          Key,
          Body: body,
          ContentLength: body.length,
        }),
        { abortSignal },
      ),
    )
  }

  async putFile(path: string, file: string): Promise<void> {
    const Key = this.keyOf(path)
    const handle = await open(file, 'r').catch((error: unknown) => {
      const text = `cannot write ${path}: its source cannot be read: ${String(error)} (${file})`
      throw new BackendError(text, false, { cause: error })
    })
    try {
      const { size } = await handle.stat()
      const part_bytes = this.options.part_bytes ?? PART_BYTES
      if (size > part_bytes) await this.putParts(path, Key, handle, size, part_bytes)
      else await this.put(path, await readExactly(handle, file, new Uint8Array(size), 0))
    } finally {
      await handle.close()
    }
  }

  async list(prefix: string): Promise<Listing> {
    const below = [...prefixSegments(prefix), ''].join('/')
    const listing: Listing = { folders: [], objects: [] }
    const start = this.root.length + below.length
    const Prefix = this.root + below
    for await (const page of this.pages({ Bucket: this.bucket, Prefix, Delimiter: '/' })) {
      for (const { Prefix: folder } of page.CommonPrefixes ?? []) {
        const name = folder?.slice(start, -1)
        if (name !== undefined && isSegment(name)) listing.folders.push(name)
      }
      for (const { Key } of page.Contents ?? []) {
        const name = Key?.slice(start)
        if (name !== undefined && isSegment(name)) listing.objects.push(name)
      }
    }
    listing.folders.sort()
    listing.objects.sort()
    return listing
  }

  async listBlocks(tenant: string): Promise<Map<string, string[]>> {
    const Prefix = `${this.keyOf(tenant)}/`
    const blocks = new Map<string, string[]>()
    for await (const page of this.pages({ Bucket: this.bucket, Prefix })) {
      for (const { Key } of page.Contents ?? []) {
        const [block, name, deeper] = (Key ?? '').slice(Prefix.length).split('/')
        if (block === undefined || name === undefined || deeper !== undefined) continue
        if (!isSegment(block) || !isSegment(name)) continue
        const objects = blocks.get(block)
        if (objects) objects.push(name)
        else blocks.set(block, [name])
      }
    }
    return blocks
  }

  async delete(path: string): Promise<void> {
    const Key = this.keyOf(path)
    await this.send(`cannot delete ${path}`, path, (abortSignal) =>
      this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key }), { abortSignal }),
    )
  }

  async deleteBlock(tenant: string, blockId: string): Promise<void> {
    await this.delete(`${tenant}/${blockId}/meta.json`)
    const { objects } = await this.list(`${tenant}/${blockId}`)
    await mapBounded(objects, DELETE_CONCURRENCY, (name) =>
      this.delete(`${tenant}/${blockId}/${name}`),
    )
  }

  close(): Promise<void> {
    this.closed.abort()
    for (const deadline of this.deadlines) deadline.abort()
    this.client.destroy()
    return Promise.resolve()
  }

  private keyOf(path: string): string {
    return this.root + objectSegments(path).join('/')
  }

  /** Reads a body to its end; one that breaks off or is short is read again, since the SDK only retries up to the headers. */
  private async read(
    path: string,
    range: { offset: number; length: number } | undefined,
    max_bytes: number,
    watch: ReadWatch = {},
  ): Promise<Uint8Array> {
    const Key = this.keyOf(path)
    const Range = range && `bytes=${range.offset}-${range.offset + range.length - 1}`
    const input = { Bucket: this.bucket, Key, ...(Range === undefined ? {} : { Range }) }
    const read = async (abortSignal: AbortSignal) => {
      const reply = await this.client.send(new GetObjectCommand(input), { abortSignal })
      watch.onAnswer?.()
      const { ContentLength: size = 0, Body: body } = reply
      if (size > max_bytes) {
        // Not read to its end: the connection goes with it.
        if (body instanceof Readable) body.destroy()
        throw new ObjectTooLarge(path, size, max_bytes)
      }
      return readBody(reply, path, range)
    }
    return retry(() => this.send(`cannot read ${path}`, path, read, watch.signal), {
      clock: this.options.clock,
      min_delay_ms: BODY_RETRY_MIN_MS,
      max_delay_ms: BODY_RETRY_MAX_MS,
      attempts: BODY_ATTEMPTS,
      retryable: (error) => error instanceof BodyBroken && !this.isClosed(),
    })
  }

  private async *pages(
    input: ListObjectsV2CommandInput,
  ): AsyncGenerator<ListObjectsV2CommandOutput> {
    let token: string | undefined
    do {
      const command = new ListObjectsV2Command(
        token === undefined ? input : { ...input, ContinuationToken: token },
      )
      const page = await this.send(`cannot list ${input.Prefix ?? ''}`, '', (abortSignal) =>
        this.client.send(command, { abortSignal }),
      )
      yield page
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  /** Uploads a large file by ranges; nothing is visible until the last step, and a failure leaves nothing that is billed. */
  private async putParts(
    path: string,
    Key: string,
    handle: FileHandle,
    size: number,
    part_bytes: number,
  ): Promise<void> {
    const what = `cannot write ${path}`
    const target = { Bucket: this.bucket, Key }
    const upload = await this.send(what, path, (abortSignal) =>
      this.client.send(new CreateMultipartUploadCommand(target), { abortSignal }),
    )
    const UploadId = upload.UploadId
    if (UploadId === undefined) throw new BackendError(`${what}: no upload id in the answer`, true)
    try {
      const Parts = await this.uploadParts(path, { ...target, UploadId }, handle, size, part_bytes)
      const command = new CompleteMultipartUploadCommand({
        ...target,
        UploadId,
        MultipartUpload: { Parts },
      })
      await this.send(what, path, (abortSignal) => this.client.send(command, { abortSignal }))
    } catch (error) {
      await this.send(what, path, (abortSignal) =>
        this.client.send(new AbortMultipartUploadCommand({ ...target, UploadId }), { abortSignal }),
      ).catch((abortError: unknown) => {
        // The upload's own error is the one to tell; a bucket rule for incomplete uploads clears this one.
        const fields = { path, error: String(abortError) }
        this.options.log.warn('an unfinished upload could not be cancelled', fields)
      })
      throw error
    }
  }

  private async uploadParts(
    path: string,
    target: { Bucket: string; Key: string; UploadId: string },
    handle: FileHandle,
    size: number,
    min_part_bytes: number,
  ): Promise<CompletedPart[]> {
    const part_bytes = Math.max(min_part_bytes, Math.ceil(size / MAX_PARTS))
    const numbers = Array.from({ length: Math.ceil(size / part_bytes) }, (_, i) => i + 1)
    const spare: Uint8Array[] = []
    return mapBounded(numbers, PART_CONCURRENCY, async (PartNumber) => {
      const offset = (PartNumber - 1) * part_bytes
      const length = Math.min(part_bytes, size - offset)
      // A part's buffer is used again once it is uploaded; after a failure no part follows.
      const buffer = spare.pop() ?? new Uint8Array(part_bytes)
      const Body = await readExactly(handle, path, buffer.subarray(0, length), offset)
      const command = new UploadPartCommand({ ...target, PartNumber, Body, ContentLength: length })
      const { ETag } = await this.send(`cannot write ${path}, part ${PartNumber}`, path, (signal) =>
        this.client.send(command, { abortSignal: signal }),
      )
      if (ETag === undefined) {
        throw new BackendError(
          `cannot write ${path}: part ${PartNumber} was answered without ETag`,
          true,
        )
      }
      spare.push(buffer)
      return { PartNumber, ETag }
    })
  }

  private isClosed(): boolean {
    return this.closed.signal.aborted
  }

  /** Runs a request under the operation's deadline, until `signal` ends it, and gives its failure our words. */
  private async send<T>(
    what: string,
    path: string,
    request: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    if (this.isClosed()) throw new BackendError(`${what}: the backend is closed`, false)
    if (isAborted(signal)) throw new BackendError(`${what}: ${GIVEN_UP}`, false)
    const deadline = new AbortController()
    const answered = new AbortController()
    const giveUp = () => deadline.abort()
    signal?.addEventListener('abort', giveUp)
    this.deadlines.add(deadline)
    const timeout_ms = this.options.operation_timeout_ms ?? OPERATION_TIMEOUT_MS
    void this.options.clock.sleep(timeout_ms, answered.signal).then(() => deadline.abort())
    try {
      return await request(deadline.signal)
    } catch (error) {
      if (this.isClosed()) {
        throw new BackendError(`${what}: the backend was closed meanwhile`, false, { cause: error })
      }
      if (isAborted(signal)) throw new BackendError(`${what}: ${GIVEN_UP}`, false, { cause: error })
      throw s3Failure(what, path, this.place, error)
    } finally {
      signal?.removeEventListener('abort', giveUp)
      answered.abort()
      this.deadlines.delete(deadline)
    }
  }
}

/** A call, so that the compiler does not carry "not aborted" over an await. */
const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

/** The headers were fine and the body was not. */
class BodyBroken extends BackendError {
  override readonly code = 'BODY_BROKEN'
  constructor(path: string, why: string, options?: ErrorOptions) {
    super(`cannot read ${path}: ${why}`, true, options)
  }
}

async function readBody(
  reply: GetObjectCommandOutput,
  path: string,
  range: { offset: number; length: number } | undefined,
): Promise<Uint8Array> {
  const expected = reply.ContentLength
  let bytes: Uint8Array
  try {
    bytes = (await reply.Body?.transformToByteArray()) ?? new Uint8Array(0)
  } catch (error) {
    throw new BodyBroken(path, `the body broke off: ${String(error)}`, { cause: error })
  }
  if (expected !== undefined && bytes.length !== expected) {
    throw new BodyBroken(path, `the body has ${bytes.length} of ${expected} bytes`)
  }
  if (range && bytes.length > range.length) {
    throw new BodyBroken(path, `${bytes.length} bytes came for a range of ${range.length}`)
  }
  if (range && bytes.length < range.length) {
    const end = range.offset + bytes.length
    const asked = `bytes ${range.offset}..${range.offset + range.length}`
    throw new ObjectTooShort(path, `${asked} were asked for, it ends at ${end}`)
  }
  return bytes
}

async function readExactly(
  handle: FileHandle,
  name: string,
  into: Uint8Array,
  offset: number,
): Promise<Uint8Array> {
  let filled = 0
  while (filled < into.length) {
    const { bytesRead } = await handle.read(into, filled, into.length - filled, offset + filled)
    if (bytesRead === 0) {
      throw new BackendError(`${name} became shorter while it was uploaded`, false)
    }
    filled += bytesRead
  }
  return into
}

function clientConfig(
  s3: Config['storage']['s3'],
  endpoint: string | undefined,
  region: string,
  options: S3Options,
): S3ClientConfig {
  // A notice to developers about the SDK's own future, which would stand in every operator's log.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  const isAws = endpoint === undefined || /\.amazonaws\.com/.test(endpoint)
  const config: S3ClientConfig = {
    region,
    // Only AWS gives each bucket a host name; elsewhere it would need DNS that is rarely there (Tempo chooses so too).
    forcePathStyle: s3.forcepathstyle || !isAws,
    maxAttempts: options.request_attempts ?? REQUEST_ATTEMPTS,
    // Stores that are not AWS refuse the newer checksum headers; bodies are covered by the signature.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With "Expect: 100-continue" the SDK opens a new connection for each large body.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
      httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
    },
  }
  if (endpoint !== undefined) config.endpoint = endpoint
  // With keys given the provider chain (environment, files, instance metadata) is never loaded.
  if (s3.access_key !== '') {
    config.credentials = { accessKeyId: s3.access_key, secretAccessKey: s3.secret_key }
  }
  return config
}
