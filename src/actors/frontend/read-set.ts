/**
 * Owns the read set: every block that a query has to look at, each exactly once.
 *
 * A block is listed under one UUID by its partition's catalog (live head, cut head, local block) and then by the
 * backend's blocklist; a local copy leaves the catalog only after every frontend has said that it lists the block. So:
 * catalogs and blocklist are read in one turn of the event loop, and a UUID seen twice is one source. A block that
 * compaction merged names its inputs: where it is listed, they are not read.
 */
import { listOfTenant } from '../../lib/tenant.js'
import type { Catalog } from '../../storage/catalog.js'
import { replacedBlocks } from '../../storage/backend/replaced-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { parseTime_ns } from '../../storage/block/meta.js'
import type { SourceRef } from '../querier/contract.js'
import type { TimeRange } from './contract.js'

export interface ListedSource extends SourceRef {
  /** Spans of the source lie within, ns; a live head may still grow, so its end is open. */
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly size_bytes: number
}

const OPEN_END_NS = 2n ** 64n
/** meta.json may carry whole seconds only; times are widened by this much. */
const META_SLACK_NS = 1_000_000_000n

export type Blocklist = Readonly<Record<string, readonly BlockMeta[]>>

/** The sources of a tenant that may hold spans of the range, newest first. */
export function listSources(
  catalogs: readonly Catalog[],
  blocklist: Blocklist,
  tenant: string,
  range: TimeRange,
): ListedSource[] {
  const sources = new Map<string, ListedSource>()
  for (const catalog of catalogs) {
    for (const entry of catalog.list(tenant)) {
      const isLive = entry.state !== 'local'
      sources.set(entry.blockId, {
        blockId: entry.blockId,
        tenant,
        minStart_ns: isLive ? 0n : entry.minStart_ns,
        maxEnd_ns: isLive ? OPEN_END_NS : entry.maxEnd_ns,
        size_bytes: entry.size_bytes,
      })
    }
  }
  const listed = listOfTenant(blocklist, tenant)
  for (const meta of listed) {
    if (sources.has(meta.blockID)) continue
    sources.set(meta.blockID, {
      blockId: meta.blockID,
      tenant,
      meta,
      minStart_ns: (parseTime_ns(meta.startTime) ?? 0n) - META_SLACK_NS,
      maxEnd_ns: (parseTime_ns(meta.endTime) ?? 0n) + META_SLACK_NS,
      size_bytes: meta.size,
    })
  }
  for (const blockId of replacedBlocks(listed)) sources.delete(blockId)
  return [...sources.values()].filter((source) => overlaps(source, range)).sort(newestFirst)
}

function overlaps(source: ListedSource, range: TimeRange): boolean {
  if (range.start_ns !== undefined && source.maxEnd_ns < range.start_ns) return false
  return range.end_ns === undefined || source.minStart_ns <= range.end_ns
}

function newestFirst(a: ListedSource, b: ListedSource): number {
  if (a.maxEnd_ns !== b.maxEnd_ns) return a.maxEnd_ns > b.maxEnd_ns ? -1 : 1
  return a.blockId < b.blockId ? -1 : 1
}
