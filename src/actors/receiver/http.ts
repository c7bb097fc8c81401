/**
 * Owns the OTLP/HTTP door: POST /v1/traces with protobuf or JSON, plain, gzip or deflate. What it answers and when is
 * here; how a body is read within bounds is in http-body.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { errorText, silentLog, type Log } from '../../lib/log.js'
import { systemClock, type Clock } from '../../lib/time.js'
import {
  encodeExportResponse,
  encodeRpcStatus,
  exportResponseJson,
  rpcStatusJson,
} from '../../otlp/export-reply.js'
import { OtlpJsonError, requestFromJson } from '../../otlp/json.js'
import { budgetOf, type Budget } from './budget.js'
import { Connections } from './connections.js'
import type { Door, DoorLoad, Ingest, PushResult } from './contract.js'
import { BodyError, contentEncoding, readBody, type ContentEncoding } from './http-body.js'
import { listenOn } from './listen.js'
import type { TenantResolver } from '../../lib/tenant.js'
import { failureOf, failureOfPush, type Failure } from './verdict.js'

export interface HttpDoorOptions {
  readonly endpoint: string
  readonly ingest: Ingest
  readonly tenantOf: TenantResolver
  /** The configuration key of the endpoint, for errors. */
  readonly key?: string // default 'distributor.receivers.otlp.protocols.http.endpoint'
  readonly path?: string // default '/v1/traces'
  /** Of a body as sent and as decompressed. */
  readonly max_message_bytes?: number // default 16 MiB
  readonly retryAfter_ms?: number // default 5000, for refusals that name no time
  readonly max_connections?: number // default 1024
  readonly max_inflight_requests?: number // default 4096
  readonly max_inflight_bytes?: number // default 128 MiB
  /** Shared with other doors; default one of its own with the two bounds above. */
  readonly budget?: Budget
  readonly headers_timeout_ms?: number // default 10000
  /** From the first byte of a request to its last. */
  readonly request_timeout_ms?: number // default 60000
  readonly keep_alive_timeout_ms?: number // default 75000
  readonly log?: Log
  readonly clock?: Clock
}

type Encoding = 'protobuf' | 'json'

const MEDIA_TYPES: Record<Encoding, string> = {
  protobuf: 'application/x-protobuf',
  json: 'application/json',
}
const REFUSALS = { TOO_LARGE: 'too_large', MALFORMED: 'invalid', NO_ROOM: 'unavailable' } as const
const MAX_HEADER_BYTES = 16 * 1024
/** How long the rest of a refused body is read and thrown away, so that the answer is not lost in a reset. */
const LINGER_MS = 1000
/** How often Node looks for requests past their time. */
const TIMEOUT_CHECK_MS = 1000

export class HttpDoor implements Door {
  readonly #options: Required<HttpDoorOptions>
  readonly #server: Server
  readonly #budget: Budget
  readonly #connections = new Connections()
  /** Requests that are not yet answered to the end, and their sockets. */
  readonly #replies = new Map<ServerResponse, Socket>()
  #draining = false

  constructor(options: HttpDoorOptions) {
    this.#options = withDefaults(options)
    const { headers_timeout_ms, request_timeout_ms, keep_alive_timeout_ms } = this.#options
    this.#budget = this.#options.budget
    this.#server = createServer({
      headersTimeout: headers_timeout_ms,
      requestTimeout: request_timeout_ms,
      keepAliveTimeout: keep_alive_timeout_ms,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    })
    this.#server.maxConnections = this.#options.max_connections
    this.#server.on('connection', (socket) => this.#connections.add(socket))
    this.#server.on('request', (req, res) => void this.#serve(req, res, false))
    this.#server.on('checkContinue', (req, res) => void this.#serve(req, res, true))
  }

  get load(): DoorLoad {
    const { requests, bytes } = this.#budget
    return { connections: this.#connections.size, requests, bytes }
  }

  listen(): Promise<number> {
    return listenOn(this.#server, this.#options.endpoint, this.#options.key)
  }

  async drain(deadline_ms: number): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    const { clock, log } = this.#options
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const res of this.#replies.keys()) res.shouldKeepAlive = false
    this.#connections.destroyIdle(new Set(this.#replies.values()))
    this.#connections.endHalfClosed(clock)
    const waiting = new AbortController()
    await Promise.race([closed, clock.sleep(deadline_ms, waiting.signal)])
    waiting.abort()
    const connections = this.#connections.size
    if (connections > 0) log.warn('connections closed by force', { connections, deadline_ms })
    await this.#connections.destroyAll()
    await closed
  }

  async #serve(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): Promise<void> {
    this.#replies.set(res, req.socket)
    res.once('close', () => this.#replies.delete(res))
    res.on('error', (error) => this.#options.log.debug('reply lost', { err: errorText(error) }))
    if (this.#draining) res.shouldKeepAlive = false
    try {
      await this.#answer(req, res, expectsContinue)
    } catch (error) {
      this.#options.log.error('request failed', { err: errorText(error) })
      if (!res.headersSent) plain(res, 500, 'the store failed on this request')
    }
  }

  async #answer(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const encoding = this.#route(req, res)
    if (!encoding) return
    const refuse = (failure: Failure): void => {
      this.#linger(req, res, () => fail(res, encoding, failure, false))
    }
    const tenancy = this.#options.tenantOf(header(req, 'x-scope-orgid'))
    if ('refused' in tenancy) {
      refuse(failureOf(tenancy.refused, tenancy.message, 0))
      return
    }
    const { retryAfter_ms, max_message_bytes } = this.#options
    if (this.#budget.isFull) {
      refuse(failureOf('unavailable', this.#fullText(), retryAfter_ms))
      return
    }
    const announced = Number(req.headers['content-length'] ?? 0)
    if (announced > max_message_bytes) {
      refuse(tooLarge(announced, max_message_bytes))
      return
    }
    const compression = contentEncoding(req.headers['content-encoding'])
    if (expectsContinue) res.writeContinue()

    let held_bytes = 0
    this.#budget.enter(0)
    try {
      const body = await this.#read(req, compression!, (bytes) => {
        held_bytes += bytes
        this.#budget.grow(bytes)
        return !this.#budget.isOver
      })
      const result = await this.#push(tenancy.tenant, encoding, body)
      if (result.ok)
        reply(res, 200, encoding, encodeExportResponse(result), () => exportResponseJson(result))
      else fail(res, encoding, failureOfPush(result, retryAfter_ms))
    } catch (error) {
      if (!(error instanceof BodyError)) throw error
      if (error.code === 'GONE') return
      const text = error.code === 'NO_ROOM' ? this.#fullText() : error.message
      refuse(failureOf(REFUSALS[error.code], text, retryAfter_ms))
    } finally {
      this.#budget.leave(held_bytes)
    }
  }

  /** The encoding of a request for the right path, by the right method, of a type that we read; else it is answered. */
  #route(req: IncomingMessage, res: ServerResponse): Encoding | undefined {
    const path = (req.url ?? '').split('?', 1)[0]
    const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
    const supported = `[${MEDIA_TYPES.json}, ${MEDIA_TYPES.protobuf}]`
    let wrong: [number, string] | undefined
    if (path !== this.#options.path)
      wrong = [404, `404 page not found, OTLP traces go to ${this.#options.path}`]
    else if (req.method !== 'POST') {
      res.setHeader('allow', 'POST')
      wrong = [405, '405 method not allowed, supported: [POST]']
    } else if (type !== MEDIA_TYPES.json && type !== MEDIA_TYPES.protobuf) {
      wrong = [415, `415 unsupported media type, supported: ${supported}`]
    } else if (!contentEncoding(req.headers['content-encoding'])) {
      wrong = [415, '415 unsupported content encoding, supported: [gzip, deflate, identity]']
    }
    if (!wrong) return type === MEDIA_TYPES.json ? 'json' : 'protobuf'
    const [status, text] = wrong
    this.#linger(req, res, () => plain(res, status, text, false))
    return undefined
  }

  #fullText(): string {
    return this.#budget.refuse()
  }

  #read(req: IncomingMessage, compression: ContentEncoding, onBytes: (bytes: number) => boolean) {
    return readBody(req, { compression, max_bytes: this.#options.max_message_bytes, onBytes })
  }

  async #push(tenant: string, encoding: Encoding, body: Uint8Array): Promise<PushResult> {
    if (encoding === 'protobuf') return this.#options.ingest.push({ tenant, body })
    let request: Uint8Array
    try {
      request = requestFromJson(body)
    } catch (error) {
      if (!(error instanceof OtlpJsonError)) throw error
      return { ok: false, refused: 'invalid', message: error.message }
    }
    return this.#options.ingest.push({ tenant, body: request })
  }

  /**
   * Answers a request whose body may not have been read to its end, and then closes the connection. `write` sends the
   * whole answer but does not end it: closing while the client still sends would reset the connection,
   * and a client that has seen a reset may never read the answer.
   */
  #linger(req: IncomingMessage, res: ServerResponse, write: () => void): void {
    if (!req.complete) res.shouldKeepAlive = false
    write()
    if (req.complete) {
      res.end()
      return
    }
    const waiting = new AbortController()
    const stop = () => waiting.abort()
    req.once('end', stop).once('close', stop).once('error', stop).resume()
    void this.#options.clock.sleep(LINGER_MS, waiting.signal).then(() => res.end())
  }
}

function withDefaults(options: HttpDoorOptions): Required<HttpDoorOptions> {
  const bounds = { max_inflight_requests: 4096, max_inflight_bytes: 128 * 1024 * 1024, ...options }
  return {
    ...bounds,
    budget: budgetOf(bounds),
    key: 'distributor.receivers.otlp.protocols.http.endpoint',
    path: '/v1/traces',
    max_message_bytes: 16 * 1024 * 1024,
    retryAfter_ms: 5000,
    max_connections: 1024,
    headers_timeout_ms: 10_000,
    request_timeout_ms: 60_000,
    keep_alive_timeout_ms: 75_000,
    log: silentLog,
    clock: systemClock,
    ...options,
  }
}

function header(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name]
  return Array.isArray(value) ? value[0] : value
}

function tooLarge(bytes: number, max_bytes: number): Failure {
  return failureOf('too_large', `request body is ${bytes} bytes, at most ${max_bytes} are taken`, 0)
}

function fail(
  res: ServerResponse,
  encoding: Encoding,
  { status, http }: Failure,
  end = true,
): void {
  if (status.retryAfter_ms !== undefined) {
    res.setHeader('retry-after', Math.max(1, Math.ceil(status.retryAfter_ms / 1000)))
  }
  reply(res, http, encoding, encodeRpcStatus(status), () => rpcStatusJson(status), end)
}

function reply(
  res: ServerResponse,
  http: number,
  encoding: Encoding,
  protobuf: Uint8Array,
  json: () => string,
  end = true,
): void {
  send(res, http, MEDIA_TYPES[encoding], encoding === 'json' ? Buffer.from(json()) : protobuf, end)
}

function plain(res: ServerResponse, http: number, text: string, end = true): void {
  send(res, http, 'text/plain; charset=utf-8', Buffer.from(text), end)
}

function send(
  res: ServerResponse,
  http: number,
  type: string,
  body: Uint8Array,
  end: boolean,
): void {
  if (res.destroyed) return
  res.writeHead(http, { 'content-type': type, 'content-length': body.length })
  if (end) res.end(body)
  else res.write(body)
}
