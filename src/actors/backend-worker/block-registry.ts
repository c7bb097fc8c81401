/** Owns the versioned list of what the backend has, and who of the frontends holds which version of it. */
import type { Clock } from '../../lib/time.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { FRONTEND_FORGOTTEN_MS, type BlocklistQuery, type BlocklistReply } from './contract.js'

type Tenants = Readonly<Record<string, readonly BlockMeta[]>>

interface Holder {
  version: number
  seenAt_ms: number
}

export class BlockRegistry {
  readonly #clock: Clock
  readonly #holders = new Map<string, Holder>()
  /** Version in which a block was first listed. */
  #since = new Map<string, number>()
  #tenants: Tenants = {}
  #version: number

  /** Versions continue over restarts of the actor when `firstVersion` is taken from a clock. */
  constructor(clock: Clock, firstVersion: number) {
    this.#clock = clock
    this.#version = firstVersion
  }

  get version(): number {
    return this.#version
  }

  /** What a poll of the backend found; a new version only when something changed. */
  replace(tenants: Tenants): void {
    const found = new Map<string, number>()
    for (const [tenant, metas] of Object.entries(tenants)) {
      for (const meta of metas) found.set(key(tenant, meta.blockID), 0)
    }
    const isSame =
      found.size === this.#since.size && [...found.keys()].every((k) => this.#since.has(k))
    if (isSame) return
    this.#version++
    for (const k of found.keys()) found.set(k, this.#since.get(k) ?? this.#version)
    this.#since = found
    this.#tenants = tenants
  }

  /** A block that a livestore has just flushed. */
  add(meta: BlockMeta): void {
    const k = key(meta.tenantID, meta.blockID)
    if (this.#since.has(k)) return
    this.#version++
    this.#since.set(k, this.#version)
    this.#tenants = {
      ...this.#tenants,
      [meta.tenantID]: [...(this.#tenants[meta.tenantID] ?? []), meta],
    }
  }

  /** Answers a frontend, and remembers which version it said it holds. */
  answer({ frontend, version }: BlocklistQuery): BlocklistReply {
    this.#holders.set(frontend, { version, seenAt_ms: this.#clock.monotonic() })
    return version === this.#version
      ? { version: this.#version }
      : { version: this.#version, tenants: this.#tenants }
  }

  /** Of these blocks, the ones in a version that every live frontend holds; none while no frontend has come yet. */
  listedEverywhere(blocks: readonly { tenant: string; blockId: string }[]): string[] {
    const now = this.#clock.monotonic()
    for (const [name, holder] of this.#holders) {
      if (now - holder.seenAt_ms > FRONTEND_FORGOTTEN_MS) this.#holders.delete(name)
    }
    if (this.#holders.size === 0) return []
    const held = Math.min(...[...this.#holders.values()].map((holder) => holder.version))
    return blocks
      .filter(({ tenant, blockId }) => (this.#since.get(key(tenant, blockId)) ?? Infinity) <= held)
      .map(({ blockId }) => blockId)
  }
}

function key(tenant: string, blockId: string): string {
  return `${tenant}/${blockId}`
}
