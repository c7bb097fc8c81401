import { describe, expect, test } from 'vitest'
import { openBlock } from '../../../src/storage/block/registry.js'
import { fromHex, toHex } from '../../../src/lib/bytes.js'
import type { ColumnSource, RowGroup } from '../../../src/otlp/columns.js'
import { spansOf, tracesOf } from '../block/blocks.js'
import { edgeRequests, keptByTempo, tempoBlock } from './tempo-blocks.js'

type Sent = ReturnType<typeof keptByTempo>[number]

const TIMEOUT_MS = 60_000

/** Every trace of edge.bin by id, as texts that can be compared; what was sent twice once. */
function sentTraces(): Map<string, string[]> {
  const byId = new Map<string, Sent[]>()
  for (const rs of keptByTempo(edgeRequests()).flatMap(oneSpanEach)) {
    const id = toHex(rs.scopes[0]!.spans[0]!.traceId)
    byId.set(id, [...(byId.get(id) ?? []), rs])
  }
  return new Map([...byId].map(([id, spans]) => [id, distinct(spansOf(spans))]))
}

const distinct = (texts: readonly string[]): string[] => [...new Set(texts)].sort()

const oneSpanEach = (rs: Sent): Sent[] =>
  rs.scopes.flatMap((ss) => ss.spans.map((span) => ({ ...rs, scopes: [{ ...ss, spans: [span] }] })))

/** Traces that are not the same, so that a failure shows a few and not all. */
function differences(
  found: ReadonlyMap<string, string[]>,
  sent: ReadonlyMap<string, string[]>,
): object[] {
  const ids = new Set([...found.keys(), ...sent.keys()])
  const different = [...ids].flatMap((id) => {
    const [is, should] = [distinct(found.get(id) ?? []), distinct(sent.get(id) ?? [])]
    return is.join('\n') === should.join('\n') ? [] : [{ id, is, should }]
  })
  return different.slice(0, 3)
}

/** The same source, of which only its tables are used. */
function tablesOnly(source: ColumnSource): ColumnSource {
  const group = async (index: number): Promise<RowGroup> => {
    const whole = await source.group(index)
    return {
      counts: whole.counts,
      minStart_ns: whole.minStart_ns,
      maxEnd_ns: whole.maxEnd_ns,
      parents: () => whole.parents(),
      offsets: (level) => whole.offsets(level),
      attributes: (level) => whole.attributes(level),
      attribute: (key) => whole.attribute(key),
      field: (name) => whole.field(name),
    }
  }
  return new Proxy(source, {
    get: (of, name) => (name === 'group' ? group : (Reflect.get(of, name, of) as unknown)),
  })
}

describe.each(['vparquet4-edge', 'vparquet5-edge'])('%s, written by Tempo', (name) => {
  const open = () => {
    const { meta, backend } = tempoBlock(name)
    return openBlock(meta, backend)
  }

  test(
    'has every trace of edge.bin as it was sent',
    async () => {
      const source = await open()
      expect(source.traceCount).toBe(1508)
      const found = await tracesOf(source)
      expect(differences(found, sentTraces())).toEqual([])
      const spans = [...found.values()].reduce((sum, { length }) => sum + length, 0)
      expect(spans).toBe(source.spanCount)
    },
    TIMEOUT_MS,
  )

  test(
    'offers the engine tables with every trace of edge.bin',
    async () => {
      const found = await tracesOf(tablesOnly(await open()))
      expect(differences(found, sentTraces())).toEqual([])
    },
    TIMEOUT_MS,
  )

  test('finds traces by id, and none that it has not got', async () => {
    const source = await open()
    const ids = [...sentTraces().keys()].sort()
    const group = await source.group(0)
    const bytes = (await group.field('trace.id'))!.bytes
    for (const i of [0, 1, 17, 700, 1506, 1507]) {
      const place = (await source.locate(fromHex(ids[i]!)!))!
      expect(toHex(bytes.subarray(16 * place.row, 16 * place.row + 16))).toBe(ids[i])
    }
    for (const absent of ['00', '7f', 'ff']) {
      expect(await source.locate(fromHex(absent.repeat(16))!)).toBeUndefined()
    }
  })
})
