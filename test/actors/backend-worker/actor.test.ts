import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import BackendWorker from '../../../src/actors/backend-worker/actor.js'
import {
  FRONTEND_STALE_MS,
  type BackendWorkerAsks,
} from '../../../src/actors/backend-worker/contract.js'
import { Universe } from '../../../src/bus/universe.js'
import { MetricsPage } from '../../../src/lib/metrics.js'
import { serializeMeta } from '../../../src/storage/block/meta.js'
import { blockId, meta } from '../frontend/metas.js'
import { configFor } from '../config.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function write(path: string, n: number): void {
  mkdirSync(join(path, 'a', blockId(n)), { recursive: true })
  writeFileSync(join(path, 'a', blockId(n), 'meta.json'), serializeMeta(meta('a', n)))
}

async function worker() {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-backend-worker-'))
  folders.push(folder)
  const path = join(folder, 'tempo-data/blocks')
  mkdirSync(path, { recursive: true })
  write(path, 1)
  const universe = new Universe()
  const shared = { 'metrics-backend-worker': MetricsPage.create() }
  const config = configFor(folder)
  const options = { component: 'backend-worker', config, shared }
  const hosted = await universe.spawn(BackendWorker, options)
  const ask = () => universe.ask<BackendWorkerAsks>('backend-worker')
  const holds = async (version: number) =>
    (await ask().blocklist({ frontend: 'f0', version })).version
  const mayGo = (n: number) => ask().listedEverywhere([{ tenant: 'a', blockId: blockId(n) }])
  return { universe, hosted, ask, holds, mayGo, path }
}

describe('the backend-worker', () => {
  it('lists what the backend has from its first answer on', async () => {
    const { universe, ask } = await worker()
    const reply = await ask().blocklist({ frontend: 'f0', version: 0 })
    expect(reply.tenants?.a?.map((found) => found.blockID)).toEqual([blockId(1)])
    await universe.stop()
  })

  it('lists a flushed block ahead of its poll, and what others wrote after it', async () => {
    const { universe, ask, path } = await worker()
    write(path, 2)
    await ask().flushed(meta('a', 2))
    const early = await ask().blocklist({ frontend: 'f0', version: 0 })
    expect(early.tenants?.a).toHaveLength(2)
    write(path, 3)
    await universe.clock.advance(301_000)
    await expect
      .poll(async () => {
        const { tenants } = await ask().blocklist({ frontend: 'f0', version: 0 })
        return tenants?.a?.length
      })
      .toBe(3)
    await universe.stop()
  })

  it('after a restart no local copy may go while a frontend could answer from its predecessor’s list', async () => {
    const { universe, hosted, ask, holds, mayGo, path } = await worker()
    await universe.clock.advance(FRONTEND_STALE_MS)
    await ask().flushed(meta('a', 2))
    write(path, 2)
    await holds(await holds(0))
    expect(await mayGo(2)).toEqual([blockId(2)])
    await hosted.stop()
    await hosted.restart()
    await holds(await holds(0))
    expect(await mayGo(2)).toEqual([])
    await universe.clock.advance(FRONTEND_STALE_MS)
    expect(await mayGo(2)).toEqual([blockId(2)])
    await universe.stop()
  })
})
