/** Tests the OTLP/gRPC door with real clients on 127.0.0.1. */
import { Client, Metadata, credentials, status, type ServiceError } from '@grpc/grpc-js'
import { connect as connectHttp2 } from 'node:http2'
import { connect, createServer, type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import {
  EXPORT_PATH,
  GrpcDoor,
  HEALTH_PATH,
  type GrpcDoorOptions,
} from '../../../src/actors/receiver/grpc.js'
import { tenantResolver } from '../../../src/lib/tenant.js'
import { Random, fields } from '../../otlp/support.js'
import { FakeIngest, TAKEN, until } from './fake-ingest.js'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function open(options: Partial<GrpcDoorOptions> = {}) {
  const ingest = new FakeIngest()
  const door = new GrpcDoor({
    endpoint: '127.0.0.1:0',
    ingest,
    tenantOf: tenantResolver(false),
    ...options,
  })
  const port = await door.listen()
  closers.push(() => door.drain(100))
  return { ingest, door, port }
}

function dial(port: number, options: object = {}) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  })
  closers.push(() => client.close())
  return client
}

const raw = (b: Buffer) => b

function call(
  client: Client,
  body: Uint8Array,
  headers: Record<string, string> = {},
  path = EXPORT_PATH,
): Promise<Buffer> {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, raw, raw, Buffer.from(body), metadata, (error, reply) => {
      if (error) reject(error)
      else resolve(reply!)
    })
  })
}

async function refusal(promise: Promise<Buffer>): Promise<ServiceError> {
  return promise.then(
    () => expect.unreachable('the call was taken'),
    (error: unknown) => error as ServiceError,
  )
}

/** The seconds of the RetryInfo in an error's google.rpc.Status; undefined without one. */
function retryInfo(error: ServiceError): number | undefined {
  const [details] = error.metadata.get('grpc-status-details-bin')
  const detail = fields(details as Buffer).find((f) => f.number === 3)
  if (!detail) return undefined
  const any = fields(detail.bytes)
  expect(new TextDecoder().decode(any[0]!.bytes)).toBe('type.googleapis.com/google.rpc.RetryInfo')
  const duration = fields(fields(any[1]!.bytes)[0]!.bytes)
  const part = (number: number) => Number(duration.find((f) => f.number === number)?.value ?? 0n)
  return part(1) + part(2) / 1e9
}

describe('Export', () => {
  it('passes the message as it came, under the single tenant', async () => {
    const { ingest, port } = await open()
    const body = new Random(1).bytes(82_000)
    const reply = await call(dial(port), body, { 'x-scope-orgid': 'ignored' })
    expect(reply.length).toBe(0)
    expect(ingest.requests).toEqual([{ tenant: 'single-tenant', body: Buffer.from(body) }])
  })

  it('takes empty messages, gzip, and 16 MiB to the byte', async () => {
    const { ingest, port } = await open()
    await call(dial(port), new Uint8Array(0))
    await call(dial(port, { 'grpc.default_compression_algorithm': 2 }), new Uint8Array(100_000))
    await call(dial(port), new Uint8Array(16 << 20))
    expect(ingest.requests.map((r) => r.body.length)).toEqual([0, 100_000, 16 << 20])
  })

  it('refuses a message over the limit for good, sent plain or compressed, and lives on', async () => {
    const { ingest, port } = await open({ max_message_bytes: 1_000_000 })
    const client = dial(port)
    const plain = await refusal(call(client, new Uint8Array(1_000_001)))
    expect(plain.code).toBe(status.RESOURCE_EXHAUSTED)
    expect(plain.details).toMatch(/larger than max/)
    expect(plain.metadata.get('grpc-status-details-bin')).toEqual([])
    const bomb = await refusal(
      call(dial(port, { 'grpc.default_compression_algorithm': 2 }), new Uint8Array(50_000_000)),
    )
    expect(bomb.code).toBe(status.RESOURCE_EXHAUSTED)
    await call(client, new Uint8Array(1_000_000))
    expect(ingest.requests.length).toBe(1)
  })

  it('reports rejected spans as partial_success', async () => {
    const { ingest, port } = await open()
    ingest.answer = () => ({ ok: true, rejectedSpans: 300, message: 'trace too large' })
    const [partial] = fields(await call(dial(port), new Uint8Array(3)))
    const [rejected, message] = fields(partial!.bytes)
    expect([partial!.number, rejected!.number, rejected!.value]).toEqual([1, 1, 300n])
    expect([message!.number, new TextDecoder().decode(message!.bytes)]).toEqual([
      2,
      'trace too large',
    ])
  })

  it.each([
    ['rate_limited', status.RESOURCE_EXHAUSTED, 1.5, 1500],
    ['rate_limited', status.RESOURCE_EXHAUSTED, 5, undefined],
    ['unavailable', status.UNAVAILABLE, 5, undefined],
    ['invalid', status.INVALID_ARGUMENT, undefined, undefined],
    ['too_large', status.RESOURCE_EXHAUSTED, undefined, undefined],
    ['internal', status.INTERNAL, undefined, undefined],
  ] as const)(
    'answers %s with code %i, retry in %s s',
    async (refused, code, retry_s, retryAfter_ms) => {
      const { ingest, port } = await open()
      ingest.answer = () => ({ ok: false, refused, message: 'wörds\nand more', retryAfter_ms })
      const error = await refusal(call(dial(port), new Uint8Array(3)))
      expect(error.code).toBe(code)
      expect(error.details).toBe('wörds\nand more')
      expect(retryInfo(error)).toBe(retry_s)
    },
  )

  it('answers internal without words from inside when the store throws', async () => {
    const { ingest, port, door } = await open()
    ingest.answer = () => Promise.reject(new Error('secret path'))
    const error = await refusal(call(dial(port), new Uint8Array(3)))
    expect(error.code).toBe(status.INTERNAL)
    expect(error.details).not.toContain('secret')
    expect(door.load.requests).toBe(0)
  })

  it('takes the tenant from x-scope-orgid when multitenancy is enabled', async () => {
    const { ingest, port } = await open({ tenantOf: tenantResolver(true) })
    const client = dial(port)
    await call(client, new Uint8Array(1), { 'x-scope-orgid': 'team-a' })
    expect(ingest.requests[0]!.tenant).toBe('team-a')
    expect((await refusal(call(client, new Uint8Array(1)))).code).toBe(status.UNAUTHENTICATED)
    const bad = await refusal(call(client, new Uint8Array(1), { 'x-scope-orgid': 'a/../b' }))
    expect([bad.code, bad.details]).toEqual([
      status.INVALID_ARGUMENT,
      expect.stringContaining("'a/../b'"),
    ])
  })

  it('answers an unknown method with UNIMPLEMENTED', async () => {
    const { port } = await open()
    expect((await refusal(call(dial(port), new Uint8Array(1), {}, '/x.Y/Z'))).code).toBe(
      status.UNIMPLEMENTED,
    )
  })
})

describe('bounds', () => {
  it('serves more calls than streams on one connection, the rest waiting in the client', async () => {
    const { ingest, door, port } = await open({ max_streams: 8 })
    ingest.hold()
    const client = dial(port)
    let answered = 0
    const calls = Array.from({ length: 100 }, () =>
      call(client, new Uint8Array(500)).then(() => answered++),
    )
    await until(() => ingest.requests.length === 8)
    await new Promise((resolve) => setTimeout(resolve, 50))
    // Five bytes before each message say how long it is.
    expect(door.load).toEqual({ connections: 1, requests: 8, bytes: 8 * 505 })
    ingest.answer = () => TAKEN
    ingest.release()
    await Promise.all(calls)
    expect(answered).toBe(100)
    await until(() => door.load.bytes === 0)
    expect(door.load).toEqual({ connections: 1, requests: 0, bytes: 0 })
  })

  it('refuses calls, retryably and unread, while too much is in flight', async () => {
    const { ingest, door, port } = await open({ max_inflight_bytes: 2000 })
    ingest.hold()
    const client = dial(port)
    const first = call(client, new Uint8Array(995))
    await until(() => ingest.requests.length === 1)
    const error = await refusal(call(client, new Uint8Array(1_000_000)))
    expect([error.code, retryInfo(error)]).toEqual([status.UNAVAILABLE, 5])
    expect(error.details).toContain('1 requests (of 4096) with 1000 bytes (of 2000)')
    await call(client, new Uint8Array(0), {}, HEALTH_PATH)
    ingest.release()
    await first
    await until(() => door.load.bytes === 0)
    ingest.answer = () => TAKEN
    await call(client, new Uint8Array(10))
  })

  it('closes connections over the bound and keeps the others', async () => {
    const { door, port } = await open({ max_connections: 2 })
    const sockets = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'))
    closers.push(() => sockets.forEach((socket) => socket.destroy()))
    let dropped = 0
    for (const socket of sockets) socket.on('close', () => dropped++).on('error', () => {})
    await until(() => dropped === 2)
    expect(door.load.connections).toBe(2)
  })

  it('survives bytes that are no HTTP/2', async () => {
    const { door, port, ingest } = await open()
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
    socket.resume()
    await new Promise((resolve) => socket.on('error', () => {}).on('close', resolve))
    await call(dial(port), new Uint8Array(1))
    expect(ingest.requests.length).toBe(1)
    expect(door.load.connections).toBe(1)
  })
})

it('opens the flow-control windows, so that a far client is not held to 64 KiB a round trip', async () => {
  const { port } = await open()
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  closers.push(() => session.destroy())
  const stream = session.request({
    ':method': 'POST',
    ':path': HEALTH_PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  stream.end(Buffer.alloc(5)).resume()
  await until(
    () =>
      (session.remoteSettings as { initialWindowSize?: number }).initialWindowSize === 1024 * 1024,
  )
  expect(session.state.remoteWindowSize).toBeGreaterThan(4_000_000)
})

describe('health', () => {
  it('is serving for the whole and for the trace service, and knows no other', async () => {
    const { port } = await open()
    const client = dial(port)
    const ask = (service: string) =>
      call(
        client,
        service
          ? Buffer.concat([Buffer.from([10, service.length]), Buffer.from(service)])
          : Buffer.alloc(0),
        {},
        HEALTH_PATH,
      )
    expect([...(await ask(''))]).toEqual([8, 1])
    expect([...(await ask('opentelemetry.proto.collector.trace.v1.TraceService'))]).toEqual([8, 1])
    expect((await refusal(ask('other'))).code).toBe(status.NOT_FOUND)
  })
})

describe('drain', () => {
  it('answers what is in flight, then closes', async () => {
    const { ingest, door, port } = await open()
    ingest.hold()
    const client = dial(port)
    const pending = call(client, new Uint8Array(10))
    await until(() => ingest.requests.length === 1)
    const drained = door.drain(5000)
    await new Promise((resolve) => setTimeout(resolve, 30))
    ingest.release()
    await pending
    await drained
    expect(door.load.connections).toBe(0)
    expect((await refusal(call(dial(port), new Uint8Array(1)))).code).toBe(status.UNAVAILABLE)
  })

  it('closes idle connections at once', async () => {
    const { door, port } = await open()
    await call(dial(port), new Uint8Array(1))
    const socket = connect(port, '127.0.0.1')
    await until(() => door.load.connections === 2)
    socket.on('error', () => {})
    const started = performance.now()
    await door.drain(5000)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  it('does not wait past its deadline', async () => {
    const { ingest, door, port } = await open()
    ingest.hold()
    const pending = refusal(call(dial(port), new Uint8Array(10)))
    await until(() => ingest.requests.length === 1)
    await door.drain(50)
    expect(door.load.connections).toBe(0)
    expect([status.UNAVAILABLE, status.CANCELLED]).toContain((await pending).code)
  })
})

describe('listen', () => {
  it('says which port and which key when the port is taken', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    closers.push(() => other.close())
    const { port } = other.address() as AddressInfo
    const door = new GrpcDoor({
      endpoint: `127.0.0.1:${port}`,
      ingest: new FakeIngest(),
      tenantOf: tenantResolver(false),
    })
    await expect(door.listen()).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      message: expect.stringMatching(
        new RegExp(`127.0.0.1:${port} .*grpc.endpoint.*port ${port} is taken`),
      ) as string,
    })
  })

  it('refuses an endpoint without a port', async () => {
    const door = new GrpcDoor({
      endpoint: '127.0.0.1',
      ingest: new FakeIngest(),
      tenantOf: tenantResolver(false),
    })
    await expect(door.listen()).rejects.toMatchObject({ code: 'BAD_ENDPOINT' })
  })
})
