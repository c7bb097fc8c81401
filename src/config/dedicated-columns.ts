/**
 * Owns Tempo's `parquet_dedicated_columns` as a setting: a list of attributes that get columns of their own in parquet blocks, held to
 * Tempo's rules. Loads no schema.
 */

export const COLUMN_SCOPES = ['resource', 'span', 'event'] as const
export const COLUMN_TYPES = ['string', 'int'] as const
export const COLUMN_OPTIONS = ['array', 'blob'] as const

export interface ColumnSetting {
  readonly scope: (typeof COLUMN_SCOPES)[number]
  readonly name: string
  readonly type: (typeof COLUMN_TYPES)[number]
  readonly options?: readonly (typeof COLUMN_OPTIONS)[number][]
}

/** Columns of a type that a scope can have; attributes beyond stay with the others, as in Tempo. */
const MOST: Readonly<Record<ColumnSetting['type'], number>> = { string: 20, int: 5 }
const KEYS: ReadonlySet<string> = new Set(['scope', 'name', 'type', 'options'])
/** Far more than columns there can be. */
const MAX_COLUMNS = 1000

/** The columns, or what is wrong with the first that is. */
export function readColumns(input: unknown): readonly ColumnSetting[] | string {
  if (!Array.isArray(input)) return 'must be auto or a list of columns, each with scope, name and type' // prettier-ignore
  if (input.length > MAX_COLUMNS) return `has ${input.length} columns, at most ${MAX_COLUMNS} are read` // prettier-ignore
  const columns: ColumnSetting[] = []
  const names = new Set<string>()
  for (const [i, item] of input.entries()) {
    const column = readColumn(item)
    if (typeof column === 'string') return `is wrong in its column ${i + 1}: ${column}`
    const name = `${column.scope} ${column.name}`
    if (names.has(name)) return `has ${column.scope} attribute ${column.name} twice`
    names.add(name)
    columns.push(column)
  }
  return columns
}

function readColumn(input: unknown): ColumnSetting | string {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return 'must have scope, name and type'
  }
  const stranger = Object.keys(input).find((key) => !KEYS.has(key))
  if (stranger !== undefined) return `unknown key ${stranger}: it has scope, name, type and options`
  const { scope, name, type, options } = input as Partial<Record<string, unknown>>
  const scoped = COLUMN_SCOPES.find((one) => one === scope)
  if (scoped === undefined) return `scope must be ${COLUMN_SCOPES.join(' or ')}${not(scope)}`
  if (typeof name !== 'string' || name === '')
    return `name must be that of an attribute${not(name)}`
  const typed = COLUMN_TYPES.find((one) => one === type)
  if (typed === undefined) return `type must be ${COLUMN_TYPES.join(' or ')}${not(type)}`
  if (options === undefined) return { scope: scoped, name, type: typed }
  const chosen = Array.isArray(options) && options.map((option: unknown) => COLUMN_OPTIONS.find((one) => one === option)) // prettier-ignore
  if (!chosen || chosen.includes(undefined)) return `options must be a list of ${COLUMN_OPTIONS.join(' and ')}${not(options)}` // prettier-ignore
  return { scope: scoped, name, type: typed, options: chosen.filter((one) => one !== undefined) }
}

const not = (found: unknown) => (found === undefined ? '' : `, not ${JSON.stringify(found)}`)

/** Where more columns are asked for than there are; the first ones are given out. */
export function columnExcess(columns: readonly ColumnSetting[] = []): string | undefined {
  const counts = new Map<string, number>()
  for (const { scope, type } of columns) {
    const kind = `${scope} ${type}`
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  const over = [...counts].find(([kind, count]) => count > MOST[kind.split(' ')[1] as ColumnSetting['type']]) // prettier-ignore
  if (!over) return undefined
  const [scope, type] = over[0].split(' ') as [string, ColumnSetting['type']]
  return `has ${over[1]} columns of type ${type} and scope ${scope}, there are ${MOST[type]}: attributes beyond stay with those that have none`
}
