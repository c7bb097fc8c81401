import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toHex } from '../../src/lib/bytes.js'
import { blockId } from '../storage/compaction/blocks.js'
import type { ResourceSpansObject } from '../support/otlp-objects.js'
import { shopTraces } from '../support/shop-traces.js'
import { BlocksFolder, TIMEOUT_MS } from './blocks-folder.js'

let folder: BlocksFolder
beforeEach(async () => {
  folder = await BlocksFolder.make()
})
afterEach(() => folder.remove())

const spansOf = (trace: readonly ResourceSpansObject[]) =>
  trace.flatMap(({ scopes }) => scopes.flatMap(({ spans }) => spans))

/** The spans whose place in the list says so. */
function some(trace: readonly ResourceSpansObject[], keeps: (i: number) => boolean) {
  let i = 0
  return trace.map((rs) => ({
    ...rs,
    scopes: rs.scopes.map((ss) => ({ ...ss, spans: ss.spans.filter(() => keeps(i++)) })),
  }))
}

interface Trace {
  resourceSpans: { scopeSpans: { spans: { spanId: string; name: string }[] }[] }[]
}
const idsOf = ({ resourceSpans }: Trace) =>
  resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    .map(({ spanId }) => toHex(Buffer.from(spanId, 'base64')))
    .sort()

describe('blocks find', { timeout: TIMEOUT_MS }, () => {
  test('puts a trace together out of every block that has a part of it', async () => {
    const trace = shopTraces({ traces: 1 })
    const spans = spansOf(trace)
    const id = toHex(spans[0]!.traceId)
    await folder.add(blockId(1), some(trace, (i) => i % 2 === 0))
    await folder.add(blockId(2), some(trace, (i) => i % 2 === 1 || i === 0))
    await folder.add(blockId(3), shopTraces({ seed: 2, traces: 10 }))
    const found = await folder.json<Trace>('find', 'shop', id)
    expect(idsOf(found)).toEqual(spans.map(({ spanId }) => toHex(spanId)).sort())
    const { code, out, err } = await folder.run('find', 'shop', id.replace(/^0+/, ''))
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(new RegExp(`^${spans.length} spans of \\d+ services, `))
    expect(out).toContain('found in 2 of 3 blocks; 1 copies of spans are left out')
    expect(out).toMatch(new RegExp(`^${blockId(1)} +blockpack1 +0 +${Math.ceil(spans.length / 2)} `, 'm')) // prettier-ignore
    expect(out.split('\n').filter((line) => line.startsWith('|'))).toHaveLength(spans.length)
  }) // prettier-ignore

  test('finds a trace that Tempo wrote', async () => {
    await folder.addGolden('vparquet4-edge')
    await folder.addGolden('vparquet5-edge')
    const { code, out, err } = await folder.run('find', 'single-tenant', 'ff0000000000000000000000000008ff', '--json') // prettier-ignore
    expect(code).toBe(0)
    expect(err.split('\n').filter(Boolean)).toEqual([
      expect.stringMatching(/^found in d169da13-\S+ \(vParquet4\)$/),
      expect.stringMatching(/^found in f507e93f-\S+ \(vParquet5\)$/),
    ])
    expect(idsOf(JSON.parse(out) as Trace).length).toBeGreaterThan(0)
  })

  test('does not read blocks that others stand for, unless it is asked to', async () => {
    const trace = shopTraces({ traces: 1 })
    const id = toHex(spansOf(trace)[0]!.traceId)
    await folder.add(blockId(1), trace)
    await folder.add(blockId(2), trace, { compactedFrom: [blockId(1)] })
    expect((await folder.run('find', 'shop', id)).out).toContain('found in 1 of 1 blocks\n')
    const all = (await folder.run('find', 'shop', id, '--include-compacted')).out
    expect(all).toContain('found in 2 of 2 blocks')
  })

  test('exits with 1 when no block has it', async () => {
    await folder.add(blockId(1), shopTraces({ traces: 5 }))
    expect(await folder.run('find', 'shop', 'abc')).toEqual({
      code: 1,
      out: '',
      err: `trace abc is in none of 1 blocks of tenant shop in ${folder.path}\n`,
    })
  })

  test('is not kept from a trace by a block that cannot be read, and tells of it', async () => {
    const trace = shopTraces({ traces: 1 })
    const id = toHex(spansOf(trace)[0]!.traceId)
    await folder.add(blockId(1), trace)
    const broken = await folder.add(blockId(2), trace)
    await folder.flip(broken, 'data.blockpack', broken.size - 1)
    const { code, out, err } = await folder.run('find', 'shop', id)
    expect(code).toBe(1)
    expect(out).toContain('found in 1 of 2 blocks')
    expect(err).toMatch(new RegExp(`^warning: shop/${blockId(2)} could not be read: block ${blockId(2)}: trailer at byte`)) // prettier-ignore
  })
})
