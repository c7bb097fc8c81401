import { describe, expect, it } from 'vitest'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { CHUNK_BYTES, PINS } from '../../../src/storage/head/layout.js'
import { HeadReader, openHead } from '../../../src/storage/head/source.js'
import { HeadReaders } from '../../../src/storage/head/readers.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { shopRequests } from '../../support/otlp-gen.js'
import { readSpans } from './reference.js'

const FACTS = { blockId: '01234567-89ab-cdef-0123-456789abcdef', tenant: 't', partition: 0 }
const OTHER = { ...FACTS, blockId: 'ffffffff-89ab-cdef-0123-456789abcdef' }

function make(chunks = 256, readers = 2) {
  return HeadArena.create({ bytes: chunks * CHUNK_BYTES, readers })
}

function filled(arena: HeadArena, facts = FACTS) {
  const writer = HeadWriter.create(arena, facts)!
  for (const { bytes } of shopRequests({ traces: 30 })) writer.append(bytes)
  writer.publish(1)
  return writer
}

describe('chunks', () => {
  it('each is taken once, the lowest first, and all of them before the arena is full', () => {
    const arena = make(100)
    const taken = Array.from({ length: 100 }, () => arena.take(-1))
    expect(new Set(taken).size).toBe(100)
    expect(taken).toEqual([...taken].sort((a, b) => a - b))
    expect(arena.take(-1)).toBe(0)
    arena.free(taken[50]!, -1)
    arena.free(taken[7]!, -1)
    expect(arena.take(-1)).toBe(taken[7])
    expect(arena.take(-1)).toBe(taken[50])
    expect(arena.used_bytes()).toBe(arena.capacity_bytes)
  })

  it('a hint that is wrong hides no chunk', () => {
    const arena = make(10)
    const taken = Array.from({ length: 10 }, () => arena.take(-1))
    arena.free(taken[2]!, -1)
    arena.words[6] = arena.chunkCount + 5
    expect(arena.take(-1)).toBe(taken[2])
  })

  it('only the owner word that holds a chunk frees it', () => {
    const arena = make(10)
    const chunk = arena.take(-5)
    expect(arena.free(chunk, -6)).toBe(false)
    expect(arena.free(chunk, -5)).toBe(true)
    expect(arena.free(chunk, -5)).toBe(false)
  })

  it('memory that is no arena is refused', () => {
    expect(() => new HeadArena(new SharedArrayBuffer(4096))).toThrow(/not a head arena/)
  })
})

describe('reclaiming', () => {
  it('a retired head keeps its memory while a reader that opened it has not left', async () => {
    const arena = make()
    const writer = filled(arena)
    const reader = arena.reader(1)
    const source = openHead(arena, writer.headerChunk, { order: 'arrival', reader })
    const before = await readSpans(source)
    writer.retire()
    expect(arena.reclaim()).toBe(0)
    filled(arena, OTHER)
    expect(await readSpans(source)).toEqual(before)
    await source.close()
    expect(arena.reclaim()).toBeGreaterThan(0)
  })

  it('all memory comes back, and the next head may use the same chunks', () => {
    const arena = make()
    for (let i = 0; i < 50; i++) {
      const writer = filled(arena, { ...FACTS, partition: i % 3 })
      writer.retire()
      expect(arena.reclaim()).toBe(writer.arena_bytes)
      expect(arena.used_bytes()).toBe(0)
    }
  })

  it('a reader that came after the retirement cannot open the head and holds nothing back', () => {
    const arena = make()
    const writer = filled(arena)
    const known = new HeadReader(arena, writer.headerChunk)
    writer.retire()
    const reader = arena.reader(0)
    reader.enter()
    expect(known.open({ order: 'arrival', reader })).toBeUndefined()
    expect(() => openHead(arena, writer.headerChunk, { order: 'arrival' })).toThrow(/no open head/)
    expect(arena.reclaim()).toBeGreaterThan(0)
  })

  it('readers that overlap for ever do not hold back a head retired in between', () => {
    const arena = make()
    const reader = arena.reader(0)
    let held = reader.enter()
    for (let i = 0; i < 3 * PINS; i++) {
      const writer = filled(arena)
      const next = reader.enter()
      reader.leave(held)
      held = next
      writer.retire()
      arena.reclaim()
    }
    reader.leave(held)
    expect(arena.used_bytes()).toBeLessThan(3 * 30 * CHUNK_BYTES)
    arena.reclaim()
    expect(arena.used_bytes()).toBe(0)
  })

  it('more readers of different age than pins still hold back all that they see', () => {
    const arena = make(2048)
    const reader = arena.reader(0)
    const open = []
    for (let i = 0; i < PINS + 5; i++) {
      const writer = filled(arena)
      open.push(openHead(arena, writer.headerChunk, { order: 'arrival', reader }))
      writer.retire()
    }
    expect(arena.reclaim()).toBe(0)
    for (const source of open) void source.close()
    expect(arena.reclaim()).toBeGreaterThan(0)
    expect(arena.used_bytes()).toBe(0)
  })

  it('a dead reader holds nothing back once it is cleared', () => {
    const arena = make()
    const writer = filled(arena)
    arena.reader(1).enter()
    writer.retire()
    expect(arena.reclaim()).toBe(0)
    arena.clearReader(1)
    expect(arena.reclaim()).toBeGreaterThan(0)
  })

  it('a reclaimer that stops half way leaves what the next one finishes', () => {
    const arena = make()
    const writer = filled(arena)
    const tag = arena.tag(writer.headerChunk)
    writer.retire()
    // Half of the chunks are gone already.
    for (let chunk = 1; chunk < arena.chunkCount; chunk += 2) arena.free(chunk, tag)
    arena.reclaim()
    expect(arena.used_bytes()).toBe(0)
    expect(arena.heads()).toEqual([])
  })

  it('a chunk whose head is gone is found', () => {
    const arena = make()
    const writer = filled(arena)
    const tag = arena.tag(writer.headerChunk)
    writer.retire()
    arena.reclaim()
    expect(arena.take(tag)).not.toBe(0)
    expect(arena.used_bytes()).toBe(CHUNK_BYTES)
    arena.reclaim()
    expect(arena.used_bytes()).toBe(0)
  })
})

describe('heads of a partition', () => {
  it('are listed for a new owner, retired ones as such', () => {
    const arena = make()
    const one = filled(arena, { ...FACTS, partition: 1 })
    const two = filled(arena, { ...FACTS, partition: 2 })
    arena.reader(0).enter()
    two.retire()
    expect(arena.heads(1)).toEqual([{ headerChunk: one.headerChunk, partition: 1, state: 'open' }])
    expect(arena.heads(2)).toEqual([
      { headerChunk: two.headerChunk, partition: 2, state: 'retired' },
    ])
    expect(arena.heads()).toHaveLength(2)
  })

  it('a header chunk taken by an owner that died before opening it is swept by the next', () => {
    const arena = make()
    arena.takeHeader(7)
    arena.takeHeader(8)
    arena.sweep(7)
    expect(arena.used_bytes()).toBe(CHUNK_BYTES)
  })

  it('a chunk recycled for another head is not taken for the old one', async () => {
    const arena = make()
    const readers = new HeadReaders(arena, 0)
    const old = filled(arena)
    const chunk = old.headerChunk
    const source = readers.open(chunk, FACTS.blockId)
    expect(source?.id).toBe(FACTS.blockId)
    await source?.close()
    old.retire()
    arena.reclaim()
    const next = filled(arena, OTHER)
    expect(next.headerChunk).toBe(chunk)
    expect(readers.open(chunk, FACTS.blockId)).toBeUndefined()
    expect(readers.open(chunk, OTHER.blockId)?.id).toBe(OTHER.blockId)
  })
})
