/** Owns verifying the tables of one row group: every column decodes, has a row for each row, and points to rows and strings that are there. */
import { compareBytes } from '../../lib/bytes.js'
import type {
  AttributeKey,
  Column,
  FieldName,
  IntColumn,
  Level,
  RowGroup,
} from '../../otlp/columns.js'
import { FIELDS } from '../block/blockpack-format.js'
import { CorruptBlock } from '../block/encoding.js'

const ID_BYTES = 16
const ATTRIBUTE_LEVELS: readonly AttributeKey['level'][] = [
  'resource',
  'scope',
  'span',
  'event',
  'link',
]
/** Decoded columns after which the group is opened anew: its object keeps each. */
const KEPT_BYTES = 32 * 2 ** 20

export interface GroupRequest {
  readonly blockId: string
  readonly index: number
  /** Of the group in the data object, for messages. */
  readonly offset: number
  /** The group's times are those of its spans; Tempo's may be wider. */
  readonly hasExactTimes: boolean
  readonly open: () => Promise<RowGroup>
  /** The last trace id of the group before. */
  readonly lastId: Uint8Array | undefined
  readonly onProgress: (share: number) => void
}

export interface GroupFacts {
  readonly index: number
  readonly offset: number
  readonly spans: number
  readonly columns: number
  readonly traceIds: Uint8Array
}

/** Throws `CorruptBlock`. */
export async function verifyGroup(request: GroupRequest): Promise<GroupFacts> {
  const check = new GroupCheck(request, await request.open())
  const traceIds = await check.traceIds()
  await check.structure()
  const columns = await check.columns()
  const { spans } = check
  return { index: request.index, offset: request.offset, spans, columns, traceIds }
}

class GroupCheck {
  readonly #request: GroupRequest
  readonly #counts: Readonly<Record<Level, number>>
  #group: RowGroup
  #kept_bytes = 0

  constructor(request: GroupRequest, group: RowGroup) {
    this.#request = request
    this.#group = group
    this.#counts = group.counts
  }

  get spans(): number {
    return this.#counts.span
  }

  /** Each greater than the one before, over groups too. */
  async traceIds(): Promise<Uint8Array> {
    const column = await this.#group.field('trace.id')
    const ids = column?.bytes ?? new Uint8Array(ID_BYTES * this.#counts.trace)
    if (ids.length !== ID_BYTES * this.#counts.trace) {
      this.#fail('trace.id', `${ids.length} bytes for ${this.#counts.trace} traces`)
    }
    let before = this.#request.lastId
    for (let at = 0; at < ids.length; at += ID_BYTES) {
      const id = ids.subarray(at, at + ID_BYTES)
      if (before && compareBytes(before, id) >= 0) {
        this.#fail('trace.id', `trace ${hex(id)} of row ${at / ID_BYTES} does not come after ${hex(before)}`) // prettier-ignore
      }
      before = id
    }
    return ids.slice()
  }

  /** How the tables hang together. */
  async structure(): Promise<void> {
    const parents = await this.#group.parents()
    for (const level of ['trace', 'resource', 'scope'] as const) {
      const rows = parents[level]
      if (rows.length !== this.#counts.span) {
        this.#fail(`${level} of span`, `${rows.length} rows for ${this.#counts.span} spans`)
      }
      for (let span = 0; span < rows.length; span++) {
        if (rows[span]! >= this.#counts[level]) {
          this.#fail(`${level} of span`, `span ${span} is of row ${rows[span]!} of ${this.#counts[level]}`) // prettier-ignore
        }
        if (level === 'trace' && span > 0 && rows[span]! < rows[span - 1]!) {
          this.#fail('trace of span', `span ${span} is of a trace before that of the span before`)
        }
      }
    }
    for (const level of ['event', 'link'] as const) await this.#offsets(level)
  }

  async #offsets(level: 'event' | 'link'): Promise<void> {
    const offsets = await this.#group.offsets(level)
    const isWhole =
      offsets.length === this.#counts.span + 1 &&
      offsets[0] === 0 &&
      offsets[this.#counts.span] === this.#counts[level]
    const isSorted = offsets.every((offset, i) => i === 0 || offset >= offsets[i - 1]!)
    if (!isWhole || !isSorted) {
      this.#fail(`${level}s of span`, `they do not divide ${this.#counts[level]} rows among ${this.#counts.span} spans`) // prettier-ignore
    }
  }

  /** Decodes every column; resolves with how many there are. */
  async columns(): Promise<number> {
    const keys: AttributeKey[] = []
    for (const level of ATTRIBUTE_LEVELS) keys.push(...(await this.#group.attributes(level)))
    const all = FIELDS.length + keys.length
    let columns = 0
    let done = 0
    const look = async (name: string, level: Level, read: () => Promise<Column | undefined>) => {
      const column = await read()
      this.#request.onProgress(++done / all)
      if (!column) return
      columns++
      this.#column(name, level, column)
      await this.#trim(column)
    }
    for (const [name] of FIELDS) {
      const level = name.slice(0, name.indexOf('.')) as Level
      await look(name, level, () => this.#group.field(name))
    }
    if (this.#request.hasExactTimes) await this.#times()
    for (const key of keys) {
      const name = `${key.level} attribute ${key.type} ${key.key}`
      await look(name, key.level, () => this.#group.attribute(key))
    }
    return columns
  }

  #column(name: string, level: Level, column: Column): void {
    const rows = this.#counts[level]
    const found = rowsOf(column)
    if (found !== rows) this.#fail(name, `${found} rows, its table has ${rows}`)
    if (column.type !== 'string' && column.type !== 'any') return
    const { size } = column.dictionary
    for (let row = 0; row < rows; row++) {
      if (column.codes[row]! > size) {
        this.#fail(name, `row ${row} has string ${column.codes[row]!} of ${size}`)
      }
    }
  }

  /** A query passes over a group by its times: a span outside of them would not be found. */
  async #times(): Promise<void> {
    const [starts, durations] = await Promise.all(
      (['span.start', 'span.duration'] as const satisfies readonly FieldName[]).map((name) =>
        this.#group.field(name),
      ),
    )
    const { minStart_ns, maxEnd_ns } = this.#group
    for (let row = 0; starts && row < this.#counts.span; row++) {
      const start = wordAt(starts, row)
      const end = start + (durations ? wordAt(durations, row) : 0n)
      // An end before its start is a duration that wraps.
      const isPast = end < 1n << 64n && end > maxEnd_ns
      if (start !== 0n && (start < minStart_ns || isPast)) {
        this.#fail('span.start', `span ${row} from ${start} to ${end} ns is not within the group's times ${minStart_ns} to ${maxEnd_ns}`) // prettier-ignore
      }
    }
  }

  async #trim(column: Column): Promise<void> {
    this.#kept_bytes += rowsOf(column) * bytesPerRow(column)
    if (this.#kept_bytes <= KEPT_BYTES) return
    this.#group = await this.#request.open()
    this.#kept_bytes = 0
  }

  #fail(what: string, detail: string): never {
    const { blockId, index, offset } = this.#request
    throw new CorruptBlock(blockId, `group ${index}, ${what}`, offset, detail)
  }
}

function rowsOf(column: Column): number {
  switch (column.type) {
    case 'string':
    case 'any':
      return column.codes.length
    case 'int':
      return column.lo.length
    case 'float':
    case 'bool':
      return column.values.length
    case 'fixed':
      return column.bytes.length / column.width
  }
}

function bytesPerRow(column: Column): number {
  if (column.type === 'fixed') return column.width
  return column.type === 'int' || column.type === 'float' ? 9 : 4
}

function wordAt({ lo, hi }: IntColumn, row: number): bigint {
  return (BigInt(hi[row]!) << 32n) | BigInt(lo[row]!)
}

const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')
