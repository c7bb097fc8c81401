/**
 * Owns reading a whole block in parts of its row groups: Tempo's have up to half a million spans, more than whoever puts their
 * columns together could hold. A part is a range of traces, seen as a row group of its own.
 */
import type { ColumnSource, RowGroup } from '../../../otlp/columns.js'
import type { BackendReader } from '../../backend/backend.js'
import type { BlockMeta } from '../../block/encoding.js'
import type { RowRange } from '../../parquet/read-column.js'
import { openVparquet, type VparquetSource } from './source.js'

/** Where the footer does not say how many spans there are. */
const SPANS_PER_TRACE = 16

interface Part {
  readonly group: number
  /** Undefined: all of it. */
  readonly rows: RowRange | undefined
}

export async function openInParts(
  meta: BlockMeta,
  backend: BackendReader,
  groupSpans: number,
): Promise<ColumnSource> {
  return new PartedSource(await openVparquet(meta, backend), groupSpans)
}

class PartedSource implements ColumnSource {
  readonly #source: VparquetSource
  readonly #parts: readonly Part[]

  constructor(source: VparquetSource, groupSpans: number) {
    this.#source = source
    this.#parts = Array.from({ length: source.groupCount }, (_, i) => partsOf(source, i, groupSpans)).flat() // prettier-ignore
  }

  get id(): string {
    return this.#source.id
  }
  get tenant(): string {
    return this.#source.tenant
  }
  get spanCount(): number {
    return this.#source.spanCount
  }
  get traceCount(): number {
    return this.#source.traceCount
  }
  get minStart_ns(): bigint {
    return this.#source.minStart_ns
  }
  get maxEnd_ns(): bigint {
    return this.#source.maxEnd_ns
  }
  get size_bytes(): number {
    return this.#source.size_bytes
  }
  get dictionary(): ColumnSource['dictionary'] {
    return this.#source.dictionary
  }
  get groupCount(): number {
    return this.#parts.length
  }

  group(index: number): Promise<RowGroup> {
    const part = this.#parts[index]
    if (!part) throw new RangeError(`part ${index} is not in 0..${this.#parts.length - 1}`)
    return part.rows ? this.#source.part(part.group, part.rows) : this.#source.group(part.group)
  }

  async locate(traceId: Uint8Array): Promise<{ group: number; row: number } | undefined> {
    const place = await this.#source.locate(traceId)
    if (!place) return undefined
    const holds = ({ group, rows }: Part) =>
      group === place.group && (!rows || (place.row >= rows.from && place.row < rows.to))
    const group = this.#parts.findIndex(holds)
    return { group, row: place.row - (this.#parts[group]?.rows?.from ?? 0) }
  }

  inspected_bytes(): number {
    return this.#source.inspected_bytes()
  }
  retained_bytes(): number {
    return this.#source.retained_bytes()
  }
  close(): Promise<void> {
    return this.#source.close()
  }
}

/** As many ranges of about as many traces as keep each below so many spans, should traces be of one size. */
function partsOf(source: VparquetSource, group: number, groupSpans: number): Part[] {
  const { rows: traces, spans = SPANS_PER_TRACE * traces } = source.sizeOf(group)
  const count = Math.min(traces, Math.ceil(spans / groupSpans))
  if (count <= 1) return [{ group, rows: undefined }]
  const at = (i: number) => Math.floor((traces * i) / count)
  return Array.from({ length: count }, (_, i) => ({ group, rows: { from: at(i), to: at(i + 1) } }))
}
