/** Owns comparing a configuration tree with the schema: what is misspelt, what is Tempo's but not read, and the plain values of the rest. */
import { factsOf, isOptionalSection, keysOf, type AnySchema, type FieldKind } from './fields.js'
import { nearestWord } from './nearest.js'
import { insteadOf, unsupportedKeys } from './tempo-keys.js'
import { hasMovesBelow, moveOf, moveText } from './tempo2.js'
import type { Entry, MapTree, ScalarTree, Tree } from './tree.js'

/** A whole value that is a reference to the environment; one inside a longer text may be meant as it is. */
const UNEXPANDED = /^\$\{[A-Za-z_]\w*(:?[-=][^}]*)?\}$/

export interface Checked {
  /** Nested plain objects with known keys only, as the schema reads them. */
  readonly values: Record<string, unknown>
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
  /** Those of the problems that are values which are `${NAME}` still. */
  readonly unexpanded: readonly string[]
  /** True when keys of Tempo 2 are among the problems. */
  readonly isTempo2: boolean
}

export function checkTree(tree: MapTree, schema: AnySchema): Checked {
  const checker = new Checker(schema)
  const values = checker.section(tree, keysOf(schema) ?? {}, [])
  const { problems, warnings, unexpanded, isTempo2 } = checker
  return { values, problems, warnings, unexpanded, isTempo2 }
}

/** Paths of all settings, "server.http_listen_port". */
export function settingPaths(schema: AnySchema): Map<string, AnySchema> {
  const paths = new Map<string, AnySchema>()
  const walk = (at: AnySchema, path: string): void => {
    const keys = keysOf(at)
    if (!keys) paths.set(path, at)
    for (const [key, below] of Object.entries(keys ?? {})) {
      walk(below, path === '' ? key : `${path}.${key}`)
    }
  }
  walk(schema, '')
  return paths
}

/** As Go reads YAML too: `1_000_000` is a number, `yes` is true. */
const GROUPED = /^\d+(?:_\d+)+$/
const SWITCH_WORDS: Readonly<Record<string, boolean>> = {
  ...{ yes: true, on: true, true: true },
  ...{ no: false, off: false, false: false },
}

function plainValue({ value, source }: ScalarTree, kind: FieldKind | undefined): unknown {
  const word = source.toLowerCase()
  if (kind === 'flag') return Object.hasOwn(SWITCH_WORDS, word) ? SWITCH_WORDS[word] : value
  const isNumber = kind === 'int' || kind === 'bytes'
  if (isNumber && GROUPED.test(source)) return Number(source.replaceAll('_', ''))
  return kind === 'int' ? value : source
}

/** A list or section as it is, without places. */
function plainTree(tree: Tree): unknown {
  if (tree.kind === 'scalar') return tree.value
  if (tree.kind === 'list') return tree.items.map(plainTree)
  return Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, plainTree(value)]))
}

class Checker {
  readonly problems: string[] = []
  readonly warnings: string[] = []
  readonly unexpanded: string[] = []
  isTempo2 = false

  constructor(private readonly schema: AnySchema) {}

  section(
    tree: MapTree,
    keys: Readonly<Record<string, AnySchema>>,
    path: readonly string[],
  ): Record<string, unknown> {
    const values: Record<string, unknown> = {}
    for (const [key, entry] of tree.entries) {
      const below = Object.hasOwn(keys, key) ? keys[key] : undefined
      if (below) {
        const value = this.value(entry.value, below, [...path, key])
        if (value !== undefined) values[key] = value
      } else {
        this.stranger(key, entry, keys, path)
      }
    }
    return values
  }

  private value(tree: Tree, schema: AnySchema, path: readonly string[]): unknown {
    const keys = keysOf(schema)
    const isNull = tree.kind === 'scalar' && tree.value === null
    if (keys) {
      // An empty key is a section with its defaults; where being there means something, it is there.
      if (isNull) return isOptionalSection(schema) ? {} : undefined
      if (tree.kind === 'map') return this.section(tree, keys, path)
      const inside = Object.keys(keys).slice(0, 3).join(', ')
      this.problems.push(`${tree.place}: ${path.join('.')} must be a section of keys (${inside})`)
      return undefined
    }
    if (isNull) return undefined
    const isList = factsOf(schema)?.kind === 'columns' && tree.kind === 'list'
    if (isList) return plainTree(tree)
    if (tree.kind !== 'scalar') {
      const found = tree.kind === 'map' ? 'a section' : 'a list'
      this.problems.push(`${tree.place}: ${path.join('.')} must be one value, not ${found}`)
      return undefined
    }
    if (UNEXPANDED.test(tree.source)) {
      const problem = `${tree.place}: ${path.join('.')} is ${tree.source}: start with --config.expand-env to have it replaced`
      this.unexpanded.push(problem)
      this.problems.push(problem)
      return undefined
    }
    return plainValue(tree, factsOf(schema)?.kind)
  }

  private stranger(
    key: string,
    entry: Entry,
    keys: Readonly<Record<string, AnySchema>>,
    path: readonly string[],
  ): void {
    const section = path.join('.')
    const full = [...path, key].join('.')
    const others = unsupportedKeys(section)
    if (others.includes(key)) {
      const instead = insteadOf(full)
      this.warnings.push(
        `${entry.keyPlace}: ${full} is a key of Tempo that tempo-actors does not read${instead === undefined ? '; it is ignored' : `: ${instead}`}`,
      )
      return
    }
    if (this.ofTempo2(full, entry)) return
    const near = nearestWord(key, [...Object.keys(keys), ...others])
    const hint = near === undefined ? this.elsewhere(key) : `did you mean ${near}?`
    this.problems.push(`${entry.keyPlace}: unknown key ${full}${hint && `: ${hint}`}`)
  }

  /** Tells where a key of Tempo 2 went; of a section, where each key in it went. */
  private ofTempo2(path: string, { keyPlace, value }: Entry): boolean {
    const isSection = value.kind === 'map' && value.entries.size > 0 && hasMovesBelow(path)
    if (isSection) {
      for (const [key, entry] of value.entries) {
        if (this.ofTempo2(`${path}.${key}`, entry)) continue
        this.problems.push(`${entry.keyPlace}: unknown key ${path}.${key}`)
      }
      return true
    }
    const move = moveOf(path)
    if (!move) return false
    this.isTempo2 = true
    this.problems.push(`${keyPlace}: ${path} is a key of Tempo 2: ${moveText(move)}`)
    return true
  }

  /** The same key in another section: most likely the indentation is wrong. */
  private elsewhere(key: string): string {
    const at = [...settingPaths(this.schema).keys()].find((path) => path.endsWith(`.${key}`))
    return at === undefined ? '' : `it belongs in ${at}`
  }
}
