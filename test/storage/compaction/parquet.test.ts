import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { fromHex } from '../../../src/lib/bytes.js'
import type { BlockMeta, DedicatedColumn } from '../../../src/storage/block/encoding.js'
import { encodingOf, openBlock } from '../../../src/storage/block/registry.js'
import { compact, type CompactRequest } from '../../../src/storage/compaction/compact.js'
import { openInParts } from '../../../src/storage/vparquet/read/parts.js'
import { decodeTraces, type ResourceSpansObject } from '../../support/otlp-objects.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { tracesOf } from '../block/blocks.js'
import { wildTraces } from '../block/wild-traces.js'
import { edgeRequests, tempoBlock } from '../vparquet/tempo-blocks.js'
import { TENANT, blockId, deal, headers, putBlock } from './blocks.js'

const VERSIONS = ['vParquet4', 'vParquet5'] as const
type Requests = readonly ResourceSpansObject[][]

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Merges blocks of the backend as a compaction does, up to the merged block's meta.json. */
async function merged(
  backend: MemoryBackend,
  inputs: readonly BlockMeta[],
  options: Omit<CompactRequest, 'inputs' | 'scratch'> = {},
) {
  const scratch = mkdtempSync(join(tmpdir(), 'tempo-actors-merge-'))
  folders.push(scratch)
  const { meta, counts } = await compact({ inputs, scratch, ...options }, backend)
  return { meta, counts, block: await openBlock(meta, backend) }
}

async function put(
  backend: MemoryBackend,
  version: string,
  lots: readonly Requests[],
  change: Partial<BlockMeta> = {},
) {
  const metas: BlockMeta[] = []
  for (const [i, lot] of lots.entries()) {
    const spans = lot.flat().flatMap((rs) => rs.scopes.flatMap((ss) => ss.spans))
    if (spans.length === 0) continue
    metas.push(await putBlock(backend, blockId(i), lot, change, TENANT, encodingOf(version)))
  }
  return metas
}

const tracesIn = async (backend: MemoryBackend, meta: BlockMeta) =>
  tracesOf(await openBlock(meta, backend))

/** What several blocks have together; a span that two have is one. */
async function together(backend: MemoryBackend, metas: readonly BlockMeta[]) {
  const all = new Map<string, Set<string>>()
  for (const meta of metas) {
    for (const [id, spans] of await tracesIn(backend, meta)) {
      const known = all.get(id) ?? new Set()
      for (const span of spans) known.add(span)
      all.set(id, known)
    }
  }
  return new Map([...all].map(([id, spans]) => [id, [...spans].sort()]))
}

describe.each(VERSIONS)('a merge of blocks of %s', { timeout: 120_000 }, (version) => {
  for (let seed = 1; seed <= 4; seed++) {
    it(`has every trace as one block of all the spans has it (seed ${seed})`, async () => {
      const random = new Random(seed)
      const requests = Array.from({ length: 2 + random.below(2) }, () => wildTraces(random))
      const backend = new MemoryBackend()
      const inputs = await put(backend, version, deal(random, requests, 2 + random.below(3)))
      const alone = new MemoryBackend()
      const [one] = await put(alone, version, [requests])
      const merge = { groupSpans: 5 + random.below(60), kept_bytes: random.pick([0, 1e9]) }
      const { meta, block, counts } = await merged(backend, inputs, { merge, partSpans: 1 + random.below(40) }) // prettier-ignore
      expect(await tracesOf(block)).toEqual(await tracesIn(alone, one!))
      expect([meta.totalObjects, meta.totalSpans]).toEqual([one!.totalObjects, one!.totalSpans])
      expect(counts.spans).toBe(one!.totalSpans)
    })
  }

  it('tells the times and root of a trace whose parts were in several blocks', async () => {
    const backend = new MemoryBackend()
    const requests = [shopTraces({ traces: 15 })]
    const { block } = await merged(backend, await put(backend, version, deal(new Random(5), requests, 3))) // prettier-ignore
    const alone = new MemoryBackend()
    const [one] = await put(alone, version, [requests])
    expect(await headers(block)).toEqual(await headers(await openBlock(one!, alone)))
  })

  it('has the objects, version, columns and factor of its inputs, and finds traces by id', async () => {
    const dedicatedColumns: DedicatedColumn[] = [{ s: 'resource', n: 'host.name' }, { n: 'db.system' }]
    const backend = new MemoryBackend()
    const lots = deal(new Random(8), [shopTraces({ traces: 30 })], 3)
    const inputs = await put(backend, version, lots, { dedicatedColumns, compactionLevel: 2 })
    const { meta, block } = await merged(backend, inputs)
    expect(meta).toMatchObject({ format: version, dedicatedColumns, replicationFactor: 1, compactionLevel: 3, bloomShards: 1, compactedFrom: inputs.map(({ blockID }) => blockID) }) // prettier-ignore
    const names = [...backend.objects.keys()].filter((path) => path.includes(meta.blockID))
    expect(names.map((path) => path.split('/').at(-1)).sort()).toEqual(['bloom-0', 'data.parquet', 'index']) // prettier-ignore
    expect(backend.objects.get(`${TENANT}/${meta.blockID}/data.parquet`)).toHaveLength(meta.size)
    for (const id of (await tracesOf(block)).keys()) expect(await block.locate(fromHex(id)!)).toBeDefined() // prettier-ignore
    expect(await block.locate(new Uint8Array(16).fill(9))).toBeUndefined()
  }) // prettier-ignore

  it('has no columns of its own for attributes where the inputs had none', async () => {
    const backend = new MemoryBackend()
    const lots = deal(new Random(9), [shopTraces({ traces: 5 })], 2)
    const inputs = await put(backend, version, lots, { dedicatedColumns: [] })
    const expected = await together(backend, inputs)
    const { meta, block } = await merged(backend, inputs)
    expect(meta.dedicatedColumns).toBeUndefined()
    expect(await tracesOf(block)).toEqual(expected)
  })

  it('of a block of Tempo with ones of ours loses and changes nothing', async () => {
    const { meta: tempo, backend } = tempoBlock(version === 'vParquet4' ? 'vparquet4-edge' : 'vparquet5-edge') // prettier-ignore
    const dedicatedColumns = tempo.dedicatedColumns ?? []
    const half = edgeRequests()
      .filter((_, i) => i % 2 === 0)
      .map((bytes) => decodeTraces(bytes))
    const ours = await put(backend, version, [half, [shopTraces({ traces: 20 })]], { dedicatedColumns }) // prettier-ignore
    const { meta, block, counts } = await merged(backend, [tempo, ...ours], { partSpans: 500, merge: { groupSpans: 1500 } }) // prettier-ignore
    const found = await tracesOf(block)
    const expected = await together(backend, [tempo, ...ours])
    // A span that shares its id with one of its kind may stand twice in a block, as it was sent.
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort())
    const different = [...found].filter(([id, spans]) => [...new Set(spans)].join() !== expected.get(id)!.join()) // prettier-ignore
    expect(different.map(([id]) => id)).toEqual([])
    expect(counts.duplicateSpans).toBeGreaterThan(100)
    expect(meta).toMatchObject({ format: version, totalObjects: 1528, replicationFactor: 1 })
    expect(meta.dedicatedColumns ?? []).toEqual(dedicatedColumns)
  })

  it('is the same bytes each time', async () => {
    const random = new Random(7)
    const lots = deal(random, [wildTraces(random), shopTraces({ traces: 10 })], 3)
    const results: Buffer[] = []
    for (const kept_bytes of [0, 1e9]) {
      const backend = new MemoryBackend()
      const inputs = await put(backend, version, lots)
      const { meta } = await merged(backend, inputs, { merge: { groupSpans: 40, kept_bytes } })
      results.push(Buffer.from(backend.objects.get(`${TENANT}/${meta.blockID}/data.parquet`)!))
    }
    expect(results[0]!.equals(results[1]!)).toBe(true)
  })
})

describe.each(['vparquet4-edge', 'vparquet5-edge'])(
  '%s read in parts',
  { timeout: 120_000 },
  (name) => {
    it('has the same traces at the places where they are looked for', async () => {
      const { meta, backend } = tempoBlock(name)
      const whole = await tracesIn(backend, meta)
      const parts = await openInParts(meta, backend, 700)
      expect(parts.groupCount).toBeGreaterThan(5)
      expect(await tracesOf(parts)).toEqual(whole)
      for (const id of [...whole.keys()].filter((_, i) => i % 100 === 0)) {
        const place = (await parts.locate(fromHex(id)!))!
        const ids = (await (await parts.group(place.group)).field('trace.id'))!.bytes
        expect(Buffer.from(ids.subarray(16 * place.row, 16 * place.row + 16)).toString('hex')).toBe(id) // prettier-ignore
      }
    })
  },
)
