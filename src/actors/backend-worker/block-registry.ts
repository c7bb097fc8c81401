/** Owns the versioned list of what the backend has, and who of the frontends holds which version of it. */
import { listOfTenant } from '../../lib/tenant.js'
import type { Clock } from '../../lib/time.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import {
  FRONTEND_FORGOTTEN_MS,
  type BlocklistQuery,
  type BlocklistReply,
  type UnusableBlock,
} from './contract.js'

type Tenants = Readonly<Record<string, readonly BlockMeta[]>>
type Unusable = Readonly<Record<string, readonly UnusableBlock[]>>

/** Of one tenant, sent to the frontends; that there are more changes no answer. */
const UNUSABLE_TOLD_MAX = 100

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
  /** Flushed blocks that no poll has seen yet, and the version in which they were listed. */
  readonly #announced = new Map<string, { meta: BlockMeta; version: number }>()
  #version: number
  #isWhole = false
  #unread: ReadonlySet<string> = new Set()
  #rejected: ReadonlyMap<string, string> = new Map()
  #unusable: Unusable = {}

  /** Versions continue over restarts of the actor when `firstVersion` is taken from a clock. */
  constructor(clock: Clock, firstVersion: number) {
    this.#clock = clock
    this.#version = firstVersion
  }

  get version(): number {
    return this.#version
  }

  /**
   * What a poll of the backend found; a new version only when something changed. A block that was announced after the
   * poll had begun (at version `begunAt`) may be missing in it, and so may any announced block when the poll was not
   * `isComplete`, or the block was `confirmed` by a look at it: those stay listed, since their local copies may be gone by now.
   * `unread` are the tenants of which blocks may be missing.
   */
  replace(
    tenants: Tenants,
    begunAt = this.#version,
    isComplete = true,
    confirmed: readonly BlockMeta[] = [],
    unread: ReadonlySet<string> = new Set(),
  ): void {
    this.#isWhole = true
    const sure = new Set(confirmed.map((meta) => key(meta.tenantID, meta.blockID)))
    const lists = new Map(Object.entries(tenants))
    const found = new Map<string, number>()
    for (const [tenant, metas] of lists) {
      for (const meta of metas) found.set(key(tenant, meta.blockID), 0)
    }
    for (const [k, { meta, version }] of this.#announced) {
      if (found.has(k) || (isComplete && version <= begunAt && !sure.has(k))) {
        this.#announced.delete(k)
        continue
      }
      found.set(k, 0)
      lists.set(meta.tenantID, [...(lists.get(meta.tenantID) ?? []), meta])
    }
    const isSame =
      found.size === this.#since.size && [...found.keys()].every((k) => this.#since.has(k))
    const isAsUnread =
      unread.size === this.#unread.size && [...unread].every((one) => this.#unread.has(one))
    if (isSame && isAsUnread) return
    this.#unread = unread
    this.#version++
    for (const k of found.keys()) found.set(k, this.#since.get(k) ?? this.#version)
    this.#since = found
    // Own properties, also for a tenant that is called `__proto__`.
    this.#tenants = Object.fromEntries(lists)
  }

  /** Blocks that a poll had to leave out, by `<tenant>/<block>`, and why; a new version only when something changed. */
  leaveOut(rejected: ReadonlyMap<string, string>): void {
    const isSame =
      rejected.size === this.#rejected.size &&
      [...rejected].every(([k, reason]) => this.#rejected.get(k) === reason)
    if (isSame) return
    this.#version++
    this.#rejected = rejected
    const lists = new Map<string, UnusableBlock[]>()
    for (const [k, reason] of rejected) {
      const [tenant = '', blockId = ''] = k.split('/')
      const list = lists.get(tenant) ?? []
      if (list.length < UNUSABLE_TOLD_MAX) list.push({ blockId, reason })
      lists.set(tenant, list)
    }
    this.#unusable = Object.fromEntries(lists)
  }

  /** Announced blocks that a poll did not find: listings of some stores lag behind what is in them. */
  unfound(tenants: Tenants): BlockMeta[] {
    const isFound = ({ tenantID, blockID }: BlockMeta) =>
      Object.hasOwn(tenants, tenantID) &&
      tenants[tenantID]!.some((meta) => meta.blockID === blockID)
    return [...this.#announced.values()].map(({ meta }) => meta).filter((meta) => !isFound(meta))
  }

  /** A block that a livestore has just flushed. */
  add(meta: BlockMeta): void {
    const { tenantID: tenant } = meta
    const k = key(tenant, meta.blockID)
    if (this.#since.has(k)) return
    this.#version++
    this.#since.set(k, this.#version)
    this.#announced.set(k, { meta, version: this.#version })
    const known = listOfTenant(this.#tenants, tenant)
    this.#tenants = { ...this.#tenants, [tenant]: [...known, meta] }
  }

  /** Takes blocks out of the list and others into it in one version, so that no reader sees both, nor neither. */
  exchange(removed: readonly BlockMeta[], added: readonly BlockMeta[]): void {
    if (removed.length === 0 && added.length === 0) return
    this.#version++
    const lists = new Map(Object.entries(this.#tenants))
    for (const { tenantID, blockID } of removed) {
      const k = key(tenantID, blockID)
      this.#since.delete(k)
      this.#announced.delete(k)
    }
    for (const meta of added) this.#since.set(key(meta.tenantID, meta.blockID), this.#version)
    for (const tenant of new Set([...removed, ...added].map(({ tenantID }) => tenantID))) {
      const ids = new Set([...removed, ...added].map(({ blockID }) => blockID))
      const kept = (lists.get(tenant) ?? []).filter(({ blockID }) => !ids.has(blockID))
      lists.set(tenant, [...kept, ...added.filter(({ tenantID }) => tenantID === tenant)])
    }
    this.#tenants = Object.fromEntries(lists)
  }

  /** Answers a frontend, and remembers which version it said it holds. */
  answer({ frontend, version }: BlocklistQuery): BlocklistReply {
    // Above ours only when the wall clock went back over a restart: then it says nothing of our list.
    const held = version <= this.#version ? version : 0
    this.#holders.set(frontend, { version: held, seenAt_ms: this.#clock.monotonic() })
    const reply = { version: this.#version, isWhole: this.#isWhole }
    if (version === this.#version) return reply
    const unread = [...this.#unread]
    return { ...reply, tenants: this.#tenants, unread, unusable: this.#unusable }
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
