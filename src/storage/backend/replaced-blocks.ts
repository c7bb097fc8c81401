/**
 * Owns the rule by which a merged block and its inputs are never read both. A block that compaction wrote names its inputs in meta.json
 * (`compactedFrom`, which Tempo passes over); who sees the two leaves the inputs out. So the merged block counts from the moment its
 * meta.json is there, and a crash before its inputs are marked doubles nothing.
 */
import type { BlockMeta } from '../block/encoding.js'

const known = new WeakMap<readonly BlockMeta[], ReadonlySet<string>>()
const NONE: ReadonlySet<string> = new Set()

/** Ids of blocks that another one of the list took the place of. Remembered by list: lists do not change. */
export function replacedBlocks(metas: readonly BlockMeta[]): ReadonlySet<string> {
  let replaced = known.get(metas)
  if (!replaced) {
    const ids = metas.flatMap((meta) => inputsOf(meta))
    replaced = ids.length === 0 ? NONE : new Set(ids)
    known.set(metas, replaced)
  }
  return replaced
}

/** The blocks that this one was merged from. */
export function inputsOf({ compactedFrom }: BlockMeta): readonly string[] {
  return Array.isArray(compactedFrom) ? (compactedFrom as readonly string[]) : []
}
