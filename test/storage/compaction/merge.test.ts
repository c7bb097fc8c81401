import { describe, expect, it } from 'vitest'
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { Merge, type MergeOptions } from '../../../src/storage/compaction/merge.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { type ResourceSpansObject } from '../../support/otlp-objects.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { spansOf, tracesOf } from '../block/blocks.js'
import { wildTraces } from '../block/wild-traces.js'
import { TENANT, blockId, deal, headers, open, putBlock } from './blocks.js'

const OUT = blockId(999)

async function merged(
  backend: MemoryBackend,
  sources: readonly ColumnSource[],
  options?: MergeOptions,
) {
  const merge = new Merge(sources, options)
  const meta = await blockpack.write({
    blockId: OUT,
    tenant: TENANT,
    compactionLevel: 1,
    groups: merge.groups(),
    sink: backend.sink(TENANT, OUT),
  })
  return { meta, block: await blockpack.open(meta, backend), counts: merge.counts }
}

async function blocksOf(lots: readonly ResourceSpansObject[][][]) {
  const backend = new MemoryBackend()
  const sources: ColumnSource[] = []
  let spans = 0
  for (const [i, lot] of lots.entries()) {
    if (spansOf(lot.flat()).length === 0) continue
    const source = await open(backend, await putBlock(backend, blockId(i), lot))
    spans += source.spanCount
    sources.push(source)
  }
  return { backend, sources, spans }
}

const everySpan = async (block: ColumnSource) => [...(await tracesOf(block)).values()].flat().sort()

describe('a merge of blocks', { timeout: 120_000 }, () => {
  for (let seed = 1; seed <= 6; seed++) {
    it(`has every span once with all that it was sent with, at the extremes of OTLP (seed ${seed})`, async () => {
      const random = new Random(seed)
      const requests = Array.from({ length: 1 + random.below(3) }, () => wildTraces(random))
      const count = 1 + random.below(4)
      const { backend, sources, spans } = await blocksOf(deal(random, requests, count))
      if (sources.length === 0) return
      const options = { groupSpans: 5 + random.below(60), kept_bytes: random.pick([0, 1e9]) }
      const { block, counts, meta } = await merged(backend, sources, options)
      const oneBlock = await blocksOf([requests])
      expect(await everySpan(block)).toEqual(await everySpan(oneBlock.sources[0]!))
      expect(block.spanCount).toBe(counts.spans)
      expect(counts.spans + counts.duplicateSpans).toBe(spans)
      expect(meta.totalObjects).toBe(counts.traces)
    })
  }

  it('keeps a span whose id another kind of span has too: two sides of one call', async () => {
    const [trace, id] = [new Uint8Array(16).fill(1), new Uint8Array(8).fill(2)]
    const span = (kind: number) => [
      { scopes: [{ spans: [{ traceId: trace, spanId: id, kind, name: `k${kind}`, start: 1n, end: 2n }] }] }, // prettier-ignore
    ]
    const { backend, sources } = await blocksOf([[span(2)], [span(3)], [span(2)]] as never)
    const { block, counts } = await merged(backend, sources)
    expect(block.spanCount).toBe(2)
    expect(counts).toEqual({ spans: 2, traces: 1, combinedTraces: 1, duplicateSpans: 1 })
  })

  it('tells the times, root and place of a trace whose parts were in several blocks', async () => {
    const requests = [shopTraces({ traces: 15 })]
    const { backend, sources } = await blocksOf(deal(new Random(5), requests, 3))
    const { block } = await merged(backend, sources, { groupSpans: 50 })
    const { sources: one } = await blocksOf([requests])
    for (const [id, header] of await headers(one[0]!)) {
      const bytes = Buffer.from(id, 'hex')
      expect(await block.locate(bytes)).toBeDefined()
      expect((await headers(block)).get(id)).toEqual(header)
    }
    expect([block.minStart_ns, block.maxEnd_ns]).toEqual([one[0]!.minStart_ns, one[0]!.maxEnd_ns])
  })

  it('has equal resources and scopes of different blocks once a row group', async () => {
    const requests = [shopTraces({ traces: 20 })]
    const { sources } = await blocksOf(deal(new Random(6), requests, 4))
    const { sources: one } = await blocksOf([requests])
    const whole = await one[0]!.group(0)
    for await (const group of new Merge(sources).groups()) {
      expect(group.counts.resource).toBe(whole.counts.resource)
      expect(group.counts.scope).toBe(whole.counts.scope)
    }
  })

  it('is the same bytes each time: a compaction that is done again writes the same block', async () => {
    const random = new Random(7)
    const lots = deal(random, [wildTraces(random), shopTraces({ traces: 10 })], 3)
    const results: Buffer[] = []
    for (const kept_bytes of [0, 1e9]) {
      const { backend, sources } = await blocksOf(lots)
      await merged(backend, sources, { groupSpans: 40, kept_bytes })
      results.push(Buffer.from(backend.objects.get(`${TENANT}/${OUT}/data.blockpack`)!))
    }
    expect(results[0]!.equals(results[1]!)).toBe(true)
  })
})
