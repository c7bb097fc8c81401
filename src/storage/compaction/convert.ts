/** Owns writing a block anew in another encoding, up to verified files on this machine: as a merge of one block, in bounded memory. */
import { createHash } from 'node:crypto'
import type { Backend } from '../backend/backend.js'
import { LocalBackend } from '../backend/local.js'
import type { BlockMeta, DedicatedColumn } from '../block/encoding.js'
import { objectPath } from '../block/meta.js'
import { encodingOf, openInParts } from '../block/registry.js'
import { silentLog } from '../../lib/log.js'
import { systemClock } from '../../lib/time.js'
import { verifyBlock } from '../verify/verify-block.js'
import { Merge } from './merge.js'
import { ReadAhead } from './read-ahead.js'
import { Scratch } from './scratch.js'

/** Spans of a part in which large row groups are read. */
const PART_SPANS = 32_768

export interface ConvertRequest {
  readonly source: BlockMeta
  readonly blockId: string
  /** Of the encoding to write. */
  readonly version: string
  readonly dedicatedColumns?: readonly DedicatedColumn[] | undefined
  /** A folder to write into before anything is uploaded. */
  readonly scratch: string
  readonly signal?: AbortSignal
  /** Shares of two pieces of work, 0 to 1 each. */
  readonly onProgress?: (doing: 'converting' | 'verifying', share: number) => void
}

export interface Converted {
  /** Of the new block; nothing of it is in a backend yet. */
  readonly meta: BlockMeta
  readonly files: readonly { name: string; path: string }[]
}

/** What was written is not what was read. */
export class ConversionMismatch extends Error {
  readonly code = 'CONVERSION_MISMATCH'
}

/**
 * The id of a conversion's block: the same for the same block and target, so that a conversion which is done again after a
 * crash writes over what the first left, and one that was done is known.
 */
export function convertedBlockId(
  { blockID }: Pick<BlockMeta, 'blockID'>,
  version: string,
  dedicatedColumns: readonly DedicatedColumn[] | undefined,
): string {
  const hash = createHash('sha256').update(JSON.stringify(['convert', blockID, version, dedicatedColumns ?? null])).digest() // prettier-ignore
  hash[6] = (hash[6]! & 0x0f) | 0x80 // version 8: made by a rule of our own
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex', 0, 16)
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Writes the block into the scratch folder and verifies it there. */
export async function convert(request: ConvertRequest, backend: Backend): Promise<Converted> {
  const { source, blockId, version, onProgress, signal } = request
  const { tenantID: tenant, replicationFactor, compactionLevel } = source
  const block = await new Scratch(request.scratch).begin(tenant, blockId)
  try {
    const read = await rewrite(request, backend, block)
    const meta: BlockMeta = { ...read.meta, replicationFactor, compactionLevel }
    const scratch = new LocalBackend(request.scratch, { clock: systemClock, log: silentLog })
    const written = await verifyBlock(meta, scratch, {
      ...(signal && { signal }),
      onProgress: (share) => onProgress?.('verifying', share),
    }).finally(() => scratch.close())
    const told = source.totalSpans ?? read.told
    const counts = [read.spans, written.spans, told].join()
    if (new Set([read.spans, written.spans, told]).size > 1 || read.traces !== written.traces) {
      throw new ConversionMismatch(
        `block ${source.blockID} as ${version}: spans read, written and told by it are ${counts}; ` +
          `traces read and written are ${read.traces},${written.traces}: nothing was kept; verify the block`,
      )
    }
    return { meta, files: block.files() }
  } finally {
    await block.close()
  }
}

async function rewrite(
  { source, blockId, version, dedicatedColumns, onProgress, signal }: ConvertRequest,
  backend: Backend,
  sink: Awaited<ReturnType<Scratch['begin']>>,
): Promise<{ meta: BlockMeta; spans: number; traces: number; told: number }> {
  const { tenantID: tenant, blockID, format, size, compactionLevel } = source
  const path = objectPath(tenant, blockID, encodingOf(format).dataObject)
  const reader = new ReadAhead(backend, path, size)
  const open = () => openInParts(source, reader, PART_SPANS)
  const opened = await open()
  const told = opened.spanCount
  const merge = new Merge([opened], { reopen: open })
  const groups = async function* () {
    for await (const group of merge.groups()) {
      signal?.throwIfAborted()
      yield group
    }
  }
  try {
    const meta = await encodingOf(version).write({
      blockId,
      tenant,
      compactionLevel,
      groups: groups(),
      sink,
      ...(dedicatedColumns && { dedicatedColumns }),
      onProgress: (spans) => onProgress?.('converting', told > 0 ? spans / told : 0),
    })
    const { spans, traces } = merge.counts
    return { meta, spans, traces, told }
  } finally {
    await opened.close()
  }
}
