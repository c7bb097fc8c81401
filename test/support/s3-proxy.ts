/**
 * Owns a proxy before a real S3 server that answers as a bad day does: errors, silence, cut bodies, wrong ETags, lost answers, listings
 * that lag behind. Which request is met comes from a seed.
 */
import {
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { Random } from '../../src/lib/random.js'
import { freePort } from '../../src/bench/free-port.js'

export type S3Fault =
  /** HTTP 500 InternalError; the request is not passed on. */
  | 'error'
  /** HTTP 503 SlowDown. */
  | 'slow-down'
  /** No answer, until the client gives up or the silence is over. */
  | 'silence'
  /** The connection is closed in place of an answer; the request is not passed on. */
  | 'reset'
  /** The request is done, its answer is lost. */
  | 'lost-answer'
  /** Half of an answer's body, then the connection is closed. */
  | 'truncated'
  /** Half of an answer's body, told as all of it. */
  | 'short'
  /** Another ETag than the server's. */
  | 'wrong-etag'
  /** Objects that are younger than `lag_ms` are not in listings. */
  | 'late-listing'

const SILENCE_MAX_MS = 8000
const LAG_MS = 4000

export class S3Proxy {
  readonly met = new Map<S3Fault, number>()
  /** Faults that happen now, and the share of requests (0..1) that meet one. */
  faults: readonly S3Fault[] = []
  share = 0
  lag_ms = LAG_MS
  readonly #random: Random
  readonly #written = new Map<string, number>()

  private constructor(
    readonly port: number,
    private readonly target: { readonly port: number },
    private readonly server: Server,
    seed: number,
  ) {
    this.#random = new Random(seed)
    server.on('request', (incoming, reply) => void this.#serve(incoming, reply))
  }

  static async start(
    target: { readonly port: number },
    seed: number,
    at?: number,
  ): Promise<S3Proxy> {
    const port = at ?? (await freePort())
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return new S3Proxy(port, target, server, seed)
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  get metTotal(): number {
    return [...this.met.values()].reduce((sum, count) => sum + count, 0)
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  async #serve(incoming: IncomingMessage, reply: ServerResponse): Promise<void> {
    const body = await bodyOf(incoming).catch(() => undefined)
    if (!body) return void reply.destroy()
    const fault = this.#pick(incoming)
    switch (fault) {
      case 'error': {
        refuse(reply, 500, 'InternalError')
        return
      }
      case 'slow-down': {
        refuse(reply, 503, 'SlowDown')
        return
      }
      case 'silence':
        return void setTimeout(() => reply.destroy(), SILENCE_MAX_MS).unref()
      case 'reset':
        return void reply.destroy()
      default: {
        this.#pass(incoming, body, reply, fault)
        return
      }
    }
  }

  #pick(incoming: IncomingMessage): S3Fault | undefined {
    const isListing = incoming.method === 'GET' && (incoming.url ?? '').includes('list-type=2')
    const fitting = this.faults.filter((fault) => {
      if (fault === 'late-listing') return isListing
      if (fault === 'truncated' || fault === 'short') return incoming.method === 'GET'
      return true
    })
    if (fitting.length === 0) return undefined
    if (fitting.includes('late-listing')) return this.#meets('late-listing')
    return this.#random.float() < this.share ? this.#meets(this.#random.pick(fitting)) : undefined
  }

  #meets(fault: S3Fault): S3Fault {
    this.met.set(fault, (this.met.get(fault) ?? 0) + 1)
    return fault
  }

  #pass(
    incoming: IncomingMessage,
    body: Buffer,
    reply: ServerResponse,
    fault: S3Fault | undefined,
  ): void {
    const { method, url, headers } = incoming
    const onward = request({
      host: '127.0.0.1',
      port: this.target.port,
      method,
      path: url,
      headers,
    })
    onward.once('error', () => reply.destroy())
    onward.once('response', (answer) => {
      bodyOf(answer).then(
        (bytes) => this.#answer(incoming, answer, bytes, reply, fault),
        () => reply.destroy(),
      )
    })
    onward.end(body)
  }

  #answer(
    incoming: IncomingMessage,
    answer: IncomingMessage,
    bytes: Buffer,
    reply: ServerResponse,
    fault: S3Fault | undefined,
  ): void {
    const path = (incoming.url ?? '').split('?')[0]!
    if (incoming.method === 'PUT' || incoming.method === 'POST') {
      this.#written.set(decodeURIComponent(path), performance.now())
    }
    if (fault === 'lost-answer') return void reply.destroy()
    const headers = { ...answer.headers }
    let content = bytes
    if (fault === 'late-listing') content = this.#withoutYoung(path, bytes)
    if (fault === 'wrong-etag') headers.etag = '"00000000000000000000000000000000"'
    if (fault === 'short') content = bytes.subarray(0, bytes.length >> 1)
    if (incoming.method !== 'HEAD') headers['content-length'] = String(content.length)
    delete headers['transfer-encoding']
    if (fault === 'truncated') {
      reply.writeHead(answer.statusCode ?? 500, headers)
      reply.write(bytes.subarray(0, bytes.length >> 1), () => reply.destroy())
      return
    }
    reply.writeHead(answer.statusCode ?? 500, headers)
    reply.end(content)
  }

  /** As a listing that was made a while ago. */
  #withoutYoung(bucketPath: string, xml: Buffer): Buffer {
    const now = performance.now()
    const bucket = bucketPath.replace(/\/$/, '')
    const isYoung = (key: string) => now - (this.#written.get(`${bucket}/${key}`) ?? -Infinity) < this.lag_ms // prettier-ignore
    const text = xml.toString().replace(/<Contents>.*?<\/Contents>/gs, (entry) => {
      const key = decodeURIComponent(/<Key>(.*?)<\/Key>/.exec(entry)?.[1] ?? '')
      return isYoung(key) ? '' : entry
    })
    return Buffer.from(text)
  }
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function refuse(reply: ServerResponse, status: number, code: string): void {
  const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>on demand</Message></Error>`
  reply.writeHead(status, { 'content-type': 'application/xml', 'content-length': xml.length })
  reply.end(xml)
}
