/** Tests the OTLP/HTTP door with real clients on 127.0.0.1. */
import { Agent, request, type IncomingHttpHeaders } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { deflateSync, gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpDoor, type HttpDoorOptions } from '../../../src/actors/receiver/http.js'
import { tenantResolver } from '../../../src/lib/tenant.js'
import { Random, decodeRequest, fields } from '../../otlp/support.js'
import { FakeIngest, TAKEN, until } from './fake-ingest.js'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(options: Partial<HttpDoorOptions> = {}) {
  const ingest = new FakeIngest()
  const door = new HttpDoor({
    endpoint: '127.0.0.1:0',
    ingest,
    tenantOf: tenantResolver(false),
    ...options,
  })
  const port = await door.listen()
  closers.push(() => door.drain(100))
  return { ingest, door, port }
}

interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  continued: boolean
}

interface Ask {
  method?: string
  path?: string
  type?: string
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** Chunked, one write per piece. */
  pieces?: Uint8Array[]
  agent?: Agent
}

const PROTOBUF = 'application/x-protobuf'
const JSON_TYPE = 'application/json'

function post(port: number, ask: Ask): Promise<Reply> {
  const {
    method = 'POST',
    path = '/v1/traces',
    type = PROTOBUF,
    headers = {},
    body,
    pieces,
    agent,
  } = ask
  return new Promise((resolve, reject) => {
    let continued = false
    const req = request({
      port,
      host: '127.0.0.1',
      method,
      path,
      headers: { 'content-type': type, ...headers },
      ...(agent ? { agent } : {}),
    })
    req.on('response', (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () =>
        resolve({
          status: res.statusCode!,
          headers: res.headers,
          body: Buffer.concat(chunks),
          continued,
        }),
      )
    })
    req.on('error', reject)
    const send = () => {
      for (const piece of pieces ?? []) req.write(piece)
      req.end(body)
    }
    if (headers['expect']) {
      req.on('continue', () => {
        continued = true
        send()
      })
      req.flushHeaders()
    } else send()
  })
}

const text = (reply: Reply) => reply.body.toString()
const rpcStatus = (reply: Reply) => {
  const [code, message] = fields(reply.body)
  return { code: Number(code!.value), message: new TextDecoder().decode(message!.bytes) }
}

describe('POST /v1/traces', () => {
  it('takes protobuf as it is: plain, chunked, gzip, deflate', async () => {
    const { ingest, port } = await open()
    const body = new Random(2).bytes(50_000)
    const replies = [
      await post(port, { body }),
      await post(port, { pieces: [body.slice(0, 10_000), body.slice(10_000)] }),
      await post(port, { body: gzipSync(body), headers: { 'content-encoding': 'gzip' } }),
      await post(port, { body: deflateSync(body), headers: { 'content-encoding': 'deflate' } }),
    ]
    for (const reply of replies) {
      expect([reply.status, reply.headers['content-type'], reply.body.length]).toEqual([
        200,
        PROTOBUF,
        0,
      ])
    }
    expect(ingest.requests).toEqual(
      Array(4).fill({ tenant: 'single-tenant', body: Buffer.from(body) }),
    )
  })

  it('takes JSON, turned into protobuf', async () => {
    const { ingest, port } = await open()
    const traceId = '5b8efff798038103d269b633813fc60c'
    const json = {
      resourceSpans: [
        { scopeSpans: [{ spans: [{ traceId, spanId: 'eee19b7ec3c1b174', name: 'a' }] }] },
      ],
    }
    const reply = await post(port, {
      type: 'application/json; charset=utf-8',
      body: JSON.stringify(json),
    })
    expect([reply.status, reply.headers['content-type'], text(reply)]).toEqual([
      200,
      JSON_TYPE,
      '{}',
    ])
    const [rs] = decodeRequest(ingest.requests[0]!.body)
    expect(Buffer.from(rs!.scopes[0]!.spans[0]!.traceId).toString('hex')).toBe(traceId)
  })

  it('keeps the connection for the next request', async () => {
    const { door, port } = await open()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    closers.push(() => agent.destroy())
    for (let i = 0; i < 5; i++) expect((await post(port, { body: 'x', agent })).status).toBe(200)
    expect(door.load.connections).toBe(1)
  })

  it('answers Expect: 100-continue, and refuses a long body before it is sent', async () => {
    const { ingest, port } = await open({ max_message_bytes: 1000 })
    const headers = { expect: '100-continue', 'content-length': '500' }
    expect(await post(port, { headers, body: Buffer.alloc(500) })).toMatchObject({
      status: 200,
      continued: true,
    })
    const long = { expect: '100-continue', 'content-length': '5000' }
    expect(await post(port, { headers: long, body: Buffer.alloc(5000) })).toMatchObject({
      status: 413,
      continued: false,
    })
    expect(ingest.requests.length).toBe(1)
  })

  it('reports rejected spans as partial success in both encodings', async () => {
    const { ingest, port } = await open()
    ingest.answer = () => ({ ok: true, rejectedSpans: 3, message: 'too big' })
    const partial = fields(fields((await post(port, { body: 'x' })).body)[0]!.bytes)
    expect([partial[0]!.value, new TextDecoder().decode(partial[1]!.bytes)]).toEqual([
      3n,
      'too big',
    ])
    const json = await post(port, { type: JSON_TYPE, body: '{}' })
    expect(JSON.parse(text(json))).toEqual({
      partialSuccess: { rejectedSpans: '3', errorMessage: 'too big' },
    })
  })
})

describe('refusals', () => {
  it.each([
    ['rate_limited', 429, 8, '2'],
    ['unavailable', 503, 14, '2'],
    ['invalid', 400, 3, undefined],
    ['too_large', 413, 8, undefined],
    ['internal', 500, 13, undefined],
  ] as const)(
    'answers %s with %i and a google.rpc.Status of code %i',
    async (refused, http, code, retryAfter) => {
      const { ingest, port } = await open()
      ingest.answer = () => ({ ok: false, refused, message: 'why', retryAfter_ms: 1200 })
      const reply = await post(port, { body: 'x' })
      expect([reply.status, reply.headers['retry-after'], reply.headers['content-type']]).toEqual([
        http,
        retryAfter,
        PROTOBUF,
      ])
      expect(rpcStatus(reply)).toEqual({ code, message: 'why' })
      const json = await post(port, { type: JSON_TYPE, body: '{}' })
      expect([json.status, json.headers['content-type']]).toEqual([http, JSON_TYPE])
      expect(JSON.parse(text(json))).toMatchObject({ code, message: 'why' })
    },
  )

  it('answers a wrong path, method, type and compression', async () => {
    const { ingest, port } = await open()
    expect((await post(port, { path: '/v1/metrics', body: 'x' })).status).toBe(404)
    const get = await post(port, { method: 'GET' })
    expect([get.status, get.headers['allow']]).toEqual([405, 'POST'])
    expect((await post(port, { type: 'text/plain', body: 'x' })).status).toBe(415)
    expect((await post(port, { headers: { 'content-encoding': 'zstd' }, body: 'x' })).status).toBe(
      415,
    )
    expect((await post(port, { path: '/v1/traces?x=1', body: 'x' })).status).toBe(200)
    expect(ingest.requests.length).toBe(1)
  })

  it('says where JSON is wrong', async () => {
    const { port } = await open()
    const bad = { resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'zz' }] }] }] }
    const reply = await post(port, { type: JSON_TYPE, body: JSON.stringify(bad) })
    expect(reply.status).toBe(400)
    expect(text(reply)).toContain('resourceSpans[0].scopeSpans[0].spans[0].traceId')
    expect((await post(port, { type: JSON_TYPE, body: '{' })).status).toBe(400)
  })

  it('refuses bodies over the limit: announced, chunked, or compressed', async () => {
    const { ingest, port, door } = await open({ max_message_bytes: 100_000 })
    const long = new Random(4).bytes(100_001)
    expect((await post(port, { body: long })).status).toBe(413)
    expect((await post(port, { pieces: [long] })).status).toBe(413)
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    expect(bomb.length).toBeLessThan(100_000)
    const reply = await post(port, { body: bomb, headers: { 'content-encoding': 'gzip' } })
    expect(reply.status).toBe(413)
    expect(rpcStatus(reply).message).toContain('100000')
    expect((await post(port, { body: long.slice(1) })).status).toBe(200)
    expect(ingest.requests.length).toBe(1)
    expect(door.load).toMatchObject({ requests: 0, bytes: 0 })
  })

  it('answers broken gzip with 400', async () => {
    const { port } = await open()
    const headers = { 'content-encoding': 'gzip' }
    expect((await post(port, { body: 'nonsense', headers })).status).toBe(400)
    const cut = gzipSync(new Random(1).bytes(1000)).subarray(0, 500)
    expect((await post(port, { body: cut, headers })).status).toBe(400)
  })

  it('answers 500 without words from inside when the store throws', async () => {
    const { ingest, port, door } = await open()
    ingest.answer = () => Promise.reject(new Error('secret path'))
    const reply = await post(port, { body: 'x' })
    expect(reply.status).toBe(500)
    expect(text(reply)).not.toContain('secret')
    expect(door.load.requests).toBe(0)
  })

  it('knows tenants when multitenancy is enabled', async () => {
    const { ingest, port } = await open({ tenantOf: tenantResolver(true) })
    expect((await post(port, { body: 'x' })).status).toBe(401)
    expect((await post(port, { body: 'x', headers: { 'X-Scope-OrgID': 'a|b' } })).status).toBe(400)
    expect((await post(port, { body: 'x', headers: { 'X-Scope-OrgID': 'a' } })).status).toBe(200)
    expect(ingest.requests[0]!.tenant).toBe('a')
  })
})

describe('bounds', () => {
  it('refuses, retryably, while too much is in flight', async () => {
    const { ingest, port } = await open({ max_inflight_bytes: 1000 })
    ingest.hold()
    const first = post(port, { body: Buffer.alloc(1000) })
    await until(() => ingest.requests.length === 1)
    const reply = await post(port, { body: Buffer.alloc(5_000_000) })
    expect([reply.status, reply.headers['retry-after']]).toEqual([503, '5'])
    ingest.release()
    expect((await first).status).toBe(200)
    ingest.answer = () => TAKEN
    expect((await post(port, { body: 'x' })).status).toBe(200)
  })

  it('frees what it held for a client that left in mid-body', async () => {
    const { ingest, door, port } = await open()
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        `POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: 1000\r\n\r\nhalf`,
      )
    })
    await until(() => door.load.bytes === 4)
    socket.destroy()
    await until(() => door.load.requests === 0)
    expect(door.load.bytes).toBe(0)
    expect(ingest.requests.length).toBe(0)
  })

  it('closes a connection that sends its header or its body too slowly', async () => {
    const { port } = await open({ headers_timeout_ms: 300, request_timeout_ms: 600 })
    const started = performance.now()
    const head = `POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: ${PROTOBUF}\r\nContent-Length: 1000\r\n`
    const answers = await Promise.all(
      [head, `${head}\r\nhalf`].map(
        (bytes) =>
          new Promise<string>((resolve) => {
            let seen = ''
            const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
            socket.on('data', (chunk) => (seen += chunk.toString())).on('error', () => {})
            socket.on('close', () => resolve(seen))
          }),
      ),
    )
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1.1 408/)
    expect(performance.now() - started).toBeLessThan(5000)
  })

  it('closes connections over the bound', async () => {
    const { door, port } = await open({ max_connections: 2 })
    const sockets = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'))
    closers.push(() => sockets.forEach((socket) => socket.destroy()))
    let dropped = 0
    for (const socket of sockets) socket.on('close', () => dropped++).on('error', () => {})
    await until(() => dropped === 2)
    expect(door.load.connections).toBe(2)
  })
})

describe('drain', () => {
  it('answers what is in flight and closes the rest', async () => {
    const { ingest, door, port } = await open()
    const agent = new Agent({ keepAlive: true })
    closers.push(() => agent.destroy())
    await post(port, { body: 'x', agent })
    const idle = connect(port, '127.0.0.1').on('error', () => {})
    await until(() => door.load.connections === 2)
    ingest.hold()
    const pending = post(port, { body: 'x' })
    await until(() => ingest.requests.length === 2)
    const started = performance.now()
    const drained = door.drain(5000)
    ingest.release()
    expect((await pending).status).toBe(200)
    await drained
    expect(performance.now() - started).toBeLessThan(1000)
    expect(door.load.connections).toBe(0)
    idle.destroy()
    await expect(post(port, { body: 'x' })).rejects.toThrow('ECONNREFUSED')
  })

  it('does not wait past its deadline', async () => {
    const { ingest, door, port } = await open()
    ingest.hold()
    const pending = post(port, { body: 'x' })
    const failed = expect(pending).rejects.toThrow()
    await until(() => ingest.requests.length === 1)
    await door.drain(50)
    await failed
    expect(door.load.connections).toBe(0)
  })
})

it('says which port and which key when the port is taken', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  closers.push(() => other.close())
  const { port } = other.address() as AddressInfo
  const door = new HttpDoor({
    endpoint: `127.0.0.1:${port}`,
    ingest: new FakeIngest(),
    tenantOf: tenantResolver(false),
  })
  await expect(door.listen()).rejects.toMatchObject({ code: 'PORT_TAKEN' })
})
