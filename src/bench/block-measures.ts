/** Owns what is measured of one block encoding, the store's code called directly in one thread. */
import { join } from 'node:path'
import { silentLog } from '../lib/log.js'
import { Random } from '../lib/random.js'
import { systemClock } from '../lib/time.js'
import type { Payload } from '../load/shop.js'
import type { AttributeKey, ColumnSource, RowGroup } from '../otlp/columns.js'
import { LocalBackend } from '../storage/backend/local.js'
import { assembleTrace } from '../storage/block/assemble.js'
import { FIELDS } from '../storage/block/blockpack-format.js'
import type { BlockEncoding, BlockMeta } from '../storage/block/encoding.js'
import { encodingNamed, openBlock } from '../storage/block/registry.js'
import { planSearch } from '../traceql/plan.js'
import { searchSource } from '../traceql/search.js'
import { blockIdOf, encodeHead, fillHead, shopPayloads, TENANT, writeBlock, writeShopBlocks, type FilledHead } from './block-data.js' // prettier-ignore
import { measureCompaction, type CompactionFigures } from './compaction.js'
import { folderBytes } from './program.js'
import { bestOf, summary, timed, type Laps } from './stopwatch.js'
import { widePayloads } from './wide.js'

/** Each finds fewer traces than the limit, so that nobody may stop early: a column is read over all spans, or ruled out. */
export const SCANS: readonly { readonly name: string; readonly query: string }[] = [
  { name: 'two columns', query: '{ span.http.status_code >= 500 && duration > 1500ms }' },
  { name: 'one number', query: '{ span.db.rows >= 999 }' },
  // A user of the first trace of the seed.
  { name: 'one rare text', query: '{ span.user.id = "u-048231" }' },
]
export const SEARCH_LIMIT = 1000
export const SPANS_PER_SPAN_SET = 3
export const TRACES_BY_ID = 100
/** So many are not counted before each measurement: a store runs for days, its code is compiled. */
export const WARM_UP_TRACES = 50
export const WARM_UP_SCANS = 3
const OPENS = 30
const RUNS = 3
const SCAN_RUNS = 5
const LEVELS: readonly AttributeKey['level'][] = ['resource', 'scope', 'span', 'event', 'link']
const COMPACTED_BLOCKS = 4

export interface BlocksOptions {
  readonly encoding: string
  readonly traces: number
  readonly wideTraces: number
  readonly now_ms: number
  readonly folder: string
}

export interface ScanFigures extends Laps {
  readonly name: string
  readonly query: string
  readonly found: number
  readonly spansPerCpuSecond: number
}

export interface BlockFigures {
  readonly encoding: string
  readonly spans: number
  readonly groups: number
  readonly encodePerCpuSecond: number
  readonly decodePerCpuSecond: number
  readonly bytesPerSpan: number
  readonly byIdCold: Laps
  readonly byIdOpen: Laps
  readonly scans: readonly ScanFigures[]
  readonly compaction: CompactionFigures
  readonly wide: {
    readonly spans: number
    readonly otlpBytesPerSpan: number
    readonly bytesPerSpan: number
    readonly encodePerCpuSecond: number
    readonly decodePerCpuSecond: number
  }
}

/** The data of all rows, the same for each encoding and for Tempo. */
export function blockData({ traces, wideTraces, now_ms }: Omit<BlocksOptions, 'encoding' | 'folder'>) {
  const now_ns = BigInt(Math.floor(now_ms)) * 1_000_000n
  return {
    shop: shopPayloads({ seed: 1, traces, now_ns }),
    wide: widePayloads({ seed: 2, traces: wideTraces, now_ns }),
  }
} // prettier-ignore

/** Ids of traces that are there, picked anew by the same seed each time. */
export function someTraceIds(payloads: readonly Payload[], count: number): Buffer[] {
  const random = new Random(3)
  return Array.from({ length: count }, () => {
    const { ids, spans } = random.pick(payloads)
    const at = random.below(spans) * 24
    return ids.subarray(at, at + 16)
  })
}

export async function measureEncoding(options: BlocksOptions): Promise<BlockFigures> {
  const encoding = encodingNamed(options.encoding)
  const backend = new LocalBackend(join(options.folder, 'backend'), { clock: systemClock, log: silentLog }) // prettier-ignore
  const place: Place = { encoding, backend, scratch: join(options.folder, 'scratch') }
  try {
    const { shop, wide } = blockData(options)
    const head = fillHead(shop, blockIdOf(1000))
    const encoded = await measureEncode(place, head)
    const meta = await writeBlock(encoding, head, backend, place.scratch)
    const decode = await measureDecode(place, meta)
    const ids = someTraceIds(shop, TRACES_BY_ID)
    return {
      encoding: options.encoding,
      spans: head.spans,
      groups: meta.totalRecords,
      encodePerCpuSecond: encoded,
      decodePerCpuSecond: decode,
      bytesPerSpan: bytesOf(place, meta) / head.spans,
      byIdCold: await measureColdOpens(place, meta, ids.slice(0, OPENS)),
      byIdOpen: await measureOpen(place, meta, ids),
      scans: await measureScans(place, meta),
      wide: await measureWide(place, wide),
      compaction: await measureMerge(place, head.spans, options.now_ms),
    }
  } finally {
    await backend.close()
  }
}

interface Place {
  readonly encoding: BlockEncoding
  readonly backend: LocalBackend
  readonly scratch: string
}

/** From the head's columns to the block's files, ordering by trace id included. */
async function measureEncode(place: Place, head: FilledHead): Promise<number> {
  const { cpu_s } = await bestOf(RUNS, () => encodeHead(place.encoding, head, place.scratch))
  return head.spans / cpu_s
}

async function measureDecode({ backend }: Place, meta: BlockMeta): Promise<number> {
  const { cpu_s } = await bestOf(RUNS, async () => {
    const source = await openBlock(meta, backend)
    for (let i = 0; i < source.groupCount; i++) await readAll(await source.group(i))
    readTexts(source)
    await source.close()
  })
  return meta.totalSpans! / cpu_s
}

/** Every column that the group has. */
async function readAll(group: RowGroup): Promise<void> {
  await Promise.all([group.parents(), group.offsets('event'), group.offsets('link')])
  for (const [name] of FIELDS) await group.field(name)
  for (const level of LEVELS) {
    for (const key of await group.attributes(level)) await group.attribute(key)
  }
}

function readTexts({ dictionary }: ColumnSource): void {
  for (let code = 1; code <= dictionary.size; code++) dictionary.bytes(code)
}

async function traceOf(source: ColumnSource, id: Uint8Array): Promise<void> {
  const place = await source.locate(id)
  if (!place) throw new Error(`${source.id} has lost trace ${Buffer.from(id).toString('hex')}`)
  await assembleTrace(await source.group(place.group), place.row)
}

/** The block is opened for each trace; its file is in the kernel's cache. */
async function measureColdOpens(
  { backend }: Place,
  meta: BlockMeta,
  ids: readonly Uint8Array[],
): Promise<Laps> {
  const openedFor = async (id: Uint8Array) => {
    const source = await openBlock(meta, backend)
    await traceOf(source, id)
    await source.close()
  }
  await measureEach(ids, openedFor) // a warm-up
  return measureEach(ids, openedFor)
}

/** One open block for all, as the querier keeps it. */
async function measureOpen(
  { backend }: Place,
  meta: BlockMeta,
  ids: readonly Uint8Array[],
): Promise<Laps> {
  const source = await openBlock(meta, backend)
  await measureEach(ids.slice(0, WARM_UP_TRACES), (id) => traceOf(source, id))
  const laps = await measureEach(ids, (id) => traceOf(source, id))
  await source.close()
  return laps
}

async function measureEach<T>(items: readonly T[], work: (item: T) => Promise<void>) {
  const wall_ms: number[] = []
  let cpu_s = 0
  for (const item of items) {
    const lap = await timed(() => work(item))
    wall_ms.push(lap.wall_ms)
    cpu_s += lap.cpu_s
  }
  return summary(wall_ms, cpu_s)
}

/** The block is opened for each search, so that no column of it is decoded yet. */
async function measureScans({ backend }: Place, meta: BlockMeta): Promise<ScanFigures[]> {
  const figures: ScanFigures[] = []
  for (const { name, query } of SCANS) {
    let found = 0
    const search = async () => {
      const source = await openBlock(meta, backend)
      const options = { limit: SEARCH_LIMIT, spansPerSpanSet: SPANS_PER_SPAN_SET }
      found = (await searchSource(source, planSearch(query), options)).traces.length
      await source.close()
    }
    for (let run = 0; run < WARM_UP_SCANS; run++) await search()
    const laps = await measureEach(new Array<null>(SCAN_RUNS).fill(null), search)
    const spansPerCpuSecond = (meta.totalSpans! * 1000) / laps.cpu_ms
    figures.push({ ...laps, name, query, found, spansPerCpuSecond })
  }
  return figures
}

async function measureWide(place: Place, wide: readonly Payload[]): Promise<BlockFigures['wide']> {
  const head = fillHead(wide, blockIdOf(2000))
  const encodePerCpuSecond = await measureEncode(place, head)
  const meta = await writeBlock(place.encoding, head, place.backend, place.scratch)
  return {
    spans: head.spans,
    otlpBytesPerSpan: wide.reduce((sum, { bytes }) => sum + bytes.length, 0) / head.spans,
    bytesPerSpan: bytesOf(place, meta) / head.spans,
    encodePerCpuSecond,
    decodePerCpuSecond: await measureDecode(place, meta),
  }
}

async function measureMerge(
  { encoding, backend, scratch }: Place,
  spans: number,
  now_ms: number,
): Promise<CompactionFigures> {
  const now_ns = BigInt(Math.floor(now_ms)) * 1_000_000n
  const perBlock = Math.ceil(spans / COMPACTED_BLOCKS)
  const metas = await writeShopBlocks(encoding, COMPACTED_BLOCKS, perBlock, backend, scratch, now_ns) // prettier-ignore
  return measureCompaction(metas, backend, scratch)
}

/** All objects of a block, its indexes and meta.json included. */
function bytesOf({ backend }: Place, meta: BlockMeta): number {
  return folderBytes(join(backend.root, TENANT, meta.blockID))
}
