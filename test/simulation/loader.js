/**
 * Owns how the simulator gets at the store: modules are read from `src` as they stand, and only the doors to the world
 * (disk, LMDB, threads, chance, the clock) are other modules. A planted bug is an edit of a source text on its way in.
 *
 * Runs on the loader's own thread. JavaScript made of the TypeScript is kept by the hash of its source.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL, URL } from 'node:url'
import { applyEdits, PLANTED_BUGS, TUNINGS } from './planted-bugs.js'

const HERE = dirname(fileURLToPath(import.meta.url))
const ROOT = join(HERE, '..', '..')
const CACHE = join(ROOT, 'node_modules', '.cache', 'tempo-actors-simulation')
const door = (name) => pathToFileURL(join(HERE, 'doors', `${name}.ts`)).href

/** What the store's own modules get when they import a package of the world. */
const PACKAGES = new Map([
  ['lmdb', door('lmdb')],
  ['node:fs', door('fs')],
  ['node:fs/promises', door('fs-promises')],
  ['node:crypto', door('crypto')],
])

/** Modules of the store that are doors themselves, below `src`. */
const MODULES = new Map([
  ['storage/wal/preflight.ts', door('preflight')],
  ['storage/backend/local.ts', door('local-backend')],
  ['storage/backend/open.ts', door('open-backend')],
  ['storage/block/blockpack.ts', door('blockpack')],
  ['actors/livestore/block-builder.ts', door('block-builder')],
  ['lib/time.ts', door('time')],
  ['lib/metrics.ts', door('metrics')],
])

/** Folders whose modules see the simulated world; the configuration is read from the real one. */
const SIMULATED = ['actors/', 'bus/', 'storage/', 'lib/durable-folders.ts']

let bug

export function initialize(data) {
  const name = data?.bug
  bug = name === undefined ? undefined : PLANTED_BUGS[name]
  if (name !== undefined && bug === undefined) {
    throw new Error(`no planted bug "${name}"; there are: ${Object.keys(PLANTED_BUGS).join(', ')}`)
  }
}

function sourcePath(url) {
  if (!url?.startsWith('file:')) return undefined
  const path = relative(join(ROOT, 'src'), fileURLToPath(url)).replaceAll('\\', '/')
  return path.startsWith('..') ? undefined : path
}

export async function resolve(specifier, context, next) {
  const importer = sourcePath(context.parentURL)
  if (importer !== undefined && SIMULATED.some((folder) => importer.startsWith(folder))) {
    const swapped = PACKAGES.get(specifier)
    if (swapped) return { url: swapped, format: 'module', shortCircuit: true }
  }
  if (!specifier.startsWith('.') || !context.parentURL?.endsWith('.ts')) {
    if (specifier.endsWith('.ts')) return { url: specifier, format: 'module', shortCircuit: true }
    return next(specifier, context)
  }
  let url = new URL(specifier, context.parentURL).href
  if (url.endsWith('.js') && !url.endsWith('/planted-bugs.js')) url = `${url.slice(0, -3)}.ts`
  const target = sourcePath(url)
  const swapped = target === undefined ? undefined : MODULES.get(target)
  return { url: swapped ?? url, format: 'module', shortCircuit: true }
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context)
  const path = fileURLToPath(url)
  let text = await readFile(path, 'utf8')
  const source = sourcePath(url)
  if (source !== undefined) text = applyEdits([...TUNINGS, ...(bug?.edits ?? [])], source, text)
  return { format: 'module', source: await javaScriptOf(text, path), shortCircuit: true }
}

async function javaScriptOf(text, path) {
  const hash = createHash('sha256').update(`${path}\n${text}`).digest('hex')
  const file = join(CACHE, `${hash}.js`)
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  const { default: ts } = await import('typescript')
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
  })
  await mkdir(CACHE, { recursive: true })
  const draft = `${file}.${process.pid}`
  await writeFile(draft, outputText)
  await rename(draft, file)
  return outputText
}
