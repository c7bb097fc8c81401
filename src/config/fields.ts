/** Owns what a setting can be: text, number, duration, size, choice, section. The one door to zod. */
import * as z from 'zod/mini'
import { parseBytes, parseDuration_ms } from '../lib/units.js'
import { readColumns } from './dedicated-columns.js'

export type FieldKind =
  'text' | 'secret' | 'int' | 'flag' | 'duration' | 'bytes' | 'choice' | 'endpoint' | 'columns'

export interface FieldFacts {
  readonly kind: FieldKind
  /** As it would stand in YAML. */
  readonly default: string | number | boolean
  readonly about: string
  /** "0 to 65535", "at least 1s". */
  readonly limits?: string | undefined
  readonly choices?: readonly string[]
}

/** What the reference page, `full.yaml` and `--help` are made from. */
export const fieldFacts = z.registry<FieldFacts>()
const sectionTexts = z.registry<{ about: string }>()

export type AnySchema = z.core.$ZodType

class Refused extends Error {}
const refuse = (text: string): never => {
  throw new Refused(text)
}

/** One setting: `parse` gives the value or throws `Refused` with the words for it. */
function field<T>(facts: FieldFacts, parse: (input: unknown) => T) {
  const parsed = z.pipe(
    z.unknown(),
    z.transform((input, context): T => {
      try {
        return parse(input)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        context.issues.push({ code: 'custom', message: error.message, input })
        return z.NEVER
      }
    }),
  )
  return z.prefault(parsed, facts.default).register(fieldFacts, facts)
}

/** What was written, for an error text. */
function shown(input: unknown): string {
  const text = typeof input === 'string' ? JSON.stringify(input) : String(input)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

export function text(byDefault: string, about: string) {
  return field({ kind: 'text', default: byDefault, about }, (input) =>
    typeof input === 'string' ? input : refuse(`must be a text, not ${shown(input)}`),
  )
}

/** A text that no page and no line of the log may show. */
export function secret(about: string) {
  return field({ kind: 'secret', default: '', about }, (input) =>
    typeof input === 'string' ? input : refuse('must be a text'),
  )
}

export function flag(byDefault: boolean, about: string) {
  return field({ kind: 'flag', default: byDefault, about }, (input) =>
    typeof input === 'boolean' ? input : refuse(`must be true or false, not ${shown(input)}`),
  )
}

export function int(byDefault: number, min: number, max: number, about: string) {
  const facts: FieldFacts = { kind: 'int', default: byDefault, about, limits: `${min} to ${max}` }
  return field(facts, (input) => {
    const isFine = Number.isInteger(input) && Number(input) >= min && Number(input) <= max
    return isFine
      ? Number(input)
      : refuse(`must be a whole number from ${min} to ${max}, not ${shown(input)}`)
  })
}

/** As in Go. */
const LONGEST_MS = 2_562_047 * 3_600_000

/** "5s", "1h30m"; a bare number is refused: Go would read 30 as nanoseconds, a person means seconds. */
export function duration(byDefault: string, about: string, limits: { min?: string } = {}) {
  const min_ms = parseDuration_ms(limits.min ?? '0') ?? 0
  const words = limits.min === undefined ? undefined : `at least ${limits.min}`
  const facts: FieldFacts = { kind: 'duration', default: byDefault, about, limits: words }
  return field(facts, (input) => {
    const written = String(input)
    const parsed_ms = parseDuration_ms(written)
    if (parsed_ms === undefined && /^-?\d+(\.\d+)?$/.test(written)) {
      return refuse(`needs a unit: write ${written}s or ${written}ms`)
    }
    if (parsed_ms === undefined) {
      return refuse(`must be a duration such as 30s or 1h30m, not ${shown(input)}`)
    }
    if (parsed_ms < min_ms) return refuse(`must be at least ${limits.min ?? '0'}, not ${written}`)
    if (parsed_ms > LONGEST_MS)
      return refuse(`must be at most 2562047h (292 years), not ${shown(input)}`)
    return parsed_ms
  })
}

interface ByteLimits {
  min?: string
  max?: string
  isPowerOfTwo?: boolean
  /** "auto" is taken too, and read as 0: the size is derived from others. */
  hasAuto?: boolean
}

/** "50MiB", "1024". */
export function bytes(byDefault: string | number, about: string, limits: ByteLimits = {}) {
  const min = parseBytes(limits.min ?? '0') ?? 0
  const max = parseBytes(limits.max ?? '1TiB') ?? Infinity
  return field(
    { kind: 'bytes', default: byDefault, about, limits: byteLimits(limits) },
    (input) => {
      if (limits.hasAuto && input === 'auto') return 0
      const parsed = parseBytes(String(input))
      if (parsed === undefined) {
        return refuse(`must be a size such as 50MiB or 1000000, not ${shown(input)}`)
      }
      if (parsed < min) return refuse(`must be at least ${limits.min ?? '0'}, not ${shown(input)}`)
      if (parsed > max)
        return refuse(`must be at most ${limits.max ?? '1TiB'}, not ${shown(input)}`)
      if (limits.isPowerOfTwo && !Number.isInteger(Math.log2(parsed))) {
        return refuse(`must be a power of two such as 4MiB or 8MiB, not ${shown(input)}`)
      }
      return parsed
    },
  )
}

function byteLimits({ min, max, isPowerOfTwo, hasAuto }: ByteLimits): string | undefined {
  const parts: string[] = []
  if (min !== undefined && max !== undefined) parts.push(`${min} to ${max}`)
  else if (min !== undefined) parts.push(`at least ${min}`)
  else if (max !== undefined) parts.push(`at most ${max}`)
  if (isPowerOfTwo) parts.push('a power of two')
  if (hasAuto) parts.push('or auto')
  return parts.length === 0 ? undefined : parts.join(', ')
}

export function choice<const T extends string>(
  byDefault: T,
  choices: readonly T[],
  about: string,
  /** Values that Tempo knows and we do not, with what to say. */
  elsewhere: Readonly<Record<string, string>> = {},
) {
  return field({ kind: 'choice', default: byDefault, about, choices }, (input) => {
    const found = choices.find((one) => one === input)
    if (found !== undefined) return found
    const known = typeof input === 'string' && Object.hasOwn(elsewhere, input)
    if (known) return refuse(elsewhere[input]!)
    return refuse(`must be ${choices.join(' or ')}, not ${shown(input)}`)
  })
}

/** "host:port"; ":4317" and "0.0.0.0:4317" are every address of the machine. */
export function endpoint(byDefault: string, about: string) {
  return field({ kind: 'endpoint', default: byDefault, about }, (input) => {
    const written = String(input)
    const match = /^(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_.-]*):(\d{1,5})$/.exec(written)
    if (!match || Number(match[2]) > 65_535) {
      return refuse(`must be host:port, such as 0.0.0.0:4317, not ${shown(input)}`)
    }
    return written
  })
}

/** Attributes with columns of their own, as a list; "auto" is read as undefined. */
export function columns(about: string) {
  return field({ kind: 'columns', default: 'auto', about }, (input) => {
    if (input === 'auto') return undefined
    const read = readColumns(input)
    return typeof read === 'string' ? refuse(read) : read
  })
}

type SectionArguments<T> = [fields: T] | [about: string, fields: T]

/** Keys under a key; always there, with its defaults. */
export function section<T extends z.core.$ZodLooseShape>(...args: SectionArguments<T>) {
  const [about, fields] = args.length === 1 ? ['', args[0]] : args
  return z.prefault(z.strictObject(fields), {} as never).register(sectionTexts, { about })
}

/** Keys under a key that does something by being there, even empty. */
export function optionalSection<T extends z.core.$ZodLooseShape>(...args: SectionArguments<T>) {
  const [about, fields] = args.length === 1 ? ['', args[0]] : args
  return z.optional(z.strictObject(fields)).register(sectionTexts, { about })
}

/** What a section is for; empty where its name says it. */
export function sectionText(schema: AnySchema): string {
  return sectionTexts.get(schema)?.about ?? ''
}

/** The keys of a section, undefined for a setting. */
export function keysOf(schema: AnySchema): Readonly<Record<string, AnySchema>> | undefined {
  const inner = innerOf(schema)
  return inner instanceof z.ZodMiniObject ? inner.shape : undefined
}

export function isOptionalSection(schema: AnySchema): boolean {
  return schema instanceof z.ZodMiniOptional
}

export function factsOf(schema: AnySchema): FieldFacts | undefined {
  return fieldFacts.get(schema)
}

function innerOf(schema: AnySchema): AnySchema {
  if (schema instanceof z.ZodMiniPrefault || schema instanceof z.ZodMiniOptional) {
    return schema.def.innerType
  }
  return schema
}

export interface FieldProblem {
  readonly path: readonly string[]
  readonly text: string
}

/** Values with defaults filled in, or what is wrong with each setting. */
export function readSettings<S extends z.ZodMiniType>(
  schema: S,
  input: unknown,
): { settings: z.output<S> } | { problems: FieldProblem[] } {
  const result = z.safeParse(schema, input)
  if (result.success) return { settings: result.data }
  return {
    problems: result.error.issues.map((issue) => ({
      path: issue.path.map(String),
      text: issue.message,
    })),
  }
}

export type SettingsOf<S> = z.output<S>
