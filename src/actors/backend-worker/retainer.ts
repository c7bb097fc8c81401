/** Owns retention: blocks that are too old, or too many for the room they may take, are marked; marked ones are deleted when their time is up. */
import type { Config } from '../../config.js'
import { mapBounded } from '../../lib/concurrency.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import type { LimitsSource } from '../../limits/view.js'
import type { Backend } from '../../storage/backend/backend.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { clearBlock, markCompacted, type CompactedBlock } from '../../storage/compaction/marks.js'
import {
  beyondSize,
  endOf_ms,
  isDue,
  isExpired,
  type RetentionOptions,
} from '../../storage/compaction/retention.js'
import type { BlockRegistry } from './block-registry.js'
import type { BucketView } from './bucket-view.js'
import type { RetentionMetrics } from './metrics.js'

/** A flag on a block whose holder should have let go of it this long ago was forgotten in a crash. */
const FORGOTTEN_FLAG_MS = 3_600_000

export interface RetainerOptions {
  readonly backend: Backend
  readonly view: BucketView
  readonly registry: Pick<BlockRegistry, 'exchange'>
  readonly settings: Config['retention']
  /** Local copies are held this long after a block's end. */
  readonly held_ms: number
  /** Nobody reads from a list that is older. */
  readonly readersGone_ms: number
  readonly limits: LimitsSource
  /** Blocks that are being merged now. */
  readonly isBusy: (meta: BlockMeta) => boolean
  readonly metrics: RetentionMetrics
  readonly clock: Clock
  readonly log: Log
  /** Told of a tenant whose blocks have changed. */
  readonly onChanged: (tenant: string) => Promise<void>
  readonly abort: AbortSignal
}

export class Retainer {
  readonly #options: RetainerOptions

  constructor(options: RetainerOptions) {
    this.#options = options
  }

  /** Looks at all blocks once. */
  async run(): Promise<void> {
    const { clock, metrics, view, onChanged, abort } = this.#options
    const started = clock.monotonic()
    const changed = new Set<string>()
    const tenants = view.tenants.filter((tenant) => !this.#isLeftAlone(tenant))
    for (const tenant of tenants) {
      const options = this.#optionsOf(tenant)
      const now_ms = clock.now()
      // Also those that a merged block stands for: none may come back when that one goes.
      const expired = [...view.unmarked(tenant), ...view.live(tenant)].filter(
        (meta) => isExpired(meta, now_ms, options) && this.#mayGo(meta, now_ms),
      )
      if (await this.#mark(expired, 'older than its retention')) changed.add(tenant)
      if (abort.aborted) return
    }
    const isFull = await this.#retainSize(tenants, changed)
    for (const tenant of tenants) {
      const options = this.#optionsOf(tenant)
      const due = view.compacted(tenant).filter((block) => isDue(block, clock.now(), options, isFull)) // prettier-ignore
      if (await this.#clear(due)) changed.add(tenant)
      if (abort.aborted) return
    }
    for (const tenant of changed) await onChanged(tenant)
    metrics.duration.observe((clock.monotonic() - started) / 1000)
  }

  #isLeftAlone(tenant: string): boolean {
    return this.#options.limits.of(tenant).compaction_disabled
  }

  #optionsOf(tenant: string): RetentionOptions {
    const { settings, limits, readersGone_ms } = this.#options
    return {
      block_retention_ms: limits.of(tenant).block_retention_ms || settings.block_retention_ms,
      compacted_block_retention_ms: settings.compacted_block_retention_ms,
      readersGone_ms,
    }
  }

  /** Not while it is merged, nor while a livestore holds it too, which waits for it to be listed. */
  #mayGo(meta: BlockMeta, now_ms: number): boolean {
    const { view, isBusy, held_ms } = this.#options
    if (isBusy(meta)) return false
    return !view.isHeld(meta) || endOf_ms(meta) < now_ms - held_ms - FORGOTTEN_FLAG_MS
  }

  /** Over all tenants: the oldest blocks go. True while there is more in the backend than may be. */
  async #retainSize(tenants: readonly string[], changed: Set<string>): Promise<boolean> {
    const { view, settings, clock, log } = this.#options
    if (settings.max_bytes === 0) return false
    const live = view.tenants.flatMap((tenant) => view.live(tenant))
    const marked = view.tenants.flatMap((tenant) => [
      ...view.compacted(tenant),
      ...view.unmarked(tenant).map((meta): CompactedBlock => ({ meta, compactedAt_ms: 0 })),
    ])
    const now_ms = clock.now()
    const gone = beyondSize(live, marked, settings).filter(
      (meta) => tenants.includes(meta.tenantID) && this.#mayGo(meta, now_ms),
    )
    if (gone.length > 0) {
      const bytes = gone.reduce((sum, { size }) => sum + size, 0)
      log.info('blocks take more than actors.retention.max_bytes: the oldest go', { blocks: gone.length, bytes }) // prettier-ignore
    }
    const isChanged = await this.#mark(gone, 'over the size that blocks may take')
    if (isChanged) for (const { tenantID } of gone) changed.add(tenantID)
    const sizes = [...live.map(({ size }) => size), ...marked.map(({ meta }) => meta.size)]
    return sizes.reduce((sum, size) => sum + size, 0) > settings.max_bytes
  }

  async #mark(metas: readonly BlockMeta[], reason: string): Promise<boolean> {
    const { view, backend, registry, settings, clock, metrics, log, abort } = this.#options
    if (metas.length === 0) return false
    await view.alone(async () => {
      await mapBounded(metas, settings.concurrency, async (meta) => {
        if (abort.aborted) return
        const { tenantID: tenant, blockID: block } = meta
        try {
          const now_ms = clock.now()
          await markCompacted(backend, meta, now_ms)
          view.marked(meta, now_ms)
          metrics.marked.inc()
          log.info('block marked for deletion', { tenant, block, reason, end: meta.endTime })
        } catch (error) {
          metrics.errors.inc()
          log.warn('block not marked for deletion', { tenant, block, error: errorText(error) })
        }
      })
      registry.exchange(
        metas.filter((meta) => !view.live(meta.tenantID).includes(meta)),
        [],
      )
    })
    return true
  }

  async #clear(blocks: readonly CompactedBlock[]): Promise<boolean> {
    const { view, backend, settings, metrics, log, abort } = this.#options
    if (blocks.length === 0) return false
    await mapBounded(blocks, settings.concurrency, async ({ meta }) => {
      if (abort.aborted) return
      const { tenantID: tenant, blockID: block } = meta
      try {
        await clearBlock(backend, meta)
        view.cleared(meta)
        metrics.deleted.inc()
        log.info('block deleted', { tenant, block, bytes: meta.size })
      } catch (error) {
        metrics.errors.inc()
        log.warn('block not deleted, will try again', { tenant, block, error: errorText(error) })
      }
    })
    return true
  }
}
