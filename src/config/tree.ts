/** Owns YAML as a tree in which each key and value knows its file, line and column, and the merging of such trees. The one door to yaml. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
} from 'yaml'
import { ConfigError } from './error.js'

/** "single.yaml:12:3", or the flag that set it. */
export type Place = string

export type Tree = MapTree | ListTree | ScalarTree
export interface MapTree {
  readonly kind: 'map'
  readonly place: Place
  readonly entries: ReadonlyMap<string, Entry>
}
export interface Entry {
  readonly keyPlace: Place
  readonly value: Tree
}
export interface ListTree {
  readonly kind: 'list'
  readonly place: Place
  readonly items: readonly Tree[]
}
export interface ScalarTree {
  readonly kind: 'scalar'
  readonly place: Place
  readonly value: string | number | boolean | null
  /** As it was written: a text setting takes `0123` as it is. */
  readonly source: string
}

const MAX_FILE_CHARACTERS = 1 << 20
/** Of a file that is no YAML at all. */
const MAX_PROBLEMS = 20
/** Anchors can multiply: a few lines can stand for millions of nodes. */
const MAX_NODES = 100_000
const MAX_DEPTH = 64
/** Told before the parser is called, which calls itself for each level: V8 ends the process when the stack is full where it compiles a regular expression. */
const MAX_OPEN_BRACKETS = 200
const MAX_INDENT_COLUMNS = 400

export function emptyTree(place: Place): MapTree {
  return { kind: 'map', place, entries: new Map() }
}

/** Reads one file's text; throws `ConfigError` with file:line:column. */
export function parseTree(file: string, content: string): MapTree {
  if (content.length > MAX_FILE_CHARACTERS) {
    const size = `${content.length} characters, at most ${MAX_FILE_CHARACTERS} are read`
    throw new ConfigError([`${file} is no configuration: it has ${size}`])
  }
  const deep = tooDeepAt(content)
  if (deep) {
    const where = `${file}:${deep.line}:${deep.column}`
    throw new ConfigError([`${where}: not valid YAML: it nests deeper than ${MAX_DEPTH} levels`])
  }
  const lines = new LineCounter()
  const document = parseDocument(content, { lineCounter: lines, prettyErrors: false })
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0) {
    const problems = document.errors.slice(0, MAX_PROBLEMS).map((error) => {
      const what = error.message.split('\n')[0] ?? ''
      return `${placeOf(error.pos[0])}: not valid YAML: ${what}`
    })
    throw new ConfigError(problems)
  }
  const reader = new Reader(aliasTargets(document), placeOf)
  if (document.contents === null) return emptyTree(`${file}:1:1`)
  const tree = reader.read(document.contents, 0)
  if (tree.kind === 'scalar' && tree.value === null) return emptyTree(tree.place)
  if (tree.kind !== 'map') throw new ConfigError([`${tree.place}: must be a section of keys`])
  return tree
}

/** Where brackets or indents are far deeper than any that are read. Brackets in texts count too, which are not that many. */
function tooDeepAt(content: string): { line: number; column: number } | undefined {
  let open = 0
  for (const [index, text] of content.split('\n').entries()) {
    let indent = 0
    while (indent < text.length && ' \t-?'.includes(text[indent]!)) indent++
    if (indent > MAX_INDENT_COLUMNS && text.trim() !== '') {
      return { line: index + 1, column: MAX_INDENT_COLUMNS + 1 }
    }
    for (let at = 0; at < text.length; at++) {
      const character = text[at]
      if (character === '[' || character === '{') open++
      else if ((character === ']' || character === '}') && open > 0) open--
      if (open > MAX_OPEN_BRACKETS) return { line: index + 1, column: at + 1 }
    }
  }
  return undefined
}

/** What each alias stands for: the last anchor of its name before it. Found in one walk; Alias.resolve walks for each anew. */
function aliasTargets(document: Document.Parsed): ReadonlyMap<Alias, unknown> {
  const anchors = new Map<string, unknown>()
  const targets = new Map<Alias, unknown>()
  visit(document, {
    Alias: (_, alias) => void targets.set(alias, anchors.get(alias.source)),
    Value: (_, node) => {
      if (node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return targets
}

class Reader {
  private nodes = 0

  constructor(
    private readonly targets: ReadonlyMap<Alias, unknown>,
    private readonly placeOf: (offset: number) => Place,
  ) {}

  read(node: unknown, depth: number): Tree {
    const place = this.placeOf(offsetOf(node))
    if (++this.nodes > MAX_NODES || depth > MAX_DEPTH) {
      throw new ConfigError([
        `${place}: too large: at most ${MAX_NODES} nodes and ${MAX_DEPTH} levels are read`,
      ])
    }
    if (isAlias(node)) {
      const target = this.targets.get(node)
      if (target === undefined) throw new ConfigError([`${place}: unknown alias *${node.source}`])
      return this.read(target, depth + 1)
    }
    if (isMap(node)) return this.readMap(node.items, place, depth)
    if (isSeq(node)) {
      const items = node.items.map((item) => this.read(item, depth + 1))
      return { kind: 'list', place, items }
    }
    return readScalar(node, place)
  }

  private readMap(
    pairs: readonly { key: unknown; value: unknown }[],
    place: Place,
    depth: number,
  ): MapTree {
    const entries = new Map<string, Entry>()
    const merged: MapTree[] = []
    for (const { key, value } of pairs) {
      const keyPlace = this.placeOf(offsetOf(key))
      if (!isScalar(key)) throw new ConfigError([`${keyPlace}: a key must be a plain word`])
      const name = String(key.value)
      const tree: Tree =
        value === null
          ? { kind: 'scalar', place: keyPlace, value: null, source: '' }
          : this.read(value, depth + 1)
      if (name === '<<') merged.push(...mapsOf(tree))
      else entries.set(name, { keyPlace, value: tree })
    }
    // "<<: *anchor" gives what is not written here itself; of several, the first wins.
    for (const map of merged) {
      for (const [name, entry] of map.entries) if (!entries.has(name)) entries.set(name, entry)
    }
    return { kind: 'map', place, entries }
  }
}

function mapsOf(tree: Tree): MapTree[] {
  if (tree.kind === 'map') return [tree]
  if (tree.kind === 'list') return tree.items.flatMap(mapsOf)
  throw new ConfigError([`${tree.place}: << must name a section by its alias`])
}

function offsetOf(node: unknown): number {
  const range = (node as { range?: readonly number[] | null } | null)?.range
  return range?.[0] ?? 0
}

function readScalar(node: unknown, place: Place): ScalarTree {
  const value = isScalar(node) ? node.value : null
  const source = isScalar(node) && typeof node.source === 'string' ? node.source : ''
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
    return { kind: 'scalar', place, value, source }
  }
  const text = typeof value === 'string' ? value : source
  return { kind: 'scalar', place, value: text, source: text }
}

/** A setting given by a flag, as a tree that can be merged over the files. */
export function flagTree(path: readonly string[], written: string, place: Place): MapTree {
  let tree: Tree = { kind: 'scalar', place, value: flagValue(written), source: written }
  for (const key of [...path].reverse()) {
    tree = { kind: 'map', place, entries: new Map([[key, { keyPlace: place, value: tree }]]) }
  }
  return tree as MapTree
}

function flagValue(written: string): string | number | boolean {
  if (written === 'true' || written === 'false') return written === 'true'
  return /^-?\d+(\.\d+)?$/.test(written) ? Number(written) : written
}

/** `over` wins key by key; a null in it takes the key away, so that the default holds again. */
export function mergeTrees(base: MapTree, over: MapTree): MapTree {
  const entries = new Map(base.entries)
  for (const [key, entry] of over.entries) {
    const before = entries.get(key)
    const { value } = entry
    if (before && value.kind === 'scalar' && value.value === null) entries.delete(key)
    else if (before?.value.kind === 'map' && value.kind === 'map') {
      entries.set(key, { keyPlace: entry.keyPlace, value: mergeTrees(before.value, value) })
    } else entries.set(key, entry)
  }
  return { kind: 'map', place: over.place, entries }
}

/** What is written at a path. */
export function settingAt(tree: Tree, path: readonly string[]): Tree | undefined {
  let at: Tree | undefined = tree
  for (const key of path) at = at?.kind === 'map' ? at.entries.get(key)?.value : undefined
  return at
}

/** The tree at a path, or the last one on the way there. */
export function nearestTree(tree: Tree, path: readonly string[]): Tree {
  let at = tree
  for (const key of path) {
    const next = at.kind === 'map' ? at.entries.get(key) : undefined
    if (!next) return at
    at = next.value
  }
  return at
}
