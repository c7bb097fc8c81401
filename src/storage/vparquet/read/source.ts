/** Owns opening a block of Tempo's parquet: its footer, its blooms, where a trace is; groups are read when asked for. */
import type { ColumnSource, RowGroup } from '../../../otlp/columns.js'
import { compareBytes } from '../../../lib/bytes.js'
import { ObjectNotFound, type BackendReader } from '../../backend/backend.js'
import { RangeReader } from '../../block/blockpack-ranges.js'
import { guarded } from '../../block/blockpack-container.js'
import { CorruptBlock, type BlockMeta } from '../../block/encoding.js'
import { objectPath } from '../../block/meta.js'
import type { RowGroupMetaData } from '../../parquet/metadata.js'
import type { RowRange } from '../../parquet/read-column.js'
import { ParquetFooter, TRAILER_BYTES, footerLength } from '../../parquet/read-file.js'
import { bloomName, shardOf } from '../bloom-hash.js'
import { DATA_OBJECT, INDEX_OBJECT } from '../objects.js'
import { UNREAD_DICTIONARY } from './dictionary.js'
import { GroupColumns } from './group-columns.js'
import { VparquetGroup, countRows, readPart } from './group.js'
import { eachBytes } from './join.js'
import { COUNTED_BY, dedicatedOf, ownColumns, type OwnedColumns } from './paths.js'
import { bloomMayHave, parseIndex } from './trace-index.js'

const TRACE_ID = 'TraceID'
const ID_BYTES = 16
/** The first read from the end: the footer of most blocks, and page indexes of some. */
const TAIL_BYTES = 64 * 1024
/** Shards of blooms kept, the last used: a shard of Tempo's is 100 KiB. */
const KEPT_BLOOMS = 2
const MAX_BLOOM_SHARDS = 65_536
/** Of heap: what is kept of a row group, and a column's place in the schema. */
const SUMMARY_BYTES = 256
const LEAF_BYTES = 640

/** What is kept of a row group; its columns are parsed when it is asked for. */
interface Summary {
  readonly rows: number
  readonly spans: number | undefined
  readonly minId: Uint8Array | undefined
  readonly maxId: Uint8Array | undefined
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
}

export async function openVparquet(meta: BlockMeta, backend: BackendReader): Promise<VparquetSource> {
  const { blockID: blockId, size } = meta
  const ranges = new RangeReader(backend, objectPath(meta.tenantID, blockId, DATA_OBJECT), blockId, size)
  if (size < 2 * TRAILER_BYTES) throw new CorruptBlock(blockId, 'footer', 0, `an object of ${size} bytes is too short`)
  const dedicated = dedicatedOf(meta)
  if (typeof dedicated === 'string') throw new CorruptBlock(blockId, 'meta.json', 0, dedicated)
  const tailLength = Math.min(size, Math.max(TAIL_BYTES, Math.min(meta.footerSize, size) + TRAILER_BYTES))
  const tail = await ranges.read(size - tailLength, tailLength)
  const length = guarded(blockId, 'footer', size - TRAILER_BYTES, () => footerLength(tail.subarray(-TRAILER_BYTES), size))
  const whole = length <= tailLength ? tail.subarray(tailLength - length) : await ranges.read(size - length, length)
  const groups: RowGroupMetaData[] = []
  const footer = guarded(blockId, 'footer', size - length, () => {
    const bytes = new Uint8Array(length - TRAILER_BYTES)
    bytes.set(whole.subarray(0, bytes.length))
    return new ParquetFooter(bytes, size, (group) => groups.push(group))
  })
  for (const path of [TRACE_ID, ...Object.values(COUNTED_BY).slice(0, 3)]) {
    if (!footer.byPath.has(path)) throw new CorruptBlock(blockId, 'footer', size - length, `no column ${path}: not a file of traces`)
  }
  const has = (path: string) => footer.byPath.has(path)
  const owned: OwnedColumns = {
    resource: ownColumns(dedicated, 'resource', has),
    scope: [],
    span: ownColumns(dedicated, 'span', has),
    event: ownColumns(dedicated, 'event', has),
    link: [],
  }
  const summaries = groups.map((group) => summaryOf(group, footer))
  return new VparquetSource({ meta, backend, ranges, footer, owned, summaries })
} // prettier-ignore

interface Opened {
  readonly meta: BlockMeta
  readonly backend: BackendReader
  readonly ranges: RangeReader
  readonly footer: ParquetFooter
  readonly owned: OwnedColumns
  readonly summaries: readonly Summary[]
}

export class VparquetSource implements ColumnSource {
  readonly #opened: Opened
  readonly #blooms = new Map<number, Promise<Uint8Array | undefined>>()
  readonly dictionary = UNREAD_DICTIONARY
  readonly spanCount: number
  readonly traceCount: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  #read_bytes = 0
  #bloom_bytes = 0

  constructor(opened: Opened) {
    this.#opened = opened
    const { meta, summaries } = opened
    let spans: number | undefined = 0
    let traces = 0
    let minStart_ns = summaries[0]?.minStart_ns ?? 0n
    let maxEnd_ns = 0n
    for (const summary of summaries) {
      spans = spans === undefined || summary.spans === undefined ? undefined : spans + summary.spans
      traces += summary.rows
      if (summary.minStart_ns < minStart_ns) minStart_ns = summary.minStart_ns
      if (summary.maxEnd_ns > maxEnd_ns) maxEnd_ns = summary.maxEnd_ns
    }
    this.spanCount = spans ?? meta.totalSpans ?? 0
    this.traceCount = traces
    this.minStart_ns = minStart_ns
    this.maxEnd_ns = maxEnd_ns
  }

  get id(): string {
    return this.#opened.meta.blockID
  }
  get tenant(): string {
    return this.#opened.meta.tenantID
  }
  get size_bytes(): number {
    return this.#opened.meta.size
  }
  get groupCount(): number {
    return this.#opened.summaries.length
  }

  async group(index: number): Promise<RowGroup> {
    const columns = this.#columns(index)
    const { minStart_ns, maxEnd_ns } = this.#opened.summaries[index]!
    const counts = await countRows(columns)
    return new VparquetGroup(columns, counts, this.#opened.owned, minStart_ns, maxEnd_ns)
  }

  /** Traces of a row group, and its spans where the footer says. */
  sizeOf(index: number): Pick<Summary, 'rows' | 'spans'> {
    return this.#opened.summaries[index]!
  }

  /** Some traces of a row group as a row group. */
  async part(index: number, rows: RowRange): Promise<RowGroup> {
    const columns = new GroupColumns(this.#columns(index).context, rows)
    const known = await readPart(columns, rows.to - rows.from)
    const { minStart_ns, maxEnd_ns } = this.#opened.summaries[index]!
    return new VparquetGroup(columns, known.counts, this.#opened.owned, minStart_ns, maxEnd_ns, known) // prettier-ignore
  }

  async locate(traceId: Uint8Array): Promise<{ group: number; row: number } | undefined> {
    if (traceId.length !== ID_BYTES || !(await this.#bloomMayHave(traceId))) return undefined
    for (const group of await this.#groupsOf(traceId)) {
      const row = await this.#rowOf(group, traceId)
      if (row !== undefined) return { group, row }
    }
    return undefined
  }

  inspected_bytes(): number {
    return this.#opened.ranges.read_bytes + this.#read_bytes
  }

  retained_bytes(): number {
    const { footer, summaries } = this.#opened
    const parsed_bytes = summaries.length * SUMMARY_BYTES + footer.leaves.length * LEAF_BYTES
    return footer.length_bytes + parsed_bytes + this.#bloom_bytes
  }

  close(): Promise<void> {
    this.#blooms.clear()
    this.#bloom_bytes = 0
    return Promise.resolve()
  }

  #columns(index: number): GroupColumns {
    const { footer, meta, ranges } = this.#opened
    if (!(index >= 0 && index < this.groupCount)) {
      throw new RangeError(`group ${index} is not in 0..${this.groupCount - 1}`)
    }
    const group = guarded(meta.blockID, 'footer', 0, () => footer.group(index))
    return new GroupColumns({ blockId: meta.blockID, ranges, footer, index, meta: group })
  }

  /** True when the block has no blooms: then its rows decide. */
  async #bloomMayHave(traceId: Uint8Array): Promise<boolean> {
    const { bloomShards, blockID } = this.#opened.meta
    if (bloomShards < 1 || bloomShards > MAX_BLOOM_SHARDS) return true
    const shard = shardOf(traceId, bloomShards)
    const bloom = await this.#bloom(shard)
    return !bloom || guarded(blockID, bloomName(shard), 0, () => bloomMayHave(bloom, traceId))
  }

  #bloom(shard: number): Promise<Uint8Array | undefined> {
    let bloom = this.#blooms.get(shard)
    if (bloom) this.#blooms.delete(shard)
    else {
      bloom = this.#object(bloomName(shard))
      bloom.then(
        (bytes) => (this.#bloom_bytes = Math.max(this.#bloom_bytes, KEPT_BLOOMS * (bytes?.length ?? 0))),
        () => this.#blooms.delete(shard),
      )
    }
    this.#blooms.set(shard, bloom)
    if (this.#blooms.size > KEPT_BLOOMS) this.#blooms.delete(this.#blooms.keys().next().value!)
    return bloom
  } // prettier-ignore

  /** A whole object beside the data; undefined when there is none. */
  async #object(name: string): Promise<Uint8Array | undefined> {
    const { backend, meta } = this.#opened
    try {
      const bytes = await backend.get(objectPath(meta.tenantID, meta.blockID, name))
      this.#read_bytes += bytes.length
      return bytes
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined
      throw error
    }
  }

  /** Row groups that may have the id: by their bounds in the footer, where those are missing by the object `index`. */
  async #groupsOf(traceId: Uint8Array): Promise<number[]> {
    const { meta, summaries } = this.#opened
    const found: number[] = []
    let isUnknown = false
    for (const [i, { minId, maxId }] of summaries.entries()) {
      if (!minId || !maxId) isUnknown = true
      else if (compareBytes(traceId, minId) < 0 || compareBytes(traceId, maxId) > 0) continue
      found.push(i)
    }
    if (!isUnknown) return found
    const index = await this.#object(INDEX_OBJECT)
    if (!index) return found
    const lasts = guarded(meta.blockID, INDEX_OBJECT, 0, () => parseIndex(index))
    const group = lasts.findIndex((last) => compareBytes(traceId, last) <= 0)
    return lasts.length !== summaries.length ? found : found.filter((i) => i === group)
  }

  /** The row of a trace in a group: the page by the column index, the row by the ids in it. */
  async #rowOf(group: number, traceId: Uint8Array): Promise<number | undefined> {
    const whole = this.#columns(group)
    const rows = await whole.ask(TRACE_ID, async (reader) => {
      const [index, offsets] = await Promise.all([reader.columnIndex(), reader.offsetIndex()])
      const firsts = offsets?.firstRowIndexes
      if (!index || !firsts || firsts.length !== index.minValues.length) return undefined
      const mayHold = (page: number) =>
        compareBytes(traceId, index.minValues[page]!) >= 0 && compareBytes(traceId, index.maxValues[page]!) <= 0
      const pages = [...firsts.keys()].filter(mayHold)
      if (pages.length === 0) return { from: 0, to: 0 }
      return { from: firsts[pages[0]!]!, to: firsts[pages.at(-1)! + 1] ?? reader.bounds.rows }
    })
    if (rows && rows.from >= rows.to) return undefined
    const columns = rows ? new GroupColumns(whole.context, rows) : whole
    return columns.read(TRACE_ID, true, ({ data }) => {
      let row = rows?.from ?? 0
      let found: number | undefined
      eachBytes(data, (bytes, start, end) => {
        if (found === undefined && end - start === traceId.length && matches(bytes, start, traceId)) found = row
        row++
      })
      return found
    })
  } // prettier-ignore
}

function matches(bytes: Uint8Array, at: number, id: Uint8Array): boolean {
  for (let i = 0; i < id.length; i++) if (bytes[at + i] !== id[i]) return false
  return true
}

function summaryOf(group: RowGroupMetaData, footer: ParquetFooter): Summary {
  const metaOf = (path: string) => {
    const leaf = footer.byPath.get(path)
    return leaf && group.columns[leaf.index]?.metaData
  }
  const ids = metaOf(TRACE_ID)?.statistics
  const span = metaOf(COUNTED_BY.span)
  const nulls = span?.statistics?.nullCount
  return {
    rows: group.numRows,
    spans: span && nulls !== undefined ? Math.max(0, span.numValues - nulls) : undefined,
    minId: ids?.minValue?.slice(),
    maxId: ids?.maxValue?.slice(),
    minStart_ns: word(metaOf('StartTimeUnixNano')?.statistics?.minValue) ?? 0n,
    maxEnd_ns: word(metaOf('EndTimeUnixNano')?.statistics?.maxValue) ?? 2n ** 64n - 1n,
  }
}

function word(bytes: Uint8Array | undefined): bigint | undefined {
  if (bytes?.length !== 8) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
}
