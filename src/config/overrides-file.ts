/** Owns the file of `per_tenant_override_config`: from its text to what each tenant's limits are instead of the defaults. */
import { checkTree } from './check.js'
import { expandEnv } from './env.js'
import { columnExcess } from './dedicated-columns.js'
import { ConfigError } from './error.js'
import { readSettings, section } from './fields.js'
import { LIMIT_KEYS, LIMIT_NAMES, type LimitName, type SomeLimits } from './limits.js'
import { limitsSection, toLimits } from './overrides.js'
import { nearestTree, parseTree, type MapTree, type Tree } from './tree.js'

/** A tenant's entry is checked as if it were the defaults: the same keys, the same words. */
const AS_DEFAULTS = section({ overrides: section({ defaults: limitsSection }) })
const DEFAULTS_PATH = /\boverrides\.defaults\b/g

export interface OverridesFile {
  /** By tenant, `*` for those that are not named: only what is written for it. */
  readonly tenants: ReadonlyMap<string, SomeLimits>
  readonly warnings: readonly string[]
}

export interface OverridesFileOptions {
  /** As the file is named in the words about it. */
  readonly name: string
  readonly expandEnv?: boolean
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Throws `ConfigError` with file, line and column; then nothing of the file counts. */
export function parseOverrides(content: string, options: OverridesFileOptions): OverridesFile {
  const { name, env = process.env } = options
  const warnings: string[] = []
  let text = content
  if (options.expandEnv) {
    const expanded = expandEnv(name, content, env)
    text = expanded.content
    warnings.push(...expanded.warnings)
  }
  const problems: string[] = []
  const tenants = new Map<string, SomeLimits>()
  for (const [tenant, tree] of entriesOf(parseTree(name, text), problems)) {
    const read = readTenant(tenant, tree)
    problems.push(...read.problems)
    warnings.push(...read.warnings)
    tenants.set(tenant, read.limits)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return { tenants, warnings }
}

/** The tenants' entries; one without keys says nothing, as in Tempo. */
function entriesOf(file: MapTree, problems: string[]): [tenant: string, entry: MapTree][] {
  const entries: [string, MapTree][] = []
  for (const [key, { keyPlace, value }] of file.entries) {
    if (key !== 'overrides') {
      problems.push(`${keyPlace}: unknown key ${key}: the tenants stand under overrides`)
    } else if (value.kind === 'map') {
      for (const [tenant, { value: entry }] of value.entries) {
        if (entry.kind === 'map') entries.push([tenant, entry])
        else if (!isNull(entry))
          problems.push(`${entry.place}: overrides.${tenant} must be a section of limits`)
      }
    } else if (!isNull(value)) {
      problems.push(`${value.place}: overrides must be a section of tenants`)
    }
  }
  return entries
}

function readTenant(tenant: string, entry: MapTree) {
  const { values, ...checked } = checkTree(wrapped(entry), AS_DEFAULTS)
  const own = (text: string) => text.replace(DEFAULTS_PATH, () => `overrides.${tenant}`)
  const problems = checked.problems.map(own)
  const warnings = checked.warnings.map(own)
  const read = readSettings(AS_DEFAULTS, values)
  if ('problems' in read) {
    for (const { path, text } of read.problems)
      problems.push(own(`${nearestTree(entry, path.slice(2)).place}: ${path.join('.')} ${text}`))
    return { limits: {}, problems, warnings }
  }
  const all = toLimits(read.settings.overrides.defaults)
  const excess = columnExcess(all.dedicated_columns)
  if (excess !== undefined) {
    const { place } = nearestTree(entry, LIMIT_KEYS.dedicated_columns)
    warnings.push(
      `${place}: overrides.${tenant}.${LIMIT_KEYS.dedicated_columns.join('.')} ${excess}`,
    )
  }
  const written = LIMIT_NAMES.filter((name) => isWritten(entry, name))
  const limits = Object.fromEntries(written.map((name) => [name, all[name]])) as SomeLimits
  return { limits, problems, warnings }
}

function wrapped(entry: MapTree): MapTree {
  const { place } = entry
  const under = (key: string, value: Tree): MapTree => ({
    kind: 'map',
    place,
    entries: new Map([[key, { keyPlace: place, value }]]),
  })
  return under('overrides', under('defaults', entry))
}

function isWritten(entry: MapTree, name: LimitName): boolean {
  const [section, key] = LIMIT_KEYS[name]
  const keys = entry.entries.get(section)?.value
  const value = keys?.kind === 'map' ? keys.entries.get(key)?.value : undefined
  return value !== undefined && !isNull(value)
}

function isNull(tree: Tree): boolean {
  return tree.kind === 'scalar' && tree.value === null
}
