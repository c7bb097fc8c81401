/** HTTP/2 in raw frames, as no client sends them: floods, broken rules, cuts. The process lives, and the next good request is answered. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keyValue, request, span, stringValue } from '../support/otlp-gen.js'
import { Random } from '../support/random.js'
import { TestServer } from '../support/server.js'
import { EXPORT, framed, sleep } from './support/doors.js'
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  PADDED,
  PREFACE,
  PRIORITY,
  RawHttp2,
  TYPE,
  continuation,
  data,
  frame,
  goaway,
  headers,
  hpack,
  ping,
  priority,
  rst,
  settings,
  windowUpdate,
  word,
  wordsOf,
  type Field,
} from './support/http2-frames.js'
import { HOSTILE, LOOP_MS } from './support/size.js'
import { Watch } from './support/watch.js'

/** How long a connection that the server keeps is looked at. */
const KEPT_MS = 400
/** A second to read why, a second until it is looked for, and a busy machine. */
const CLOSED_MS = 10_000
/** Of what is written at once. */
const CHUNK_BYTES = 64 * 1024
const MAX_WINDOW = 0x7fffffff

const random = new Random(33)
let server: TestServer
let watch: Watch
beforeAll(async () => {
  server = await TestServer.start({ flags: ['--server.log_level=warn'] })
  watch = new Watch(server)
})
afterAll(async () => {
  await watch.end()
  console.log(watch.table('HTTP/2'))
  console.log(`slowest answer to what costs nothing: ${Math.round(watch.slowest_ms)} ms`)
  await server.remove()
})

const CALL: readonly Field[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', EXPORT],
  [':authority', 'a'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
]
const call = hpack(CALL)
const message = () => {
  const attributes = [keyValue('a', stringValue('b'))]
  return framed(request([span(random.bytes(16), random.bytes(8), {}, attributes)]))
}
const opening = Buffer.concat([PREFACE, settings()])
/** Numbers of streams that a client may use, one after the other. */
const stream = (i: number) => 2 * i + 1
const times = (count: number, make: (i: number) => Uint8Array): Iterable<Uint8Array> =>
  (function* () {
    for (let i = 0; i < count; i++) yield make(i)
  })()
const fields = (count: number, name = 'x') =>
  hpack(Array.from({ length: count }, (_, i) => [`${name}-${i}`, 'v']))
const whole = (id: number) => Buffer.concat([headers(id, call), data(id, message(), END_STREAM)])
const N = HOSTILE.frames

interface Attack {
  readonly what: string
  readonly frames: () => Iterable<Uint8Array>
  /** Connections that do it at the same time. */
  readonly connections?: number
  /** Reads nothing of what it is told. */
  readonly isDeaf?: boolean
  /** The connection must be closed: it broke a rule that concerns all of it. */
  readonly ends?: true
}

const FLOODS: readonly Attack[] = [
  { what: `${N} SETTINGS`, frames: () => times(N, () => settings()) },
  { what: `${N} SETTINGS, deaf`, frames: () => times(N, () => settings()), isDeaf: true },
  { what: `${N} SETTINGS of a table that grows and shrinks`, frames: () => times(N, (i) => settings([1, i % 2 ? 0 : 0xffffffff])) },
  { what: `${N} SETTINGS of windows`, frames: () => times(N, (i) => settings([4, i % 2 ? 0 : MAX_WINDOW])) },
  { what: `${N} acknowledgements of SETTINGS`, frames: () => times(N, () => frame(TYPE.settings, ACK, 0)), ends: true },
  { what: `${N} PING`, frames: () => times(N, () => ping()) },
  { what: `${N} PING, deaf`, frames: () => times(N, () => ping()), isDeaf: true },
  { what: `${N} answers to PING`, frames: () => times(N, () => ping(ACK)) },
  { what: `${N} streams opened and reset, ${HOSTILE.connections} connections`, frames: () => times(N / HOSTILE.connections, (i) => Buffer.concat([headers(stream(i), call), rst(stream(i))])), connections: HOSTILE.connections },
  { what: `${N} streams opened and reset, deaf`, frames: () => times(N, (i) => Buffer.concat([headers(stream(i), call), rst(stream(i))])), isDeaf: true },
  { what: `${N / 10} whole requests, each reset`, frames: () => times(N / 10, (i) => Buffer.concat([whole(stream(i)), rst(stream(i))])) },
  { what: `${N} streams that make the server reset them: window of 0`, frames: () => times(N, (i) => Buffer.concat([headers(stream(i), call), windowUpdate(stream(i), 0)])) },
  { what: `${N / 10} whole requests and a window of 0`, frames: () => times(N / 10, (i) => Buffer.concat([whole(stream(i)), windowUpdate(stream(i), 0)])) },
  { what: `${N / 10} whole requests and DATA after their end`, frames: () => times(N / 10, (i) => Buffer.concat([whole(stream(i)), data(stream(i), Buffer.from('abc'))])) },
  { what: `${N} streams that depend on themselves`, frames: () => times(N, (i) => headers(stream(i), Buffer.concat([word(stream(i)), Buffer.from([9]), call]), END_HEADERS | PRIORITY)) },
  { what: `${N} PRIORITY of as many streams`, frames: () => times(N, (i) => priority(stream(i), stream(i + 1))) },
  { what: `${N} PRIORITY in circles`, frames: () => times(N, (i) => priority(stream(i % 50), stream((i * 7 + 1) % 50))) },
  { what: `${N} WINDOW_UPDATE of 1`, frames: () => times(N, () => windowUpdate(0, 1)) },
  { what: `${N} empty DATA`, frames: () => [headers(1, call), ...times(N, () => data(1))] },
  { what: `${N} DATA of nothing but padding`, frames: () => [headers(1, call), ...times(N / 50, () => data(1, Buffer.alloc(256, 255), PADDED))] },
  { what: `${N} DATA of a byte: a message of 1 MB`, frames: () => [headers(1, call), data(1, Buffer.from([0, 0, 16, 0, 0])), ...times(N, () => data(1, Buffer.from([7])))] },
  { what: `${N} DATA on a stream that is closed`, frames: () => [whole(1), rst(1), ...times(N, () => data(1, Buffer.alloc(10)))] },
  { what: `${N} frames of no known type`, frames: () => times(N, () => frame(0x77, 0xff, 1, Buffer.alloc(100))) },
  { what: `${N} ALTSVC, ORIGIN and PRIORITY_UPDATE`, frames: () => times(N / 3, (i) => frame([0x0a, 0x0c, 0x10][i % 3]!, 0, 0, Buffer.from([0, 0, 0, 1, 117, 61]))) },
] // prettier-ignore

const BLOCKS: readonly Attack[] = [
  { what: `HEADERS and ${N} empty CONTINUATION`, frames: () => [headers(1, call, 0), ...times(N, () => continuation(1, Buffer.alloc(0)))], ends: true },
  { what: 'HEADERS and 100 MB of CONTINUATION', frames: () => [headers(1, call, 0), ...times(6400, (i) => continuation(1, hpack([[`x-${i}`, 'v'.repeat(16_000)]])))], ends: true },
  { what: 'CONTINUATION of one field that never ends', frames: () => [headers(1, Buffer.from([0, 1, 0x61, 0x7f, 0xff, 0xff, 0xff, 0x7f]), 0), ...times(1000, () => continuation(1, Buffer.alloc(16_000, 0x61)))], ends: true },
  { what: 'a field of 4 KB referred to 16,000 times', frames: () => [headers(1, Buffer.concat([call, hpack([['x', 'v'.repeat(3900)]], 0x40)])), ...times(50, (i) => headers(stream(i + 1), Buffer.concat([call, Buffer.alloc(16_000, 0xbe)])))] },
  { what: '128 streams with 60 KB of fields each, and no end', frames: () => times(128, (i) => Buffer.concat([headers(stream(i), Buffer.concat([call, hpack([['x', 'v'.repeat(14_000)]])]), 0), ...[1, 2, 3].map((n) => continuation(stream(i), hpack([[`y${n}`, 'v'.repeat(14_000)]]), n === 3 ? END_HEADERS : 0))])), connections: 4 },
  { what: '10,000 fields', frames: () => [headers(1, Buffer.concat([call, fields(1000)]), 0), ...times(9, (i) => continuation(1, fields(1000, `y${i}`), i === 8 ? END_HEADERS : 0))] },
  { what: '500 cookies', frames: () => [headers(1, Buffer.concat([call, hpack(Array.from({ length: 500 }, () => ['cookie', 'a=b']))]))] },
  { what: 'another frame amid CONTINUATION', frames: () => [headers(1, call, 0), ping(), continuation(1, Buffer.alloc(0), END_HEADERS)], ends: true },
  { what: 'CONTINUATION of another stream', frames: () => [headers(1, call, 0), continuation(3, Buffer.alloc(0), END_HEADERS)], ends: true },
  { what: 'CONTINUATION of nothing', frames: () => [continuation(1, call, END_HEADERS)], ends: true },
  { what: 'an index that is not in the table', frames: () => [headers(1, Buffer.from([0xff, 0x80, 0x01]))], ends: true },
  { what: 'the index 0', frames: () => [headers(1, Buffer.from([0x80]))], ends: true },
  { what: 'an integer of 20 bytes', frames: () => [headers(1, Buffer.from([0x7f, ...Array<number>(20).fill(0xff)]))], ends: true },
  { what: 'a table of 4 GB', frames: () => [headers(1, Buffer.from([0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f]))], ends: true },
  { what: 'Huffman that ends in the middle', frames: () => [headers(1, Buffer.from([0x00, 0x81, 0x00, 0x84, 0xff, 0xff, 0xff, 0xff]))], ends: true },
  { what: 'a field without a name', frames: () => [headers(1, Buffer.concat([call, hpack([['', 'v']])]))] },
  { what: 'a name in capitals', frames: () => [headers(1, Buffer.concat([call, hpack([['X-A', 'v']])]))] },
  { what: 'NUL and line ends in a value', frames: () => [headers(1, Buffer.concat([call, hpack([['x', 'a\0b\r\nc: d']])]))] },
  { what: 'bytes over 127 in a value', frames: () => [headers(1, Buffer.concat([call, hpack([['x-scope-orgid', '\xff\xfe\x80']])])), data(1, message(), END_STREAM)] },
  { what: 'the path twice', frames: () => [headers(1, Buffer.concat([call, hpack([[':path', '/']])]))] },
  { what: 'no method', frames: () => [headers(1, hpack(CALL.slice(1)))] },
  { what: 'a pseudo-header that is none', frames: () => [headers(1, Buffer.concat([hpack([[':evil', 'v']]), call]))] },
  { what: 'a header of a connection', frames: () => [headers(1, Buffer.concat([call, hpack([['connection', 'close'], ['transfer-encoding', 'chunked']])]))] },
  { what: 'content-length of another size', frames: () => [headers(1, Buffer.concat([call, hpack([['content-length', '5']])])), data(1, message(), END_STREAM)] },
  { what: 'two content-lengths', frames: () => [headers(1, Buffer.concat([call, hpack([['content-length', '5'], ['content-length', '6']])]))] },
  { what: 'CONNECT', frames: () => [headers(1, hpack([[':method', 'CONNECT'], [':authority', 'a:1']]))] },
  { what: 'trailers of 100 fields', frames: () => [headers(1, call), data(1, message()), headers(1, fields(100), END_HEADERS | END_STREAM)] },
  { what: 'trailers with a path', frames: () => [headers(1, call), data(1, message()), headers(1, hpack([[':path', '/']]), END_HEADERS | END_STREAM)] },
  { what: 'trailers that do not end the stream', frames: () => [headers(1, call), headers(1, fields(3)), data(1, message(), END_STREAM)] },
] // prettier-ignore

const RULES: readonly Attack[] = [
  { what: 'no preface', frames: () => [], ends: true },
  { what: 'SETTINGS of 3 bytes', frames: () => [frame(TYPE.settings, 0, 0, Buffer.alloc(3))], ends: true },
  { what: 'SETTINGS of a stream', frames: () => [frame(TYPE.settings, 0, 1)], ends: true },
  { what: 'a window of 2^31 in SETTINGS', frames: () => [settings([4, 0x80000000])], ends: true },
  { what: 'frames of 1 byte in SETTINGS', frames: () => [settings([5, 1])], ends: true },
  { what: 'ENABLE_PUSH of 7', frames: () => [settings([2, 7])], ends: true },
  { what: '2,000 settings in a frame', frames: () => [settings(...Array.from({ length: 2000 }, (_, i) => [i % 100, i] as const))], ends: true },
  { what: 'a window that overflows through SETTINGS', frames: () => [headers(1, call), windowUpdate(1, MAX_WINDOW - 65_535), settings([4, MAX_WINDOW])] },
  { what: 'WINDOW_UPDATE of 0', frames: () => [windowUpdate(0, 0)], ends: true },
  { what: 'WINDOW_UPDATE of 0 on a stream', frames: () => [headers(1, call), windowUpdate(1, 0)] },
  { what: 'WINDOW_UPDATE past 2^31', frames: () => [windowUpdate(0, MAX_WINDOW), windowUpdate(0, MAX_WINDOW)], ends: true },
  { what: 'WINDOW_UPDATE past 2^31 on a stream', frames: () => [headers(1, call), windowUpdate(1, MAX_WINDOW), windowUpdate(1, MAX_WINDOW)] },
  { what: 'WINDOW_UPDATE of a stream not yet opened', frames: () => [windowUpdate(9, 1)], ends: true },
  { what: 'WINDOW_UPDATE of 3 bytes', frames: () => [frame(TYPE.window, 0, 0, Buffer.alloc(3))], ends: true },
  { what: 'PING of 7 bytes', frames: () => [frame(TYPE.ping, 0, 0, Buffer.alloc(7))], ends: true },
  { what: 'PING of a stream', frames: () => [frame(TYPE.ping, 0, 1, Buffer.alloc(8))], ends: true },
  { what: 'RST_STREAM of a stream not yet opened', frames: () => [rst(5)], ends: true },
  { what: 'RST_STREAM of the connection', frames: () => [rst(0)], ends: true },
  { what: 'DATA of the connection', frames: () => [data(0, Buffer.alloc(5))], ends: true },
  { what: 'DATA of a stream not yet opened', frames: () => [data(5, Buffer.alloc(5))], ends: true },
  { what: 'DATA with more padding than bytes', frames: () => [headers(1, call), data(1, Buffer.from([200, 1, 2]), PADDED)], ends: true },
  { what: 'DATA after the end of a stream', frames: () => [whole(1), data(1, Buffer.alloc(5))] },
  { what: 'HEADERS after the end of a stream', frames: () => [whole(1), headers(1, call)] },
  { what: 'DATA past the window of the connection', frames: () => [headers(1, call), data(1, Buffer.from([0, 0, 255, 0, 0])), ...times(400, () => data(1, Buffer.alloc(16_384)))] },
  { what: 'a frame announced as 16 MB', frames: () => [frame(TYPE.data, 0, 1, Buffer.alloc(0), 0xffffff)], ends: true },
  { what: 'HEADERS announced as 16 MB', frames: () => [headers(1, call, END_HEADERS, 0xffffff)], ends: true },
  { what: 'a stream of an even number', frames: () => [headers(2, call)], ends: true },
  { what: 'a stream of a smaller number', frames: () => [headers(9, call), headers(3, call)] },
  { what: 'the last stream there is, and another', frames: () => [headers(MAX_WINDOW, call), headers(1, call)] },
  { what: 'the reserved bit of a stream', frames: () => [headers(0x80000001, call), data(1, message(), END_STREAM)] },
  { what: '300 streams at once, of 128 allowed', frames: () => times(300, (i) => headers(stream(i), call)) },
  { what: 'PUSH_PROMISE', frames: () => [headers(1, call), frame(TYPE.push, END_HEADERS, 1, Buffer.concat([word(2), call]))], ends: true },
  { what: 'PRIORITY of 4 bytes', frames: () => [frame(TYPE.priority, 0, 1, Buffer.alloc(4))], ends: true },
  { what: 'GOAWAY and then a request', frames: () => [goaway(0, 0), whole(1)] },
  { what: 'GOAWAY amid a message', frames: () => [headers(1, call), data(1, message().subarray(0, 20)), goaway(0, 0), data(1, message().subarray(20), END_STREAM)] },
  { what: 'GOAWAY with an error amid a message, in one write', frames: () => [Buffer.concat([headers(1, call), data(1, message().subarray(0, 20)), goaway(0, 2, 'x'.repeat(5000)), data(1, message().subarray(20), END_STREAM)])] },
  { what: 'GOAWAY with an error before the first byte of a message', frames: () => [Buffer.concat([headers(1, call), headers(3, call), goaway(3, 1), data(3, message(), END_STREAM), data(1, message(), END_STREAM)])] },
  { what: '1,000 GOAWAY', frames: () => times(1000, (i) => goaway(i, i % 14)) },
  { what: 'GOAWAY of 3 bytes', frames: () => [frame(TYPE.goaway, 0, 0, Buffer.alloc(3))], ends: true },
  { what: 'a broken rule amid 100 messages, in one write', frames: () => [Buffer.concat([...times(100, (i) => headers(stream(i), call)), ...times(100, (i) => data(stream(i), message().subarray(0, 30))), windowUpdate(0, 0), ...times(100, (i) => data(stream(i), message(), END_STREAM))])], ends: true },
] // prettier-ignore

/** Sends all of it, and tells how the last of its connections fared. */
async function attack(tried: Attack): Promise<void> {
  const { what, frames, connections = 1, isDeaf = false, ends } = tried
  const started = performance.now()
  const one = async () => {
    const connection = new RawHttp2(server.ports.grpc, { isDeaf })
    await connection.send(what === 'no preface' ? settings() : opening)
    let chunk: Uint8Array[] = []
    let chunk_bytes = 0
    let takes = true
    for (const bytes of frames()) {
      chunk.push(bytes)
      chunk_bytes += bytes.length
      if (chunk_bytes < CHUNK_BYTES) continue
      takes = await connection.send(Buffer.concat(chunk))
      chunk = []
      chunk_bytes = 0
      if (!takes) break
    }
    if (takes) await connection.send(Buffer.concat(chunk))
    const heard = await connection.settled(ends ? CLOSED_MS : KEPT_MS)
    connection.end()
    return heard
  }
  const all = await Promise.all(Array.from({ length: connections }, one))
  const heard = all[0]!
  const took_ms = performance.now() - started
  watch.note('HTTP2', what, { status: heard.received_bytes, text: wordsOf(heard), took_ms })
  if (ends) expect(heard.isClosed, `${what}: ${wordsOf(heard)}`).toBe(true)
  await watch.isWell()
}

describe('outlives', () => {
  it.each(FLOODS)('$what', attack)
  it.each(BLOCKS)('$what', attack)
  it.each(RULES)('$what', attack)
})

describe('connections', () => {
  it('cut after each byte of a request, gently and hard', async () => {
    const all = Buffer.concat([opening, whole(1), ping(), whole(3), rst(3)])
    const cut = async (length: number, isHard: boolean) => {
      const connection = new RawHttp2(server.ports.grpc)
      await connection.send(all.subarray(0, length))
      await sleep(random.below(3))
      if (isHard) connection.socket.resetAndDestroy()
      else connection.socket.end()
      await connection.settled(20)
      connection.end()
    }
    const step = HOSTILE.isSlice ? 7 : 1
    for (let length = 0; length <= all.length; length += step) {
      await Promise.all([cut(length, true), cut(length, false)])
    }
    await watch.isWell()
  })

  it('that stop reading while a hundred answers are due', async () => {
    const deaf = Array.from({ length: 20 }, () => new RawHttp2(server.ports.grpc, { isDeaf: true }))
    const shut = settings([4, 0], [5, 16_384])
    await Promise.all(
      deaf.map(async (connection) => {
        await connection.send(
          Buffer.concat([PREFACE, shut, ...times(100, (i) => whole(stream(i)))]),
        )
      }),
    )
    await watch.isWell()
    for (const connection of deaf) connection.end()
    await watch.isWell()
  })
})

describe('frames in any order', () => {
  /** One of the frames that a client may or may not send, on one of few streams, most of them whole. */
  function any(next: { id: number }): Buffer {
    const open = stream(random.below(next.id + 1))
    switch (random.below(14)) {
      case 0: return settings([1 + random.below(6), random.pick([0, 1, 100, 16_384, 65_535, MAX_WINDOW])])
      case 1: return ping(random.below(2))
      case 2: return rst(open, random.below(16))
      case 3: return windowUpdate(random.oneIn(2) ? 0 : open, random.pick([0, 1, 65_535, MAX_WINDOW]))
      case 4: return goaway(open, random.below(14), random.oneIn(2) ? 'words' : '')
      case 5: return priority(open, stream(random.below(9)))
      case 6: return data(open, Buffer.from(random.bytes(random.below(300))), random.below(2))
      case 7: return headers(open, call, random.pick([0, 1, 4, 5, 0x2d]))
      case 8: return continuation(open, random.oneIn(2) ? call : Buffer.alloc(0), random.oneIn(2) ? END_HEADERS : 0)
      case 9: return frame(random.below(14), random.below(256), open, random.bytes(random.below(60)))
      case 10: return data(open, message(), random.below(2))
      default: return random.oneIn(2) ? whole(stream(++next.id)) : headers(stream(++next.id), call)
    }
  } // prettier-ignore

  it(`over ${HOSTILE.sequences} connections break nothing`, async () => {
    const closings = new Map<string, number>()
    let sent = 0
    const one = async () => {
      const connection = new RawHttp2(server.ports.grpc, { isDeaf: random.oneIn(10) })
      const next = { id: -1 }
      const frames = Array.from({ length: 3 + random.below(40) }, () => any(next))
      sent += frames.length
      const bytes = Buffer.concat([opening, ...frames])
      const at = random.oneIn(2) ? bytes.length : random.below(bytes.length)
      await connection.send(bytes.subarray(0, at))
      if (random.oneIn(2)) await sleep(random.below(5))
      await connection.send(bytes.subarray(at))
      const heard = await connection.settled(random.below(40))
      const words = heard.goawayCode < 0 ? 'no GOAWAY' : wordsOf({ ...heard, resets: new Map() })
      closings.set(words, (closings.get(words) ?? 0) + 1)
      if (random.oneIn(4)) connection.socket.resetAndDestroy()
      connection.end()
    }
    const LANES = 8
    let left = HOSTILE.sequences
    const lane = async () => {
      while (left-- > 0) await one()
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    console.log(`${HOSTILE.sequences} connections, ${sent} frames: ${[...closings].map(([words, count]) => `${count} ${words}`).join('; ')}`)
    await watch.isWell()
  })
}) // prettier-ignore

it('leaves memory where it was, and no loop was held up', async () => {
  const seen = watch.attempts.length
  const few = [...FLOODS, ...BLOCKS].filter((_, i) => i % HOSTILE.memoryStep === 0)
  const round = async () => {
    for (const tried of few) await attack(tried)
  }
  await round()
  const before_mib = await watch.settled_mib()
  for (let rounds = 0; rounds < HOSTILE.memoryRounds; rounds++) await round()
  watch.attempts.length = seen
  const after_mib = await watch.settled_mib()
  console.log(`memory before and after rounds: ${before_mib.toFixed()} ${after_mib.toFixed()} MiB`)
  expect(after_mib).toBeLessThan(before_mib * 1.3 + 50)
  expect(watch.slowest_ms).toBeLessThan(LOOP_MS)
})
