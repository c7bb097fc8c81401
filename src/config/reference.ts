/** Owns what is written from the schema for people: config/full.yaml and the keys in docs/configuration.md. */
import { factsOf, keysOf, sectionText, type AnySchema, type FieldFacts } from './fields.js'
import { schema } from './schema.js'

const COMMENT_COLUMNS = 100
const INDENT = '  '

const FULL_HEADER = `# Every key of tempo-actors with its default; a configuration needs only what differs from it.
# Durations are written 30s or 1h30m, sizes 50MiB or 1000000; docs/configuration.md says how all is read.
# This file is written from src/config/schema.ts by "npm run config:docs".
`

/** Every key with its default, its unit and what it is for; loading it gives the defaults. */
export function fullYaml(): string {
  const lines: string[] = []
  writeSection(schema, '', lines)
  return `${FULL_HEADER}${lines.join('\n')}\n`
}

function writeSection(at: AnySchema, indent: string, lines: string[]): void {
  for (const [key, below] of Object.entries(keysOf(at) ?? {})) {
    const facts = factsOf(below)
    if (indent === '') lines.push('')
    if (facts) {
      lines.push(...comment(`${facts.about} [${unit(facts)}]`, indent))
      lines.push(`${indent}${key}: ${yamlScalar(facts.default)}`)
    } else {
      const about = sectionText(below)
      if (about !== '') lines.push(...comment(about, indent))
      lines.push(`${indent}${key}:`)
      writeSection(below, indent + INDENT, lines)
    }
  }
}

/** A list of all keys, by top-level section. */
export function keyReference(): string {
  const parts: string[] = []
  const single: string[] = []
  for (const [key, below] of Object.entries(keysOf(schema) ?? {})) {
    const facts = factsOf(below)
    if (facts) single.push(keyLine(key, facts))
    else {
      const about = sectionText(below)
      const lines = keyLines(below, key)
      parts.push(`### ${key}\n\n${about === '' ? '' : `${about}\n\n`}${lines.join('\n')}\n`)
    }
  }
  return [`### Top level\n\n${single.join('\n')}\n`, ...parts].join('\n')
}

function keyLines(at: AnySchema, path: string): string[] {
  return Object.entries(keysOf(at) ?? {}).flatMap(([key, below]) => {
    const facts = factsOf(below)
    return facts ? [keyLine(`${path}.${key}`, facts)] : keyLines(below, `${path}.${key}`)
  })
}

function keyLine(path: string, facts: FieldFacts): string {
  const byDefault = facts.default === '' ? 'none' : `\`${String(facts.default)}\``
  return `- \`${path}\` (${unit(facts)}; default ${byDefault}): ${facts.about}`
}

/** "whole number, 0 to 65535". */
export function unit({ kind, limits, choices = [] }: FieldFacts): string {
  const words: Readonly<Record<FieldFacts['kind'], string>> = {
    text: 'text',
    secret: 'text, never shown',
    int: 'whole number',
    flag: 'true or false',
    duration: 'duration',
    bytes: 'size',
    choice: choices.length === 1 ? choices.join() : `one of ${choices.join(', ')}`,
    endpoint: 'host:port',
    columns: 'auto, or a list of {scope, name, type, options}',
  }
  return limits === undefined ? words[kind] : `${words[kind]}, ${limits}`
}

function comment(text: string, indent: string): string[] {
  const lines: string[] = []
  let line = `${indent}#`
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > COMMENT_COLUMNS) {
      lines.push(line)
      line = `${indent}#`
    }
    line += ` ${word}`
  }
  return [...lines, line]
}

/** Plain where YAML would read it back as the same text. */
function yamlScalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  const isPlain = /^[A-Za-z0-9./][\w./:-]*$/.test(value) && !/^[\d.]+$/.test(value)
  return isPlain || /^\d+(\.\d+){3}$/.test(value) ? value : `'${value.replaceAll("'", "''")}'`
}
