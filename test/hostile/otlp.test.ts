/** What no client sends to the OTLP doors, each with the answer it gets; the server is as well afterwards as before. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nestedAttribute } from '../support/mutations.js'
import { Proto, keyValue, request, span, stringValue } from '../support/otlp-gen.js'
import { Random } from '../support/random.js'
import { TestServer } from '../support/server.js'
import { GrpcConnection, askHttp, askRaw, framed, type Answer } from './support/doors.js'
import { HOSTILE, LOOP_MS } from './support/size.js'
import { Watch } from './support/watch.js'

const PROTOBUF = { 'content-type': 'application/x-protobuf' }
const JSON_TYPE = { 'content-type': 'application/json' }
const MIB = 1024 * 1024

const random = new Random(31)
let server: TestServer
let watch: Watch
beforeAll(async () => {
  server = await TestServer.start({ flags: ['--server.log_level=warn'] })
  watch = new Watch(server)
})
afterAll(async () => {
  await watch.end()
  console.log(watch.table('OTLP'))
  console.log(`slowest answer to what costs nothing: ${Math.round(watch.slowest_ms)} ms`)
  await server.remove()
})

function post(body: Uint8Array | string | Iterable<Uint8Array>, headers: Record<string, string>) {
  return askHttp(server.ports.http, { method: 'POST', path: '/v1/traces', headers, body })
}

async function call(data: Uint8Array | Iterable<Uint8Array>, headers: Record<string, string> = {}) {
  const connection = new GrpcConnection(server.ports.grpc)
  const answer = await connection.ask(data, headers)
  connection.close()
  return answer
}

function* chunks(total: number, size = 64 * 1024, fill = 0): Iterable<Uint8Array> {
  const chunk = new Uint8Array(size).fill(fill)
  for (let sent = 0; sent < total; sent += size) yield chunk
}

/** gzip of so many zeros, made by concatenating members: a bomb that takes no time to make. */
function bomb(bytes: number): Buffer {
  const member = gzipSync(Buffer.alloc(16 * MIB), { level: 9 })
  return Buffer.concat(Array<Buffer>(Math.ceil(bytes / (16 * MIB))).fill(member))
}

const oneSpan = (...attributes: Proto[]) =>
  request([span(random.bytes(16), random.bytes(8), {}, attributes)])
const attributes = (count: number) =>
  Array.from({ length: count }, (_, i) => keyValue(`key-${i}`, stringValue('v')))
const raw = (bytes: Uint8Array) => {
  const proto = new Proto().bytes(1, random.bytes(16)).bytes(2, random.bytes(8))
  return request([proto.bytes(9, bytes)])
}
const inSpan = (json: string) =>
  `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"${random.hex(32)}","spanId":"${random.hex(16)}",${json}}]}]}]}`
const valued = (json: string) => inSpan(`"attributes":[{"key":"k","value":${json}}]`)

interface Try {
  readonly what: string
  readonly send: () => Promise<Answer>
  /** HTTP statuses or gRPC codes, any of which is right. */
  readonly answers: readonly number[]
  readonly says?: RegExp
}

const BODIES: readonly (readonly [string, () => Uint8Array, number, RegExp?])[] = [
  ['nothing', () => new Uint8Array(0), 200],
  ['random bytes', () => random.bytes(5000), 400],
  ['a request cut in the middle', () => oneSpan(...attributes(9)).slice(0, 100), 400, /longer than the message|ends inside/],
  ['a varint of 11 bytes', () => Uint8Array.of(0x18, ...Array<number>(10).fill(0xff), 1), 400, /varint/],
  ['a length of 2^64-1', () => Uint8Array.of(0x0a, ...Array<number>(9).fill(0xff), 1), 400],
  ['a length past the end', () => Uint8Array.of(0x0a, 0x7f, 1), 400, /longer than the message/],
  ['the largest field number', () => Uint8Array.of(0xf8, 0xff, 0xff, 0xff, 0x0f, 1), 200],
  ['field number 0', () => Uint8Array.of(0x02, 0), 400, /field number 0/],
  ['a group', () => Uint8Array.of(0x0b, 0x0c), 400, /wire type/],
  ['10,000 groups in one another', () => new Uint8Array(10_000).fill(0x0b), 400, /wire type/],
  ['a trace id of 15 bytes', () => request([span(random.bytes(15), random.bytes(8))]), 400, /128 bit.*120 bits/],
  ['a trace id of zeros', () => request([span(new Uint8Array(16), random.bytes(8))]), 400, /128 bit/],
  ['a span id of 9 bytes', () => request([span(random.bytes(16), random.bytes(9))]), 400, /64 bit.*72 bits/],
  ['a parent id of 3 bytes', () => request([span(random.bytes(16), random.bytes(8), { parent: random.bytes(3) })]), 400],
  ['lists nested 33 deep', () => raw(nestedAttribute(33)), 400, /nested too deeply/],
  ['lists nested 10,000 deep', () => raw(nestedAttribute(10_000)), 400, /nested too deeply/],
  ['maps nested 10,000 deep', () => raw(nestedAttribute(10_000, 'map')), 400, /nested too deeply/],
  ['100,000 attributes on a span', () => oneSpan(...attributes(100_000)), 200],
  ['a key of 1 MB', () => oneSpan(keyValue('k'.repeat(1_000_000), stringValue('v'))), 200],
  ['a value of 1 MB', () => oneSpan(keyValue('k', stringValue('v'.repeat(1_000_000)))), 200],
  ['attributes called __proto__ and constructor', () => oneSpan(keyValue('__proto__', stringValue('x')), keyValue('constructor', stringValue('y'))), 200],
  ['500,000 empty resources', () => new Uint8Array(1_000_000).map((_, i) => (i % 2 === 0 ? 0x0a : 0)), 200],
  ['1,000 spans of one id', () => { const one = span(random.bytes(16), random.bytes(8)); return request(Array<Proto>(1000).fill(one)) }, 200],
  ['text that is no UTF-8', () => request([new Proto().bytes(1, random.bytes(16)).bytes(2, random.bytes(8)).bytes(5, Uint8Array.of(0xff, 0xfe))]), 200],
] // prettier-ignore

const GRPC_OF: Record<number, readonly number[]> = { 200: [0], 400: [3], 413: [8] }

const HTTP_TRIES: readonly Try[] = [
  { what: '100 MB, announced', send: () => post(chunks(100 * MIB), { ...PROTOBUF, 'content-length': String(100 * MIB) }), answers: [413, 0] },
  { what: '100 MB in chunks', send: () => post(chunks(100 * MIB), PROTOBUF), answers: [413, 0] },
  { what: '16 MB of zeros', send: () => post(new Uint8Array(16 * MIB), PROTOBUF), answers: [400] },
  { what: 'gzip bomb of 17 MB', send: () => post(bomb(17 * MIB), { ...PROTOBUF, 'content-encoding': 'gzip' }), answers: [413], says: /decompresses to more/ },
  { what: 'gzip bomb of 4 GB', send: () => post(bomb(4096 * MIB), { ...PROTOBUF, 'content-encoding': 'gzip' }), answers: [413], says: /decompresses to more/ },
  { what: 'gzip cut in the middle', send: () => post(gzipSync(random.bytes(5000)).subarray(0, 900), { ...PROTOBUF, 'content-encoding': 'gzip' }), answers: [400], says: /no valid gzip/ },
  { what: 'gzip that is none', send: () => post(random.bytes(100), { ...PROTOBUF, 'content-encoding': 'gzip' }), answers: [400], says: /no valid gzip/ },
  { what: 'deflate that is gzip', send: () => post(gzipSync(random.bytes(100)), { ...PROTOBUF, 'content-encoding': 'deflate' }), answers: [400], says: /no valid deflate/ },
  { what: 'brotli', send: () => post(random.bytes(100), { ...PROTOBUF, 'content-encoding': 'br' }), answers: [415], says: /supported: \[gzip/ },
  { what: 'gzip within gzip', send: () => post(gzipSync(gzipSync(oneSpan())), { ...PROTOBUF, 'content-encoding': 'gzip, gzip' }), answers: [415] },
  { what: 'no content type', send: () => post(oneSpan(), {}), answers: [415] },
  { what: 'protobuf called JSON', send: () => post(oneSpan(), JSON_TYPE), answers: [400], says: /not JSON|expected an object/ },
  { what: 'JSON: a list', send: () => post('[]', JSON_TYPE), answers: [400], says: /expected an object/ },
  { what: 'JSON: 16 MB of empty lists in an unknown field', send: () => post(`{"x":[${'[],'.repeat(5_000_000)}[]]}`, JSON_TYPE), answers: [200] },
  { what: 'JSON: 5 million empty resources', send: () => post(`{"resourceSpans":[${'{},'.repeat(5_000_000)}{}]}`, JSON_TYPE), answers: [200, 400] },
  { what: 'JSON: the same in 15 KB of gzip', send: () => post(gzipSync(`{"x":[${'[],'.repeat(5_000_000)}[]]}`), { ...JSON_TYPE, 'content-encoding': 'gzip' }), answers: [200] },
  { what: 'JSON: nested 100,000 deep where it is unknown', send: () => post(`{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, JSON_TYPE), answers: [400], says: /nested too deeply/ },
  { what: 'JSON: nested 100,000 deep where a list is', send: () => post(`{"resourceSpans":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, JSON_TYPE), answers: [400] },
  { what: 'JSON: values nested 100,000 deep', send: () => post(valued('{"arrayValue":{"values":['.repeat(100_000) + ']}}'.repeat(100_000)), JSON_TYPE), answers: [400], says: /nested too deeply/ },
  { what: 'JSON: never closed, 100,000 deep', send: () => post('{"resourceSpans":[{"scopeSpans":['.repeat(100_000), JSON_TYPE), answers: [400] },
  { what: 'JSON: a number for a name', send: () => post(inSpan('"name":5'), JSON_TYPE), answers: [400], says: /spans\[0\]\.name: expected a string, found 5/ },
  { what: 'JSON: an object for a time', send: () => post(inSpan('"startTimeUnixNano":{}'), JSON_TYPE), answers: [400], says: /whole number/ },
  { what: 'JSON: a number of 100,000 digits', send: () => post(inSpan(`"startTimeUnixNano":${'9'.repeat(100_000)}`), JSON_TYPE), answers: [400] },
  { what: 'JSON: a text of 100,000 digits', send: () => post(inSpan(`"startTimeUnixNano":"${'9'.repeat(100_000)}"`), JSON_TYPE), answers: [400] },
  { what: 'JSON: 1e999', send: () => post(valued('{"doubleValue":1e999}'), JSON_TYPE), answers: [200] },
  { what: 'JSON: __proto__ and constructor as keys', send: () => post(inSpan('"__proto__":{"polluted":1},"constructor":{"prototype":{}},"name":"x"'), JSON_TYPE), answers: [200] },
  { what: 'JSON: ids in base64', send: () => post('{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"AQEBAQEBAQEBAQEBAQEBAQ=="}]}]}]}', JSON_TYPE), answers: [400], says: /32 hex digits/ },
  { what: 'JSON: an id that is no text', send: () => post('{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":{"a":1}}]}]}]}', JSON_TYPE), answers: [400], says: /expected a string/ },
  { what: 'JSON: a lone surrogate', send: () => post(inSpan('"name":"\\ud800"'), JSON_TYPE), answers: [200] },
  { what: 'JSON: a bad escape', send: () => post(inSpan('"name":"\\x"'), JSON_TYPE), answers: [400], says: /bad escape/ },
  { what: 'JSON: a control character', send: () => post(inSpan('"name":"\u0001"'), JSON_TYPE), answers: [400], says: /not JSON/ },
  { what: 'JSON: bytes after the end', send: () => post('{} {}', JSON_TYPE), answers: [400], says: /not JSON/ },
  { what: 'another path', send: () => askHttp(server.ports.http, { method: 'POST', path: '/v1/traces/../../etc/passwd', headers: PROTOBUF, body: 'x' }), answers: [404] },
  { what: 'GET', send: () => askHttp(server.ports.http, { path: '/v1/traces' }), answers: [405] },
  { what: '200 headers', send: () => post('', { ...PROTOBUF, ...Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, 'v'])) }), answers: [200] },
  { what: 'a header of 1 MB', send: () => post('', { ...PROTOBUF, 'x-long': 'v'.repeat(MIB) }), answers: [431, 0] },
  { what: '50,000 headers', send: () => post('', { ...PROTOBUF, ...Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`x-${i}`, 'v'])) }), answers: [431, 0] },
] // prettier-ignore

const GRPC_TRIES: readonly Try[] = [
  { what: 'a message announced as 4 GB', send: () => call(framed(random.bytes(100), 0, 0xffffffff)), answers: [8] },
  { what: '100 MB in a message', send: () => call((function* () { yield framed(new Uint8Array(0), 0, 100 * MIB); yield* chunks(100 * MIB) })()), answers: [8, -1] },
  { what: 'a message shorter than announced', send: () => call(framed(random.bytes(100), 0, 200)), answers: [3, 13, 12] },
  { what: 'two messages in a unary call', send: () => call(Buffer.concat([framed(oneSpan()), framed(oneSpan())])), answers: [12, 13] },
  { what: 'no message', send: () => call(new Uint8Array(0)), answers: [12, 13] },
  { what: 'a flag of 255', send: () => call(framed(oneSpan(), 255)), answers: [0, 13, 12, 3] },
  { what: 'a bomb of 4 GB', send: () => call(framed(bomb(4096 * MIB), 1), { 'grpc-encoding': 'gzip' }), answers: [8], says: /decompresses to more/ },
  { what: 'gzip cut in the middle', send: () => call(framed(gzipSync(random.bytes(5000)).subarray(0, 900), 1), { 'grpc-encoding': 'gzip' }), answers: [13], says: /no valid gzip/ },
  { what: 'an encoding that is none', send: () => call(framed(random.bytes(50), 1), { 'grpc-encoding': 'snappy' }), answers: [12], says: /gzip, deflate are/ },
  { what: 'another method', send: () => call(framed(random.bytes(50)), { ':path': '/a.b/C' }), answers: [12] },
  { what: 'a path of 30,000 characters', send: () => call(framed(random.bytes(50)), { ':path': `/${'a'.repeat(30_000)}` }), answers: [12, -1] },
  { what: 'a header of 60 KB', send: () => call(framed(oneSpan()), { 'x-long': 'v'.repeat(60_000) }), answers: [0, -1] },
  { what: 'a header of 1 MB', send: () => call(framed(oneSpan()), { 'x-long': 'v'.repeat(MIB) }), answers: [-1] },
  { what: '500 headers', send: () => call(framed(oneSpan()), Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, 'v']))), answers: [0, -1] },
  { what: 'a timeout that is none', send: () => call(framed(oneSpan()), { 'grpc-timeout': 'soon' }), answers: [13], says: /grpc-timeout/ },
  { what: 'text/plain', send: () => call(framed(oneSpan()), { 'content-type': 'text/plain' }), answers: [-1, 12, 13] },
  { what: 'HTTP/1 on the gRPC port', send: () => askRaw(server.ports.grpc, { parts: ['GET / HTTP/1.1\r\nHost: a\r\n\r\n'], timeout_ms: 3000 }), answers: [0, 400, 403] },
  { what: 'TLS on the gRPC port', send: () => askRaw(server.ports.grpc, { parts: [Buffer.from('160301020001000001fc0303', 'hex')], timeout_ms: 3000 }), answers: [0] },
] // prettier-ignore

async function attempt(door: string, { what, send, answers, says }: Try): Promise<void> {
  const answer = await send()
  watch.note(door, what, answer)
  expect(answers, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`).toContain(answer.status)
  if (says && answer.status > 0) expect(answer.text).toMatch(says)
}

describe('a typed answer to', () => {
  for (const [what, body, status, says] of BODIES) {
    it(`${what}, over HTTP and gRPC`, async () => {
      const more = says ? { says } : {}
      const bytes = body()
      const send = () => post(bytes, PROTOBUF)
      await attempt('HTTP', { what, send, answers: [status], ...more })
      const codes = GRPC_OF[status]!
      await attempt('gRPC', { what, send: () => call(framed(bytes)), answers: codes, ...more })
    })
  }

  it.each(HTTP_TRIES)('$what, over HTTP', (tried) => attempt('HTTP', tried))
  it.each(GRPC_TRIES)('$what, over gRPC', (tried) => attempt('gRPC', tried))
})

it('leaves the server well, and no loop was held up', async () => {
  await watch.isWell()
  expect(watch.slowest_ms).toBeLessThan(LOOP_MS)
})

it('does not let memory grow over rounds of all of it', async () => {
  const round = async () => {
    for (const [what, body] of BODIES) watch.note('', what, await post(body(), PROTOBUF))
    for (const { send } of [...HTTP_TRIES, ...GRPC_TRIES]) await send()
  }
  const seen = watch.attempts.length
  await round()
  const before_mib = await watch.settled_mib()
  for (let rounds = 0; rounds < HOSTILE.memoryRounds; rounds++) await round()
  watch.attempts.length = seen
  const after_mib = await watch.settled_mib()
  console.log(`memory before and after rounds: ${before_mib.toFixed()} ${after_mib.toFixed()} MiB`)
  expect(after_mib).toBeLessThan(before_mib * 1.3 + 50)
  await watch.isWell()
})
