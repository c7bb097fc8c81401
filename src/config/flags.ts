/** Owns the command line of the server: Tempo's spellings (-config.file=x), and every setting as a flag of its path. */
import { settingPaths } from './check.js'
import { ConfigError } from './error.js'
import { factsOf } from './fields.js'
import { nearestWord } from './nearest.js'
import { unit } from './reference.js'
import { schema } from './schema.js'
import { isTempoFlag } from './tempo-flags.js'

export interface FlagSetting {
  /** As it was written, "--log.level". */
  readonly flag: string
  readonly path: readonly string[]
  readonly value: string
}

export interface CommandLine {
  readonly action: 'run' | 'verify' | 'version' | 'help' | 'health'
  readonly files: readonly string[]
  readonly expandEnv: boolean
  readonly settings: readonly FlagSetting[]
  /** Where `-health` asks. */
  readonly healthUrl: string
  readonly warnings: readonly string[]
}

/** Flags of Tempo that are not the path of their key. */
const ALIASES: Readonly<Record<string, string>> = {
  'log.level': 'server.log_level',
  'log.format': 'server.log_format',
  'multitenancy.enabled': 'multitenancy_enabled',
  'auth.enabled': 'auth_enabled',
  'config.per-user-override-config': 'overrides.per_tenant_override_config',
  'config.per-user-override-period': 'overrides.per_tenant_override_period',
  'distributor.ingestion-rate-limit-bytes': 'overrides.defaults.ingestion.rate_limit_bytes',
  'distributor.ingestion-burst-size-bytes': 'overrides.defaults.ingestion.burst_size_bytes',
  'ingester.max-traces-per-user': 'overrides.defaults.ingestion.max_traces_per_user',
  'ingester.max-bytes-per-trace': 'overrides.defaults.global.max_bytes_per_trace',
  'querier.max-bytes-per-tag-values-query':
    'overrides.defaults.read.max_bytes_per_tag_values_query',
}
const FILE_FLAGS = ['config', 'config.file']
const SWITCHES = ['config.expand-env', 'config.verify', 'version', 'health', 'help', 'h']
const HEALTH_URL = 'health.url'
/** Where Tempo's own health check asks too. */
const DEFAULT_HEALTH_URL = 'http://localhost:3200/ready'

const settingFlags = new Map(
  [...settingPaths(schema)].map(([path, field]) => [flagOf(path), { path, field }]),
)
for (const [alias, path] of Object.entries(ALIASES)) {
  settingFlags.set(alias, settingFlags.get(flagOf(path))!)
}

function flagOf(path: string): string {
  return path.replaceAll('_', '-')
}

/** Reads the arguments after the program's name; throws `ConfigError`. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const reader = new ArgumentReader(args)
  const files: string[] = []
  const on = new Set<string>()
  const settings: FlagSetting[] = []
  const ignored = new Set<string>()
  let healthUrl = DEFAULT_HEALTH_URL
  for (let flag = reader.next(); flag; flag = reader.next()) {
    const setting = settingFlags.get(flagOf(flag.name))
    if (FILE_FLAGS.includes(flag.name)) files.push(reader.fileName(flag))
    else if (SWITCHES.includes(flag.name)) {
      if (reader.isOn(flag)) on.add(flag.name)
    } else if (setting) {
      const isFlag = factsOf(setting.field)?.kind === 'flag'
      const value = isFlag ? (flag.value ?? 'true') : reader.value(flag)
      settings.push({ flag: flag.written, path: setting.path.split('.'), value })
    } else if (flag.name === HEALTH_URL) healthUrl = reader.value(flag)
    else if (isTempoFlag(flag.name)) {
      reader.skipValue(flag)
      ignored.add(flag.written)
    } else throw unknownFlag(flag)
  }
  return {
    action: actionOf(on),
    files,
    expandEnv: on.has('config.expand-env'),
    settings,
    healthUrl,
    warnings: [...ignored].map(
      (flag) => `${flag} is a flag of Tempo that tempo-actors does not read; it is ignored`,
    ),
  }
}

function actionOf(on: ReadonlySet<string>): CommandLine['action'] {
  if (on.has('help') || on.has('h')) return 'help'
  if (on.has('version')) return 'version'
  if (on.has('health')) return 'health'
  return on.has('config.verify') ? 'verify' : 'run'
}

interface Flag {
  readonly name: string
  /** With its dashes, without its value. */
  readonly written: string
  readonly value: string | undefined
}

/** As Go reads them. */
const ON = /^(?:1|t|true)$/i
const OFF = /^(?:0|f|false)$/i

class ArgumentReader {
  private at = 0

  constructor(private readonly args: readonly string[]) {}

  next(): Flag | undefined {
    const argument = this.args[this.at++]
    if (argument === undefined) return undefined
    const match = /^(--?)([A-Za-z][A-Za-z0-9._-]*)(?:=(.*))?$/s.exec(argument)
    if (!match) {
      const text = `unexpected argument ${JSON.stringify(argument)}`
      throw new ConfigError([`${text}: flags begin with --, see --help`])
    }
    return { name: match[2]!, written: match[1]! + match[2]!, value: match[3] }
  }

  /** The flag's value, from "--flag=value" or the next argument. */
  value(flag: Flag): string {
    const value = flag.value ?? this.args[this.at++]
    if (value !== undefined) return value
    throw new ConfigError([`${flag.written} needs a value: ${flag.written}=VALUE`])
  }

  /** Of a flag whose kind we do not know: what follows is its value unless it is a flag. */
  skipValue(flag: Flag): void {
    if (flag.value === undefined && !(this.args[this.at] ?? '-').startsWith('-')) this.at++
  }

  fileName(flag: Flag): string {
    const value = this.value(flag)
    if (value !== '') return value
    throw new ConfigError([`${flag.written} needs a file: ${flag.written}=FILE`])
  }

  isOn(flag: Flag): boolean {
    if (flag.value === undefined || ON.test(flag.value)) return true
    if (OFF.test(flag.value)) return false
    throw new ConfigError([`${flag.written} must be true or false, not "${flag.value}"`])
  }
}

function unknownFlag(flag: Flag): ConfigError {
  const near = nearestWord(flag.name, [
    ...FILE_FLAGS,
    ...SWITCHES,
    HEALTH_URL,
    ...settingFlags.keys(),
  ])
  const hint = near === undefined ? 'see --help' : `did you mean --${near}?`
  return new ConfigError([`unknown flag ${flag.written}: ${hint}`])
}

const USAGE = [
  'Usage: tempo-actors [flags]                  run the store',
  '       tempo-actors config migrate FILE      print a configuration of Tempo 2 with its keys moved',
  '       tempo-actors config full              print every key with its default and meaning',
  '       tempo-actors blocks --help            blocks: list, view, analyse, find, search, convert, verify',
  '       tempo-actors load --help              send a load, and ask for what was acknowledged',
  '',
]

/** The text of --help. */
export function helpText(): string {
  const rows: [string, string][] = [
    [
      '--config FILE',
      'read this YAML file (-config.file=FILE too); several are merged, later ones win,',
    ],
    ['', 'null in a later one takes a key away; a bare name that is not here is a packaged file'],
    ['--config.expand-env', 'replace ${NAME} and ${NAME:-default} in the files'],
    ['--config.verify', 'check the configuration and exit: 0 fine, 1 not fine or warned of'],
    ['--health', `ask ${DEFAULT_HEALTH_URL} (or --health.url=URL) and exit: 0 ready, 1 not`],
    ['--version', 'print the version and exit'],
    ['--help', 'print this and exit'],
  ]
  for (const [name, { field }] of settingFlags) {
    const facts = factsOf(field)
    if (Object.hasOwn(ALIASES, name) || !facts) continue
    const about = `${facts.about} [${unit(facts)}; default ${JSON.stringify(facts.default)}]`
    rows.push([`--${name}`, about])
  }
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  const lines = rows.map(([name, about]) => `  ${name.padEnd(width)}${about}`)
  return [...USAGE, ...lines, ''].join('\n')
}
