import { describe, expect, it } from 'vitest'
import { Catalog, TENANT_BYTES_MAX } from '../../src/storage/catalog.js'
import { blockId } from '../actors/frontend/metas.js'
import { Random } from '../support/random.js'

const FACTS = {
  spans: 2 ** 31 + 5,
  minStart_ns: 1_700_000_000_123_456_789n,
  maxEnd_ns: 2n ** 64n - 1n,
  size_bytes: 2 ** 40 + 1,
}

function made(capacity = 4) {
  const memory = Catalog.create(3, capacity)
  return { memory, writer: new Catalog(memory), reader: new Catalog(memory) }
}

describe('an entry', () => {
  it('keeps its number and its block from head to local, and readers see each state whole', () => {
    const { writer, reader } = made()
    const entry = writer.addHead(blockId(1), 'acme', 77, 5)
    expect(reader.find(blockId(1))).toMatchObject({
      partition: 3,
      state: 'head',
      tenant: 'acme',
      headChunk: 77,
      segment: 5,
      isFlushed: false,
    })
    writer.markCut(entry)
    expect(reader.read(entry)).toMatchObject({ state: 'cut', headChunk: 77 })
    writer.markLocal(entry, FACTS)
    expect(reader.read(entry)).toMatchObject({ state: 'local', ...FACTS, isFlushed: false })
    writer.markFlushed(entry)
    expect(reader.read(entry)).toMatchObject({ state: 'local', isFlushed: true })
    writer.remove(entry)
    expect(reader.read(entry)).toBeUndefined()
    expect(reader.find(blockId(1))).toBeUndefined()
  })

  it('goes through its states in order only: a step too many is a bug that must show', () => {
    const { writer } = made()
    const entry = writer.addHead(blockId(1), 'a', 1, 1)
    expect(() => writer.markLocal(entry, FACTS)).toThrow(/is head, expected cut/)
    expect(() => writer.markFlushed(entry)).toThrow(/is head, expected local/)
    writer.markCut(entry)
    expect(() => writer.markCut(entry)).toThrow(/is cut, expected head/)
    writer.remove(entry)
    expect(() => writer.remove(entry)).toThrow(/already free/)
  })

  it('is not that of the block that had it before', () => {
    const { writer, reader } = made(1)
    const local = writer.addLocal(blockId(1), 'a-long-tenant-name', FACTS, true)
    writer.remove(local)
    const entry = writer.addHead(blockId(2), 'b', 9, 2)
    expect(entry).toBe(local)
    expect(reader.read(entry)).toMatchObject({
      blockId: blockId(2),
      tenant: 'b',
      spans: 0,
      isFlushed: false,
      size_bytes: 0,
    })
  })

  it('bears every tenant up to Tempo’s limit, and says no to a longer one', () => {
    const { writer, reader } = made()
    const long = 'ü'.repeat(TENANT_BYTES_MAX / 2)
    writer.addHead(blockId(1), long, 1, 1)
    expect(reader.list(long)).toHaveLength(1)
    expect(() => writer.addHead(blockId(2), `${long}x`, 1, 1)).toThrow(/tenant id of 151 bytes/)
    expect(() => writer.addHead('no-uuid', 'a', 1, 1)).toThrow(/not a UUID/)
  })
})

describe('the catalog', () => {
  it('says when it is full, and has room again after a removal', () => {
    const { writer } = made(2)
    const first = writer.addHead(blockId(1), 'a', 1, 1)
    writer.addHead(blockId(2), 'a', 1, 1)
    expect(writer.addHead(blockId(3), 'a', 1, 1)).toBe(-1)
    expect(writer.addLocal(blockId(3), 'a', FACTS, false)).toBe(-1)
    writer.remove(first)
    expect(writer.addLocal(blockId(3), 'a', FACTS, false)).toBe(first)
  })

  it('is taken over by a new owner as it is: a claim that was not finished is nothing', () => {
    const { memory, writer } = made()
    writer.addHead(blockId(1), 'a', 1, 1)
    // A writer that died between filling its entry and publishing it.
    new Int32Array(memory, 64 + 256, 64).fill(-1, 1)
    const successor = new Catalog(memory)
    expect(successor.entries().map(({ entry }) => entry)).toEqual([0])
    expect(successor.addHead(blockId(2), 'b', 2, 2)).toBe(1)
    expect(successor.read(1)).toMatchObject({ blockId: blockId(2), tenant: 'b', spans: 0 })
  })

  it('is no catalog when it is something else', () => {
    expect(() => new Catalog(new SharedArrayBuffer(64))).toThrow(/not a catalog of version 1/)
  })

  it('does what a list of objects would, over thousands of random steps', () => {
    const { writer, reader } = made(8)
    const random = new Random(11)
    const model = new Map<number, { blockId: string; tenant: string; state: string }>()
    for (let step = 0; step < 5000; step++) {
      const tenant = `t${random.below(3)}`
      const picked = [...model.keys()][random.below(model.size)]
      const known = picked === undefined ? undefined : model.get(picked)!
      switch (random.below(4)) {
        case 0: {
          const entry = writer.addHead(blockId(step), tenant, step, 1)
          expect(entry >= 0).toBe(model.size < 8)
          if (entry >= 0) model.set(entry, { blockId: blockId(step), tenant, state: 'head' })
          break
        }
        case 1:
          if (known?.state !== 'head') break
          writer.markCut(picked!)
          known.state = 'cut'
          break
        case 2:
          if (known?.state !== 'cut') break
          writer.markLocal(picked!, FACTS)
          known.state = 'local'
          break
        default:
          if (picked === undefined || !random.oneIn(3)) break
          writer.remove(picked)
          model.delete(picked)
      }
      const wanted = [...model.entries()].sort(([a], [b]) => a - b).map(([, entry]) => entry)
      const listed = reader
        .list()
        .map((e) => ({ blockId: e.blockId, tenant: e.tenant, state: e.state }))
      expect(listed).toEqual(wanted)
      expect(reader.list(tenant)).toHaveLength(wanted.filter((e) => e.tenant === tenant).length)
    }
  })
})
