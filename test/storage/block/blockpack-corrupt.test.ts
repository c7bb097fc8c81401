import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { ColumnSource } from '../../../src/otlp/columns.js'
import { assembleTrace } from '../../../src/storage/block/assemble.js'
import { blockpack } from '../../../src/storage/block/blockpack.js'
import { CorruptBlock, type BlockMeta } from '../../../src/storage/block/encoding.js'
import { MemoryBackend } from '../../support/memory-backend.js'
import { memorySource } from '../../support/memory-source.js'
import { Random } from '../../support/random.js'
import { shopTraces } from '../../support/shop-traces.js'
import { DATA_PATH, build, groupsOf } from './blocks.js'
import { PARTS, Rebuilt } from './rebuilt.js'
import { wildTraces } from './wild-traces.js'

/** Enough to find what is wrong in seconds; raise it for a night. */
const MUTATIONS = Number(process.env.BLOCKPACK_MUTATIONS ?? 900)

interface Block {
  meta: BlockMeta
  data: Uint8Array
}

function openBytes(block: Block, data: Uint8Array): Promise<ColumnSource> {
  const backend = new MemoryBackend()
  backend.objects.set(DATA_PATH, data)
  return blockpack.open({ ...block.meta, size: data.length }, backend)
}

/** Reads all there is; returns a digest of every trace's bytes. Only `CorruptBlock` may stop it. */
async function readAll(block: Block, data: Uint8Array): Promise<string | CorruptBlock> {
  const digest = createHash('sha1')
  try {
    const source = await openBytes(block, data)
    for await (const group of groupsOf(source)) {
      await group.parents()
      for (const field of [
        'trace.start',
        'trace.end',
        'trace.rootName',
        'trace.rootService',
      ] as const) {
        await group.field(field)
      }
      for (let row = 0; row < group.counts.trace; row++)
        digest.update(await assembleTrace(group, row))
      for (const key of await group.attributes('span')) await group.mayHave!(key, 'GET')
    }
    await source.locate(new Uint8Array(16).fill(127))
    await source.traceFilter?.()
    return digest.digest('hex')
  } catch (error) {
    if (error instanceof CorruptBlock) return error
    throw error
  }
}

let small: Block
let shop: Block
beforeAll(async () => {
  small = await build(groupsOf(memorySource(wildTraces(new Random(4)))))
  shop = await build(groupsOf(memorySource(shopTraces({ traces: 3 }))))
})

describe('mutated files', () => {
  test('flipped bits are always noticed, and the error says where', async () => {
    const random = new Random(11)
    const whole = await readAll(small, small.data)
    for (let i = 0; i < MUTATIONS; i++) {
      const data = small.data.slice()
      for (let flips = 1 + random.below(3); flips > 0; flips--) {
        data[random.below(data.length)]! ^= 1 << random.below(8)
      }
      const result = await readAll(small, data)
      if (typeof result === 'string') expect(result).toBe(whole)
      else expect(result.message).toMatch(/^block 1{8}-.*: .* at byte \d+: ./)
    }
  })

  test('a file cut short anywhere is noticed', async () => {
    for (let length = 0; length < small.data.length; length += 1 + (length % 23)) {
      expect(await readAll(small, small.data.subarray(0, length))).toBeInstanceOf(CorruptBlock)
    }
  })

  test.each(PARTS)('nonsense in the %s with good checksums does no harm', async (part) => {
    const random = new Random(12)
    let corrupt = 0
    for (let i = 0; i < MUTATIONS / 3; i++) {
      const block = random.oneIn(3) ? shop : small
      const rebuilt = new Rebuilt(block.data)
      rebuilt.mutate(part, random)
      if ((await readAll(block, rebuilt.encode())) instanceof CorruptBlock) corrupt++
    }
    expect(corrupt).toBeGreaterThan(0)
  })
})

describe('versions', () => {
  test('a rebuilt file without a mutation is the file', () => {
    expect(Buffer.compare(new Rebuilt(shop.data).encode(), shop.data)).toBe(0)
  })

  test('a section that this version does not know is skipped', async () => {
    const rebuilt = new Rebuilt(shop.data)
    rebuilt.extra.push({ id: 77, bytes: Uint8Array.of(1, 2, 3) })
    expect(await readAll(shop, rebuilt.encode())).toBe(await readAll(shop, shop.data))
  })

  test('a column of an unknown kind is skipped', async () => {
    const rebuilt = new Rebuilt(shop.data)
    rebuilt.relabel('span.name', 'kind', 99)
    const source = await openBytes(shop, rebuilt.encode())
    const group = await source.group(0)
    expect(await group.field('span.name')).toBeUndefined()
    expect(await group.field('span.kind')).toBeDefined()
  })

  test('a column of an unknown codec is refused: its values would be missing', async () => {
    const rebuilt = new Rebuilt(shop.data)
    rebuilt.relabel('span.name', 'codec', 99)
    const source = await openBytes(shop, rebuilt.encode())
    await expect(source.group(0)).rejects.toThrow('codec 99 of span.name is unknown')
  })

  test('a newer format is refused with what to do about it', async () => {
    const rebuilt = new Rebuilt(shop.data)
    rebuilt.version = 2
    await expect(openBytes(shop, rebuilt.encode())).rejects.toThrow(
      /^block [-0-9a-f]{36} has format version 2 of blockpack, this program reads version 1: a newer tempo-actors or another program wrote it/,
    )
  })

  test('an object of another kind is refused', async () => {
    await expect(openBytes(shop, new Uint8Array(1000))).rejects.toThrow('not a blockpack')
  })
})
