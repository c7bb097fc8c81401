/** Owns `blocks list`: every block with what its meta.json says, by tenant, and the sums. */
import { formatTime } from '../../storage/block/meta.js'
import { listBucket, timesOf, type Bucket, type ListedBlock } from './bucket.js'
import { FAILED, OK, Usage, say, sayJson, warn, type BlocksContext } from './context.js'
import { oneOf } from './options.js'
import { size, span, tableOf, time, type TableColumn } from './table.js'

interface Row {
  readonly tenant: string
  readonly id: string
  readonly format: string
  readonly level: number
  readonly traces: number
  /** Undefined where meta.json does not say: Tempo's may leave it out. */
  readonly spans: number | undefined
  readonly groups: number
  readonly size_bytes: number
  readonly bytesPerSpan: number | undefined
  readonly start_ns: bigint
  readonly end_ns: bigint
  readonly duration_ns: bigint
  /** Since its last span. */
  readonly age_ns: bigint
  readonly flags: readonly string[]
}

const SORTS = {
  id: (row: Row) => row.id,
  version: (row: Row) => row.format,
  level: (row: Row) => row.level,
  traces: (row: Row) => row.traces,
  spans: (row: Row) => row.spans ?? -1,
  size: (row: Row) => row.size_bytes,
  'bytes-per-span': (row: Row) => row.bytesPerSpan ?? -1,
  start: (row: Row) => row.start_ns,
  end: (row: Row) => row.end_ns,
  duration: (row: Row) => row.duration_ns,
  age: (row: Row) => row.age_ns,
} as const
type Sort = keyof typeof SORTS

export async function listBlocks(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const { options } = ctx
  const [named, ...more] = words
  if (more.length > 0) throw new Usage('list takes one tenant at most')
  if (named !== undefined && options.tenant !== undefined && named !== options.tenant) {
    throw new Usage(`two tenants are named: ${named} and ${options.tenant}`)
  }
  const sort = oneOf('sort', options.sort ?? 'end', Object.keys(SORTS) as Sort[])
  const tenant = named ?? options.tenant
  const bucket = await listBucket(ctx, { tenant, includeCompacted: options['include-compacted'] })
  const now_ns = BigInt(Math.floor(ctx.clock.now())) * 1_000_000n
  const tenants = [...bucket.tenants].map(([name, blocks]) => ({
    tenant: name,
    rows: sorted(blocks.map((block) => rowOf(block, now_ns)), sort, options.reverse),
  })) // prettier-ignore
  if (options.json) sayJson(ctx, jsonOf(tenants, bucket))
  else if (tenants.length === 0) say(ctx, `no blocks in ${ctx.place}\n`)
  else for (const { tenant: name, rows } of tenants) sayTenant(ctx, name, rows, tenants.length > 1)
  return tellFaults(ctx, bucket)
}

/** What is missing from the list; a list that may be short is a failure. */
export function tellFaults(ctx: BlocksContext, { rejected, failures }: Bucket): number {
  for (const [block, why] of rejected) warn(ctx, `${block} is left out, as by the store: ${why}`)
  for (const failure of failures) warn(ctx, `blocks may be missing: ${failure}`)
  return failures.length > 0 ? FAILED : OK
}

function rowOf({ tenant, blockId, meta, flags }: ListedBlock, now_ns: bigint): Row {
  const { start_ns, end_ns } = timesOf(meta)
  const spans = meta.totalSpans
  return {
    tenant,
    id: blockId,
    format: meta.format,
    level: meta.compactionLevel,
    traces: meta.totalObjects,
    spans,
    groups: meta.totalRecords,
    size_bytes: meta.size,
    bytesPerSpan: spans === undefined || spans === 0 ? undefined : meta.size / spans,
    start_ns,
    end_ns,
    duration_ns: end_ns - start_ns,
    age_ns: now_ns - end_ns,
    flags,
  }
}

function sorted(rows: readonly Row[], sort: Sort, isReversed: boolean): Row[] {
  const of = SORTS[sort]
  const order = (a: Row, b: Row): number => {
    const [x, y] = [of(a), of(b)]
    if (x !== y) return x < y ? -1 : 1
    return a.id < b.id ? -1 : 1
  }
  const ascending = [...rows].sort(order)
  return isReversed ? ascending.reverse() : ascending
}

const COLUMNS: readonly TableColumn<Row>[] = [
  { title: 'ID', text: (row) => row.id },
  { title: 'VERSION', text: (row) => row.format },
  { title: 'LVL', text: (row) => String(row.level), isNumber: true },
  { title: 'TRACES', text: (row) => String(row.traces), isNumber: true },
  { title: 'SPANS', text: (row) => String(row.spans ?? '-'), isNumber: true },
  { title: 'SIZE', text: (row) => size(row.size_bytes), isNumber: true },
  { title: 'B/SPAN', text: (row) => perSpan(row.bytesPerSpan), isNumber: true },
  { title: 'START', text: (row) => time(row.start_ns) },
  { title: 'END', text: (row) => time(row.end_ns) },
  { title: 'DURATION', text: (row) => span(row.duration_ns), isNumber: true },
  { title: 'AGE', text: (row) => span(row.age_ns), isNumber: true },
  { title: 'FLAGS', text: (row) => row.flags.join(',') },
]

function sayTenant(
  ctx: BlocksContext,
  tenant: string,
  rows: readonly Row[],
  isOneOfMany: boolean,
): void {
  const totals = totalsOf(rows)
  const uncounted = totals.blocksWithoutSpanCount
  const spans = uncounted === rows.length ? '-' : `${totals.spans}${uncounted > 0 ? '+' : ''}`
  const foot = [`${rows.length} ${rows.length === 1 ? 'block' : 'blocks'}`, '', '', String(totals.traces), spans, size(totals.size_bytes), perSpan(totals.bytesPerSpan), '', '', '', '', ''] // prettier-ignore
  if (isOneOfMany) say(ctx, `tenant ${tenant}\n`)
  say(ctx, tableOf(COLUMNS, rows, foot))
  if (isOneOfMany) say(ctx, '\n')
}

const perSpan = (bytes: number | undefined): string => bytes?.toFixed(1) ?? '-'

function totalsOf(rows: readonly Row[]) {
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0)
  const counted = rows.filter(({ spans }) => spans !== undefined)
  const spans = sum((row) => row.spans ?? 0)
  const counted_bytes = counted.reduce((total, { size_bytes }) => total + size_bytes, 0)
  return {
    blocks: rows.length,
    traces: sum((row) => row.traces),
    spans,
    blocksWithoutSpanCount: rows.length - counted.length,
    size_bytes: sum((row) => row.size_bytes),
    bytesPerSpan: spans > 0 ? counted_bytes / spans : undefined,
  }
}

function jsonOf(tenants: readonly { tenant: string; rows: readonly Row[] }[], bucket: Bucket) {
  const rejected = [...bucket.rejected].map(([block, reason]) => ({ block, reason }))
  return {
    tenants: tenants.map(({ tenant, rows }) => ({
      tenant,
      blocks: rows.map(jsonRow),
      totals: totalsOf(rows),
    })),
    rejected,
    failures: bucket.failures,
  }
}

function jsonRow({ start_ns, end_ns, duration_ns, age_ns, ...row }: Row) {
  const seconds = (ns: bigint) => Number(ns / 1_000_000n) / 1000
  return {
    ...row,
    start: formatTime(start_ns),
    end: formatTime(end_ns),
    duration_s: seconds(duration_ns),
    age_s: seconds(age_ns),
  }
}
