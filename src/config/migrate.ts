/** Owns `config migrate`: a configuration of Tempo 2 with its keys where Tempo 3 and tempo-actors have them. Comments stay with their keys. */
import { posix } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, parseDocument, visit, YAMLMap, type Pair } from 'yaml'
import { checkTree } from './check.js'
import { ConfigError } from './error.js'
import { readSettings } from './fields.js'
import { schema } from './schema.js'
import { hasMovesBelow, moveOf, moveText, type Move } from './tempo2.js'
import { nearestTree, parseTree } from './tree.js'

export interface Migrated {
  readonly text: string
  /** What was done, in the order of the file, and what a person should look at. */
  readonly notes: readonly string[]
  /** What still keeps the result from being started with. */
  readonly problems: readonly string[]
}

/** Throws `ConfigError` when the content is no YAML. References to the environment stay as they are. */
export function migrateConfig(name: string, content: string): Migrated {
  parseTree(name, content)
  const migration = new Migration(name, content)
  migration.moveKeys()
  migration.changeValues()
  const text = migration.text()
  const { problems, warnings } = checkResult(`${name} (migrated)`, text)
  return { text, notes: [...migration.notes, ...warnings], problems }
}

type AnyPair = Pair
interface Found {
  readonly map: YAMLMap
  readonly pair: AnyPair
  readonly path: string
  readonly move: Move
}

/** Encodings of new blocks that both Tempo and tempo-actors write. */
const WRITTEN: ReadonlySet<string> = new Set(['vParquet4', 'vParquet5'])

class Migration {
  readonly notes: string[] = []
  private readonly lines = new LineCounter()
  private readonly document
  private readonly root: YAMLMap
  private readonly emptyBefore = new Set<unknown>()

  constructor(
    private readonly name: string,
    private readonly content: string,
  ) {
    this.document = parseDocument(content, { lineCounter: this.lines })
    this.root = isMap(this.document.contents) ? this.document.contents : new YAMLMap()
    this.document.contents = this.root as unknown as typeof this.document.contents
    visit(this.document, {
      Map: (_, map) => {
        if (map.items.length === 0) this.emptyBefore.add(map)
      },
    })
  }

  moveKeys(): void {
    for (const found of this.find(this.root, [])) {
      const { map, pair, path, move } = found
      const place = this.placeOf(pair)
      const isRenamed = 'to' in move && parentOf(move.to) === parentOf(path)
      if (isRenamed && !this.document.hasIn(move.to.split('.'))) {
        rename(pair, move.to)
        this.notes.push(`${place}: ${path} moved: ${moveText(move)}`)
        continue
      }
      remove(map, pair)
      if ('gone' in move) this.notes.push(`${place}: removed ${path}: ${move.gone}`)
      else if (this.document.hasIn(move.to.split('.'))) {
        this.notes.push(`${place}: removed ${path}: ${move.to} is set as well, and holds`)
      } else {
        this.put(move.to, pair)
        this.notes.push(`${place}: ${path} moved: ${moveText(move)}`)
      }
    }
    this.prune(this.root)
  }

  /** What Tempo 2 had as a value, or by default, and needs another one here. */
  changeValues(): void {
    const target = this.read('target')
    if (target !== undefined && target !== 'all') {
      this.drop('target', `${target} does not run alone here; the default is all`)
    }
    const version = this.read('storage.trace.block.version')
    if (version !== undefined && !version.startsWith('blockpack') && !WRITTEN.has(version)) {
      const text = `new blocks are blockpack1; tempo-actors does not write ${version}`
      this.drop('storage.trace.block.version', text)
    }
    this.dropLocalBlocks()
    const wal = this.read('storage.trace.wal.path')
    if (wal !== undefined && this.read('live_store.wal.path') === undefined) {
      this.add('live_store.wal.path', posix.join(posix.dirname(wal), 'live-store'))
      this.notes.push(
        `${this.name}: live_store.wal.path is beside storage.trace.wal.path: the write-ahead log of tempo-actors is another one`,
      )
    }
    if (this.read('server.http_listen_address') === undefined) {
      this.add('server.http_listen_address', '0.0.0.0')
      this.notes.push(
        `${this.name}: server.http_listen_address is 0.0.0.0, Tempo's default: tempo-actors alone would listen on 127.0.0.1`,
      )
    }
    const perTenant = this.read('overrides.per_tenant_override_config')
    if (perTenant !== undefined) {
      this.notes.push(
        `${this.name}: look at ${perTenant}: its tenants must have the keys of overrides.defaults (ingestion.rate_limit_bytes), not the flat ones of Tempo 2`,
      )
    }
  }

  text(): string {
    const isTight = /[{[][^\s{}[\]]/.test(this.content)
    return this.document.toString({ lineWidth: 0, flowCollectionPadding: !isTight })
  }

  /** Keys that have to go, as they stand in the file; a section is one when nothing in it has a place of its own. */
  private find(map: YAMLMap, path: readonly string[]): Found[] {
    return map.items.flatMap((pair: AnyPair): Found[] => {
      if (!isScalar(pair.key)) return []
      const here = [...path, String(pair.key.value)]
      const dotted = here.join('.')
      const isFilled = isMap(pair.value) && pair.value.items.length > 0
      if (isFilled && hasMovesBelow(dotted)) return this.find(pair.value as YAMLMap, here)
      const move = moveOf(dotted)
      return move ? [{ map, pair, path: dotted, move }] : []
    })
  }

  private put(path: string, pair: AnyPair): void {
    rename(pair, path)
    this.sectionAt(path.split('.').slice(0, -1)).items.push(pair)
  }

  private add(path: string, value: string): void {
    const keys = path.split('.')
    const name = keys.pop()!
    this.sectionAt(keys).items.push(this.document.createPair(name, value))
  }

  private sectionAt(keys: readonly string[]): YAMLMap {
    let at = this.root
    for (const key of keys) {
      const below: unknown = at.get(key)
      if (isMap(below)) at = below
      else {
        const made = new YAMLMap()
        at.set(this.document.createNode(key), made)
        at = made
      }
    }
    return at
  }

  private read(path: string): string | undefined {
    const value: unknown = this.document.getIn(path.split('.'))
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
  }

  private drop(path: string, why: string): void {
    this.document.deleteIn(path.split('.'))
    this.prune(this.root)
    this.notes.push(`${this.name}: removed ${path}: ${why}`)
  }

  private dropLocalBlocks(): void {
    const path = 'overrides.defaults.metrics_generator.processors'
    const processors: unknown = this.document.getIn(path.split('.'))
    if (!isSeq(processors)) return
    const rest = processors.items.filter((item) => !isScalar(item) || item.value !== 'local-blocks')
    if (rest.length === processors.items.length) return
    processors.items = rest
    this.notes.push(`${this.name}: removed local-blocks from ${path}: the live store has them`)
  }

  /** Takes out the sections that have become empty. */
  private prune(map: YAMLMap): void {
    for (const pair of [...map.items] as AnyPair[]) {
      if (!isMap(pair.value) || this.emptyBefore.has(pair.value)) continue
      this.prune(pair.value)
      if (pair.value.items.length === 0) remove(map, pair)
    }
  }

  private placeOf({ key }: AnyPair): string {
    const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0
    const { line, col } = this.lines.linePos(offset)
    return `${this.name}:${line}:${col}`
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('.'), 0))
}

function rename({ key }: AnyPair, path: string): void {
  if (isScalar(key)) key.value = path.slice(path.lastIndexOf('.') + 1)
}

function remove(map: YAMLMap, pair: AnyPair): void {
  map.items = map.items.filter((other) => other !== pair)
}

function checkResult(
  name: string,
  text: string,
): { problems: readonly string[]; warnings: readonly string[] } {
  try {
    const tree = parseTree(name, text)
    const checked = checkTree(tree, schema)
    const read = readSettings(schema, checked.values)
    const values = 'problems' in read ? read.problems : []
    const waiting = new Set(checked.unexpanded)
    const problems = [
      ...checked.problems.filter((problem) => !waiting.has(problem)),
      ...values.map(
        (one) => `${nearestTree(tree, one.path).place}: ${one.path.join('.')} ${one.text}`,
      ),
    ]
    return { problems, warnings: checked.warnings }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { problems: error.problems, warnings: [] }
  }
}
