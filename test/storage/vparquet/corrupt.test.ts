import { expect, test } from 'vitest'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { CorruptBlock } from '../../../src/storage/block/encoding.js'
import { assembleTrace } from '../../../src/storage/block/assemble.js'
import { openBlock } from '../../../src/storage/block/registry.js'
import { ParquetFooter } from '../../../src/storage/parquet/read-file.js'
import { planSearch } from '../../../src/traceql/plan.js'
import { searchSource } from '../../../src/traceql/search.js'
import type { MemoryBackend } from '../../support/memory-backend.js'
import { Random } from '../../support/random.js'
import { tempoBlock } from './tempo-blocks.js'

const TIMEOUT_MS = 60_000

/** Opens the block and reads as much of it as a few questions need. */
async function readMuch(meta: BlockMeta, backend: MemoryBackend): Promise<void> {
  const source = await openBlock(meta, backend)
  await source.locate(new Uint8Array(16).fill(5))
  const group = await source.group(0)
  await assembleTrace(group, 3)
  const options = { limit: 5, spansPerSpanSet: 3 }
  for (const query of ['{ span.http.status_code > 1 && name != "x" }', '{ event:name != "" }']) {
    await searchSource(source, planSearch(query), options)
  }
}

/** Undefined = nothing was noticed, which a lie in a value may well be. */
async function outcome(meta: BlockMeta, backend: MemoryBackend): Promise<Error | undefined> {
  try {
    await readMuch(meta, backend)
    return undefined
  } catch (error) {
    return error as Error
  }
}

test(
  'a byte that changed anywhere is noticed as a corrupt block or does no harm',
  async () => {
    const random = new Random(7)
    const { meta, backend, data, folder } = tempoBlock('vparquet5-edge')
    const path = `${folder}/data.parquet`
    const footerAt = data.length - meta.footerSize - 8
    let corrupt = 0
    for (let round = 0; round < 60; round++) {
      const copy = data.slice()
      // Half of them in the footer, where a lie goes furthest.
      const at = round % 2 === 0 ? footerAt + random.below(meta.footerSize) : random.below(footerAt)
      copy[at] = round % 3 === 0 ? 0xff : copy[at]! ^ (1 << random.below(8))
      backend.objects.set(path, copy)
      const error = await outcome(meta, backend)
      if (!error) continue
      expect({ at, error }).toEqual({ at, error: expect.any(CorruptBlock) as unknown })
      expect(error.message).toContain(meta.blockID)
      corrupt++
    }
    expect(corrupt).toBeGreaterThan(10)
  },
  TIMEOUT_MS,
)

test(
  'a damaged page names its row group, its column and its place',
  async () => {
    const { meta, backend, data, folder } = tempoBlock('vparquet4-edge')
    const copy = data.slice()
    const thrift = data.subarray(data.length - meta.footerSize - 8, data.length - 8)
    const footer = new ParquetFooter(thrift, data.length, () => undefined)
    const { index } = footer.byPath.get('rs.ss.Spans.Name')!
    const at = footer.group(0).columns[index]!.metaData.dataPageOffset
    copy.fill(0xff, at, at + 40)
    backend.objects.set(`${folder}/data.parquet`, copy)
    const source = await openBlock(meta, backend)
    const group = await source.group(0)
    const error = await assembleTrace(group, 0).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(CorruptBlock)
    expect((error as CorruptBlock).section).toBe('row group 0, column rs.ss.Spans.Name')
    expect((error as CorruptBlock).offset - at).toBeLessThan(100)
  },
  TIMEOUT_MS,
)

test.each([
  ['is cut off', (data: Uint8Array) => data.slice(0, data.length - 1000), /byte/],
  ['is no parquet', (data: Uint8Array) => new Uint8Array(data.length), /does not end with PAR1/],
  [
    'has a footer longer than itself',
    (data: Uint8Array) => withFooter(data, 0xffffff0),
    /footer of/,
  ],
  ['has a footer of nothing', (data: Uint8Array) => withFooter(data, 0), /footer/],
])('a file that %s is corrupt', async (_, change, message) => {
  const { meta, backend, data, folder } = tempoBlock('vparquet5-edge')
  backend.objects.set(`${folder}/data.parquet`, change(data))
  const error = await outcome(meta, backend)
  expect(error).toBeInstanceOf(CorruptBlock)
  expect(error!.message).toMatch(message)
})

function withFooter(data: Uint8Array, length: number): Uint8Array {
  const copy = data.slice()
  new DataView(copy.buffer).setUint32(copy.length - 8, length, true)
  return copy
}

test('a bloom that is no bloom is corrupt, one that is gone says nothing', async () => {
  const { meta, backend, folder } = tempoBlock('vparquet5-edge')
  const id = new Uint8Array(16).fill(5)
  backend.objects.set(`${folder}/bloom-0`, new Uint8Array(30).fill(255))
  const source = await openBlock(meta, backend)
  await expect(source.locate(id)).rejects.toThrow(CorruptBlock)
  backend.objects.delete(`${folder}/bloom-0`)
  expect(await (await openBlock(meta, backend)).locate(id)).toBeUndefined()
})

test('dedicated columns that are no list are a corrupt meta.json', async () => {
  const { meta, backend } = tempoBlock('vparquet5-edge')
  const lie = { ...meta, dedicatedColumns: 'k8s.pod.name' } as unknown as BlockMeta
  await expect(openBlock(lie, backend)).rejects.toThrow(/meta\.json.*dedicatedColumns is no list/)
})
