import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')

interface File {
  /** Below the root, with slashes. */
  readonly path: string
  readonly text: string
  /** Text without comments, line by line. */
  readonly code: readonly string[]
  /** What it imports: files of ours by path, packages by name. */
  readonly imports: readonly string[]
}

function filesIn(folder: string): File[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => fileAt(`${folder}/${name.replaceAll('\\', '/')}`))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function fileAt(path: string): File {
  const text = readFileSync(join(ROOT, path), 'utf8')
  const blanked = text.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
  const code = blanked.split('\n').map((line) => line.replace(/(^|\s)\/\/.*$/, '$1'))
  const imports = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => {
    if (!fileName.startsWith('.')) return fileName
    return posix.join(posix.dirname(path), fileName).replace(/\.js$/, '.ts')
  })
  return { path, text, code, imports }
}

const SOURCES = filesIn('src')
const TESTS = filesIn('test')

/** `path:line` of each line of code that matches, outside the files that may. */
function linesWith(files: readonly File[], pattern: RegExp, allowed: readonly string[] = []) {
  return files
    .filter(({ path }) => !allowed.includes(path))
    .flatMap(({ path, code }) =>
      code.flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
    )
}

/** The folder whose rules a file lives under. */
function areaOf(path: string): string {
  const [, top, second] = path.split('/')
  if (top === 'config.ts') return 'config'
  if (['main.ts', 'topology.ts', 'cli', 'bench'].includes(top!)) return 'outer'
  return top === 'actors' ? `actors/${second!}` : top!
}

/** Who may import whom. An actor's own rules are below; the outer ring may import all. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  lib: [],
  bus: ['lib'],
  config: ['lib', 'memory'],
  memory: ['lib'],
  otlp: ['lib'],
  traceql: ['lib', 'otlp'],
  storage: ['lib', 'otlp', 'traceql', 'config'],
  limits: ['lib', 'config'],
  http: ['lib', 'bus', 'otlp', 'config', 'limits'],
  load: ['lib'],
}
const ACTOR_MAY_IMPORT = ['lib', 'bus', 'otlp', 'traceql', 'storage', 'limits', 'config', 'memory']
/** Files that others may import beside the contracts: where a thing is, and a language without actors. */
const ALSO_OPEN: Record<string, readonly string[]> = {
  'src/actors/livestore/paths.ts': ['actors/querier'],
  'src/traceql/legacy-tags.ts': ['http'],
  'src/traceql/intervals.ts': ['http'],
}

function mayImport(file: string, target: string): boolean {
  const from = areaOf(file)
  const to = areaOf(target)
  if (from === to || from === 'outer') return true
  if (ALSO_OPEN[target]?.includes(from)) return true
  const isActor = from.startsWith('actors/')
  if ((isActor || from === 'http') && to.startsWith('actors/')) {
    return target.endsWith('/contract.ts')
  }
  return (isActor ? ACTOR_MAY_IMPORT : MAY_IMPORT[from])?.includes(to) ?? false
}

/** One door a package: the only files that may import it. A folder ends in '/'. */
const DOORS: Record<string, readonly string[]> = {
  '@aws-sdk/client-s3': ['src/storage/backend/s3.ts'],
  '@bokuweb/zstd-wasm': ['src/storage/block/zstd.ts'],
  // The second is the load generator's client, which is no part of the store.
  '@grpc/grpc-js': ['src/actors/receiver/grpc.ts', 'src/load/otlp-client.ts'],
  '@hono/node-server': ['src/http/'],
  comlink: ['src/bus/port.ts'],
  hono: ['src/http/'],
  'hono/compress': ['src/http/'],
  'hono/html': ['src/http/'],
  lmdb: ['src/storage/wal/lmdb.ts'],
  piscina: ['src/lib/job-pool.ts'],
  'prom-client': ['src/lib/metrics.ts'],
  protobufjs: ['src/otlp/proto.ts'],
  re2js: ['src/traceql/regex.ts'],
  koffi: ['src/memory/trim.ts'],
  yaml: ['src/config/'],
  'zod/mini': ['src/config/'],
  // A look at S3 whose memory goes with its thread; and threadId, for names of temporary files that no other thread has.
  'node:worker_threads': [
    'src/bus/',
    'src/cli/backend-check.ts',
    'src/cli/backend-look-thread.ts',
    'src/storage/backend/local.ts',
  ],
}

/** Files that touch shared words; all others go through them. */
const ATOMICS = [
  ...['acks', 'consumer', 'group', 'lock', 'parking', 'ring', 'ring-format', 'vitals'].map(
    (name) => `src/bus/${name}.ts`,
  ),
  'src/lib/metrics-page.ts',
  'src/lib/sleep-blocking.ts',
  'src/limits/page.ts',
  'src/storage/catalog.ts',
  'src/storage/head/arena.ts',
  'src/storage/head/snapshot.ts',
]

const FILE_LINES_MAX = 400
/** Longer ones, each with its bound and the reason why it is not two. */
const LONG_FILES: Record<string, { lines: number; because: string }> = {
  'src/bus/child.ts': { lines: 430, because: 'one state machine' },
  'src/storage/backend/s3.ts': { lines: 450, because: 'the one door to the SDK' },
  'src/storage/block/blockpack-group.ts': { lines: 460, because: 'one interface, one class' },
  'src/storage/head/spans.ts': { lines: 590, because: 'one pass over the wire, no calls between' },
  'src/storage/head/writer.ts': { lines: 500, because: 'one transaction: mark, stage, publish' },
  'src/traceql/engine/filter.ts': { lines: 600, because: 'one case an operator' },
  'src/traceql/metrics.ts': { lines: 500, because: 'one case a function of the language' },
  'src/traceql/tags.ts': { lines: 450, because: 'one endpoint family' },
}
const FUNCTION_LINES_MAX = 70

/** Where randomness may come from: jitter, which a test replaces by its own. */
const RANDOM = [
  'src/actors/livestore/actor.ts',
  'src/bus/supervisor.ts',
  'src/lib/retry.ts',
  'src/load/load.ts',
]

describe('imports', () => {
  it('go one way: lib, then bus and the languages, then storage, then actors, then the outer ring', () => {
    const wrong = SOURCES.flatMap(({ path, imports }) =>
      imports
        .filter((target) => target.startsWith('src/') && !mayImport(path, target))
        .map((target) => `${path} imports ${target}`),
    )
    expect(wrong).toEqual([])
  })

  it('enter each package by its one door', () => {
    const wrong = SOURCES.flatMap(({ path, imports }) =>
      imports
        .filter((name) => !name.startsWith('src/'))
        .filter((name) => name in DOORS || !name.startsWith('node:'))
        .filter((name) => !isDoor(DOORS[name], path))
        .map((name) => `${path} imports ${name}`),
    )
    expect(wrong).toEqual([])
  })

  it('name every dependency of package.json, so that none is installed for nothing', () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    const used = new Set(SOURCES.flatMap(({ imports }) => imports).map(packageOf))
    expect(Object.keys(dependencies).filter((name) => !used.has(name))).toEqual([])
  })

  it('reach every file: what nothing imports is dead', () => {
    const reached = new Set(SOURCES.flatMap(({ imports }) => imports))
    // Threads are started by the address of their file.
    for (const { path, text } of SOURCES) {
      for (const [, target] of text.matchAll(/'(\.\.?\/[\w./-]+)\.js'/g))
        reached.add(posix.join(posix.dirname(path), `${target!}.ts`))
    }
    const entries = ['src/main.ts', 'src/bench/main.ts']
    // What only tests use is reached by them.
    const forTests = ['src/bus/universe.ts', 'src/lib/fake-clock.ts']
    for (const path of forTests) {
      expect(TESTS.some(({ imports }) => imports.includes(path))).toBe(true)
    }
    const dead = SOURCES.map(({ path }) => path).filter(
      (path) => ![...entries, ...forTests].includes(path) && !reached.has(path),
    )
    expect(dead).toEqual([])
  })

  it('leave shared words to the files that own a layout', () => {
    expect(linesWith(SOURCES, /\bAtomics\./, ATOMICS)).toEqual([])
  })
})

describe('time and chance', () => {
  it('come from a clock that is passed in: no wall clock and no timer outside lib/time.ts', () => {
    const pattern = /\bDate\.now\b|\bperformance\.now\b|\bset(Timeout|Interval)\b|\bnew Date\(\)/
    // The sampler of the benchmark measures real time of another process.
    expect(linesWith(SOURCES, pattern, ['src/lib/time.ts', 'src/bench/process-stats.ts'])).toEqual([]) // prettier-ignore
  })

  it('come from a seed: Math.random is for jitter alone', () => {
    expect(linesWith(SOURCES, /\bMath\.random\b/, RANDOM)).toEqual([])
    expect(linesWith(TESTS, /\bMath\.random\(/, ['test/tidy.test.ts'])).toEqual([])
  })
})

describe('a source file', () => {
  it('opens with a sentence that says what it owns', () => {
    const opening = /^(#!.*\n)?\/\*\*[\s*]+[A-Z][^*]{20,}/
    expect(SOURCES.filter(({ text }) => !opening.test(text)).map(({ path }) => path)).toEqual([])
  })

  it(`is one subject: at most ${FILE_LINES_MAX} lines, or a reason`, () => {
    const long = SOURCES.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
      .filter(({ path, lines }) => lines > (LONG_FILES[path]?.lines ?? FILE_LINES_MAX))
      .map(({ path, lines }) => `${path}: ${lines}`)
    expect(long).toEqual([])
  })

  it('needs no place in the list of long files once it is short', () => {
    const short = Object.keys(LONG_FILES).filter((path) => {
      const file = SOURCES.find((source) => source.path === path)
      return !file || file.text.split('\n').length - 1 <= FILE_LINES_MAX
    })
    expect(short).toEqual([])
  })

  it(`has functions that fit on a page: at most ${FUNCTION_LINES_MAX} lines`, () => {
    expect(SOURCES.flatMap(longFunctions)).toEqual([])
  })

  it('is named in kebab-case, exports by name, and gathers no exports of others', () => {
    const names = SOURCES.map(({ path }) => path).filter((path) => !/^[a-z0-9/-]+\.ts$/.test(path))
    expect(names).toEqual([])
    const jobs = [
      'src/actors/livestore/build-job.ts',
      'src/actors/backend-worker/compaction-job.ts',
    ]
    const actors = SOURCES.map(({ path }) => path).filter((path) => path.endsWith('/actor.ts'))
    expect(linesWith(SOURCES, /^export default/, [...actors, ...jobs])).toEqual([])
    expect(linesWith(SOURCES, /^export \*/)).toEqual([])
  })

  it('knows no `any`, no silenced compiler, and no lint silenced without a reason', () => {
    expect(linesWith(SOURCES, /(:|<|\bas|\|) any\b/)).toEqual([])
    const silenced = [...SOURCES, ...TESTS].filter(
      ({ path, text }) =>
        path !== 'test/tidy.test.ts' &&
        /@ts-(ignore|nocheck|expect-error)|eslint-disable(?!.* -- )/.test(text),
    )
    expect(silenced.map(({ path }) => path)).toEqual([])
  })

  it('leaves nothing for later and tells nothing of the machine it was written on', () => {
    const pattern = /TODO|FIXME|XXX|\/work\/|\/home\/|\/Users\/|\bchatgpt\b|\bclaude\b|\bllms?\b/i
    const wrong = [...SOURCES, ...TESTS]
      .filter(({ path }) => path !== 'test/tidy.test.ts')
      .flatMap(({ path, text }) =>
        text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}`] : [])),
      )
    expect(wrong).toEqual([])
  })
})

describe('a test', () => {
  it('runs: none is skipped, none is alone', () => {
    const pattern = /\b(it|test|describe)\.(only|todo)\b|\b(it|test|describe)\.skip\(/
    expect(linesWith(TESTS, pattern)).toEqual([])
  })
})

function isDoor(doors: readonly string[] | undefined, path: string): boolean {
  return (
    doors?.some((door) => (door.endsWith('/') ? path.startsWith(door) : path === door)) ?? false
  )
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}

function longFunctions({ path, text }: File): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
  const found: string[] = []
  const visit = (node: ts.Node) => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      const first = source.getLineAndCharacterOfPosition(node.getStart()).line
      const lines = source.getLineAndCharacterOfPosition(node.getEnd()).line - first + 1
      if (lines > FUNCTION_LINES_MAX) found.push(`${path}:${first + 1}: ${lines} lines`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}
