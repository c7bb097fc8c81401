/** Clients that take their time, break off, or bend HTTP until it hurts; all at once, and the good ones are served meanwhile. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { TestServer } from '../support/server.js'
import { EXPORT, GrpcConnection, askRaw, sleep } from './support/doors.js'
import { Watch } from './support/watch.js'

const POST = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** Ten seconds for headers or a preface, a second until it is looked for, and a busy machine. */
const HEADERS_MS = 20_000
const BODY_MS = 80_000
const EACH = 20

let server: TestServer
let watch: Watch
beforeAll(async () => {
  server = await TestServer.start({ flags: ['--server.log_level=warn'] })
  watch = new Watch(server)
})
afterAll(async () => {
  await watch.end()
  console.log(watch.table('slow, broken and bent'))
  await server.remove()
})

function* letters(text: string): Iterable<string> {
  yield* text.split('')
}

async function drips(what: string, port: number, text: string, timeout_ms: number) {
  const all = await Promise.all(
    Array.from({ length: EACH }, () =>
      askRaw(port, { parts: letters(text), pause_ms: 1000, timeout_ms }),
    ),
  )
  watch.note('TCP', `${EACH} times ${what}`, all[0]!)
  for (const { closed, took_ms } of all) {
    expect(closed, what).toBe(true)
    expect(took_ms, what).toBeLessThan(timeout_ms)
  }
}

async function stalls(what: string, port: number, text: string, timeout_ms: number) {
  const all = await Promise.all(
    Array.from({ length: EACH }, () => askRaw(port, { parts: [text], timeout_ms })),
  )
  watch.note('TCP', `${EACH} times ${what}`, all[0]!)
  for (const { closed } of all) expect(closed, what).toBe(true)
}

describe('clients that take their time', () => {
  it('are cut off, on every port, and good ones are served meanwhile', async () => {
    const { grpc, http, api } = server.ports
    const slow = Promise.all([
      drips('headers, a byte a second, to OTLP', http, POST, HEADERS_MS),
      drips('headers, a byte a second, to the API', api, 'GET /api/search HTTP/1.1\r\nHost: a', HEADERS_MS),
      drips('a preface, a byte a second', grpc, PREFACE, HEADERS_MS),
      stalls('silence to OTLP', http, '', HEADERS_MS),
      stalls('silence to the API', api, '', HEADERS_MS),
      stalls('silence to gRPC', grpc, '', HEADERS_MS),
      stalls('a body that stalls', http, `${POST}Content-Length: 1000\r\n\r\nabc`, BODY_MS),
      stalls('a chunk that stalls', http, `${POST}Transfer-Encoding: chunked\r\n\r\nff\r\nabc`, BODY_MS),
      stalledCalls(),
    ])
    for (let round = 0; round < 3; round++) {
      await sleep(1000)
      await watch.isWell()
    }
    await slow
    await watch.isWell()
  }) // prettier-ignore

  async function stalledCalls(): Promise<void> {
    const connection = new GrpcConnection(server.ports.grpc)
    const forever = async function* () {
      yield Buffer.from([0, 0, 0, 1, 0, 1, 2, 3])
      await sleep(BODY_MS)
    }
    const stall = () => connection.ask(forever() as unknown as Iterable<Uint8Array>, {}, BODY_MS)
    const answers = await Promise.all(Array.from({ length: EACH }, stall))
    watch.note('gRPC', `${EACH} times a message that stalls`, answers[0]!)
    for (const { status, text } of answers) {
      expect(status, text).toBe(14)
      expect(text).toContain('did not arrive within')
    }
    connection.close()
  }

  it('by the thousand leave room again once they have had their time', async () => {
    const sockets = Array.from({ length: 1200 }, () => connect(server.ports.grpc, '127.0.0.1'))
    for (const socket of sockets) socket.on('error', () => {})
    await sleep(13_000)
    await watch.isWell()
    for (const socket of sockets) socket.destroy()
  })
})

describe('HTTP/1 that is bent', () => {
  it.each([
    ['both lengths', `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['two lengths', `${POST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`, 400],
    ['a negative length', `${POST}Content-Length: -1\r\n\r\n`, 400],
    ['a length of 30 digits', `${POST}Content-Length: ${'9'.repeat(30)}\r\n\r\n`, 400],
    ['chunked, not last', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
    ['a chunk of 2^64 bytes', `${POST}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nabc`, 400],
    ['a blank before the colon', `POST /v1/traces HTTP/1.1\r\nHost : a\r\nContent-Length: 0\r\n\r\n`, 400],
    ['a folded header', `${POST}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n`, 0],
    ['a bare CR', `${POST}X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n`, 400],
    ['NUL in a header', `${POST}X-A: \0\r\nContent-Length: 0\r\n\r\n`, 400],
    ['no host', 'POST /v1/traces HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 400],
    ['HTTP/9.9', 'GET / HTTP/9.9\r\nHost: a\r\n\r\n', 400],
    ['an unknown method', 'EVIL / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ])('%s, to OTLP and the API', async (what, text, status) => {
    for (const port of [server.ports.http, server.ports.api]) {
      const answer = await askRaw(port, { parts: [text], timeout_ms: 10_000 })
      watch.note('TCP', what, answer)
      if (status > 0) expect(answer.status, what).toBe(status)
      expect(answer.text.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0, 'answers to one request').toBeLessThan(2)
    }
  }) // prettier-ignore

  it('5,000 requests in one write, half of whose answers are never read', async () => {
    const { http, api } = server.ports
    const many = (line: string) => Buffer.from(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(5000))
    const sockets: Socket[] = []
    for (const [port, line] of [[http, 'GET /'], [api, 'GET /api/echo'], [api, 'GET /api/search?q=%7B%7D']] as const) {
      const answer = await askRaw(port, { parts: [many(line)], timeout_ms: 3000 })
      watch.note('TCP', `5,000 times ${line} in one write`, { ...answer, text: '' })
      const deaf = connect(port, '127.0.0.1')
      deaf.on('error', () => {}).pause()
      deaf.write(many(line))
      sockets.push(deaf)
    }
    await sleep(2000)
    await watch.isWell()
    for (const socket of sockets) socket.destroy()
  }) // prettier-ignore

  it('clients that send half a request and close their side', async () => {
    for (const port of [server.ports.http, server.ports.api]) {
      const half = {
        parts: [`${POST}Content-Length: 100\r\n\r\nabc`],
        ends: true,
        timeout_ms: 5000,
      }
      const answer = await askRaw(port, half)
      watch.note('TCP', 'half a request, then the end', answer)
      expect(answer.closed).toBe(true)
    }
  })
})

describe('HTTP/2 that is bent', () => {
  const headers = { ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc', te: 'trailers' }

  it('20,000 streams opened and reset at once, over four connections', async () => {
    const sessions = Array.from({ length: 4 }, () => connectHttp2(`http://127.0.0.1:${server.ports.grpc}`))
    for (const session of sessions) session.on('error', () => {})
    for (let round = 0; round < 50; round++) {
      for (const session of sessions) {
        for (let i = 0; i < 100 && !session.destroyed && !session.closed; i++) {
          const stream = session.request(headers)
          stream.on('error', () => {})
          stream.close(constants.NGHTTP2_CANCEL)
        }
      }
      await sleep(5)
    }
    await watch.isWell()
    for (const session of sessions) session.destroy()
  })

  it('floods of SETTINGS, PING and empty frames, in raw frames', async () => {
    const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
      const head = Buffer.alloc(9)
      head.writeUIntBE(payload.length, 0, 3)
      head.writeUInt8(type, 3)
      head.writeUInt8(flags, 4)
      head.writeUInt32BE(stream, 5)
      return Buffer.concat([head, payload])
    }
    const settings = frame(4, 0, 0, Buffer.alloc(0))
    const opening = Buffer.concat([Buffer.from(PREFACE), settings])
    const floods: [string, Buffer][] = [
      ['SETTINGS', settings],
      ['PING', frame(6, 0, 0, Buffer.alloc(8))],
      ['PRIORITY', frame(2, 0, 1, Buffer.from([0, 0, 0, 0, 5]))],
      ['WINDOW_UPDATE', frame(8, 0, 0, Buffer.from([0, 0, 0, 1]))],
      ['unknown frames', frame(0x77, 0, 0, Buffer.alloc(100))],
      ['CONTINUATION', frame(9, 0, 1, Buffer.alloc(50))],
      ['headers that never end', frame(1, 0, 1, Buffer.from([0x82, 0x87]))],
    ]
    for (const [what, flood] of floods) {
      const parts = [opening, ...Array<Buffer>(200).fill(Buffer.concat(Array<Buffer>(250).fill(flood)))]
      const answer = await askRaw(server.ports.grpc, { parts, timeout_ms: 1000 })
      watch.note('gRPC', `50,000 ${what}`, { ...answer, text: answer.closed ? 'closed' : 'kept' })
    }
    await watch.isWell()
  })
}) // prettier-ignore
