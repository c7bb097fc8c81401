import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { memorySource } from '../../support/memory-source.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import type { ResourceSpansObject } from '../../support/otlp-objects.js'
import { DATA_PATH, build, groupsOf, spansOf, tracesOf } from './blocks.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { Rebuilt } from './rebuilt.js'
import { wildTraces } from './wild-traces.js'

const GOLDEN = new URL('../../fixtures/golden.blockpack1', import.meta.url)
const input = (): ResourceSpansObject[] => [
  ...wildTraces(new Random(2024)),
  ...shopTraces({ traces: 8, seed: 2024 }),
]

/** Everything of the layout but lengths and checksums, which another zstd may make differ. */
function layout(data: Uint8Array) {
  const { groups, dictionary, totals } = new Rebuilt(data)
  const columns = groups.flatMap(({ directory }) =>
    directory.columns.map(({ name, codec, mask, codes, range }) => ({
      name,
      codec,
      mask,
      codes: codes && [...codes],
      range,
    })),
  )
  return { columns, totals, dictionary: Buffer.from(dictionary).toString('latin1') }
}

// A change of the format needs a new version beside this one: the golden file is never written over.
// BLOCKPACK_GOLDEN=write makes the first one.
test('a block of the first version is still read', async () => {
  const { meta, data } = await build(groupsOf(memorySource(input())))
  if (process.env.BLOCKPACK_GOLDEN === 'write') writeFileSync(GOLDEN, data, { flag: 'wx' })
  const golden = new Uint8Array(readFileSync(GOLDEN))
  const backend = new MemoryBackend()
  backend.objects.set(DATA_PATH, golden)
  const block = await blockpack.open({ ...meta, size: golden.length }, backend)
  const traces = await tracesOf(block)
  expect([...traces.values()].flat().sort()).toEqual(spansOf(input()))
})

test('the writer still writes the first version', async () => {
  const { data } = await build(groupsOf(memorySource(input())))
  expect(layout(data)).toEqual(layout(new Uint8Array(readFileSync(GOLDEN))))
})
