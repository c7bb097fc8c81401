/** Owns the command line of the server: Tempo's spellings (-config.file=x), and every setting as a flag of its path. */
import { settingPaths } from './check.js'
import { ConfigError } from './error.js'
import { factsOf } from './fields.js'
import { nearestWord } from './nearest.js'
import { schema } from './schema.js'

export interface FlagSetting {
  /** As it was written, "--log.level". */
  readonly flag: string
  readonly path: readonly string[]
  readonly value: string
}

export interface CommandLine {
  readonly action: 'run' | 'verify' | 'version' | 'help'
  readonly files: readonly string[]
  readonly expandEnv: boolean
  readonly settings: readonly FlagSetting[]
}

/** Flags of Tempo that are not the path of their key. */
const ALIASES: Readonly<Record<string, string>> = {
  'log.level': 'server.log_level',
  'log.format': 'server.log_format',
  'multitenancy.enabled': 'multitenancy_enabled',
}
const FILE_FLAGS = ['config', 'config.file']
const SWITCHES = ['config.expand-env', 'config.verify', 'version', 'help', 'h']

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
  for (let flag = reader.next(); flag; flag = reader.next()) {
    const setting = settingFlags.get(flagOf(flag.name))
    if (FILE_FLAGS.includes(flag.name)) files.push(reader.fileName(flag))
    else if (SWITCHES.includes(flag.name)) {
      if (reader.isOn(flag)) on.add(flag.name)
    } else if (setting) {
      const isFlag = factsOf(setting.field)?.kind === 'flag'
      const value = isFlag ? (flag.value ?? 'true') : reader.value(flag)
      settings.push({ flag: flag.written, path: setting.path.split('.'), value })
    } else throw unknownFlag(flag)
  }
  let action: CommandLine['action'] = 'run'
  if (on.has('help') || on.has('h')) action = 'help'
  else if (on.has('version')) action = 'version'
  else if (on.has('config.verify')) action = 'verify'
  return { action, files, expandEnv: on.has('config.expand-env'), settings }
}

interface Flag {
  readonly name: string
  /** With its dashes, without its value. */
  readonly written: string
  readonly value: string | undefined
}

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

  fileName(flag: Flag): string {
    const value = this.value(flag)
    if (value !== '') return value
    throw new ConfigError([`${flag.written} needs a file: ${flag.written}=FILE`])
  }

  isOn(flag: Flag): boolean {
    if (flag.value === undefined || flag.value === 'true') return true
    if (flag.value === 'false') return false
    throw new ConfigError([`${flag.written} must be true or false, not "${flag.value}"`])
  }
}

function unknownFlag(flag: Flag): ConfigError {
  const near = nearestWord(flag.name, [...FILE_FLAGS, ...SWITCHES, ...settingFlags.keys()])
  const hint = near === undefined ? 'see --help' : `did you mean --${near}?`
  return new ConfigError([`unknown flag ${flag.written}: ${hint}`])
}

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
    ['--version', 'print the version and exit'],
    ['--help', 'print this and exit'],
  ]
  for (const [name, { field }] of settingFlags) {
    const facts = factsOf(field)
    if (Object.hasOwn(ALIASES, name) || !facts) continue
    rows.push([`--${name}`, `${facts.about} (default ${JSON.stringify(facts.default)})`])
  }
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  const lines = rows.map(([name, about]) => `  ${name.padEnd(width)}${about}`)
  return ['Usage: tempo-actors [flags]', '', ...lines, ''].join('\n')
}
