import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../../src/lib/bytes.js'
import { EmptyBlock, UnsortedInput } from '../../../src/storage/block/blockpack-writer.js'
import { parseMeta, serializeMeta } from '../../../src/storage/block/meta.js'
import { openVparquet } from '../../../src/storage/vparquet/read/source.js'
import type { Version } from '../../../src/storage/vparquet/write/schema.js'
import { writeVparquet } from '../../../src/storage/vparquet/write/writer.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { memorySource } from '../../support/memory-source.js'
import { decodeTraces, encodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import type { ResourceSpansObject, Value } from '../../support/otlp-objects.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import {
  MemorySink,
  TENANT,
  asInParquet,
  blockIdOf,
  groupsOf,
  headOf,
  makeBlock,
} from '../../support/vparquet-blocks.js'
import type { MadeBlock } from '../../support/vparquet-blocks.js'
import { spansOf, tracesOf } from '../block/blocks.js'
import { wildTraces } from '../block/wild-traces.js'
import { tempoBlock } from './tempo-blocks.js' // prettier-ignore

const VERSIONS: readonly [Version][] = [['vParquet4'], ['vParquet5']]
const EDGE = [...lengthDelimited(readFileSync(new URL('../../fixtures/edge.bin', import.meta.url)))]
const ID = blockIdOf('write-block.test')

function open({ meta, objects }: MadeBlock) {
  const backend = new MemoryBackend()
  for (const [name, bytes] of objects) {
    backend.objects.set(`${meta.tenantID}/${meta.blockID}/${name}`, bytes)
  }
  return openVparquet(parseMeta(serializeMeta(meta), meta.blockID), backend)
}

/** The spans that a block gives back, and those that were sent, as parquet can have them. */
async function bothSides(made: MadeBlock, sent: readonly ResourceSpansObject[]) {
  const source = await open(made)
  const found = [...(await tracesOf(source)).values()].flat().sort()
  await source.close()
  return { found, sent: [...new Set(spansOf(asInParquet(sent)))] }
}

const oneSpan = (attributes: [string, Value][]): ResourceSpansObject[] => [
  {
    resource: { attributes: [['service.name', 'one']] },
    scopes: [{ spans: [{ traceId: new Uint8Array(16).fill(1), spanId: new Uint8Array(8).fill(2), start: 5n, end: 9n, attributes }] }],
  },
] // prettier-ignore

// Reading back is assembling every trace one by one.
describe.each(VERSIONS)('%s', { timeout: 60_000 }, (version) => {
  test('every span of edge.bin comes back', async () => {
    const source = headOf(EDGE, ID)
    const made = await makeBlock(version, source)
    const { found, sent } = await bothSides(made, EDGE.flatMap((bytes) => decodeTraces(bytes))) // prettier-ignore
    expect(found).toEqual(sent)
    expect(made.meta).toMatchObject({ totalObjects: 1508, totalRecords: 1, replicationFactor: 1 })
  })

  test('every span of the shop comes back from several row groups of many pages', async () => {
    const traces = shopTraces({ traces: 60 })
    const source = headOf([encodeTraces(traces)], ID, 300)
    const made = await makeBlock(version, source, { rowGroupTraces: 20 })
    expect(made.meta.totalRecords).toBeGreaterThan(2)
    const { found, sent } = await bothSides(made, traces)
    expect(found).toEqual(sent)
    const index = JSON.parse(made.objects.get('index')!.toString()) as { rowGroups: string[] }
    expect(index.rowGroups).toHaveLength(made.meta.totalRecords)
    expect([...index.rowGroups].map((id) => toHex(Buffer.from(id, 'base64'))).sort()).toEqual(index.rowGroups.map((id) => toHex(Buffer.from(id, 'base64')))) // prettier-ignore
  })

  test('traces of every shape come back', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const traces = wildTraces(new Random(seed))
      const made = await makeBlock(version, headOf([encodeTraces(traces)], ID, 40))
      const { found, sent } = await bothSides(made, traces)
      expect(found).toEqual(sent)
    }
  })

  test('a small limit of bytes ends row groups, too', async () => {
    const source = headOf([encodeTraces(shopTraces({ traces: 60 }))], ID, 100)
    const { meta } = await makeBlock(version, source, { rowGroup_bytes: 20_000 })
    expect(meta.totalRecords).toBeGreaterThan(3)
  })

  test('groups of sources with different dictionaries make one dictionary a column', async () => {
    const traces = shopTraces({ traces: 30 })
    const halves = [0, 1].map((half) => memorySource(traces.map((rs) => ({
      ...rs,
      scopes: rs.scopes.map((ss) => ({ ...ss, spans: ss.spans.filter(({ traceId }) => traceId[0]! >> 7 === half) })),
    })).filter((rs) => rs.scopes[0]!.spans.length > 0), { id: ID, tenant: TENANT }))
    const sink = new MemorySink()
    async function* groups() {
      for (const half of halves) yield* groupsOf(half)
    }
    const meta = await writeVparquet(version, { blockId: ID, tenant: TENANT, compactionLevel: 1, groups: groups(), sink })
    expect(meta.totalRecords).toBe(1)
    const { found, sent } = await bothSides({ meta, objects: sink.objects }, traces)
    expect(found).toEqual(sent)
  }) // prettier-ignore

  test('values of the wrong type for a column of their own stay attributes', async () => {
    const traces = oneSpan([
      ['http.status_code', '200'],
      ['http.method', 7n],
      ['http.url', true],
      ['url.path', { array: ['/a', '/b'] }],
      ['http.request.method', { array: ['GET', 1n] }],
      ['server.port', { array: [1n, -2n, 3n] }],
      ['http.route', { array: [] }],
      ['server.address', ''],
    ])
    const made = await makeBlock(version, headOf([encodeTraces(traces)], ID))
    const { found, sent } = await bothSides(made, traces)
    expect(found).toEqual(sent)
  })

  test('an empty input and one out of order are refused', async () => {
    const request = { blockId: ID, tenant: TENANT, compactionLevel: 0, sink: new MemorySink() }
    await expect(writeVparquet(version, { ...request, groups: [] })).rejects.toThrow(EmptyBlock)
    const source = headOf([encodeTraces(shopTraces({ traces: 20 }))], ID, 100)
    const groups = await Promise.all([1, 0].map((index) => source.group(index)))
    await expect(writeVparquet(version, { ...request, groups })).rejects.toThrow(UnsortedInput)
  })
})

test.each([
  ['vParquet4', 'vparquet4-edge'],
  ['vParquet5', 'vparquet5-edge'],
] as const)(
  'bloom and index of edge.bin are byte for byte those of Tempo: %s',
  async (version, name) => {
    const tempo = tempoBlock(name)
    const { objects, meta } = await makeBlock(version, headOf(EDGE, ID))
    for (const object of ['bloom-0', 'index']) {
      expect(objects.get(object)).toEqual(Buffer.from(tempo.backend.objects.get(`${tempo.folder}/${object}`)!)) // prettier-ignore
    }
    expect(meta).toMatchObject({ bloomShards: tempo.meta.bloomShards, totalObjects: tempo.meta.totalObjects, endTime: tempo.meta.endTime }) // prettier-ignore
  },
)
