import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { HeadArena } from '../../../src/storage/head/arena.js'
import { openHead } from '../../../src/storage/head/source.js'
import { HeadWriter } from '../../../src/storage/head/writer.js'
import { decodeTraces, encodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import { shopTraces } from '../../support/shop-traces.js'
import { BLOCK_ID, TENANT, build, groupsOf, spansOf, tracesOf } from './blocks.js'

const EDGE = readFileSync(new URL('../../fixtures/edge.bin', import.meta.url))

function headOf(requests: readonly Uint8Array[], groupSpans: number) {
  const arena = HeadArena.create({ bytes: 64 << 20, readers: 2 })
  const writer = HeadWriter.create(arena, { blockId: BLOCK_ID, tenant: TENANT, partition: 0 })!
  for (const request of requests) writer.append(request)
  writer.publish(1)
  return openHead(arena, writer.headerChunk, { order: 'traceId', groupSpans })
}

// The head's columns stand in shared memory, which not every function of Node takes.
test.each([
  ['the shop', [encodeTraces(shopTraces({ traces: 60 }))]],
  ['edge.bin', [...lengthDelimited(EDGE)]],
])('a block built from a live head of %s has every span that was sent', async (_, requests) => {
  const source = headOf(requests, 500)
  const { meta, backend } = await build(groupsOf(source))
  const block = await blockpack.open(meta, backend)
  expect(block.spanCount).toBe(source.spanCount)
  const spans = [...(await tracesOf(block)).values()].flat().sort()
  // A span that was sent twice is one span in a head.
  const sent = new Set(spansOf(requests.flatMap((bytes) => decodeTraces(bytes))))
  expect(spans).toEqual([...sent])
  await source.close()
})
