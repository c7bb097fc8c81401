/** Owns the command line of `tempo-actors blocks`: its own options, and the server's for where the blocks are. */
import { parseArgs } from 'node:util'
import { settingPaths } from '../../config/check.js'
import { factsOf } from '../../config/fields.js'
import { parseCommandLine, type FlagSetting } from '../../config/flags.js'
import { nearestWord } from '../../config/nearest.js'
import { schema } from '../../config/schema.js'
import { errorText } from '../../lib/log.js'
import { Usage } from './context.js'

const OWN = {
  path: { type: 'string' },
  backend: { type: 'string' },
  bucket: { type: 'string' },
  prefix: { type: 'string' },
  's3-endpoint': { type: 'string' },
  's3-user': { type: 'string' },
  's3-pass': { type: 'string' },
  tenant: { type: 'string' },
  'include-compacted': { type: 'boolean', default: false },
  sort: { type: 'string' },
  reverse: { type: 'boolean', default: false },
  group: { type: 'string' },
  all: { type: 'boolean', default: false },
  start: { type: 'string', default: '' },
  end: { type: 'string', default: '' },
  limit: { type: 'string' },
  spss: { type: 'string' },
  'max-blocks': { type: 'string' },
  to: { type: 'string' },
  out: { type: 'string' },
  replace: { type: 'boolean', default: false },
  dedicated: { type: 'string' },
  scratch: { type: 'string' },
  json: { type: 'boolean', default: false },
  quiet: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/** Other spellings: tempo-cli's. */
const ALIASES: Readonly<Record<string, string>> = {
  h: 'help',
  c: 'config',
  'config-file': 'config',
}
/** Of the server's flags only those that say where blocks are, and how the configuration is read. */
const CONFIG_FLAGS = ['config', 'config.file', 'config.expand-env']
const SWITCHES = ['config.expand-env']

const SETTINGS = new Map(
  [...settingPaths(schema)].map(([path, field]) => [path.replaceAll('_', '-'), field]),
)

export type Options = ReturnType<typeof parseOwn>['values']

export interface CommandLine {
  /** The command and what it is about. */
  readonly words: readonly string[]
  readonly options: Options
  /** Configuration files, and settings that hold over them. */
  readonly files: readonly string[]
  readonly expandEnv: boolean
  readonly settings: readonly FlagSetting[]
}

/** Throws `Usage`, `ConfigError`. */
export function parseBlocksLine(args: readonly string[]): CommandLine {
  const { own, server } = split(args)
  const { values, positionals } = parseOrUsage(own)
  const { files, expandEnv, settings } = parseCommandLine(server)
  return {
    words: positionals,
    options: values,
    files,
    expandEnv,
    settings: [...settings, ...placeSettings(values)],
  }
}

function parseOwn(args: string[]) {
  return parseArgs({ args, options: OWN, allowPositionals: true })
}

function parseOrUsage(args: string[]) {
  try {
    return parseOwn(args)
  } catch (error) {
    throw new Usage(`${errorText(error)}; see tempo-actors blocks --help`)
  }
}

/** What is ours and what the server's parser reads; Go's single dash is taken too. */
function split(args: readonly string[]): { own: string[]; server: string[] } {
  const own: string[] = []
  const server: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--') {
      own.push(...args.slice(i))
      break
    }
    const match = /^--?([A-Za-z][A-Za-z0-9._-]*)(=.*)?$/s.exec(arg)
    if (!match) {
      own.push(arg)
      continue
    }
    const name = ALIASES[match[1]!] ?? match[1]!
    const isOurs = name in OWN
    const to = isOurs ? own : server
    if (!isOurs && !isServers(name)) throw unknownFlag(arg, name)
    to.push(`--${name}${match[2] ?? ''}`)
    if (match[2] === undefined && takesValue(name) && i + 1 < args.length) to.push(args[++i]!)
  }
  return { own, server }
}

const settingOf = (name: string) => SETTINGS.get(name.replaceAll('_', '-'))

function isServers(name: string): boolean {
  return CONFIG_FLAGS.includes(name) || settingOf(name) !== undefined
}

function takesValue(name: string): boolean {
  const own = Object.entries(OWN).find(([ours]) => ours === name)?.[1]
  if (own) return own.type === 'string'
  const setting = settingOf(name)
  return !SWITCHES.includes(name) && (!setting || factsOf(setting)?.kind !== 'flag')
}

function unknownFlag(written: string, name: string): Usage {
  const near = nearestWord(name, [...Object.keys(OWN), ...CONFIG_FLAGS, ...SETTINGS.keys()])
  const hint = near === undefined ? '' : `: did you mean --${near}?`
  return new Usage(`unknown flag ${written}${hint}; see tempo-actors blocks --help`)
}

/** The short options as settings of the configuration. */
function placeSettings(options: Options): FlagSetting[] {
  const settings: FlagSetting[] = []
  const set = (flag: string, path: string, value: string | undefined) => {
    if (value !== undefined) settings.push({ flag, path: path.split('.'), value })
  }
  const { path, backend, bucket } = options
  if (path !== undefined && bucket !== undefined)
    throw new Usage('give --path (a folder) or --bucket, not both')
  const s3 = bucket === undefined ? undefined : parseS3Place(bucket)
  const isS3 = s3 !== undefined || options['s3-endpoint'] !== undefined
  set('--backend', 'storage.trace.backend', backend)
  if (path !== undefined) {
    set('--path', 'storage.trace.backend', 'local')
    set('--path', 'storage.trace.local.path', path)
  }
  if (bucket !== undefined) {
    if (isS3 && backend === undefined) set('--bucket', 'storage.trace.backend', 's3')
    // As tempo-cli has it: of a local backend the bucket is its folder.
    if (!s3) set('--bucket', 'storage.trace.local.path', bucket)
    set('--bucket', 'storage.trace.s3.bucket', s3?.bucket ?? bucket)
    set('--bucket', 'storage.trace.s3.prefix', s3?.prefix)
  }
  set('--prefix', 'storage.trace.s3.prefix', options.prefix)
  setEndpoint(options['s3-endpoint'], set)
  set('--s3-user', 'storage.trace.s3.access_key', options['s3-user'])
  set('--s3-pass', 'storage.trace.s3.secret_key', options['s3-pass'])
  return settings
}

/** `http://` before the endpoint means that it speaks no TLS; a server at hand takes the bucket in the path. */
function setEndpoint(
  endpoint: string | undefined,
  set: (flag: string, path: string, value: string) => void,
): void {
  if (endpoint === undefined) return
  const match = /^(?:(https?):\/\/)?(.*?)\/?$/.exec(endpoint)!
  set('--s3-endpoint', 'storage.trace.s3.endpoint', match[2]!)
  if (match[1] === undefined) return
  set('--s3-endpoint', 'storage.trace.s3.insecure', String(match[1] === 'http'))
  if (match[1] === 'http') set('--s3-endpoint', 'storage.trace.s3.forcepathstyle', 'true')
}

/** `s3://bucket/prefix`; undefined when the text is none. */
export function parseS3Place(text: string): { bucket: string; prefix: string } | undefined {
  const match = /^s3:\/\/([^/]+)\/?(.*)$/.exec(text)
  return match ? { bucket: match[1]!, prefix: match[2]! } : undefined
}

/** A positive whole number. */
export function wholeOption(name: keyof typeof OWN, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^\d{1,9}$/.test(text)) throw new Usage(`--${name} is a whole number, not ${JSON.stringify(text)}`)
  return Number(text)
} // prettier-ignore

export function oneOf<T extends string>(
  name: keyof typeof OWN,
  text: string | undefined,
  values: readonly T[],
): T {
  const found = values.find((value) => value === text)
  if (found !== undefined) return found
  const said = text === undefined ? 'is missing' : `is ${JSON.stringify(text)}`
  throw new Usage(`--${name} ${said}: expected ${values.join(', ')}`)
}
