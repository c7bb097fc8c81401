/** Owns `blocks analyse`: which attributes take the bytes of a tenant's blocks, and which should have columns of their own. */
import {
  ATTRIBUTE_LEVELS,
  AttributeSizes,
  type AttributeLevel,
  type AttributeSize,
} from '../../storage/analysis/attribute-sizes.js'
import { recommendColumns } from '../../storage/analysis/recommend.js'
import { anatomyOf } from '../../storage/block/anatomy-of.js'
import type { DedicatedColumn } from '../../storage/block/encoding.js'
import { objectPath } from '../../storage/block/meta.js'
import { encodingOf, openBlock } from '../../storage/block/registry.js'
import { ReadAhead } from '../../storage/compaction/read-ahead.js'
import { findBlock, listBucket, readable, timesOf, type ListedBlock } from './bucket.js'
import { OK, Usage, say, sayJson, warn, type BlocksContext } from './context.js'
import { dedicatedText } from './dedicated.js'
import { tellFaults } from './list.js'
import { oneOf, wholeOption } from './options.js'
import { percent, shortened, size, tableOf } from './table.js'

const DEFAULT_MAX_BLOCKS = 10
const DEFAULT_SHOWN = 20
const VERSIONS = ['vParquet5', 'vParquet4'] as const

export async function analyseBlocks(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [tenant, id, ...more] = words
  if (tenant === undefined || more.length > 0) {
    throw new Usage('analyse takes a tenant and a block at most: blocks analyse TENANT [BLOCK]')
  }
  const { options } = ctx
  const version = oneOf('to', options.to ?? 'vParquet5', VERSIONS)
  const shown = wholeOption('limit', options.limit, DEFAULT_SHOWN) || Infinity
  const { blocks, code } = await choose(ctx, tenant, id)
  const sizes = new AttributeSizes()
  ctx.progress.begin()
  for (const [i, block] of blocks.entries()) {
    await addBlock(
      ctx,
      sizes,
      block,
      (share) =>
      ctx.progress.show(`${block.blockId} (${i + 1} of ${blocks.length})`, (i + share) / blocks.length), // prettier-ignore
    )
  }
  ctx.progress.clear()
  const recommended = recommendColumns(sizes, version)
  if (options.json) sayJson(ctx, jsonOf(tenant, sizes, version, recommended))
  else sayAll(ctx, sizes, { version, recommended, shown })
  if (sizes.uncounted > 0) warn(ctx, `${sizes.uncounted} further attributes were left out`)
  return code
}

/** The newest blocks, or the one. */
async function choose(
  ctx: BlocksContext,
  tenant: string,
  id: string | undefined,
): Promise<{ blocks: readonly ListedBlock[]; code: number }> {
  if (id !== undefined) return { blocks: [await findBlock(ctx, tenant, id)], code: OK }
  const bucket = await listBucket(ctx, { tenant })
  const most = wholeOption('max-blocks', ctx.options['max-blocks'], DEFAULT_MAX_BLOCKS) || Infinity
  const all = readable(bucket, tenant).sort((a, b) =>
    timesOf(a.meta).end_ns > timesOf(b.meta).end_ns ? -1 : 1,
  )
  const blocks = all.slice(0, most)
  if (blocks.length < all.length) {
    ctx.output.err(`the newest ${blocks.length} of ${all.length} blocks; --max-blocks 0 takes all\n`) // prettier-ignore
  }
  return { blocks, code: tellFaults(ctx, bucket) }
}

async function addBlock(
  ctx: BlocksContext,
  sizes: AttributeSizes,
  { meta }: ListedBlock,
  onProgress: (share: number) => void,
): Promise<void> {
  const anatomy = await anatomyOf(meta, ctx.backend)
  const path = objectPath(meta.tenantID, meta.blockID, encodingOf(meta.format).dataObject)
  const source = await openBlock(meta, new ReadAhead(ctx.backend, path, meta.size))
  try {
    sizes.blocks++
    sizes.size_bytes += meta.size
    for (let group = 0; group < source.groupCount; group++) {
      ctx.signal.throwIfAborted()
      await sizes.addGroup(source, group, await anatomy.group(group))
      onProgress((group + 1) / source.groupCount)
    }
  } finally {
    await source.close()
  }
}

interface Told {
  readonly version: string
  readonly recommended: readonly DedicatedColumn[]
  readonly shown: number
}

function sayAll(ctx: BlocksContext, sizes: AttributeSizes, told: Told): void {
  say(ctx, `${sizes.blocks} ${sizes.blocks === 1 ? 'block' : 'blocks'}, ${size(sizes.size_bytes)}, ${sizes.spans} spans\n`) // prettier-ignore
  for (const level of ATTRIBUTE_LEVELS) {
    const all = sizes.of(level)
    if (all.length > 0) say(ctx, `\n${levelText(sizes, level, all, told)}`)
  }
  const { version, recommended } = told
  if (recommended.length === 0) {
    say(ctx, `\nno attribute is worth a column of its own in ${version}\n`)
    return
  }
  say(ctx, `\nColumns of their own in ${version}, for Tempo's overrides:\nparquet_dedicated_columns:\n`) // prettier-ignore
  for (const { s = 'span', n, t = 'string', o = [] } of recommended) {
    const isBlob = o.length > 0 ? `, options: [${o.join(', ')}]` : ''
    say(ctx, `  - { scope: ${s}, name: ${JSON.stringify(n)}, type: ${t}${isBlob} }\n`)
  }
  say(ctx, `and for blocks convert: --dedicated '${recommended.map(dedicatedText).join(',')}'\n`)
}

function levelText(
  sizes: AttributeSizes,
  level: AttributeLevel,
  all: readonly AttributeSize[],
  { recommended, shown }: Told,
): string {
  const sum = (of: (one: AttributeSize) => number) => all.reduce((total, one) => total + of(one), 0)
  const stored_bytes = sum((one) => one.stored_bytes)
  const rows = all.slice(0, shown)
  const advised = new Set(recommended.map(({ s = 'span', n, t = 'string' }) => `${s} ${t} ${n}`))
  const head = `${level} attributes: ${all.length}, ${size(stored_bytes)} of ${size(sizes.size_bytes)}, in ${sizes.rowsOf(level)} rows\n` // prettier-ignore
  const table = tableOf(
    [
      { title: 'ATTRIBUTE', text: ({ key }) => shortened(key) },
      { title: 'TYPE', text: ({ type }) => type },
      { title: 'ROWS', text: (one) => String(one.rows), isNumber: true },
      { title: 'PRESENT', text: ({ presence }) => percent(presence), isNumber: true },
      { title: 'DISTINCT', text: (one) => `${one.distinct}${one.isDistinctCut ? '+' : ''}`, isNumber: true }, // prettier-ignore
      { title: 'VALUES', text: ({ value_bytes }) => size(value_bytes), isNumber: true },
      { title: 'STORED', text: (one) => `${one.isEstimated ? '~' : ''}${size(Math.round(one.stored_bytes))}`, isNumber: true }, // prettier-ignore
      { title: 'OF BLOCK', text: (one) => percent(one.stored_bytes / sizes.size_bytes), isNumber: true }, // prettier-ignore
      { title: 'COLUMN', text: (one) => columnText(one, advised) },
    ],
    rows,
  )
  const left = all.length - rows.length
  return head + table + (left > 0 ? `${left} more: --limit 0 shows them\n` : '')
}

function columnText({ level, key, type, hasColumn }: AttributeSize, advised: ReadonlySet<string>) {
  const isAdvised = advised.has(`${level} ${type} ${key}`)
  return [hasColumn ? 'own' : 'shared', ...(isAdvised ? ['recommended'] : [])].join(', ')
}

function jsonOf(
  tenant: string,
  sizes: AttributeSizes,
  version: string,
  recommended: readonly DedicatedColumn[],
) {
  const { blocks, spans, size_bytes } = sizes
  const scopes = ATTRIBUTE_LEVELS.map((level) => ({
    scope: level,
    rows: sizes.rowsOf(level),
    attributes: sizes.of(level).map(({ level: _, ...one }) => ({
      ...one,
      stored_bytes: Math.round(one.stored_bytes),
    })),
  }))
  return { tenant, blocks, spans, size_bytes, scopes, version, dedicatedColumns: recommended }
}
