/** Owns the settings as they would stand in YAML: under Tempo's names, with units, all defaults filled in, and no secret. */
import { formatDuration } from '../lib/units.js'
import type { ColumnSetting } from './dedicated-columns.js'
import { factsOf, keysOf, readSettings, type AnySchema, type FieldFacts } from './fields.js'
import {
  DEFAULT_GRPC_ENDPOINT,
  DEFAULT_HTTP_ENDPOINT,
  DEFAULT_RECV_MIB,
  schema,
  type Settings,
} from './schema.js'

export type WrittenValue = string | number | boolean | readonly ColumnSetting[]
export interface WrittenSettings {
  readonly [key: string]: WrittenValue | WrittenSettings
}

/** What Tempo shows for a secret that is set. */
export const MASK = '********'

/** Both receivers stand for none that is mentioned. */
const DEFAULT_PROTOCOLS = {
  grpc: { endpoint: DEFAULT_GRPC_ENDPOINT, max_recv_msg_size_mib: DEFAULT_RECV_MIB },
  http: { endpoint: DEFAULT_HTTP_ENDPOINT },
}

export function writtenSettings(settings: Settings): WrittenSettings {
  const { protocols } = settings.distributor.receivers.otlp
  const isDefault = !protocols.grpc && !protocols.http
  const receivers = { otlp: { protocols: isDefault ? DEFAULT_PROTOCOLS : protocols } }
  const effective = { ...settings, distributor: { ...settings.distributor, receivers } }
  return writtenSection(effective, schema)
}

export function writtenDefaults(): WrittenSettings {
  const read = readSettings(schema, {})
  if ('problems' in read) throw new Error(`the defaults are refused: ${read.problems[0]!.text}`)
  return writtenSettings(read.settings)
}

/** The settings that are not as in `base`; a section without any is left out. */
export function differences(settings: WrittenSettings, base: WrittenSettings): WrittenSettings {
  const found: Record<string, WrittenValue | WrittenSettings> = {}
  for (const [key, value] of Object.entries(settings)) {
    const before = base[key]
    if (!isSection(value)) {
      if (value !== before) found[key] = value
      continue
    }
    const below = differences(value, isSection(before) ? before : {})
    if (Object.keys(below).length > 0 || before === undefined) found[key] = below
  }
  return found
}

function isSection(value: WrittenValue | WrittenSettings | undefined): value is WrittenSettings {
  return typeof value === 'object' && !Array.isArray(value)
}

function writtenSection(values: Readonly<Record<string, unknown>>, at: AnySchema): WrittenSettings {
  const written: Record<string, WrittenValue | WrittenSettings> = {}
  for (const [key, below] of Object.entries(keysOf(at) ?? {})) {
    const facts = factsOf(below)
    const value = facts?.kind === 'columns' ? (values[key] ?? 'auto') : values[key]
    if (value === undefined) continue
    written[key] = facts
      ? writtenValue(value as WrittenValue, facts)
      : writtenSection(value as Record<string, unknown>, below)
  }
  return written
}

function writtenValue(value: WrittenValue, facts: FieldFacts): WrittenValue {
  if (facts.kind === 'duration') return formatDuration(Number(value))
  if (facts.kind === 'secret') return value === '' ? '' : MASK
  // A size that is derived from others is read as 0.
  if (facts.kind === 'bytes' && facts.default === 'auto' && value === 0) return 'auto'
  return value
}
