/**
 * The golden blocks of test/fixtures/tempo-blocks are what a real Tempo makes of edge.bin: here it makes them anew and they are
 * compared. RECORD=write puts the new ones in their place:
 *
 *     RECORD=write npm run test:integration -- test/integration/record-tempo-blocks.test.ts
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { LocalBackend } from '../../src/storage/backend/local.js'
import { parseMeta } from '../../src/storage/block/meta.js'
import { openBlock } from '../../src/storage/block/registry.js'
import { tracesOf } from '../storage/block/blocks.js'
import { edgeRequests, tempoBlock } from '../storage/vparquet/tempo-blocks.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { eventually } from '../support/server.js'
import { Tempo } from '../support/tempo.js'
import { TENANT } from '../support/vparquet-blocks.js'

const GOLDEN = new URL('../fixtures/tempo-blocks/', import.meta.url)
const BLOCK_MS = 120_000
/** Mostly zeros. */
const IS_GZIPPED = /^bloom-\d+$/

const title = peerTitle('a real Tempo makes the golden blocks', 'tempo')

describe.skipIf(!peerPath('tempo'))(title, () => {
  let tempo: Tempo | undefined
  afterEach(async () => {
    await tempo?.stop()
  })

  it.each([
    ['vParquet4', 'vparquet4-edge'],
    ['vParquet5', 'vparquet5-edge'],
  ])(
    'of %s',
    async (version, name) => {
      const golden = tempoBlock(name)
      const isWithoutDedicated = golden.meta.dedicatedColumns === undefined
      tempo = await Tempo.prepare({ version, maxBlockDuration_s: 20, isWithoutDedicated })
      await tempo.run()
      for (const request of edgeRequests()) await tempo.push(request)
      const folder = join(tempo.blocks, TENANT)
      const made = () => wholeBlocks(folder)
      await eventually('its block is there', BLOCK_MS, () => Promise.resolve(made().length > 0))
      const [blockId] = made()
      const meta = parseMeta(readFileSync(join(folder, blockId!, 'meta.json')), blockId!)
      expect(meta).toMatchObject({ format: version, totalObjects: golden.meta.totalObjects })
      const local = new LocalBackend(tempo.blocks, { clock: systemClock, log: silentLog })
      const now = await openBlock(meta, local)
      const then = await openBlock(golden.meta, golden.backend)
      expect(await tracesOf(now)).toEqual(await tracesOf(then))
      expect(meta.dedicatedColumns).toEqual(golden.meta.dedicatedColumns)
      await now.close()
      await local.close()
      if (process.env.RECORD === 'write') record(join(folder, blockId!), new URL(`${name}/`, GOLDEN))
    },
    2 * BLOCK_MS,
  ) // prettier-ignore
})

function wholeBlocks(folder: string): string[] {
  try {
    return readdirSync(folder).filter((id) => readdirSync(join(folder, id)).includes('meta.json'))
  } catch {
    return []
  }
}

function record(from: string, to: URL): void {
  for (const old of readdirSync(to)) rmSync(new URL(old, to))
  for (const name of readdirSync(from)) {
    const bytes = readFileSync(join(from, name))
    const isGzipped = IS_GZIPPED.test(name)
    writeFileSync(new URL(isGzipped ? `${name}.gz` : name, to), isGzipped ? gzipSync(bytes, { level: 9 }) : bytes) // prettier-ignore
  }
}
