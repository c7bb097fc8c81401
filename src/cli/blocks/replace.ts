/**
 * Owns exchanging a block for its conversion, as compaction exchanges blocks: nocompact.flg keeps a compactor off while it is converted;
 * the new block's meta.json names what it stands for, so that its put is the moment of exchange; then the source is marked.
 */
import { hostname } from 'node:os'
import { ObjectNotFound } from '../../storage/backend/backend.js'
import { inputsOf } from '../../storage/backend/replaced-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { NOCOMPACT_OBJECT, formatTime, objectPath } from '../../storage/block/meta.js'
import { exists, markCompacted, publish } from '../../storage/compaction/marks.js'
import { META_OBJECT } from '../../storage/block/meta.js'
import { listBucket } from './bucket.js'
import { Failure, type BlocksContext } from './context.js'

export class Replacement {
  /** The new block counts: whatever fails afterwards, it must stay. */
  isPublished = false
  readonly #ctx: BlocksContext
  readonly #source: BlockMeta
  readonly #flag: string

  private constructor(ctx: BlocksContext, source: BlockMeta) {
    this.#ctx = ctx
    this.#source = source
    this.#flag = objectPath(source.tenantID, source.blockID, NOCOMPACT_OBJECT)
  }

  /** Throws `Failure` when the block may not be exchanged now. */
  static async begin(ctx: BlocksContext, source: BlockMeta): Promise<Replacement> {
    const replacement = new Replacement(ctx, source)
    await replacement.#mustBeFree()
    const begun = formatTime(BigInt(Math.floor(ctx.clock.now())) * 1_000_000n)
    const by = { convertedBy: `process ${process.pid} on ${hostname()}`, since: begun }
    await ctx.backend.put(replacement.#flag, Buffer.from(JSON.stringify(by)))
    return replacement
  }

  /** Puts meta.json of the new block and marks the source; what the new block says of itself. */
  async exchange(converted: BlockMeta): Promise<BlockMeta> {
    const { backend, clock } = this.#ctx
    const before = await this.#standing(converted)
    const meta: BlockMeta = { ...converted, compactedFrom: before }
    await publish(backend, meta)
    this.isPublished = true
    try {
      await this.#standing(converted)
    } catch (error) {
      // A compactor that had looked before the flag was there: its block has the same spans.
      this.isPublished = false
      throw error
    }
    await markCompacted(backend, this.#source, clock.now())
    return meta
  }

  /** Lets a compactor have the block again; a marked one is deleted with its flag. */
  async release(): Promise<void> {
    if (!this.isPublished) await this.#ctx.backend.delete(this.#flag)
  }

  /** What the new block stands for: the source, and what that one stood for and is not marked yet. */
  async #standing({ blockID: newId }: BlockMeta): Promise<string[]> {
    const { tenantID, blockID } = this.#source
    const { backend } = this.#ctx
    if (!(await exists(backend, objectPath(tenantID, blockID, META_OBJECT)))) {
      throw new Failure(`block ${blockID} was compacted or deleted by another meanwhile: nothing was changed`) // prettier-ignore
    }
    const { tenants } = await listBucket(this.#ctx, { tenant: tenantID })
    const blocks = tenants.get(tenantID) ?? []
    const other = blocks.find(({ meta }) => meta.blockID !== newId && inputsOf(meta).includes(blockID)) // prettier-ignore
    if (other) {
      throw new Failure(`block ${other.blockId} stands for ${blockID} now: nothing was changed`)
    }
    const listed = new Set(blocks.map(({ blockId }) => blockId))
    return [blockID, ...inputsOf(this.#source).filter((id) => listed.has(id))]
  }

  async #mustBeFree(): Promise<void> {
    const { blockID } = this.#source
    await this.#standing(this.#source)
    const flag = await this.#readFlag()
    if (flag === undefined) return
    const { convertedBy, since } = flag
    if (convertedBy === undefined) {
      throw new Failure(`block ${blockID} has ${NOCOMPACT_OBJECT}: a store holds a copy of it still and counts it as its own; try again when the flag is gone`) // prettier-ignore
    }
    throw new Failure(`block ${blockID} is being converted by ${convertedBy} since ${since ?? '?'}; if that ended, delete ${this.#flag} and try again`) // prettier-ignore
  }

  /** What stands in the flag: a store's is empty. */
  async #readFlag(): Promise<{ convertedBy?: string; since?: string } | undefined> {
    try {
      const text = Buffer.from(await this.#ctx.backend.get(this.#flag)).toString()
      return text.startsWith('{') ? (JSON.parse(text) as { convertedBy?: string }) : {}
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined
      if (error instanceof SyntaxError) return {}
      throw error
    }
  }
}
