import { describe, expect, it } from 'vitest'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { SpanSet, sizeOf_bytes } from '../../../src/storage/head/span-set.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { Random, request, shopRequests, span } from '../../support/otlp-gen.js'
import { readSpans, spansOf } from './reference.js'
import { openHead } from '../../../src/storage/head/source.js'

const FACTS = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 'a', partition: 0 }
const SEED = 4711

type Words = [number, number, number, number]
const words = (random: Random): Words => [
  random.u32() | 0,
  random.u32() | 0,
  random.u32() | 0,
  random.u32() | 0,
]

function head() {
  const arena = HeadArena.create({ bytes: 32 << 20, readers: 1 })
  return HeadWriter.create(arena, FACTS)!
}

describe('a set of spans', () => {
  it('has what was added and nothing that differs from it in one bit', () => {
    const random = new Random(1)
    const set = new SpanSet(SEED, 200, 4000)
    const spans: [...Words, number, number, number][] = []
    for (let t = 0; t < 200; t++) {
      const id = words(random)
      const slot = set.addTrace(...id)
      for (let s = 0; s < 20; s++) {
        const span: [...Words, number, number, number] = [...id, random.u32() | 0, random.u32() | 0, s % 6] // prettier-ignore
        spans.push(span)
        set.addSpan(slot, span[4], span[5], span[6])
      }
    }
    expect(set.count).toBe(4000)
    for (const span of spans) {
      expect(set.has(...span)).toBe(true)
      const part = random.below(6)
      const other: typeof span = [...span]
      other[part]! ^= 1 << random.below(32)
      expect(set.has(...other)).toBe(false)
      other[part] = span[part]!
      other[6] = (span[6] + 1) % 6
      expect(set.has(...other)).toBe(false)
    }
  })

  it('takes a trace or a span twice as once, and is full only beyond what it was made for', () => {
    const set = new SpanSet(SEED, 1, 3)
    const [a, b, c, d] = [1, 2, 3, 4]
    for (let round = 0; round < 2; round++) {
      for (let id = 0; id < 3; id++) set.addSpan(set.addTrace(a, b, c, d), id, 0, 1)
    }
    expect(set.count).toBe(3)
    expect([0, 1, 2, 3].map((id) => set.has(a, b, c, d, id, 0, 1))).toEqual([
      true,
      true,
      true,
      false,
    ])
  })

  it('holds no zero trace id and no unknown kind: they look like free slots and other kinds', () => {
    const set = new SpanSet(SEED, 4, 4)
    set.addSpan(set.addTrace(0, 0, 0, 0), 1, 1, 1)
    const slot = set.addTrace(0, 0, 0, 1)
    for (const kind of [7, 8, 15, -1]) set.addSpan(slot, 1, 1, kind)
    expect(set.count).toBe(0)
    expect(set.has(0, 0, 0, 0, 1, 1, 1)).toBe(false)
    for (const kind of [0, 6, 7, 8, 15, -1]) expect(set.has(0, 0, 0, 1, 1, 1, kind)).toBe(false)
    set.addSpan(slot, 0, 0, 0)
    expect(set.has(0, 0, 0, 1, 0, 0, 0)).toBe(true)
  })

  it('an empty one has nothing and can be asked', () => {
    expect(new SpanSet(SEED, 0, 0).has(1, 2, 3, 4, 5, 6, 1)).toBe(false)
  })

  it('takes the bytes that it says', () => {
    const set = new SpanSet(SEED, 1000, 8000)
    expect(set.memory_bytes).toBe(sizeOf_bytes(1000, 8000))
    expect(set.memory_bytes).toBeLessThan(1000 * 32 + 8000 * 15 + 100)
  })
})

describe('a head that is told what was cut', () => {
  const requests = shopRequests({ traces: 60, batch: 32 }).map(({ bytes }) => bytes)
  const cut = head()
  for (const bytes of requests) cut.append(bytes)
  const set = cut.spanSet(Infinity)

  it('takes none of it again, and leaves nothing behind of the attempt', async () => {
    const writer = head()
    expect(set.count).toBe(cut.spanCount)
    for (const bytes of requests) {
      const result = writer.append(bytes, [set])
      expect(result).toMatchObject({ code: 'ok', spans: 0, duplicates: 0, newTraces: 0, bytes: 0 })
    }
    expect([writer.spanCount, writer.traceCount, writer.otlpBytes]).toEqual([0, 0, 0])
    writer.publish(1)
    const source = openHead(writer.arena, writer.headerChunk, { order: 'arrival' })
    expect(source.spanCount).toBe(0)
    expect(source.dictionary.size).toBe(0)
    await source.close()
  })

  it('takes the rest of a request of which a part is there already', async () => {
    const random = new Random(9)
    const traceId = random.bytes(16)
    const ids = Array.from({ length: 10 }, () => random.bytes(8))
    const spans = ids.map((id) => span(traceId, id, { name: 'x' }))
    const first = head()
    first.append(request(spans.slice(0, 6)))
    const writer = head()
    const result = writer.append(request(spans), [first.spanSet(Infinity)])
    expect(result).toMatchObject({ code: 'ok', spans: 4, recentDuplicates: 6, newTraces: 1 })
    writer.publish(1)
    const source = openHead(writer.arena, writer.headerChunk, { order: 'arrival' })
    const found = await readSpans(source)
    const wanted = spansOf([request(spans.slice(6))])
    expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort())
    await source.close()
  })

  it('counts a span that both it and the cut head have once, as a duplicate of the cut one', () => {
    const writer = head()
    writer.append(requests[0]!)
    const { spans } = writer.append(requests[1]!)
    const again = writer.append(requests[1]!, [set])
    expect(again).toMatchObject({ spans: 0, duplicates: 0, recentDuplicates: spans })
    expect(writer.append(requests[1]!)).toMatchObject({ duplicates: spans, recentDuplicates: 0 })
  })

  it('gives the last spans only when it may give no more', () => {
    const last = requests.at(-1)!
    const writer = head()
    writer.append(requests[0]!)
    const { spans, newTraces } = writer.append(last)
    const small = writer.spanSet(sizeOf_bytes(newTraces, spans))
    expect(small.count).toBe(spans)
    expect(head().append(last, [small])).toMatchObject({ spans: 0, recentDuplicates: spans })
    expect(head().append(requests[0]!, [small])).toMatchObject({ recentDuplicates: 0 })
  })
})
