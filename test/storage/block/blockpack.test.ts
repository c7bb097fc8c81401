import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { memorySource } from '../../support/memory-source.js'
import { decodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import { shopTraces } from '../../support/shop-traces.js'
import { build, groupsOf, tracesOf } from './blocks.js'

const EDGE = readFileSync(new URL('../../fixtures/edge.bin', import.meta.url))
const edgeTraces = () => [...lengthDelimited(EDGE)].flatMap((bytes) => decodeTraces(bytes))

test('every trace of the shop comes back equal', async () => {
  const source = memorySource(shopTraces({ traces: 150 }))
  const { meta, backend } = await build(groupsOf(source))
  const block = await blockpack.open(meta, backend)
  expect(await tracesOf(block)).toEqual(await tracesOf(source))
})

test('every trace of edge.bin comes back equal', async () => {
  const source = memorySource(edgeTraces())
  const { meta, backend } = await build(groupsOf(source))
  const block = await blockpack.open(meta, backend)
  expect(await tracesOf(block)).toEqual(await tracesOf(source))
})
