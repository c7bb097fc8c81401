/** Owns speaking to the doors as no client would: raw TCP, HTTP with whatever headers and bodies, gRPC by its frames. */
import { Agent, request, type OutgoingHttpHeaders } from 'node:http'
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'

/** What a door said, and after how long. `status` is 0 when it closed the connection without a word. */
export interface Answer {
  readonly status: number
  readonly text: string
  readonly took_ms: number
}

/** The door was silent for as long as the asker would wait. */
export class Hangs extends Error {}

const TIMEOUT_MS = 60_000
export const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'

export interface HttpAsk {
  readonly method?: string
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  /** A body with its length announced, or pieces sent in chunks. */
  readonly body?: Uint8Array | string | Iterable<Uint8Array>
  readonly agent?: Agent
  readonly timeout_ms?: number
}

/** Resolves also when the connection breaks; rejects with `Hangs` only. */
export function askHttp(port: number, ask: HttpAsk): Promise<Answer> {
  const started = performance.now()
  const { method = 'GET', path, headers = {}, body, timeout_ms = TIMEOUT_MS } = ask
  return new Promise((resolve, reject) => {
    const done = (status: number, text: string) => {
      clearTimeout(timer)
      resolve({ status, text, took_ms: performance.now() - started })
    }
    const call = request(
      { host: '127.0.0.1', port, method, path, headers, agent: ask.agent ?? false },
      (reply) => {
        const parts: Buffer[] = []
        reply.on('data', (part: Buffer) => parts.push(part))
        reply.on('error', () => done(0, 'the answer was cut off'))
        reply.on('end', () => done(reply.statusCode ?? 0, Buffer.concat(parts).toString()))
      },
    )
    const timer = setTimeout(() => {
      call.destroy()
      reject(new Hangs(`${method} ${path.slice(0, 200)} had no answer within ${timeout_ms} ms`))
    }, timeout_ms)
    call.on('error', (error) => done(0, error.message))
    if (body === undefined) call.end()
    else if (typeof body === 'string' || body instanceof Uint8Array) call.end(body)
    else Readable.from(body).pipe(call)
  })
}

export interface RawAsk {
  /** Written one after the other, with a pause before each but the first. */
  readonly parts: Iterable<Uint8Array | string>
  readonly pause_ms?: number
  readonly timeout_ms?: number
  /** Ends our side after the last part. */
  readonly ends?: boolean
}

/** Sends bytes, and resolves with all that came back when the door closes or, `timeout_ms` after the last part, is silent. */
export async function askRaw(port: number, ask: RawAsk): Promise<Answer & { closed: boolean }> {
  const { parts, pause_ms = 0, timeout_ms = TIMEOUT_MS, ends = false } = ask
  const started = performance.now()
  const socket = connect(port, '127.0.0.1')
  let text = ''
  let isClosed = false
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true
      resolve()
    })
  })
  let isFirst = true
  for (const part of parts) {
    if (!isFirst && pause_ms > 0) await Promise.race([closed, sleep(pause_ms)])
    isFirst = false
    if (socket.destroyed) break
    if (!socket.write(part)) await Promise.race([closed, once(socket, 'drain')])
  }
  if (ends) socket.end()
  await Promise.race([closed, sleep(timeout_ms)])
  const wasClosed = isClosed
  socket.destroy()
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0)
  return { status, text, took_ms: performance.now() - started, closed: wasClosed }
}

/** One HTTP/2 connection; calls on it carry whatever frames and headers. */
export class GrpcConnection {
  readonly session: ClientHttp2Session

  constructor(port: number) {
    this.session = connectHttp2(`http://127.0.0.1:${port}`)
    this.session.on('error', () => {})
  }

  get isOpen(): boolean {
    return !this.session.destroyed && !this.session.closed
  }

  /** Sends the bytes as they are (`framed` makes a message of bytes). The status is gRPC's code; -1 = the stream broke. */
  ask(
    data: Uint8Array | Iterable<Uint8Array>,
    headers: Record<string, string> = {},
    timeout_ms = TIMEOUT_MS,
  ): Promise<Answer> {
    const started = performance.now()
    return new Promise((resolve, reject) => {
      let status = -1
      let text = ''
      const stream = this.session.request({
        ':method': 'POST',
        ':path': EXPORT,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      const timer = setTimeout(() => {
        stream.close(constants.NGHTTP2_CANCEL)
        reject(new Hangs(`a gRPC call had no answer within ${timeout_ms} ms`))
      }, timeout_ms)
      const read = (from: Record<string, unknown>) => {
        if (from['grpc-status'] === undefined) return
        status = Number(from['grpc-status'])
        const message = from['grpc-message']
        text = typeof message === 'string' ? decoded(message) : ''
      }
      stream.on('response', read).on('trailers', read)
      // Who has the status has the answer, though its own side may still be open.
      stream.on('end', () => {
        if (status >= 0 && !stream.writableEnded) stream.close(constants.NGHTTP2_CANCEL)
      })
      stream.on('error', () => {})
      stream.on('close', () => {
        clearTimeout(timer)
        resolve({ status, text, took_ms: performance.now() - started })
      })
      stream.resume()
      if (data instanceof Uint8Array) stream.end(data)
      else Readable.from(data).pipe(stream)
    })
  }

  close(): void {
    this.session.destroy()
  }
}

/** A gRPC message: flag, length, bytes. */
export function framed(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const out = Buffer.alloc(5 + message.length)
  out[0] = flag
  out.writeUInt32BE(length >>> 0, 1)
  out.set(message, 5)
  return out
}

export function sleep(delay_ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delay_ms))
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve) => socket.once(event, () => resolve()))
}

/** gRPC sends words percent-encoded. */
function decoded(message: string): string {
  try {
    return decodeURIComponent(message)
  } catch {
    return message
  }
}
