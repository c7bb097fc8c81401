/** Owns a house for tests of compaction: a backend in memory that can fail or die, and a reader that lists as a frontend does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlockRegistry } from '../../../src/actors/backend-worker/block-registry.js'
import { BucketView } from '../../../src/actors/backend-worker/bucket-view.js'
import { Compactor, type RunCompaction } from '../../../src/actors/backend-worker/compactor.js'
import { IndexKeeper } from '../../../src/actors/backend-worker/index-keeper.js'
import {
  compactionMetrics,
  indexMetrics,
  retentionMetrics,
} from '../../../src/actors/backend-worker/metrics.js'
import { Retainer } from '../../../src/actors/backend-worker/retainer.js'
import { listSources } from '../../../src/actors/frontend/read-set.js'
import { loadConfig, type Config } from '../../../src/config.js'
import type { SomeLimits } from '../../../src/config/limits.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { silentLog } from '../../../src/lib/log.js'
import { Metrics } from '../../../src/lib/metrics.js'
import { emptyBlocklist, metasByTenant, pollBlocklist } from '../../../src/storage/backend/blocklist.js' // prettier-ignore
import { openBlock } from '../../../src/storage/block/registry.js'
import { compact } from '../../../src/storage/compaction/compact.js'
import { Scratch } from '../../../src/storage/compaction/scratch.js'
import { noLimits } from '../../limits/no-limits.js'
import type { MemoryBackend } from '../../support/memory-backend.js'
import { tracesOf } from '../../storage/block/blocks.js'
import { TENANT } from '../../storage/compaction/blocks.js'

const folders: string[] = []

export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-compaction-'))
  folders.push(folder)
  return folder
}

export function removeScratch(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
}

export interface HouseOptions {
  readonly clock: FakeClock
  readonly scratch: string
  readonly config?: (config: Config) => Config
  readonly limits?: SomeLimits
  readonly room_bytes?: number
  readonly isOver?: () => boolean
  readonly run?: RunCompaction
}

/** A backend-worker without its loops: each step is a call. */
export function house(backend: MemoryBackend, options: HouseOptions) {
  const { clock, scratch } = options
  const loaded = loadConfig({ cwd: scratch, files: [], env: {} }).config
  const config = options.config?.(loaded) ?? loaded
  const registry = new BlockRegistry(clock, 1)
  const view = new BucketView()
  const metrics = new Metrics()
  const limits = noLimits(options.limits)
  const common = { backend, view, registry, limits, clock, log: silentLog, abort: new AbortController().signal } // prettier-ignore
  const index = new IndexKeeper({ ...common, settings: config.storage.tenant_index, metrics: indexMetrics(metrics) }) // prettier-ignore
  const onChanged = (tenant: string) => index.write(tenant)
  const compactor = new Compactor({
    ...common,
    run: options.run ?? ((inputs) => compact({ inputs, scratch }, backend)),
    scratch: new Scratch(scratch),
    settings: config.compaction,
    metrics: compactionMetrics(metrics),
    pressure: () => 'none',
    room: {
      free_bytes: options.room_bytes ?? Infinity,
      get isOver() {
        return options.isOver?.() ?? false
      },
    },
    onChanged,
  })
  const retainer = new Retainer({
    ...common,
    settings: config.retention,
    held_ms: config.live_store.complete_block_timeout_ms,
    readersGone_ms: 60_000,
    isBusy: (meta) => compactor.isBusy(meta),
    metrics: retentionMetrics(metrics),
    onChanged,
  })
  const poll = async () => {
    const fromIndex = (tenant: string) => index.read(tenant)
    await view.alone(async () => {
      const list = await pollBlocklist(backend, view.list, { log: silentLog, fromIndex })
      await view.take(list, backend, clock.now())
      registry.replace(metasByTenant(list))
    })
  }
  return { registry, view, index, compactor, retainer, poll, clock }
}

/** What a frontend lists that has just been started, by its backend-worker's first poll. */
export async function listed(backend: MemoryBackend, tenant = TENANT) {
  const list = await pollBlocklist(backend, emptyBlocklist, { log: silentLog })
  return listSources([], metasByTenant(list), tenant, {})
}

/** Every span that the blocks of a list have, as often as they have it. */
export async function spansListed(
  backend: MemoryBackend,
  sources: Awaited<ReturnType<typeof listed>>,
): Promise<string[]> {
  const spans: string[] = []
  for (const { meta } of sources) {
    const block = await openBlock(meta!, backend)
    spans.push(...[...(await tracesOf(block)).values()].flat())
  }
  return spans.sort()
}
