/** Owns `blocks convert`: one block written anew in another encoding, here or elsewhere, the source left or replaced. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { silentLog } from '../../lib/log.js'
import type { OpenBackend } from '../../storage/backend/backend.js'
import { openBackend } from '../../storage/backend/open.js'
import { isParquet } from '../../storage/block/anatomy-of.js'
import { blockpack } from '../../storage/block/blockpack.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { COMPACTED_META_OBJECT, META_OBJECT, objectPath } from '../../storage/block/meta.js'
import { encodingNamed } from '../../storage/block/registry.js'
import { convert, convertedBlockId, type Converted } from '../../storage/compaction/convert.js'
import { exists, publish } from '../../storage/compaction/marks.js'
import { findBlock } from './bucket.js'
import { Failure, OK, Usage, say, sayJson, warn, type BlocksContext } from './context.js'
import { parseDedicated } from './dedicated.js'
import { oneOf, parseS3Place } from './options.js'
import { Replacement } from './replace.js'
import { size } from './table.js'

const TARGETS = ['blockpack', 'vParquet5', 'vParquet4'] as const

interface Destination {
  readonly backend: OpenBackend
  readonly place: string
  readonly isSourcePlace: boolean
}

export async function convertBlock(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [tenant, id, ...more] = words
  if (tenant === undefined || id === undefined || more.length > 0) {
    throw new Usage('convert takes a tenant and a block: blocks convert TENANT BLOCK --to vParquet5') // prettier-ignore
  }
  const { options } = ctx
  const version = encodingNamed(oneOf('to', options.to, TARGETS)).version
  if (options.dedicated !== undefined && version === blockpack.version) {
    throw new Usage('--dedicated is for parquet: in a blockpack every attribute has a column')
  }
  if (options.replace && options.out !== undefined) {
    throw new Usage('--replace exchanges a block in its own place: it cannot be given with --out')
  }
  const { meta: source, flags } = await findBlock(ctx, tenant, id)
  if (flags.includes('compacted') && options.out === undefined) {
    throw new Failure(`block ${source.blockID} is compacted, so nobody reads it: with --out it can be converted into another place`) // prettier-ignore
  }
  const dedicatedColumns = options.dedicated === undefined ? kept(source) : parseDedicated(options.dedicated) // prettier-ignore
  const destination = await openDestination(ctx)
  try {
    const blockId = convertedBlockId(source, version, dedicatedColumns)
    await mustBeNew(destination, source, blockId)
    const replacement = options.replace ? await Replacement.begin(ctx, source) : undefined
    try {
      const meta = await inScratch(ctx, async (scratch) => {
        const { signal } = ctx
        ctx.progress.begin()
        const onProgress = (doing: string, share: number) =>
          ctx.progress.show(`${doing} ${source.blockID}`, doing === 'converting' ? share * 0.7 : 0.7 + share * 0.2) // prettier-ignore
        const request = { source, blockId, version, dedicatedColumns, scratch, signal, onProgress }
        const converted = await convert(request, ctx.backend)
        return upload(ctx, destination, converted, replacement)
      })
      tell(ctx, source, meta, destination)
    } finally {
      await replacement?.release()
    }
    return OK
  } finally {
    if (!destination.isSourcePlace) await destination.backend.close()
  }
}

/** Between versions of parquet the columns that somebody chose are kept; else they are Tempo's. */
function kept(source: BlockMeta) {
  return isParquet(source) ? source.dedicatedColumns : undefined
}

async function openDestination(ctx: BlocksContext): Promise<Destination> {
  const { out } = ctx.options
  const { storage, clock } = ctx
  if (out === undefined) return { backend: ctx.backend, place: ctx.place, isSourcePlace: true }
  const s3 = parseS3Place(out)
  const place = s3 ? out.replace(/\/+$/, '') : resolve(out)
  if (place === ctx.place) return { backend: ctx.backend, place, isSourcePlace: true }
  const there = s3
    ? { ...storage, backend: 's3' as const, s3: { ...storage.s3, ...s3 } }
    : { ...storage, backend: 'local' as const, local_path: place }
  const backend = await openBackend(there, { clock, log: silentLog })
  await backend.ensureReady()
  return { backend, place, isSourcePlace: false }
}

async function mustBeNew(
  { backend, place }: Destination,
  { tenantID, blockID }: BlockMeta,
  blockId: string,
): Promise<void> {
  for (const name of [META_OBJECT, COMPACTED_META_OBJECT]) {
    if (!(await exists(backend, objectPath(tenantID, blockId, name)))) continue
    const since = name === META_OBJECT ? '' : ', and compacted since'
    throw new Failure(`block ${blockID} was converted before${since}: it is block ${blockId} in ${place}`) // prettier-ignore
  }
}

async function inScratch<T>(ctx: BlocksContext, work: (scratch: string) => Promise<T>): Promise<T> {
  const root = resolve(ctx.options.scratch ?? tmpdir())
  await mkdir(root, { recursive: true })
  const scratch = await mkdtemp(join(root, 'tempo-actors-convert-'))
  try {
    return await work(scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Data first, meta.json last: a reader sees the block whole or not at all. What is left of a failure is taken away. */
async function upload(
  ctx: BlocksContext,
  { backend }: Destination,
  { meta, files }: Converted,
  replacement: Replacement | undefined,
): Promise<BlockMeta> {
  const { tenantID, blockID } = meta
  try {
    for (const [i, { name, path }] of files.entries()) {
      ctx.signal.throwIfAborted()
      ctx.progress.show(`writing ${name}`, 0.9 + (0.1 * i) / files.length)
      await backend.putFile(objectPath(tenantID, blockID, name), path)
    }
    if (replacement) return await replacement.exchange(meta)
    await publish(backend, meta)
    return meta
  } catch (error) {
    if (!replacement?.isPublished) await backend.deleteBlock(tenantID, blockID)
    throw error
  }
}

function tell(
  ctx: BlocksContext,
  source: BlockMeta,
  meta: BlockMeta,
  { place, isSourcePlace }: Destination,
): void {
  const { replace, json } = ctx.options
  ctx.progress.clear()
  if (json) sayJson(ctx, { source: source.blockID, place, isReplaced: replace, meta })
  else {
    const spans = meta.totalSpans ?? 0
    const per = (bytes: number) => `${size(bytes)}, ${(bytes / spans).toFixed(1)} bytes a span`
    say(ctx, `block ${meta.blockID} (${meta.format}) in ${place}: ${spans} spans of ${meta.totalObjects} traces, verified\n`) // prettier-ignore
    say(ctx, `${source.format}: ${per(source.size)}; ${meta.format}: ${per(meta.size)}\n`)
    if (replace) say(ctx, `block ${source.blockID} is marked compacted\n`)
  }
  if (isSourcePlace && !replace) {
    warn(ctx, `${source.blockID} and ${meta.blockID} have the same spans, and both are read now: metrics count them twice until one goes; --replace exchanges the two`) // prettier-ignore
  }
}
