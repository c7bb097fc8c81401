/** Owns the words for what an answer lacks: blocks that could not be listed yet, and damaged ones that are left out. */
import { listOfTenant } from '../../lib/tenant.js'
import type { Catalog } from '../../storage/catalog.js'
import { replacedBlocks } from '../../storage/backend/replaced-blocks.js'
import type { UnusableBlock } from '../backend-worker/contract.js'
import type { Blocklist } from './read-set.js'

/** Blocks named in one answer; the log has all of them. */
const NAMED_MAX = 3
/** Of the words about one block. */
const WORDS_CHARS_MAX = 400

/** A block that an answer does without, named in its words. */
export interface LeftOut {
  readonly blockId: string
  readonly message: string
}

export interface Missing {
  readonly words: string
  /** It is worth asking again: the backend could not be read only yet. */
  readonly isForNow: boolean
}

/** Undefined when the answer has all of it. `unlisted` says what could not be listed yet. */
export function missingIn(
  unlisted: string | undefined,
  leftOut: readonly LeftOut[],
): Missing | undefined {
  const parts = unlisted === undefined ? [] : [unlisted]
  const blocks = new Map(leftOut.map((block) => [block.blockId, block.message]))
  if (blocks.size > 0) parts.push(damagedWords([...blocks.values()]))
  if (parts.length === 0) return undefined
  return { words: parts.join('; '), isForNow: unlisted !== undefined }
}

/** Blocks that are there but cannot be listed, as far as their spans are not read from another place. */
export function unreadBlocks(
  unusable: readonly UnusableBlock[],
  catalogs: readonly Catalog[],
  blocklist: Blocklist,
  tenant: string,
): LeftOut[] {
  if (unusable.length === 0) return []
  const listed = listOfTenant(blocklist, tenant)
  const replaced = replacedBlocks(listed)
  const isRead = (id: string) =>
    replaced.has(id) ||
    listed.some(({ blockID }) => blockID === id) ||
    catalogs.some((catalog) => catalog.find(id) !== undefined)
  return unusable
    .filter(({ blockId }) => !isRead(blockId))
    .map(({ blockId, reason }) => ({ blockId, message: reason }))
}

function damagedWords(messages: readonly string[]): string {
  const many = messages.length === 1 ? 'a block' : `${messages.length} blocks`
  const named = messages.slice(0, NAMED_MAX).map((words) => words.slice(0, WORDS_CHARS_MAX))
  const more = messages.length > NAMED_MAX ? [`and ${messages.length - NAMED_MAX} more`] : []
  return `${many} cannot be read, spans in ${messages.length === 1 ? 'it' : 'them'} are missing: ${[...named, ...more].join('; ')}`
}
