/** Owns `tempo-actors config`: what can be done with a configuration without starting the store. */
import { ConfigError } from '../config/error.js'
import { readConfigText } from '../config/read-text.js'
import { oneLine } from '../lib/one-line.js'
import { processOutput, type Output } from './output.js'

const USAGE = `Usage:
  tempo-actors config migrate FILE   print a configuration of Tempo 2 with its keys moved; notes go to stderr
  tempo-actors config full           print every key with its default, its unit and what it is for
`

/** Resolves with the exit code. */
export async function configCommand(
  args: readonly string[],
  { out, err }: Output = processOutput,
): Promise<number> {
  const [command, ...rest] = args
  const asksForHelp = args.some((arg) => arg === '--help' || arg === '-h')
  if (asksForHelp) {
    out(USAGE)
    return 0
  }
  if (command === 'full' && rest.length === 0) {
    out((await import('../config/reference.js')).fullYaml())
    return 0
  }
  const [file, ...more] = rest
  if (command === 'migrate' && file !== undefined && more.length === 0) {
    return migrate(file, { out, err })
  }
  err(`tempo-actors: ${oneLine(`config ${args.join(' ')}`)} is not understood\n${USAGE}`)
  return 1
}

async function migrate(file: string, { out, err }: Output): Promise<number> {
  const { migrateConfig } = await import('../config/migrate.js')
  try {
    const { text, notes, problems } = migrateConfig(file, readConfigText(file, file))
    out(text)
    for (const note of notes) err(`note: ${note}\n`)
    for (const problem of problems) err(`tempo-actors: ${problem}\n`)
    return problems.length === 0 ? 0 : 1
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) err(`tempo-actors: ${oneLine(problem)}\n`)
    return 1
  }
}
