/** Owns `blocks view`: one block in words, with its sections, row groups and columns. */
import { anatomyOf } from '../../storage/block/anatomy-of.js'
import type {
  BlockAnatomy,
  ColumnAnatomy,
  ColumnValue,
  GroupAnatomy,
} from '../../storage/block/anatomy.js'
import type { BlockMeta } from '../../storage/block/encoding.js'
import { NOCOMPACT_OBJECT } from '../../storage/block/meta.js'
import { inputsOf } from '../../storage/backend/replaced-blocks.js'
import { findBlock, timesOf, type ListedBlock } from './bucket.js'
import { OK, Usage, say, sayJson, type BlocksContext } from './context.js'
import { wholeOption } from './options.js'
import { listOf, percent, shortened, size, span, tableOf, time, type TableColumn } from './table.js'

/** Rows of a table for people; `--all` shows the others, `--json` has them all. */
const SHOWN_GROUPS = 20
const SHOWN_COLUMNS = 60

type GroupFacts = Omit<GroupAnatomy, 'columns'>

/** A column over all row groups. Masks have no names of their own: all of a table are one column here. */
interface ColumnSum {
  readonly name: string
  readonly level: string
  readonly isTime: boolean
  readonly groups: Set<number>
  values: number
  stored_bytes: number
  raw_bytes: number | undefined
  readonly codecs: Set<string>
  /** The most of one group. */
  distinct: number | undefined
  min: ColumnValue | undefined
  max: ColumnValue | undefined
}

export async function viewBlock(ctx: BlocksContext, words: readonly string[]): Promise<number> {
  const [tenant, id, ...more] = words
  if (tenant === undefined || id === undefined || more.length > 0) {
    throw new Usage('view takes a tenant and a block: blocks view TENANT BLOCK')
  }
  const { options, backend } = ctx
  const block = await findBlock(ctx, tenant, id)
  const { objects } = await backend.list(`${tenant}/${block.blockId}`)
  const anatomy = await anatomyOf(block.meta, backend)
  const only = options.group === undefined ? undefined : wholeOption('group', options.group, 0)
  if (only !== undefined && only >= anatomy.groupCount) {
    throw new Usage(`--group ${only}: the block has the groups 0 to ${anatomy.groupCount - 1}`)
  }
  const { groups, columns } = await summed(ctx, anatomy, only)
  if (options.json) {
    sayJson(ctx, jsonOf(block, objects, anatomy, groups, columns))
    return OK
  }
  say(ctx, listOf(wordsOf(block, objects, anatomy, groups)))
  say(ctx, `\nSections\n${sectionTable(block.meta, anatomy)}`)
  say(ctx, `\nRow groups\n${groupTable(groups, options.all)}`)
  const which = only === undefined ? 'over all row groups' : `of row group ${only}`
  say(ctx, `\nColumns ${which}\n${columnTable(block.meta, columns, options.all)}`)
  return OK
}

/** Reads every group's directory, or one's. */
async function summed(
  ctx: BlocksContext,
  anatomy: BlockAnatomy,
  only: number | undefined,
): Promise<{ groups: GroupFacts[]; columns: ColumnSum[] }> {
  const sums = new Map<string, ColumnSum>()
  const groups: GroupFacts[] = []
  ctx.progress.begin()
  for (let i = 0; i < anatomy.groupCount; i++) {
    if (only !== undefined && i !== only) continue
    const { columns, ...group } = await anatomy.group(i)
    groups.push(group)
    for (const column of columns) addTo(sums, column, i)
    ctx.progress.show('reading directories', (i + 1) / anatomy.groupCount)
    ctx.signal.throwIfAborted()
  }
  ctx.progress.clear()
  const columns = [...sums.values()].sort((a, b) => b.stored_bytes - a.stored_bytes)
  return { groups, columns }
}

function addTo(sums: Map<string, ColumnSum>, column: ColumnAnatomy, group: number): void {
  const { name, level, isTime } = column
  let sum = sums.get(name)
  if (!sum) {
    const nothing = { values: 0, stored_bytes: 0, raw_bytes: undefined, distinct: undefined }
    sum = { name, level, isTime, groups: new Set(), codecs: new Set(), ...nothing, min: undefined, max: undefined } // prettier-ignore
    sums.set(name, sum)
  }
  sum.groups.add(group)
  sum.values += column.values
  sum.stored_bytes += column.stored_bytes
  if (column.raw_bytes !== undefined) sum.raw_bytes = (sum.raw_bytes ?? 0) + column.raw_bytes
  sum.codecs.add(column.codec.replace(/, \d+ pages?$/, ''))
  if (column.distinct !== undefined) sum.distinct = Math.max(sum.distinct ?? 0, column.distinct)
  if (sum.min === undefined || (column.min !== undefined && column.min < sum.min)) sum.min = column.min // prettier-ignore
  if (sum.max === undefined || (column.max !== undefined && column.max > sum.max)) sum.max = column.max // prettier-ignore
}

/** meta.json in words. */
function wordsOf(
  block: ListedBlock,
  objects: readonly string[],
  anatomy: BlockAnatomy,
  groups: readonly GroupFacts[],
) {
  const { meta } = block
  const { start_ns, end_ns } = timesOf(meta)
  const spans = meta.totalSpans ?? counted(groups, anatomy)
  const perSpan = spans ? `, ${(meta.size / spans).toFixed(1)} bytes a span` : ''
  const inputs = inputsOf(meta)
  const dedicated = (meta.dedicatedColumns ?? []).map(({ s = 'span', n, t }) => `${s}.${n}${t === 'int' ? ' (int)' : ''}`) // prettier-ignore
  const rows: [string, string][] = [
    ['tenant', meta.tenantID],
    ['block', meta.blockID],
    ['format', meta.format],
    ['size', `${size(meta.size)} (${meta.size} bytes${perSpan})`],
    ['traces', String(meta.totalObjects)],
    ['spans', spans === undefined ? 'not told' : String(spans)],
    ['row groups', String(anatomy.groupCount)],
    ['start', time(start_ns)],
    ['end', `${time(end_ns)}, ${span(end_ns - start_ns)} later`],
    ['level', `compacted ${meta.compactionLevel} times`],
    ['replication', `factor ${meta.replicationFactor}`],
    ['state', stateOf(block, objects)],
  ]
  if (anatomy.createdBy !== undefined) rows.push(['written by', anatomy.createdBy])
  if (inputs.length > 0) rows.push(['stands for', inputs.join(', ')])
  if (dedicated.length > 0) rows.push(['own columns', dedicated.join(', ')])
  rows.push(['objects', objects.join(', ')])
  return rows
}

/** Tempo's meta.json may not say how many spans there are; its row groups do. */
function counted(groups: readonly GroupFacts[], { groupCount }: BlockAnatomy): number | undefined {
  if (groups.length < groupCount) return undefined
  return groups.reduce<number | undefined>(
    (sum, { spans }) => (sum === undefined || spans === undefined ? undefined : sum + spans),
    0,
  )
}

function stateOf({ flags, compactedAt_ms }: ListedBlock, objects: readonly string[]): string {
  if (flags.includes('compacted')) {
    const since = compactedAt_ms === undefined ? '' : ` since ${time(BigInt(Math.floor(compactedAt_ms)) * 1_000_000n)}` // prettier-ignore
    return `compacted${since}: read by nobody, and deleted later`
  }
  if (objects.includes(NOCOMPACT_OBJECT)) return `read; not compacted while ${NOCOMPACT_OBJECT} is there` // prettier-ignore
  return 'read'
}

function sectionTable({ size: whole_bytes }: BlockMeta, anatomy: BlockAnatomy): string {
  return tableOf(
    [
      { title: 'SECTION', text: ({ name }) => name },
      { title: 'OFFSET', text: ({ offset }) => String(offset), isNumber: true },
      { title: 'BYTES', text: ({ stored_bytes }) => String(stored_bytes), isNumber: true },
      { title: 'SHARE', text: ({ stored_bytes }) => percent(stored_bytes / whole_bytes), isNumber: true }, // prettier-ignore
      { title: 'RAW', text: ({ raw_bytes }) => String(raw_bytes ?? '-'), isNumber: true },
    ],
    anatomy.sections,
  )
}

function groupTable(groups: readonly GroupFacts[], isAll: boolean): string {
  const shown = isAll ? groups : groups.slice(0, SHOWN_GROUPS)
  const when = (ns: bigint | undefined) => (ns === undefined ? '-' : time(ns))
  const table = tableOf(
    [
      { title: 'GROUP', text: ({ index }) => String(index), isNumber: true },
      { title: 'OFFSET', text: ({ offset }) => String(offset), isNumber: true },
      { title: 'BYTES', text: ({ stored_bytes }) => String(stored_bytes), isNumber: true },
      { title: 'TRACES', text: ({ traces }) => String(traces), isNumber: true },
      { title: 'SPANS', text: ({ spans }) => String(spans ?? '-'), isNumber: true },
      { title: 'START', text: ({ minStart_ns }) => when(minStart_ns) },
      { title: 'END', text: ({ maxEnd_ns }) => when(maxEnd_ns) },
    ],
    shown,
  )
  return table + rest(groups.length - shown.length, 'row groups')
}

function columnTable({ size: whole_bytes }: BlockMeta, columns: readonly ColumnSum[], isAll: boolean): string {
  const shown = isAll ? columns : columns.slice(0, SHOWN_COLUMNS)
  const table: TableColumn<ColumnSum>[] = [
    { title: 'COLUMN', text: ({ name }) => shortened(name) },
    { title: 'TABLE', text: ({ level }) => level },
    { title: 'VALUES', text: ({ values }) => String(values), isNumber: true },
    { title: 'BYTES', text: ({ stored_bytes }) => String(stored_bytes), isNumber: true },
    { title: 'SHARE', text: ({ stored_bytes }) => percent(stored_bytes / whole_bytes), isNumber: true },
    { title: 'RAW', text: ({ raw_bytes }) => String(raw_bytes ?? '-'), isNumber: true },
    { title: 'DISTINCT', text: ({ distinct }) => String(distinct ?? '-'), isNumber: true },
    { title: 'CODEC', text: ({ codecs }) => [...codecs].join(' ') },
    { title: 'MIN', text: (sum) => valueText(sum, sum.min) },
    { title: 'MAX', text: (sum) => valueText(sum, sum.max) },
  ]
  return tableOf(table, shown) + rest(columns.length - shown.length, 'columns')
} // prettier-ignore

const rest = (left: number, what: string): string =>
  left > 0 ? `${left} more ${what}: --all shows them\n` : ''

function valueText({ isTime }: ColumnSum, value: ColumnValue | undefined): string {
  if (value === undefined) return '-'
  return isTime && typeof value === 'bigint' ? time(value) : String(value)
}

function jsonOf(
  { meta, flags }: ListedBlock,
  objects: readonly string[],
  anatomy: BlockAnatomy,
  groups: readonly GroupFacts[],
  columns: readonly ColumnSum[],
) {
  const { createdBy, sections } = anatomy
  return {
    meta,
    flags: objects.includes(NOCOMPACT_OBJECT) ? [...flags, 'nocompact'] : flags,
    objects,
    createdBy,
    sections,
    groups,
    columns: columns.map(({ groups: of, codecs, isTime: _, ...column }) => ({
      ...column,
      groups: of.size,
      codecs: [...codecs],
    })),
  }
}
