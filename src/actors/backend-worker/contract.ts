/** Owns what others may ask of the backend-worker: which blocks the backend has. */
import type { BlockMeta } from '../../storage/block/encoding.js'

/** A frontend that has not asked for this long is forgotten. */
export const FRONTEND_FORGOTTEN_MS = 60_000
/** A frontend does not answer from a list older than this; the other half is for clocks and threads that lag. */
export const FRONTEND_STALE_MS = FRONTEND_FORGOTTEN_MS / 2

export interface BlocklistQuery {
  /** Who asks; the worker remembers which version each frontend holds. */
  readonly frontend: string
  /** The version the frontend holds now; 0 = none. */
  readonly version: number
}
/** Nothing but the version when the frontend is up to date. */
export interface BlocklistReply {
  readonly version: number
  /** False until the backend could be listed once: then only what was flushed since is known. */
  readonly isWhole: boolean
  /** All blocks of all tenants, when `version` differs from what was asked. */
  readonly tenants?: Readonly<Record<string, readonly BlockMeta[]>>
  /** With `tenants`: those of which blocks may be missing, because a part of the backend could not be read since the start. */
  readonly unread?: readonly string[]
  /** With `tenants`: blocks of each tenant that are there and cannot be listed, because their meta.json cannot be used. */
  readonly unusable?: Readonly<Record<string, readonly UnusableBlock[]>>
}
export interface UnusableBlock {
  readonly blockId: string
  readonly reason: string
}

export interface BackendWorkerAsks {
  blocklist(query: BlocklistQuery): Promise<BlocklistReply>
  /** A livestore has flushed a block: it is listed at once, ahead of the next poll. */
  flushed(meta: BlockMeta): Promise<void>
  /** Of these blocks, the ones that every live frontend lists: their local copies may go. */
  listedEverywhere(
    blocks: readonly { tenant: string; blockId: string }[],
  ): Promise<readonly string[]>
}
