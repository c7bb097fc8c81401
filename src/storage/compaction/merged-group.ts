/**
 * Owns a row group of the output: rows of several inputs' row groups seen as one set of tables. Columns are put together one
 * at a time, when the encoding asks for them.
 */
import type {
  AttributeColumn,
  AttributeKey,
  Column,
  FieldName,
  Fields,
  Level,
  Parents,
  RowGroup,
} from '../../otlp/columns.js'
import { levelOf, type ColumnRef } from '../block/blockpack-image.js'
import { gatherColumn, type Part } from './gather-columns.js'
import type { JoinedDictionary } from './joined-dictionary.js'
import type { GroupRows } from './group-rows.js'
import { rowClasses, type RowClasses } from './row-classes.js'

type Deduplicated = 'resource' | 'scope'

/** What a resource or scope is beside its attributes. */
const CONTENT: Readonly<Record<Deduplicated, readonly FieldName[]>> = {
  resource: ['resource.droppedAttributes', 'resource.schemaUrl'],
  scope: ['scope.name', 'scope.version', 'scope.droppedAttributes', 'scope.schemaUrl'],
}

/** A small table whose equal rows are one: its columns, which were needed to tell, and the new row of each span. */
interface Table {
  readonly columns: ReadonlyMap<string, Column>
  readonly classes: RowClasses
  readonly ofSpan: Uint32Array
}

export class MergedGroup implements RowGroup {
  readonly counts: Readonly<Record<Level, number>>
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly #rows: GroupRows
  readonly #dictionary: JoinedDictionary
  readonly #keys: readonly AttributeKey[]
  readonly #tables: Readonly<Record<Deduplicated, Table>>

  private constructor(
    rows: GroupRows,
    dictionary: JoinedDictionary,
    keys: readonly AttributeKey[],
    tables: Readonly<Record<Deduplicated, Table>>,
    times: { minStart_ns: bigint; maxEnd_ns: bigint },
  ) {
    this.#rows = rows
    this.#dictionary = dictionary
    this.#keys = keys
    this.#tables = tables
    this.minStart_ns = times.minStart_ns
    this.maxEnd_ns = times.maxEnd_ns
    const { resource, scope } = tables
    this.counts = {
      ...rows.counts,
      resource: resource.classes.first.length,
      scope: scope.classes.first.length,
    }
  }

  static async of(rows: GroupRows, dictionary: JoinedDictionary): Promise<MergedGroup> {
    const keys = unionOf(rows.parts.span)
    const table = async (level: Deduplicated): Promise<Table> => {
      const columns = new Map<string, Column>()
      for (const ref of contentOf(level, keys)) {
        const column = await gatherColumn(ref, rows.parts[level], rows.counts[level], dictionary)
        if (column) columns.set(nameOf(ref), column)
      }
      const classes = rowClasses(rows.counts[level], columns.values())
      const ofSpan = rows[level].map((row) => classes.ofRow[row]!)
      return { columns, classes, ofSpan }
    }
    const tables = { resource: await table('resource'), scope: await table('scope') }
    return new MergedGroup(rows, dictionary, keys, tables, await timesOf(rows, dictionary))
  }

  parents(): Promise<Parents> {
    const { resource, scope } = this.#tables
    return Promise.resolve({
      trace: this.#rows.trace,
      resource: resource.ofSpan,
      scope: scope.ofSpan,
    })
  }

  offsets(level: 'event' | 'link'): Promise<Uint32Array> {
    return Promise.resolve(this.#rows.offsets[level])
  }

  attributes(level: AttributeKey['level']): Promise<readonly AttributeKey[]> {
    return Promise.resolve(this.#keys.filter((key) => key.level === level))
  }

  async attribute(key: AttributeKey): Promise<AttributeColumn | undefined> {
    return (await this.#column({ kind: 'attribute', key })) as AttributeColumn | undefined
  }

  async field<F extends FieldName>(name: F): Promise<Fields[F] | undefined> {
    return (await this.#column({ kind: 'field', name })) as Fields[F] | undefined
  }

  #column(ref: ColumnRef): Promise<Column | undefined> {
    const level = levelOf(ref)
    if (level === 'resource' || level === 'scope') {
      const { columns, classes } = this.#tables[level]
      const column = columns.get(nameOf(ref))
      return Promise.resolve(column && pick(column, classes.first))
    }
    return gatherColumn(ref, this.#rows.parts[level], this.#rows.counts[level], this.#dictionary)
  }
}

const nameOf = (ref: ColumnRef): string =>
  ref.kind === 'attribute' ? `${ref.key.level} ${ref.key.type} ${ref.key.key}` : ref.name

/** Every attribute column of any part, in the order of their first appearance. */
function unionOf(parts: readonly Part[]): AttributeKey[] {
  const keys = new Map<string, AttributeKey>()
  for (const { input } of parts) {
    for (const key of input.attributes) keys.set(nameOf({ kind: 'attribute', key }), key)
  }
  return [...keys.values()]
}

/** All that a resource or scope is. */
function contentOf(level: Deduplicated, keys: readonly AttributeKey[]): ColumnRef[] {
  return [
    ...keys
      .filter((key) => key.level === level)
      .map((key): ColumnRef => ({ kind: 'attribute', key })),
    ...CONTENT[level].map((name): ColumnRef => ({ kind: 'field', name })),
  ]
}

function pick(column: Column, rows: Uint32Array): Column {
  switch (column.type) {
    case 'string':
    case 'any':
      return { ...column, codes: rows.map((row) => column.codes[row]!) }
    case 'int':
      return {
        type: 'int',
        lo: rows.map((row) => column.lo[row]!),
        hi: rows.map((row) => column.hi[row]!),
        present: column.present && Uint8Array.from(rows, (row) => column.present![row]!),
      }
    case 'float':
      return {
        type: 'float',
        values: Float64Array.from(rows, (row) => column.values[row]!),
        present: column.present && Uint8Array.from(rows, (row) => column.present![row]!),
      }
    case 'bool':
      return { type: 'bool', values: Uint8Array.from(rows, (row) => column.values[row]!) }
    case 'fixed': {
      const bytes = new Uint8Array(column.width * rows.length)
      for (const [i, row] of rows.entries()) {
        bytes.set(column.bytes.subarray(column.width * row, column.width * (row + 1)), column.width * i) // prettier-ignore
      }
      return { ...column, bytes }
    }
  }
}

/** Of the traces, whose times are of all their spans. */
async function timesOf(
  { parts, counts }: GroupRows,
  dictionary: JoinedDictionary,
): Promise<{ minStart_ns: bigint; maxEnd_ns: bigint }> {
  const bound = async (name: 'trace.start' | 'trace.end', isBetter: (order: number) => boolean) => {
    const column = await gatherColumn({ kind: 'field', name }, parts.trace, counts.trace, dictionary) // prettier-ignore
    if (column?.type !== 'int') return 0n
    const { lo, hi } = column
    let best = 0
    for (let row = 1; row < lo.length; row++) {
      const order = hi[row] === hi[best] ? lo[row]! - lo[best]! : hi[row]! - hi[best]!
      if (isBetter(order)) best = row
    }
    return (BigInt(hi[best]!) << 32n) | BigInt(lo[best]!)
  }
  return {
    minStart_ns: await bound('trace.start', (order) => order < 0),
    maxEnd_ns: await bound('trace.end', (order) => order > 0),
  }
}
