/** Owns one build, on a piscina thread: a cut head's columns in shared memory become the files of a block. */
import { LocalBlocks } from '../../storage/backend/local-blocks.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { encodingOf } from '../../storage/block/registry.js'
import { HeadArena } from '../../storage/head/arena.js'
import { openHead } from '../../storage/head/source.js'
import type { BlockFormat } from './block-format.js'

const GROUP_SPANS = 16_384

export interface BuildRequest extends BlockFormat {
  readonly arena: SharedArrayBuffer
  readonly headChunk: number
  readonly blockId: string
  readonly tenant: string
  /** Root of the partition's local blocks. */
  readonly folder: string
  /** True: files and folders are synced to disk before the build counts as done. */
  readonly fsync: boolean
  /** Spans whose columns are gathered at once: what a build holds in memory grows with it. */
  readonly groupSpans?: number // default 16384
}

export interface BuildResult {
  readonly meta: BlockMeta
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly spans: number
}

export default async function build(request: BuildRequest): Promise<BuildResult> {
  const source = openHead(new HeadArena(request.arena), request.headChunk, {
    order: 'traceId',
    groupSpans: request.groupSpans ?? GROUP_SPANS,
  })
  const blocks = new LocalBlocks(request.folder, { fsync: request.fsync })
  const draft = await blocks.begin(request.tenant, request.blockId)
  try {
    const meta = await encodingOf(request.version).write({
      blockId: request.blockId,
      tenant: request.tenant,
      compactionLevel: 0,
      groups: groupsOf(source),
      sink: draft,
      ...(request.dedicatedColumns && { dedicatedColumns: request.dedicatedColumns }),
    })
    await draft.complete(meta)
    return {
      meta,
      minStart_ns: source.minStart_ns,
      maxEnd_ns: source.maxEnd_ns,
      spans: source.spanCount,
    }
  } catch (error) {
    await draft.discard()
    throw error
  } finally {
    await source.close()
  }
}

async function* groupsOf(source: ReturnType<typeof openHead>) {
  for (let index = 0; index < source.groupCount; index++) yield await source.group(index)
}
