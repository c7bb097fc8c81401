/** Owns the tenant indexes: written here after each change when this store is the one that builds them, else read from who does. */
import type { Config } from '../../config.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import { BackendError, type Backend } from '../../storage/backend/backend.js'
import type { TenantBlocks } from '../../storage/backend/blocklist.js'
import {
  NoTenantIndex,
  ageOf_ms,
  readTenantIndex,
  writeTenantIndex,
} from '../../storage/backend/tenant-index.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import type { BucketView } from './bucket-view.js'
import type { IndexMetrics } from './metrics.js'

export interface IndexKeeperOptions {
  readonly backend: Backend
  readonly view: BucketView
  readonly settings: Config['storage']['tenant_index']
  readonly metrics: IndexMetrics
  readonly clock: Clock
  readonly log: Log
}

export class IndexKeeper {
  readonly #options: IndexKeeperOptions
  /** Tenants that have an index of ours, or may have one from before. */
  #written: Set<string> | undefined

  constructor(options: IndexKeeperOptions) {
    this.#options = options
  }

  /** What another program lists; undefined when it is to be listed here. Throws when there is no list and none may be made. */
  async read(tenant: string): Promise<TenantBlocks | undefined> {
    const { backend, settings, metrics, clock, log } = this.#options
    metrics.isBuilder.labels(tenant).set(settings.isBuilder ? 1 : 0)
    if (settings.isBuilder) return undefined
    try {
      const now_ms = clock.now()
      const index = await readTenantIndex(backend, tenant, { now_ms, stale_ms: settings.stale_ms })
      metrics.age_seconds.labels(tenant).set(ageOf_ms(index, now_ms) / 1000)
      const byId = (meta: BlockMeta): [string, BlockMeta] => [meta.blockID, meta]
      return {
        metas: new Map(index.metas.map(byId)),
        nocompact: new Set(),
        compacted: new Set(index.compacted.map(({ blockID }) => blockID)),
      }
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      metrics.errors.labels(tenant).inc()
      if (!settings.hasFallback || !(error instanceof NoTenantIndex)) throw error
      log.warn('no tenant index: the blocks are listed one by one', { tenant, error: error.message }) // prettier-ignore
      return undefined
    }
  }

  /** All indexes, after a poll. */
  async writeAll(): Promise<void> {
    const { view, backend, settings, log } = this.#options
    if (!settings.isBuilder) return
    try {
      this.#written ??= new Set((await backend.list('')).folders)
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      log.warn('indexes that were there before are not known yet', { error: errorText(error) })
    }
    for (const tenant of new Set([...view.tenants, ...(this.#written ?? [])])) {
      await this.write(tenant)
    }
  }

  /** One index. Not while blocks of the tenant may be missing: who reads it could not tell. */
  async write(tenant: string): Promise<void> {
    const { view, backend, settings, metrics, clock, log } = this.#options
    if (!settings.isBuilder || !view.isWhole(tenant)) return
    this.#tell(tenant)
    try {
      const index = view.index(tenant, clock.now())
      await writeTenantIndex(backend, tenant, index)
      metrics.age_seconds.labels(tenant).set(0)
      if (index.metas.length + index.compacted.length > 0) this.#written?.add(tenant)
      else this.#written?.delete(tenant)
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      metrics.errors.labels(tenant).inc()
      log.warn('tenant index not written', { tenant, error: errorText(error) })
    }
  }

  #tell(tenant: string): void {
    const { view, metrics } = this.#options
    const marked = view.compacted(tenant).map(({ meta }) => meta)
    const kinds = [['live', view.live(tenant)], ['compacted', marked]] as const // prettier-ignore
    for (const [status, metas] of kinds) {
      const sum = (count: (meta: BlockMeta) => number) =>
        metas.reduce((total, meta) => total + count(meta), 0)
      metrics.objects.labels(tenant, status).set(sum((meta) => meta.totalObjects))
      metrics.bytes.labels(tenant, status).set(sum((meta) => meta.size))
    }
  }
}
