/**
 * Owns the fuzzer: seeded hostile requests through every door of a running server over several connections, and the
 * judgement of each answer. Anything but an answer of the protocol, in time, is a finding.
 */
import { Agent } from 'node:http'
import { gzipSync } from 'node:zlib'
import { traceToJson } from '../../../src/otlp/trace-json.js'
import {
  NASTY_TEXTS,
  mutateBytes,
  mutateJson,
  mutateProto,
  mutateText,
} from '../../support/mutations.js'
import { shopRequests } from '../../support/otlp-gen.js'
import { Random } from '../../support/random.js'
import type { Ports } from '../../support/server.js'
import { EXPORT, GrpcConnection, Hangs, askHttp, askRaw, framed, type Answer } from './doors.js'

export interface Finding {
  readonly request: number
  readonly kind: string
  readonly what: string
}

export interface Tally {
  requests: number
  readonly byKind: Map<string, number>
  readonly byAnswer: Map<string, number>
  readonly findings: Finding[]
}

/** What may be answered to anything. 500 is not among it: it means that we did not know what to say. */
const HTTP_STATUSES = new Set([
  200, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 429, 431, 501, 503, 504,
])
/** OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND (a service asked of grpc.health), RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE; INTERNAL with grpc-js's words for bad frames only. */
const GRPC_CODES = new Set([0, 3, 4, 5, 8, 12, 14])
const GRPC_FRAME_WORDS = /valid gzip|valid deflate|Invalid grpc-timeout|end of stream/i
const STACK = /\n\s+at .+:\d+:\d+|node:internal/
const MAX_FINDINGS = 50

type Kind = 'grpc' | 'http-protobuf' | 'http-json' | 'query' | 'raw'
const KINDS: readonly Kind[] = [
  ...Array<Kind>(8).fill('grpc'),
  ...Array<Kind>(4).fill('http-protobuf'),
  ...Array<Kind>(3).fill('http-json'),
  ...Array<Kind>(4).fill('query'),
  'raw',
] // prettier-ignore

const QUERIES = [
  '{ span.http.method = "GET" && duration > 5ms }',
  '{ resource.service.name =~ "che.*|cart" } | count() > 1',
  '{ status = error } >> { kind = server } | select(span.http.url, name)',
  '{ .http.status_code >= 400 } | by(resource.service.name) | avg(duration) > 1ms',
  '({ name = "a" } && { name != `b` }) || { parent.span.x != nil }',
]
const METRICS = [
  '{ } | rate() by (resource.service.name)',
  '{ span.http.method != nil } | quantile_over_time(duration, .5, .99) by (span.http.route)',
  '{ } | histogram_over_time(duration)',
  '({ status = error } | count_over_time()) / ({ } | count_over_time())',
  '{ } | max_over_time(span.db.rows) by (name) | topk(3)',
]
const NUMBERS = [
  '-1',
  '0',
  '1',
  '20',
  '1e308',
  'NaN',
  '99999999999999999999',
  '1.5',
  '1760000000',
  '1760000100',
  '1760000000000000000',
  '4294967296',
  '0x10',
  '',
  'Infinity',
  '2026-01-01T00:00:00Z',
]
const DURATIONS = ['1h', '15s', '-5m', '1ns', '99999999999999999h', '1e9s', '', 'h', '0', '1.5h30m']
const TAGS = [
  'service.name',
  'resource.service.name',
  'span:kind',
  'name',
  '.a',
  'span.x',
  '..%2f..',
  '%2e%2e',
  '__proto__',
  'constructor',
]

export class Fuzzer {
  readonly tally: Tally = { requests: 0, byKind: new Map(), byAnswer: new Map(), findings: [] }
  readonly #random: Random
  readonly #ports: Ports
  readonly #good = shopRequests({ seed: 9, traces: 200, batch: 4 }).map(({ bytes }) => bytes)
  readonly #json: unknown[]
  readonly #traceIds: string[]
  readonly #agents = Array.from({ length: 64 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  readonly #connections: (GrpcConnection | undefined)[] = Array<undefined>(8).fill(undefined)

  constructor(ports: Ports, seed: number) {
    this.#ports = ports
    this.#random = new Random(seed)
    this.#json = this.#good.slice(0, 20).map((bytes) => withHexIds(traceToJson(bytes, { v1: false })))
    this.#traceIds = JSON.stringify(this.#json).match(/(?<="traceId":")[0-9a-f]{32}/g) ?? []
  }

  /** Sends so many requests, `lanes` at a time. */
  async run(requests: number, lanes: number): Promise<void> {
    let left = requests
    const lane = async (number: number) => {
      while (left-- > 0 && this.tally.findings.length < MAX_FINDINGS) await this.#one(number)
    }
    await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)))
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy()
    for (const connection of this.#connections) connection?.close()
  }

  async #one(lane: number): Promise<void> {
    const kind = this.#random.pick(KINDS)
    const { tally } = this
    const request = ++tally.requests
    count(tally.byKind, kind)
    let what = ''
    try {
      const made = this.#make(kind, lane)
      what = made.what
      const answer = await made.send()
      count(tally.byAnswer, `${kind} ${answer.status}`)
      const fault = faultOf(kind, answer)
      if (fault) tally.findings.push({ request, kind, what: `${fault}; sent ${what}` })
    } catch (error) {
      const fault = error instanceof Hangs ? error.message : `the fuzzer failed: ${String(error)}`
      tally.findings.push({ request, kind, what: `${fault}; sent ${what}` })
    }
  }

  #make(kind: Kind, lane: number): { what: string; send: () => Promise<Answer> } {
    switch (kind) {
      case 'grpc':
        return this.#grpc(lane)
      case 'http-protobuf':
        return this.#post(lane, mutateProto(this.#random, this.#random.pick(this.#good)), 'application/x-protobuf')
      case 'http-json':
        return this.#post(lane, Buffer.from(mutateJson(this.#random, this.#random.pick(this.#json))), 'application/json')
      case 'query':
        return this.#query(lane)
      case 'raw':
        return this.#raw()
    }
  }

  #grpc(lane: number) {
    const random = this.#random
    const message = mutateProto(random, random.pick(this.#good))
    const headers: Record<string, string> = {}
    let data = framed(message)
    if (random.oneIn(12)) {
      headers['grpc-encoding'] = random.pick(['gzip', 'deflate', 'identity', 'br', 'zstd'])
      const packed = gzipSync(message)
      data = framed(random.oneIn(3) ? mutateBytes(random, packed) : packed, 1)
    }
    if (random.oneIn(20)) data = Buffer.from(mutateBytes(random, data))
    if (random.oneIn(20)) data = framed(message, random.below(256), random.pick([0, 1, message.length + 1, 0xffffffff]))
    if (random.oneIn(30)) headers['x-scope-orgid'] = header(random.pick(NASTY_TEXTS))
    if (random.oneIn(40)) headers['grpc-timeout'] = random.pick(['0n', '1u', '1m', '99999999H', '-1S', 'x'])
    if (random.oneIn(40)) headers[':path'] = random.pick([`${EXPORT}x`, '/', '/a/b', '/grpc.health.v1.Health/Check'])
    if (random.oneIn(60)) headers['content-type'] = random.pick(['text/plain', 'application/grpc+json', ''])
    const send = () => this.#connection(lane).ask(data, headers)
    return { what: `${JSON.stringify(headers)} ${data.toString('base64').slice(0, 800)}`, send }
  }

  #connection(lane: number): GrpcConnection {
    const i = lane % this.#connections.length
    const known = this.#connections[i]
    // A broken frame ends its connection, as it must; the next request comes over a new one.
    if (known?.isOpen && !this.#random.oneIn(500)) return known
    known?.close()
    return (this.#connections[i] = new GrpcConnection(this.#ports.grpc))
  }

  #post(lane: number, body: Uint8Array, type: string) {
    const random = this.#random
    const headers: Record<string, string> = { 'content-type': type }
    let data = body
    if (random.oneIn(10)) {
      headers['content-encoding'] = random.pick(['gzip', 'deflate', 'identity', 'br', 'gzip, gzip', 'GZIP '])
      data = random.oneIn(2) ? gzipSync(body) : body
      if (random.oneIn(3)) data = mutateBytes(random, data)
    }
    if (random.oneIn(30)) headers['x-scope-orgid'] = header(random.pick(NASTY_TEXTS))
    if (random.oneIn(40)) headers['content-type'] = header(mutateText(random, type))
    if (random.oneIn(60)) headers.expect = random.pick(['100-continue', '200-ok'])
    const path = random.oneIn(50) ? '/v1/traces/../traces' : random.oneIn(80) ? '/v1/metrics' : '/v1/traces'
    const chunked = random.oneIn(15) ? [data.subarray(0, data.length / 2), data.subarray(data.length / 2)] : data
    const ask = { method: random.oneIn(50) ? random.pick(['GET', 'PUT', 'HEAD', 'OPTIONS']) : 'POST', path, headers, body: chunked, agent: this.#agent(lane) }
    const what = `${ask.method} ${path} ${JSON.stringify(headers)} ${Buffer.from(data).toString('base64').slice(0, 800)}`
    return { what, send: () => askHttp(this.#ports.http, ask) }
  }

  #query(lane: number) {
    const path = this.#path()
    const headers: Record<string, string> = {}
    if (this.#random.oneIn(30)) headers['x-scope-orgid'] = header(this.#random.pick(NASTY_TEXTS))
    if (this.#random.oneIn(10)) headers.accept = this.#random.pick(['application/protobuf', 'application/vnd.grafana', '*/*', ''])
    if (this.#random.oneIn(20)) headers['accept-encoding'] = 'gzip'
    const send = () => askHttp(this.#ports.api, { path, headers, agent: this.#agent(lane) })
    return { what: `GET ${path} ${JSON.stringify(headers)}`, send }
  }

  #path(): string {
    const random = this.#random
    const maybe = (text: string) => (random.oneIn(3) ? text : mutateText(random, text))
    const params = new URLSearchParams()
    const add = (name: string, values: readonly string[]) => {
      if (random.oneIn(3)) params.append(name, random.oneIn(4) ? maybe(random.pick(values)) : random.pick(values))
    }
    add('start', NUMBERS)
    add('end', NUMBERS)
    add('since', DURATIONS)
    add('limit', NUMBERS)
    switch (random.below(7)) {
      case 0:
        params.set('q', maybe(random.pick(QUERIES)))
        add('spss', NUMBERS)
        return `/api/search?${String(params)}`
      case 1:
        params.set('tags', maybe(`service.name=${random.pick(NASTY_TEXTS)} ${random.pick(TAGS)}="x y"`))
        add('minDuration', DURATIONS)
        add('maxDuration', DURATIONS)
        return `/api/search?${String(params)}`
      case 2:
        params.set('q', maybe(random.pick(METRICS)))
        add('step', [...DURATIONS, ...NUMBERS])
        add('exemplars', NUMBERS)
        add('maxSeries', NUMBERS)
        return `/api/metrics/${random.oneIn(3) ? 'query' : 'query_range'}?${String(params)}`
      case 3:
        add('q', QUERIES)
        add('scope', ['span', 'resource', 'none', 'intrinsic', ...NASTY_TEXTS])
        return `/api/${random.oneIn(2) ? 'v2/' : ''}search/tags?${String(params)}`
      case 4: {
        add('q', QUERIES)
        const tag = random.oneIn(3) ? random.pick(NASTY_TEXTS) : random.pick(TAGS)
        return `/api/${random.oneIn(2) ? 'v2/' : ''}search/tag/${encode(tag)}/values?${String(params)}`
      }
      case 5: {
        const id = random.oneIn(3) ? random.pick(this.#traceIds) : mutateText(random, random.pick(this.#traceIds))
        return `/api/${random.oneIn(2) ? 'v2/' : ''}traces/${encode(id)}?${String(params)}`
      }
      default:
        return `/${mutateText(random, random.pick(['api/search', 'status/config', 'api/actors', 'api/echo', 'api/actors/querier-0/crash'])).replace(/[^\x21-\x7e]/g, '%00')}`
    }
  }

  /** Bytes that are nearly HTTP, or nearly HTTP/2, to any port. */
  #raw() {
    const random = this.#random
    const port = random.pick([this.#ports.grpc, this.#ports.http, this.#ports.api])
    const bytes = mutateBytes(random, Buffer.from(random.pick(RAW), 'latin1'))
    const ask = { parts: [bytes], timeout_ms: 50, ends: random.oneIn(2) }
    return { what: `to ${port}: ${Buffer.from(bytes).toString('base64').slice(0, 800)}`, send: () => askRaw(port, ask) }
  }

  #agent(lane: number): Agent {
    return this.#agents[lane % this.#agents.length]!
  }
} // prettier-ignore

const RAW = [
  'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
  'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nabc\r\n0\r\n\r\n',
  'GET /api/search?q=%7B%7D HTTP/1.1\r\nHost: a\r\n\r\nGET /api/echo HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://other.example/api/echo HTTP/1.1\r\nHost: [::1\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x04\x01\0\0\0\0',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\x05\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01',
  'GET /api/echo HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
  '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
]

function faultOf(kind: Kind, answer: Answer): string | undefined {
  const { status, text } = answer
  if (STACK.test(text)) return `a stack trace: ${text.slice(0, 500)}`
  if (kind === 'raw') return undefined
  if (kind === 'grpc') {
    // -1: the stream or the connection was reset, which is what broken frames get.
    if (status === -1 || GRPC_CODES.has(status)) return undefined
    return status === 13 && GRPC_FRAME_WORDS.test(text) ? undefined : `gRPC code ${status}: ${text.slice(0, 300)}`
  }
  if (status === 0 || HTTP_STATUSES.has(status)) return undefined
  return `HTTP ${status}: ${text.slice(0, 300)}`
} // prettier-ignore

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** A header's value may not hold control characters or what is not latin1: our own client would refuse to send it. */
function header(text: string): string {
  return text.replace(/[^\x20-\x7e\x80-\xff]/g, '?')
}

function encode(text: string): string {
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '?')).replaceAll('%25', '%')
}

function withHexIds(json: string): unknown {
  return JSON.parse(json, (key, value: unknown) =>
    /^(trace|span|parentSpan)Id$/.test(key)
      ? Buffer.from(value as string, 'base64').toString('hex')
      : value,
  ) as unknown
}
