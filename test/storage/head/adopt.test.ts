import { describe, expect, it, vi } from 'vitest'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { HEAD, SNAPSHOT_WORDS, WORD_SHIFT } from '../../../src/storage/head/layout.js'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { shopRequests } from '../../support/otlp-gen.js'
import { randomRequests } from './random-otlp.js'
import { readSpans, spansOf } from './reference.js'

const FACTS = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 'tenant-ü', partition: 5 }

function head() {
  const arena = HeadArena.create({ bytes: 32 << 20, readers: 2 })
  return { arena, writer: HeadWriter.create(arena, FACTS)! }
}

async function spansIn({ arena, headerChunk }: HeadWriter) {
  const source = openHead(arena, headerChunk, { order: 'arrival' })
  const spans = await readSpans(source)
  await source.close()
  return spans
}

const bytesOf = (requests: { bytes: Uint8Array }[]) => requests.map(({ bytes }) => bytes)

describe('adopting a dead owner’s head', () => {
  it('goes on from the published state: staged spans are gone, duplicates are known', async () => {
    const { arena, writer } = head()
    const published = [...randomRequests(1, 150), ...bytesOf(shopRequests({ traces: 60 }))]
    const staged = bytesOf(shopRequests({ seed: 2, traces: 300 }))
    for (const bytes of published) writer.append(bytes)
    writer.publish(77)
    const size = writer.arena_bytes
    for (const bytes of staged) writer.append(bytes)
    expect(arena.used_bytes()).toBeGreaterThan(size)

    const adopted = HeadWriter.adopt(arena, writer.headerChunk)
    expect(arena.used_bytes()).toBe(size)
    expect(adopted.facts).toEqual(FACTS)
    expect(adopted.appliedOffset).toBe(77)
    expect(adopted.duplicates).toBe(writer.duplicates)
    for (const bytes of published) expect(adopted.append(bytes)).toMatchObject({ spans: 0 })
    adopted.rollback()
    for (const bytes of staged) adopted.append(bytes)
    adopted.publish(88)
    const wanted = spansOf([...published, ...staged])
    const found = await spansIn(adopted)
    expect(found.size).toBe(wanted.size)
    for (const [key, text] of wanted) expect(found.get(key)).toBe(text)
  })

  it('rebuilds every index: the same requests again take no more rows of anything', () => {
    const { arena, writer } = head()
    const requests = [...randomRequests(3, 200), ...bytesOf(shopRequests({ traces: 50 }))]
    for (const bytes of requests) writer.append(bytes)
    writer.publish(1)
    const { spanCount, traceCount, otlpBytes, minStart_ns, maxEnd_ns } = writer
    const dictionary = openHead(arena, writer.headerChunk, { order: 'arrival' }).dictionary.size
    const adopted = HeadWriter.adopt(arena, writer.headerChunk)
    const bytes = adopted.arena_bytes
    for (const request of requests) adopted.append(request)
    adopted.publish(2)
    expect(pick(adopted)).toEqual({ spanCount, traceCount, otlpBytes, minStart_ns, maxEnd_ns })
    expect(adopted.arena_bytes).toBe(bytes)
    const after = openHead(arena, writer.headerChunk, { order: 'arrival' })
    expect(after.dictionary.size).toBe(dictionary)
    expect(adopted.traceBytes(new Uint8Array(16).fill(1))).toBe(0)
  })

  it('resources and scopes are not made again, whatever values they have', async () => {
    const { arena, writer } = head()
    const requests = randomRequests(9, 300)
    for (const bytes of requests) writer.append(bytes)
    writer.publish(1)
    const before = countsOf(writer)
    const adopted = HeadWriter.adopt(arena, writer.headerChunk)
    const others = randomRequests(10, 8)
    for (const bytes of [...requests, ...others, ...requests]) adopted.append(bytes)
    adopted.rollback()
    for (const bytes of requests) adopted.append(bytes)
    adopted.publish(2)
    expect(countsOf(adopted)).toEqual(before)
    await Promise.resolve()
  })

  it('a death at any store of a publication leaves the state before it', async () => {
    const { arena, writer } = head()
    const first = bytesOf(shopRequests({ traces: 20 }))
    const second = bytesOf(shopRequests({ seed: 2, traces: 20 }))
    for (const bytes of first) writer.append(bytes)
    writer.publish(1)
    const before = await spansIn(writer)
    let current = writer
    // The stores of the record, then that of the version.
    for (let stores = 0; stores <= SNAPSHOT_WORDS; stores += 4) {
      for (const bytes of second) current.append(bytes)
      let left = stores
      const store = vi.spyOn(Atomics, 'store').mockImplementation(((
        words: Int32Array,
        at: number,
        value: number,
      ) => {
        if (left-- === 0) throw new Error('died here')
        words[at] = value
        return value
      }) as typeof Atomics.store)
      expect(() => current.publish(2)).toThrow('died here')
      store.mockRestore()
      expect(await spansIn(writer)).toEqual(before)
      current = HeadWriter.adopt(arena, writer.headerChunk)
      expect(current.appliedOffset).toBe(1)
      expect(current.spanCount).toBe(before.size)
    }
    for (const bytes of second) current.append(bytes)
    current.publish(2)
    expect((await spansIn(current)).size).toBe(spansOf([...first, ...second]).size)
  })

  it('a head that was never published is empty and usable', async () => {
    const { arena, writer } = head()
    const header = writer.headerChunk << WORD_SHIFT
    // As its maker left it when it died right after opening it.
    arena.words.fill(0, header + HEAD.snapshots, header + HEAD.pages)
    arena.words[header] = 0
    const adopted = HeadWriter.adopt(arena, writer.headerChunk)
    expect(adopted.spanCount).toBe(0)
    const requests = bytesOf(shopRequests({ traces: 5 }))
    for (const bytes of requests) adopted.append(bytes)
    adopted.publish(1)
    expect((await spansIn(adopted)).size).toBe(spansOf(requests).size)
    adopted.retire()
    arena.reclaim()
    expect(arena.used_bytes()).toBe(0)
  })

  it('a retired head cannot be adopted', () => {
    const { arena, writer } = head()
    writer.retire()
    expect(() => HeadWriter.adopt(arena, writer.headerChunk)).toThrow(/no open head/)
    expect(() => writer.append(new Uint8Array(0))).toThrow(/retired/)
  })
})

function pick({ spanCount, traceCount, otlpBytes, minStart_ns, maxEnd_ns }: HeadWriter) {
  return { spanCount, traceCount, otlpBytes, minStart_ns, maxEnd_ns }
}

function countsOf({ arena, headerChunk }: HeadWriter): Int32Array {
  const { view } = openHead(arena, headerChunk, { order: 'arrival' })
  return view.snapshot.words.slice(0, 10)
}
