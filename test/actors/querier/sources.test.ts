import { describe, expect, it } from 'vitest'
import { OPEN_BLOCKS_MAX, Sources } from '../../../src/actors/querier/sources.js'
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { silentLog } from '../../../src/lib/log.js'
import { Catalog } from '../../../src/storage/catalog.js'
import { encodingOf } from '../../../src/storage/block/registry.js'
import { serializeMeta } from '../../../src/storage/block/meta.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { HeadReaders } from '../../../src/storage/head/readers.js'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { BackendError } from '../../../src/storage/backend/backend.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { readSpans } from '../../storage/head/reference.js'
import { record } from '../livestore/records.js'
import { blockId } from '../frontend/metas.js'

const FACTS = { spans: 3, minStart_ns: 0n, maxEnd_ns: 1n, size_bytes: 1 }

/** A head that becomes a local block and then a backend's, as a livestore would do it. */
function made(max_bytes?: number) {
  const arena = HeadArena.create({ bytes: 4 << 20, readers: 2 })
  const catalog = new Catalog(Catalog.create(0, 8))
  const local = new MemoryBackend()
  const backend = new MemoryBackend()
  const heads = new HeadReaders(arena, 0)
  const distrusted: string[] = []
  const counts = { hits: 0, misses: 0, evictions: 0, bytes: -1 }
  const tally = (name: 'hits' | 'misses' | 'evictions') => ({ inc: () => (counts[name] += 1) })
  const sources = new Sources({
    catalogs: [catalog],
    heads,
    local: [local],
    backend,
    clock: new FakeClock(),
    log: silentLog,
    onDistrust: (id) => distrusted.push(id),
    counters: {
      hits: tally('hits'),
      misses: tally('misses'),
      evictions: tally('evictions'),
      bytes: { set: (value) => (counts.bytes = value) },
    },
    ...(max_bytes !== undefined && { max_bytes }),
  })
  const head = (n: number) => {
    const writer = HeadWriter.create(arena, { blockId: blockId(n), tenant: 'a', partition: 0 })!
    writer.append(record('a', n).bytes)
    writer.publish(1)
    return { writer, entry: catalog.addHead(blockId(n), 'a', writer.headerChunk, 1) }
  }
  const build = async (target: MemoryBackend, n: number, headChunk: number) => {
    const source = openHead(arena, headChunk, { order: 'traceId' })
    const groups = await Promise.all(
      Array.from({ length: source.groupCount }, (_, i) => source.group(i)),
    )
    const sink = target.sink('a', blockId(n))
    const request = { blockId: blockId(n), tenant: 'a', compactionLevel: 0, groups, sink }
    const meta = await encodingOf('blockpack1').write(request)
    await target.put(`a/${blockId(n)}/meta.json`, serializeMeta(meta))
    await source.close()
    return meta
  }
  const count = async (n: number, meta?: Awaited<ReturnType<typeof build>>) => {
    const lease = await sources.open({ blockId: blockId(n), tenant: 'a', meta })
    if (!lease) return undefined
    const spans = (await readSpans(lease.source)).size
    await lease.release()
    return spans
  }
  return { arena, catalog, local, backend, sources, head, build, count, distrusted, counts }
}

describe('a source that was listed', () => {
  it('is found at every step of its way, though the list is older than the step', async () => {
    const { arena, catalog, local, backend, sources, head, build, count } = made()
    const { writer, entry } = head(1)
    expect(await count(1)).toBe(3)
    catalog.markCut(entry)
    expect(await count(1)).toBe(3)
    await build(local, 1, writer.headerChunk)
    catalog.markLocal(entry, FACTS)
    await build(backend, 1, writer.headerChunk)
    arena.retire(writer.headerChunk)
    arena.reclaim()
    expect(await count(1)).toBe(3)
    catalog.remove(entry)
    local.objects.clear()
    sources.forget(blockId(1))
    expect(await count(1)).toBe(3)
  })

  it('is read in the backend when its local copy vanishes in between or cannot be read', async () => {
    const { catalog, local, backend, sources, head, build, count } = made()
    const { writer, entry } = head(1)
    catalog.markCut(entry)
    await build(backend, 1, writer.headerChunk)
    catalog.markLocal(entry, FACTS)
    expect(await count(1)).toBe(3)
    sources.forget(blockId(1))
    await local.put(`a/${blockId(1)}/meta.json`, Buffer.from('{'))
    expect(await count(1)).toBe(3)
  })

  it('whose local copy turns out to be damaged while it is read is read in the backend from then on', async () => {
    const { catalog, local, backend, sources, head, build } = made()
    const { writer, entry } = head(1)
    catalog.markCut(entry)
    await build(local, 1, writer.headerChunk)
    await build(backend, 1, writer.headerChunk)
    catalog.markLocal(entry, FACTS)
    const path = `a/${blockId(1)}/data.blockpack`
    local.objects.get(path)!.fill(0xff, 8, 64)
    const ref = { blockId: blockId(1), tenant: 'a' }
    const spans = async () => (await readSpans((await sources.open(ref))!.source)).size
    const fault: unknown = await spans().catch((error: unknown) => error)
    expect(fault).toMatchObject({ code: 'CORRUPT_BLOCK' })
    sources.failed(blockId(1), fault)
    expect(await spans()).toBe(3)
    // While it is nowhere else, what is whole in it is answered from.
    sources.forget(blockId(1))
    backend.objects.clear()
    await expect(spans()).rejects.toMatchObject({ code: 'CORRUPT_BLOCK' })
    expect((await sources.open(ref))!.source.spanCount).toBe(3)
  })

  it('whose local copy is damaged and that is nowhere else is damaged, not unreachable', async () => {
    const { catalog, local, head, build, count } = made()
    const { writer, entry } = head(1)
    catalog.markCut(entry)
    await build(local, 1, writer.headerChunk)
    catalog.markLocal(entry, FACTS)
    await local.put(`a/${blockId(1)}/data.blockpack`, Buffer.alloc(10))
    await expect(count(1)).rejects.toMatchObject({ code: 'CORRUPT_BLOCK' })
  })

  it('whose local copy is damaged is not given up while the backend cannot be asked', async () => {
    const { catalog, local, backend, head, build, count } = made()
    const { writer, entry } = head(1)
    catalog.markCut(entry)
    await build(local, 1, writer.headerChunk)
    catalog.markLocal(entry, FACTS)
    await local.put(`a/${blockId(1)}/data.blockpack`, Buffer.alloc(10))
    backend.fault = () => {
      throw new BackendError('503', true)
    }
    await expect(count(1)).rejects.toMatchObject({ code: 'BACKEND' })
  })

  it('whose data is gone while its meta.json is there is damaged: nothing deletes it in that order', async () => {
    const { backend, head, build, count } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    backend.objects.delete(`a/${blockId(2)}/data.blockpack`)
    await expect(count(2, meta)).rejects.toMatchObject({ code: 'CORRUPT_BLOCK' })
    backend.objects.clear()
    await expect(count(2, meta)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
  })

  it('that was a head without a span and was dropped is nothing, not an error', async () => {
    const { catalog, head, arena, count } = made()
    const { writer, entry } = head(1)
    catalog.remove(entry)
    arena.retire(writer.headerChunk)
    arena.reclaim()
    expect(await count(1)).toBeUndefined()
  })

  it('that the backend listed and has no more is an error: spans would be missing in silence', async () => {
    const { backend, head, build, count } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    backend.objects.clear()
    await expect(count(2, meta)).rejects.toThrow()
  })

  it('that could not be read is tried afresh by the next query', async () => {
    const { backend, head, build, count } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    let isDown = true
    backend.fault = () => {
      if (isDown) throw new Error('503')
    }
    await expect(count(2, meta)).rejects.toThrow('503')
    isDown = false
    expect(await count(2, meta)).toBe(3)
  })

  it('gives the memory of a head back after each query', async () => {
    const { arena, head, count, sources } = made()
    const { writer } = head(1)
    await count(1)
    const lease = await sources.open({ blockId: blockId(1), tenant: 'a' })
    arena.retire(writer.headerChunk)
    expect(arena.reclaim()).toBe(0)
    await lease!.release()
    expect(arena.reclaim()).toBeGreaterThan(0)
    expect(arena.used_bytes()).toBe(0)
  })
})

describe('what was read of a block', () => {
  it('is distrusted when it turns out to be damaged, at the opening and later, or is gone', async () => {
    const { backend, head, build, sources, count, distrusted } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    const path = `a/${blockId(2)}/data.blockpack`
    const whole = backend.objects.get(path)!
    backend.objects.set(path, whole.slice().fill(0xff, -24))
    await expect(count(2, meta)).rejects.toMatchObject({ code: 'CORRUPT_BLOCK' })
    expect(distrusted).toEqual([blockId(2)])
    backend.objects.set(path, whole.slice().fill(0xff, 8, 64))
    const fault: unknown = await count(2, meta).catch((error: unknown) => error)
    expect(fault).toMatchObject({ code: 'CORRUPT_BLOCK' })
    sources.failed(blockId(2), fault)
    expect(distrusted).toHaveLength(2)
    backend.objects.clear()
    await expect(count(2, meta)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    expect(distrusted).toHaveLength(3)
  })

  it('is trusted when the backend cannot be reached: what is kept is all there is then', async () => {
    const { backend, head, build, sources, count, distrusted } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    const down = new BackendError('503', true)
    backend.fault = () => {
      throw down
    }
    await expect(count(2, meta)).rejects.toBe(down)
    sources.failed(blockId(2), down)
    expect(distrusted).toEqual([])
  })
})

describe('open blocks', () => {
  it('are opened once for many queries, and no more are kept than may be', async () => {
    const { backend, head, build, sources, count } = made()
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    const opens: (ColumnSource | undefined)[] = []
    for (let n = 0; n < 3; n++) {
      const lease = await sources.open({ blockId: blockId(2), tenant: 'a', meta })
      opens.push(lease?.source)
    }
    expect(new Set(opens).size).toBe(1)
    const objects = [...backend.objects]
    for (let n = 0; n < OPEN_BLOCKS_MAX; n++) {
      const id = blockId(100 + n)
      for (const [path, bytes] of objects) backend.objects.set(path.replace(blockId(2), id), bytes)
      await sources.open({ blockId: id, tenant: 'a', meta: { ...meta, blockID: id } })
    }
    const again = await sources.open({ blockId: blockId(2), tenant: 'a', meta })
    expect(again!.source).not.toBe(opens[0])
    expect(await count(2, meta)).toBe(3)
    await sources.close()
  })

  it('keep no more than they may: past it the least recently used is closed', async () => {
    const { backend, head, build, sources, count, counts } = made(1)
    const { writer } = head(1)
    const meta = await build(backend, 2, writer.headerChunk)
    const lease = await sources.open({ blockId: blockId(2), tenant: 'a', meta })
    expect(sources.retained_bytes).toBeGreaterThan(1)
    await lease!.release()
    expect(sources.retained_bytes).toBe(0)
    const again = await sources.open({ blockId: blockId(2), tenant: 'a', meta })
    expect(again!.source).not.toBe(lease!.source)
    expect(counts).toMatchObject({ hits: 0, misses: 2, evictions: 1 })
    expect(counts.bytes).toBe(sources.retained_bytes)
    expect(await count(2, meta)).toBe(3)
    expect(counts).toMatchObject({ hits: 1, misses: 2, evictions: 2, bytes: 0 })
    await sources.close()
  })
})
