import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import type { AttributeKey, ColumnSource, RowGroup } from '../../../src/otlp/columns.js'
import { fromHex, toHex } from '../../../src/lib/bytes.js'
import { assembleTrace } from '../../../src/storage/block/assemble.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { memorySource } from '../../support/memory-source.js'
import { decodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import type { ResourceSpansObject } from '../../support/otlp-objects.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { build, groupsOf, spansOf, tracesOf } from './blocks.js'
import { wildTraces } from './wild-traces.js'

const EDGE = readFileSync(new URL('../../fixtures/edge.bin', import.meta.url))

async function roundTrip(source: ColumnSource): Promise<ColumnSource> {
  const { meta, backend } = await build(groupsOf(source))
  return blockpack.open(meta, backend)
}

/** The spans of the input by trace, as texts. */
function expected(resourceSpans: readonly ResourceSpansObject[]): Map<string, string[]> {
  const byTrace = new Map<string, ResourceSpansObject[]>()
  for (const rs of resourceSpans) {
    for (const ss of rs.scopes) {
      for (const span of ss.spans) {
        const id = toHex(span.traceId)
        const one = { ...rs, scopes: [{ ...ss, spans: [span] }] }
        byTrace.set(id, [...(byTrace.get(id) ?? []), one])
      }
    }
  }
  return new Map(
    [...byTrace].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, rs]) => [id, spansOf(rs)]),
  )
}

describe('round trips', () => {
  test('every span of the shop comes back with all that it was sent under', async () => {
    const input = shopTraces({ traces: 150 })
    expect(await tracesOf(await roundTrip(memorySource(input)))).toEqual(expected(input))
  })

  test('every span of edge.bin comes back', async () => {
    const input = [...lengthDelimited(EDGE)].flatMap((bytes) => decodeTraces(bytes))
    expect(await tracesOf(await roundTrip(memorySource(input)))).toEqual(expected(input))
  })

  test('random spans with every field, type and 64-bit extreme come back', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const input = wildTraces(new Random(seed))
      expect(await tracesOf(await roundTrip(memorySource(input)))).toEqual(expected(input))
    }
  })

  test('a block of one trace is a block', async () => {
    const input = shopTraces({ traces: 1 })
    const block = await roundTrip(memorySource(input))
    expect(block.traceCount).toBe(1)
    expect(await tracesOf(block)).toEqual(expected(input))
  })

  test('input groups that are small are joined, and their equal resources with them', async () => {
    const source = memorySource(shopTraces({ traces: 150 }), { spansPerGroup: 100 })
    expect(source.groupCount).toBeGreaterThan(10)
    const block = await roundTrip(source)
    expect(block.groupCount).toBe(1)
    expect((await block.group(0)).counts.resource).toBe(30)
    expect((await block.group(0)).counts.scope).toBe(1)
    expect(await tracesOf(block)).toEqual(await tracesOf(source))
  })

  test('a block made from another block is equal to it', async () => {
    const first = await build(groupsOf(memorySource(wildTraces(new Random(99)))))
    const second = await build(groupsOf(await blockpack.open(first.meta, first.backend)))
    expect(Buffer.compare(second.data, first.data)).toBe(0)
  })

  test('blocks with dictionaries of their own merge into one', async () => {
    const inputs = [1, 2, 3].map((seed) => shopTraces({ traces: 30, seed }))
    const blocks = await Promise.all(inputs.map((input) => roundTrip(memorySource(input))))
    const merged = await build(await sortedSlices(blocks))
    const block = await blockpack.open(merged.meta, merged.backend)
    expect(await tracesOf(block)).toEqual(expected(inputs.flat()))
  })
})

/** The traces of several sources in the order of their ids, each as a group of its own: what a compaction reads. */
async function sortedSlices(sources: readonly ColumnSource[]): Promise<RowGroup[]> {
  const traces: { id: string; group: RowGroup }[] = []
  for (const source of sources) {
    for (const [id, bytes] of await traceBytes(source)) {
      traces.push({ id, group: await memorySource(bytes).group(0) })
    }
  }
  return traces.sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ group }) => group)
}

async function traceBytes(source: ColumnSource): Promise<Map<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  for await (const group of groupsOf(source)) {
    const ids = (await group.field('trace.id'))!.bytes
    for (let row = 0; row < group.counts.trace; row++) {
      out.set(toHex(ids.subarray(16 * row, 16 * row + 16)), await assembleTrace(group, row))
    }
  }
  return out
}

describe('columns', () => {
  let source: ColumnSource
  let block: ColumnSource
  let theirs: RowGroup
  let ours: RowGroup
  beforeAll(async () => {
    source = memorySource(wildTraces(new Random(5)))
    block = await roundTrip(source)
    theirs = await source.group(0)
    ours = await block.group(0)
  })

  test('tables have the same rows and hang together the same way', async () => {
    expect(ours.counts).toEqual(theirs.counts)
    expect(await ours.parents()).toEqual(await theirs.parents())
    expect(await ours.offsets('event')).toEqual(await theirs.offsets('event'))
    expect(await ours.offsets('link')).toEqual(await theirs.offsets('link'))
    expect([ours.minStart_ns, ours.maxEnd_ns]).toEqual([theirs.minStart_ns, theirs.maxEnd_ns])
  })

  test('a column that nobody has is undefined', async () => {
    const nobody: AttributeKey = { level: 'span', key: 'nobody has this', type: 'string' }
    expect(await ours.attribute(nobody)).toBeUndefined()
  })

  test('attribute lists are the same at every level', async () => {
    for (const level of ['resource', 'scope', 'span', 'event', 'link'] as const) {
      const sorted = async (group: RowGroup) =>
        (await group.attributes(level)).map((k) => `${k.type} ${k.key}`).sort()
      expect(await sorted(ours)).toEqual(await sorted(theirs))
    }
  })

  test('a text that some row has is never denied, whatever column it is asked of', async () => {
    for (const level of ['resource', 'span', 'event'] as const) {
      for (const key of await theirs.attributes(level)) {
        const column = await theirs.attribute(key)
        if (column?.type !== 'string') continue
        for (const code of column.codes) {
          if (code === 0) continue
          expect(await ours.mayHave!(key, column.dictionary.text(code))).toBe(true)
        }
      }
    }
  })
})

describe('trace by id', () => {
  let block: ColumnSource
  let ids: string[]
  beforeAll(async () => {
    const source = memorySource(shopTraces({ traces: 300 }))
    block = await roundTrip(source)
    ids = [...(await traceBytes(source)).keys()]
  })

  test('every trace is located where it is', async () => {
    for (const id of ids) {
      const place = await block.locate(fromHex(id)!)
      const group = await block.group(place!.group)
      const found = (await group.field('trace.id'))!.bytes.subarray(
        16 * place!.row,
        16 * place!.row + 16,
      )
      expect(toHex(found)).toBe(id)
    }
  })

  test('an id that is not there is not found, before, between and after the others', async () => {
    const random = new Random(3)
    const absent = ['00'.repeat(16), 'ff'.repeat(16), ...ids.map(() => toHex(random.bytes(16)))]
    for (const id of absent) expect(await block.locate(fromHex(id)!)).toBeUndefined()
  })
})

describe('dictionary', () => {
  test('equal strings have one code, wherever they stand', async () => {
    const block = await roundTrip(memorySource(shopTraces({ traces: 400 })))
    const seen = new Map<string, number>()
    const group = await block.group(0)
    for (const key of await group.attributes('span')) {
      const column = await group.attribute(key)
      if (column?.type !== 'string') continue
      for (const code of new Set(column.codes)) {
        if (code === 0) continue
        const text = column.dictionary.text(code)
        expect(seen.get(text) ?? code).toBe(code)
        seen.set(text, code)
        expect(column.dictionary.find(text)).toBe(code)
      }
    }
    expect(seen.size).toBeGreaterThan(2000)
  })

  test('a string that stands in a page not yet read is found under the code that it gets', async () => {
    const source = memorySource(shopTraces({ traces: 400 }))
    const key: AttributeKey = { level: 'span', key: 'cache.key', type: 'string' }
    const theirs = await (await source.group(0)).attribute(key)
    if (theirs?.type !== 'string') throw new Error('no such column')
    const row = theirs.codes.findIndex((code) => code !== 0)
    const text = theirs.dictionary.text(theirs.codes[row]!)
    const block = await roundTrip(source)
    const code = block.dictionary.find(text)
    expect(code).not.toBe(0)
    const ours = await (await block.group(0)).attribute(key)
    expect(ours?.type === 'string' && ours.codes[row]).toBe(code)
  })
})

describe('input that breaks the rules', () => {
  test('an empty block is refused', async () => {
    await expect(build([])).rejects.toThrow('the input has no spans')
  })

  test('traces out of order are refused with both ids', async () => {
    const groups: RowGroup[] = []
    for (const seed of [1, 2])
      groups.push(await memorySource(shopTraces({ traces: 20, seed })).group(0))
    await expect(build(groups)).rejects.toThrow(/trace [0-9a-f]{32} comes after [0-9a-f]{32}/)
  })
})
