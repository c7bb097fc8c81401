import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { MalformedOtlp } from '../../../src/storage/head/errors.js'
import { CHUNK_BYTES } from '../../../src/storage/head/layout.js'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { encodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import {
  Proto,
  Random,
  keyValue,
  request,
  shopRequests,
  span,
  stringValue,
} from '../../support/otlp-gen.js'
import { randomRequests } from './random-otlp.js'
import { readSpans, spansOf } from './reference.js'

const FACTS = {
  blockId: '01234567-89ab-cdef-0123-456789abcdef',
  tenant: 'single-tenant',
  partition: 3,
}
const MIB = 1 << 20

function head(bytes = 32 * MIB) {
  const arena = HeadArena.create({ bytes, readers: 2 })
  return { arena, writer: HeadWriter.create(arena, FACTS)! }
}

async function spansIn(writer: HeadWriter, order: 'arrival' | 'traceId' = 'arrival') {
  const source = openHead(writer.arena, writer.headerChunk, { order })
  const spans = await readSpans(source)
  expect(source.spanCount).toBe(spans.size)
  await source.close()
  return spans
}

/** Map equality with a short message: vitest's own diff of thousands of lines takes minutes. */
function expectSame(found: Map<string, string>, wanted: Map<string, string>) {
  for (const [key, text] of wanted) {
    if (found.get(key) !== text) expect({ key, text: found.get(key) }).toEqual({ key, text })
  }
  expect(found.size).toBe(wanted.size)
}

describe('what is appended is what is read', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`random otlp, seed ${seed}`, async () => {
      const { writer } = head()
      const requests = randomRequests(seed, 300)
      let spans = 0
      let duplicates = 0
      requests.forEach((bytes, index) => {
        const result = writer.append(bytes)
        expect(result.code).toBe('ok')
        spans += result.spans
        duplicates += result.duplicates
        if (index % 3 === 0) writer.publish(index)
      })
      writer.publish(requests.length)
      const wanted = spansOf(requests)
      expect(spans).toBe(wanted.size)
      expect(duplicates).toBe(writer.duplicates)
      expectSame(await spansIn(writer, seed % 2 === 0 ? 'arrival' : 'traceId'), wanted)
    })
  }

  it('the edge cases that Tempo was given', async () => {
    const { writer } = head()
    const requests = [...lengthDelimited(readFileSync('test/fixtures/edge.bin'))]
    for (const bytes of requests) expect(writer.append(bytes).code).toBe('ok')
    writer.publish(1)
    expectSame(await spansIn(writer), spansOf(requests))
  })

  it('a shop over many pages, in both orders', async () => {
    const { writer } = head()
    const requests = shopRequests({ traces: 300 }).map(({ bytes }) => bytes)
    for (const bytes of requests) writer.append(bytes)
    writer.publish(1)
    const wanted = spansOf(requests)
    expectSame(await spansIn(writer, 'arrival'), wanted)
    expectSame(await spansIn(writer, 'traceId'), wanted)
  })

  it('fields in any order, unknown fields and multi-byte tags are read as protobuf means them', async () => {
    const { writer } = head()
    const id = new Uint8Array(16).fill(1)
    const odd = new Proto()
      .message(11, new Proto().string(2, 'e').string(99, 'unknown').fixed64(1, 7n))
      .string(500, 'unknown')
      .fixed32(16, 0x101)
      .fixed64(8, 9n)
      .message(9, new Proto().message(2, stringValue('v')).string(1, 'k').int(77, 5))
      .bytes(2, new Uint8Array(8).fill(2))
      .int(6, 1)
      .int(6, 2) // the last of a repeated scalar counts
      .fixed64(7, 5n)
      .bytes(1, id)
      .message(15, new Proto().int(3, 2).string(2, 'bad'))
    const bytes = request([odd])
    expect(writer.append(bytes)).toMatchObject({ code: 'ok', spans: 1, newTraces: 1 })
    writer.publish(1)
    expectSame(await spansIn(writer), spansOf([bytes]))
  })
})

describe('identity', () => {
  const id = new Uint8Array(16).fill(9)
  const spanId = new Uint8Array(8).fill(8)

  it('a span sent again is counted, not kept, though its attributes differ', async () => {
    const { writer } = head()
    const first = request([span(id, spanId, { name: 'one' })])
    writer.append(first)
    expect(writer.append(request([span(id, spanId, { name: 'two' })]))).toMatchObject({
      spans: 0,
      duplicates: 1,
      bytes: 0,
    })
    writer.publish(1)
    expect(writer.append(first)).toMatchObject({ spans: 0, duplicates: 1 })
    writer.publish(2)
    expectSame(await spansIn(writer), spansOf([first]))
  })

  it('both sides of a Zipkin call share a span id and are both kept, also with kinds beyond the known', () => {
    const { writer } = head()
    for (const kind of [2, 3, 7, 8, 2 ** 31 - 1]) {
      expect(writer.append(request([span(id, spanId, { kind })]))).toMatchObject({ spans: 1 })
    }
    expect(writer.append(request([span(id, spanId, { kind: 8 })]))).toMatchObject({ duplicates: 1 })
  })

  it('the order of a resource attributes does not make another resource', async () => {
    const { writer } = head()
    const make = (attributes: [string, string][], byte: number) =>
      encodeTraces([
        {
          resource: { attributes },
          scopes: [
            { spans: [{ traceId: id, spanId: new Uint8Array(8).fill(byte), start: 1n, end: 2n }] },
          ],
        },
      ])
    writer.append(make([['service.name', 'a'], ['host', 'h']], 1)) // prettier-ignore
    writer.append(make([['host', 'h'], ['service.name', 'a']], 2)) // prettier-ignore
    writer.append(make([['host', 'other'], ['service.name', 'a']], 3)) // prettier-ignore
    writer.publish(1)
    const source = openHead(writer.arena, writer.headerChunk, { order: 'arrival' })
    expect((await source.group(0)).counts.resource).toBe(2)
  })

  it('bytes of a trace count what is staged, and not what was rolled back', () => {
    const { writer } = head()
    const made = span(id, spanId, { name: 'one' })
    const { bytes } = writer.append(request([made]))
    expect(bytes).toBe(made.length)
    expect(writer.traceBytes(id)).toBe(bytes)
    writer.publish(1)
    writer.append(request([span(id, new Uint8Array(8).fill(7))]))
    expect(writer.traceBytes(id)).toBeGreaterThan(bytes)
    writer.rollback()
    expect(writer.traceBytes(id)).toBe(bytes)
    expect(writer.traceBytes(new Uint8Array(16))).toBe(0)
  })
})

describe('strings', () => {
  it('lengths at and over the edges of chunks come back whole', async () => {
    const { writer } = head(64 * MIB)
    const random = new Random(5)
    const lengths = [0, 1, 3, 4, 5, CHUNK_BYTES - 7, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 70_000] // prettier-ignore
    const requests = lengths.map((length) =>
      request([
        span(random.bytes(16), random.bytes(8), { name: 'x' }, [
          keyValue('big', new Proto().bytes(1, random.bytes(length))),
        ]),
      ]),
    )
    const size = openHeadSize(writer)
    for (const bytes of [...requests, ...requests]) writer.append(bytes)
    writer.publish(1)
    expect(openHeadSize(writer)).toBeGreaterThan(size)
    expectSame(await spansIn(writer), spansOf(requests))
  })

  it('16 MiB in one value is interned once and found again', () => {
    const { writer, arena } = head(64 * MIB)
    const text = 'z'.repeat(16 * MIB - 200)
    const make = (byte: number) =>
      request([
        span(new Uint8Array(16).fill(byte), new Uint8Array(8).fill(1), {}, [
          keyValue('big', stringValue(text)),
        ]),
      ])
    expect(writer.append(make(1)).code).toBe('ok')
    const used = arena.used_bytes()
    expect(writer.append(make(2)).code).toBe('ok')
    expect(arena.used_bytes()).toBe(used)
    writer.publish(1)
    const { dictionary } = openHead(arena, writer.headerChunk, { order: 'arrival' })
    const code = dictionary.find(text)
    expect(code).toBeGreaterThan(0)
    expect(dictionary.text(code) === text).toBe(true)
  })

  it('many different strings: the table grows, and every code keeps its bytes', () => {
    const { writer } = head()
    const random = new Random(6)
    const texts = Array.from({ length: 5000 }, (_, i) => `value-${i}-${random.u32()}`)
    for (let i = 0; i < texts.length; i += 50) {
      const attributes = texts.slice(i, i + 50).map((text) => keyValue('k', stringValue(text)))
      writer.append(request([span(random.bytes(16), random.bytes(8), {}, attributes)]))
      if (i % 500 === 0) writer.publish(i)
    }
    writer.publish(1)
    const { dictionary } = openHead(writer.arena, writer.headerChunk, { order: 'arrival' })
    for (const text of texts) expect(dictionary.text(dictionary.find(text))).toBe(text)
    expect(dictionary.find('value-none')).toBe(0)
  })
})

describe('staging', () => {
  it('nothing staged is seen before publish, all of it after', async () => {
    const { writer } = head()
    const requests = randomRequests(11, 60)
    const half = requests.length >> 1
    requests.slice(0, half).forEach((bytes) => writer.append(bytes))
    expect((await spansIn(writer)).size).toBe(0)
    writer.publish(10)
    const before = await spansIn(writer)
    requests.slice(half).forEach((bytes) => writer.append(bytes))
    expectSame(await spansIn(writer), before)
    writer.publish(20)
    expectSame(await spansIn(writer), spansOf(requests))
  })

  it('rollback leaves the published state, and what follows is as if nothing had been staged', async () => {
    const { writer } = head()
    const kept = [...randomRequests(12, 100), ...randomRequests(14, 100)]
    const lost = randomRequests(13, 700)
    kept.slice(0, 20).forEach((bytes) => writer.append(bytes))
    writer.publish(1)
    const { minStart_ns, maxEnd_ns, spanCount, otlpBytes } = writer
    lost.forEach((bytes) => writer.append(bytes))
    writer.rollback()
    expect({ ...pick(writer) }).toEqual({ minStart_ns, maxEnd_ns, spanCount, otlpBytes })
    kept.slice(20).forEach((bytes) => writer.append(bytes))
    writer.publish(2)
    expectSame(await spansIn(writer), spansOf(kept))
  })

  it('a snapshot stays as it was while the writer goes on', async () => {
    const { writer } = head()
    const requests = randomRequests(15, 200)
    const half = requests.length >> 1
    requests.slice(0, half).forEach((bytes) => writer.append(bytes))
    writer.publish(1)
    const source = openHead(writer.arena, writer.headerChunk, { order: 'traceId' })
    requests.slice(half).forEach((bytes) => writer.append(bytes))
    writer.publish(2)
    expectSame(await readSpans(source), spansOf(requests.slice(0, half)))
    expect(source.appliedOffset).toBe(1)
  })

  it('offsets beyond 32 bits are kept', () => {
    const { writer } = head()
    writer.publish(2 ** 40 + 12345)
    expect(writer.appliedOffset).toBe(2 ** 40 + 12345)
  })
})

describe('bytes that are no otlp', () => {
  const good = request([
    span(new Uint8Array(16).fill(1), new Uint8Array(8).fill(1), { name: 'good' }),
  ])

  it('every truncation either fails whole or is shorter otlp, and never harms what is there', async () => {
    const { writer } = head()
    writer.append(good)
    writer.publish(1)
    const before = await spansIn(writer)
    const victim = randomRequests(21, 20).reduce((a, b) =>
      a.length > 200 && a.length < 5000 ? a : b,
    )
    for (let length = 0; length < victim.length; length += 1 + (length >> 6)) {
      const spans = writer.spanCount
      try {
        writer.append(victim.subarray(0, length))
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedOtlp)
        expect(writer.spanCount).toBe(spans)
      }
      writer.rollback()
    }
    writer.publish(2)
    expectSame(await spansIn(writer), before)
  })

  it('random damage never reads outside of the request nor harms the head', async () => {
    const { writer } = head()
    const random = new Random(31)
    writer.append(good)
    writer.publish(1)
    const before = await spansIn(writer)
    for (const bytes of randomRequests(22, 400).filter(({ length }) => length < 20_000)) {
      const damaged = bytes.slice()
      for (let i = 0; i < 1 + random.below(4) && damaged.length > 0; i++) {
        damaged[random.below(damaged.length)] = random.below(256)
      }
      try {
        writer.append(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedOtlp)
      }
      writer.rollback()
    }
    writer.publish(2)
    expectSame(await spansIn(writer), before)
  })

  it('ids of a wrong length are refused with the offset of the span', () => {
    const { writer } = head()
    const bad = request([span(new Uint8Array(15), new Uint8Array(8))])
    expect(() => writer.append(bad)).toThrow(MalformedOtlp)
    expect(() => writer.append(bad)).toThrow(/trace id of 16 bytes/)
    expect(writer.append(good).code).toBe('ok')
  })
})

describe('a full arena', () => {
  it('refuses the request whole, keeps what was staged, and takes it after memory came back', async () => {
    const arena = HeadArena.create({ bytes: 24 * CHUNK_BYTES, readers: 1 })
    const other = HeadWriter.create(arena, { ...FACTS, partition: 4 })!
    const writer = HeadWriter.create(arena, FACTS)!
    const requests = shopRequests({ traces: 500 }).map(({ bytes }) => bytes)
    const kept: Uint8Array[] = []
    let refused: Uint8Array | undefined
    for (const bytes of requests) {
      const result = writer.append(bytes)
      if (result.code === 'ok') {
        kept.push(bytes)
        continue
      }
      expect(result).toEqual({
        code: 'arena_full',
        spans: 0,
        duplicates: 0,
        recentDuplicates: 0,
        newTraces: 0,
        bytes: 0,
      })
      refused = bytes
      break
    }
    expect(kept.length).toBeGreaterThan(0)
    writer.publish(1)
    expectSame(await spansIn(writer), spansOf(kept))
    other.retire()
    arena.reclaim()
    expect(writer.append(refused!).code).toBe('ok')
    writer.publish(2)
    expectSame(await spansIn(writer), spansOf([...kept, refused!]))
  })

  it('with no room for a head makes none and leaks nothing', () => {
    for (let chunks = 1; chunks < 8; chunks++) {
      const arena = HeadArena.create({ bytes: chunks * CHUNK_BYTES, readers: 1 })
      const writer = HeadWriter.create(arena, FACTS)
      if (writer) continue
      arena.reclaim()
      expect(arena.used_bytes()).toBe(0)
    }
  })
})

function pick({ minStart_ns, maxEnd_ns, spanCount, otlpBytes }: HeadWriter) {
  return { minStart_ns, maxEnd_ns, spanCount, otlpBytes }
}

function openHeadSize(writer: HeadWriter): number {
  return openHead(writer.arena, writer.headerChunk, { order: 'arrival' }).dictionary.size
}
