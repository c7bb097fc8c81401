/** Owns one compaction up to the point where nothing but the merged block's meta.json is missing in the backend. */
import { createHash } from 'node:crypto'
import { failpoint } from '../../lib/failpoints.js'
import type { Backend } from '../backend/backend.js'
import type { BlockMeta } from '../block/encoding.js'
import { objectPath } from '../block/meta.js'
import { encodingOf, openInParts } from '../block/registry.js'
import { Merge, type MergeCounts, type MergeOptions } from './merge.js'
import { ReadAhead } from './read-ahead.js'
import { Scratch } from './scratch.js'

/** Spans of an input that are in memory at once, about: parquet's row groups may be much larger. */
const PART_SPANS = 16_384

export interface CompactRequest {
  /** At least two, of one tenant, one encoding and the same dedicated columns. */
  readonly inputs: readonly BlockMeta[]
  /** The folder in which the block is written before it is uploaded. */
  readonly scratch: string
  readonly merge?: MergeOptions
  readonly partSpans?: number // default PART_SPANS
}

export interface CompactResult {
  /** Of the merged block, which is in the backend but for this. */
  readonly meta: BlockMeta
  readonly counts: MergeCounts
}

/**
 * The id of the block that these are merged into: the same inputs always give the same, so that a compaction which is
 * done again after a crash writes over what the first left, and is never a second block.
 */
export function mergedBlockId(inputs: readonly BlockMeta[]): string {
  const ids = inputs.map(({ blockID }) => blockID).sort()
  const hash = createHash('sha256').update(ids.join()).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x80 // version 8: made by a rule of our own
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex', 0, 16)
  return [8, 12, 16, 20, 32].map((end, i) => hex.slice([0, 8, 12, 16, 20][i], end)).join('-')
}

/** Merges the blocks, writes the result to the scratch folder, and uploads its data. */
export async function compact(
  request: CompactRequest,
  backend: Backend,
  onProgress?: (spans: number) => void,
): Promise<CompactResult> {
  // Of copies of a span that of the oldest block is kept.
  const inputs = [...request.inputs].sort((a, b) => (a.startTime < b.startTime ? -1 : 1))
  const [first] = inputs
  if (!first) throw new RangeError('nothing to compact')
  const tenant = first.tenantID
  const blockId = mergedBlockId(inputs)
  const readers = inputs.map((meta) => new ReadAhead(backend, dataPath(meta), meta.size))
  const partSpans = request.partSpans ?? PART_SPANS
  const open = (i: number) => openInParts(inputs[i]!, readers[i]!, partSpans)
  const sources = await Promise.all(inputs.map((_, i) => open(i)))
  const scratch = await new Scratch(request.scratch).begin(tenant, blockId)
  try {
    const merge = new Merge(sources, { ...request.merge, reopen: open })
    const written = await encodingOf(first.format).write({
      blockId,
      tenant,
      compactionLevel: Math.max(...inputs.map((meta) => meta.compactionLevel)) + 1,
      groups: merge.groups(),
      sink: scratch,
      dedicatedColumns: first.dedicatedColumns ?? [],
      ...(onProgress && { onProgress }),
    })
    const meta: BlockMeta = {
      ...written,
      replicationFactor: first.replicationFactor,
      compactedFrom: inputs.map(({ blockID }) => blockID),
    }
    failpoint('compact.data.before', blockId)
    for (const { name, path } of scratch.files()) {
      await backend.putFile(objectPath(tenant, blockId, name), path)
    }
    failpoint('compact.data.after', blockId)
    return { meta, counts: merge.counts }
  } finally {
    await scratch.close()
    await Promise.all(sources.map((source) => source.close()))
  }
}

function dataPath({ tenantID, blockID, format }: BlockMeta): string {
  return objectPath(tenantID, blockID, encodingOf(format).dataObject)
}
