/** Owns which attributes should have columns of their own in Tempo's parquet: those that many rows have, the weightiest first. */
import type { DedicatedColumn } from '../block/encoding.js'
import { SERVICE_NAME, usable, type Scope } from '../vparquet/write/dedicated.js'
import type { Version } from '../vparquet/write/schema.js'
import type { AttributeSize, AttributeSizes } from './attribute-sizes.js'

/** Columns that a scope has. */
const STRINGS: Readonly<Record<Version, number>> = { vParquet4: 10, vParquet5: 20 }
const INTS: Readonly<Record<Version, number>> = { vParquet4: 0, vParquet5: 5 }
const SCOPES: readonly Scope[] = ['resource', 'span', 'event']
/** Of the scope's rows, as tempo-cli has it: a column costs its levels for each row that has no value. */
const LEAST_STRING_PRESENCE = 0.03
const LEAST_INT_PRESENCE = 0.05
/** A row group's dictionary beyond this costs more than it spares: Tempo then stores such a column without one. */
const BLOB_BYTES = 4 * 2 ** 20

/** In the order in which they should be given, the weightiest first; scope after scope. */
export function recommendColumns(sizes: AttributeSizes, version: Version): DedicatedColumn[] {
  const columns = SCOPES.flatMap((scope) => {
    const all = sizes.of(scope).filter(({ key }) => !(scope === 'resource' && key === SERVICE_NAME))
    return [...strings(all, scope, version), ...ints(all, scope, version)]
  })
  return usable(version, columns)
}

function strings(all: readonly AttributeSize[], scope: Scope, version: Version): DedicatedColumn[] {
  return all
    .filter(({ type, presence }) => type === 'string' && presence >= LEAST_STRING_PRESENCE)
    .sort((a, b) => b.value_bytes - a.value_bytes)
    .filter(({ key }) => isFree(scope, key, 'string', version))
    .slice(0, STRINGS[version])
    .map(({ key, dictionary_bytes, groups }) => {
      const isBlob = version === 'vParquet5' && dictionary_bytes / groups >= BLOB_BYTES
      return { ...scoped(scope), n: key, ...(isBlob && { o: ['blob'] }) }
    })
}

function ints(all: readonly AttributeSize[], scope: Scope, version: Version): DedicatedColumn[] {
  return all
    .filter(({ type, presence }) => type === 'int' && presence >= LEAST_INT_PRESENCE)
    .sort((a, b) => b.rows - a.rows)
    .slice(0, INTS[version])
    .map(({ key }) => ({ ...scoped(scope), n: key, t: 'int' as const }))
}

const scoped = (scope: Scope): Pick<DedicatedColumn, 's'> => (scope === 'span' ? {} : { s: scope })

/** Not one of those that have a column in every block of the version. */
function isFree(scope: Scope, key: string, type: 'string' | 'int', version: Version): boolean {
  return usable(version, [{ ...scoped(scope), n: key, t: type }]).length > 0
}
