/** Owns walking an input block by rising trace id, one row group in memory at a time. */
import type { AttributeKey, Column, ColumnSource, Parents, RowGroup } from '../../otlp/columns.js'
import { levelOf, type ColumnRef } from '../block/blockpack-image.js'

const ID_WORDS = 4
const LEVELS = ['resource', 'scope', 'span', 'event', 'link'] as const

/** One row group of an input, with what a merge always needs; other columns are decoded when asked for. */
export class SourceGroup {
  readonly #source: ColumnSource
  readonly #index: number
  #group: RowGroup
  #kept_bytes = 0
  readonly #counted = new Set<string>()

  private constructor(
    source: ColumnSource,
    index: number,
    group: RowGroup,
    /** Trace ids as big-endian words, which compare as the ids do. */
    readonly ids: Uint32Array,
    readonly spanIds: Uint8Array,
    readonly spanKinds: Uint32Array,
    readonly parents: Parents,
    readonly events: Uint32Array,
    readonly links: Uint32Array,
    /** First span of each trace, and the end. */
    readonly traceOffsets: Uint32Array,
    readonly attributes: readonly AttributeKey[],
  ) {
    this.#source = source
    this.#index = index
    this.#group = group
  }

  static async open(source: ColumnSource, index: number): Promise<SourceGroup> {
    const group = await source.group(index)
    const [ids, spanIds, kinds, parents, events, links, ...attributes] = await Promise.all([
      group.field('trace.id'),
      group.field('span.id'),
      group.field('span.kind'),
      group.parents(),
      group.offsets('event'),
      group.offsets('link'),
      ...LEVELS.map((level) => group.attributes(level)),
    ])
    const { trace, span } = group.counts
    const traceOffsets = new Uint32Array(trace + 1)
    for (const row of parents.trace) traceOffsets[row + 1]!++
    for (let row = 0; row < trace; row++) traceOffsets[row + 1]! += traceOffsets[row]!
    return new SourceGroup(
      source,
      index,
      group,
      words(ids?.bytes ?? new Uint8Array(16 * trace)),
      spanIds?.bytes ?? new Uint8Array(8 * span),
      kinds?.lo ?? new Uint32Array(span),
      parents,
      events,
      links,
      traceOffsets,
      attributes.flat(),
    )
  }

  get counts(): RowGroup['counts'] {
    return this.#group.counts
  }

  async column(ref: ColumnRef): Promise<Column | undefined> {
    const column = await (ref.kind === 'field'
      ? this.#group.field(ref.name)
      : this.#group.attribute(ref.key))
    const name = ref.kind === 'field' ? ref.name : `${levelOf(ref)} ${ref.key.type} ${ref.key.key}`
    if (column && !this.#counted.has(name)) {
      this.#counted.add(name)
      this.#kept_bytes += bytesOf(column)
    }
    return column
  }

  /** Forgets the decoded columns when they take more than this: those that are needed again are decoded again. */
  async trim(max_bytes: number): Promise<void> {
    if (this.#kept_bytes <= max_bytes) return
    this.#group = await this.#source.group(this.#index)
    this.#kept_bytes = 0
    this.#counted.clear()
  }
}

/** Strings and indexes that an open input may remember from one row group to the next. */
export const RETAINED_BYTES_PER_INPUT = 8 * 2 ** 20

export type Reopen = () => Promise<ColumnSource>

/** Where a merge stands in one input. */
export class SourceCursor {
  /** The trace it stands at; `group` is undefined past the last one. */
  group: SourceGroup | undefined
  row = 0
  #source: ColumnSource
  readonly #reopen: Reopen | undefined
  #next = 0
  /** What the source keeps from the start on, which opening it anew does not free. */
  #least_bytes = 0

  /** With `reopen`, a source that remembers too much is closed and opened anew between row groups. */
  constructor(source: ColumnSource, reopen?: Reopen) {
    this.#source = source
    this.#reopen = reopen
  }

  async open(): Promise<void> {
    this.#least_bytes = this.#retained_bytes()
    await this.#nextGroup()
  }

  /** True when the next `advance` reads a row group. */
  get isAtGroupEnd(): boolean {
    return this.group !== undefined && this.row + 1 >= this.group.counts.trace
  }

  /** To the next trace of the same group. */
  step(): void {
    this.row++
  }

  /** To the next trace. */
  async advance(): Promise<void> {
    if (this.isAtGroupEnd) await this.#nextGroup()
    else this.row++
  }

  /** Negative, zero or positive, as the ids of the traces at which the two stand compare. */
  compare(other: SourceCursor): number {
    const a = this.group!.ids
    const b = other.group!.ids
    const at = ID_WORDS * this.row
    const bt = ID_WORDS * other.row
    for (let i = 0; i < ID_WORDS; i++) {
      const x = a[at + i]!
      const y = b[bt + i]!
      if (x !== y) return x < y ? -1 : 1
    }
    return 0
  }

  async #nextGroup(): Promise<void> {
    this.row = 0
    const added_bytes = this.#retained_bytes() - this.#least_bytes
    if (this.#reopen && added_bytes > RETAINED_BYTES_PER_INPUT) {
      await this.#source.close()
      this.#source = await this.#reopen()
    }
    do {
      const index = this.#next++
      this.group =
        index < this.#source.groupCount ? await SourceGroup.open(this.#source, index) : undefined
    } while (this.group?.counts.trace === 0)
  }

  #retained_bytes(): number {
    return this.#source.retained_bytes?.() ?? 0
  }
}

function words(ids: Uint8Array): Uint32Array {
  const out = new Uint32Array(ids.length / 4)
  for (let i = 0, at = 0; i < out.length; i++, at += 4) {
    out[i] = ((ids[at]! << 24) | (ids[at + 1]! << 16) | (ids[at + 2]! << 8) | ids[at + 3]!) >>> 0
  }
  return out
}

/** What a decoded column takes, without its dictionary. */
function bytesOf(column: Column): number {
  switch (column.type) {
    case 'string':
    case 'any':
      return column.codes.byteLength
    case 'int':
      return 2 * column.lo.byteLength + (column.present?.length ?? 0)
    case 'float':
      return column.values.byteLength + (column.present?.length ?? 0)
    case 'bool':
      return column.values.length
    case 'fixed':
      return column.bytes.length
  }
}
