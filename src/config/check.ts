/** Owns comparing a configuration tree with the schema: what is misspelt, what is Tempo's but not read, and the plain values of the rest. */
import { factsOf, isOptionalSection, keysOf, type AnySchema } from './fields.js'
import { nearestWord } from './nearest.js'
import { movedKey, unsupportedKeys } from './tempo-keys.js'
import type { Entry, MapTree, Tree } from './tree.js'

/** A whole value that is a reference to the environment; one inside a longer text may be meant as it is. */
const UNEXPANDED = /^\$\{[A-Za-z_]\w*(:?[-=][^}]*)?\}$/

export interface Checked {
  /** Nested plain objects with known keys only, as the schema reads them. */
  readonly values: Record<string, unknown>
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

export function checkTree(tree: MapTree, schema: AnySchema): Checked {
  const checker = new Checker(schema)
  const values = checker.section(tree, keysOf(schema) ?? {}, [])
  return { values, problems: checker.problems, warnings: checker.warnings }
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

class Checker {
  readonly problems: string[] = []
  readonly warnings: string[] = []

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
    if (tree.kind !== 'scalar') {
      const found = tree.kind === 'map' ? 'a section' : 'a list'
      this.problems.push(`${tree.place}: ${path.join('.')} must be one value, not ${found}`)
      return undefined
    }
    if (UNEXPANDED.test(tree.source)) {
      const text = `${path.join('.')} is ${tree.source}: start with --config.expand-env to have it replaced`
      this.problems.push(`${tree.place}: ${text}`)
      return undefined
    }
    const kind = factsOf(schema)?.kind
    return kind === 'int' || kind === 'flag' ? tree.value : tree.source
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
      this.warnings.push(
        `${entry.keyPlace}: ${full} is a key of Tempo that tempo-actors does not read; it is ignored`,
      )
      return
    }
    const moved = movedKey(full)
    const near = nearestWord(key, [...Object.keys(keys), ...others])
    const guess = near === undefined ? this.elsewhere(key) : `did you mean ${near}?`
    const hint = moved ?? guess
    this.problems.push(`${entry.keyPlace}: unknown key ${full}${hint && `: ${hint}`}`)
  }

  /** The same key in another section: most likely the indentation is wrong. */
  private elsewhere(key: string): string {
    const at = [...settingPaths(this.schema).keys()].find((path) => path.endsWith(`.${key}`))
    return at === undefined ? '' : `it belongs in ${at}`
  }
}
