/** Owns `tempo-actors blocks`: which command runs over which backend, and its exit code. */
import { loadConfig } from '../config/load.js'
import type { Config } from '../config.js'
import { errorText, silentLog } from '../lib/log.js'
import { systemClock, type Clock } from '../lib/time.js'
import { openBackend } from '../storage/backend/open.js'
import { OK, USAGE_ERROR, Usage, exitCodeOf, type BlocksContext } from './blocks/context.js'
import { parseBlocksLine, type CommandLine } from './blocks/options.js'
import { Progress } from './blocks/progress.js'
import { HELP } from './blocks/help.js'
import { processOutput, type Output } from './output.js'

type Command = (ctx: BlocksContext, words: readonly string[]) => Promise<number>

/** Each is loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  list: async () => (await import('./blocks/list.js')).listBlocks,
  view: async () => (await import('./blocks/view.js')).viewBlock,
  find: async () => (await import('./blocks/find.js')).findTrace,
  verify: async () => (await import('./blocks/verify.js')).verifyBlocks,
  search: async () => (await import('./blocks/search.js')).searchBlocks,
  convert: async () => (await import('./blocks/convert.js')).convertBlock,
  analyse: async () => (await import('./blocks/analyse.js')).analyseBlocks,
}

export interface BlocksEnvironment {
  readonly output?: Output
  readonly isTerminal?: boolean
  readonly clock?: Clock
  readonly signal?: AbortSignal
}

/** Resolves with the exit code: 0, 1 failed or not found, 2 wrong usage. */
export async function blocksCommand(
  args: readonly string[],
  environment: BlocksEnvironment = {},
): Promise<number> {
  const { output = processOutput } = environment
  if (output === processOutput) endWithItsReader()
  try {
    const line = parseBlocksLine(args)
    const [name, ...words] = line.words
    if (line.options.help || name === undefined) {
      output.out(HELP)
      return line.options.help ? OK : USAGE_ERROR
    }
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new Usage(`unknown command ${JSON.stringify(name)}: ${Object.keys(COMMANDS).join(', ')}`) // prettier-ignore
    }
    const command = await COMMANDS[name]!()
    return await untilInterrupted(environment, (signal) =>
      run(command, words, line, { ...environment, signal }),
    )
  } catch (error) {
    const code = exitCodeOf(error)
    if (code === undefined) throw error
    for (const problem of errorText(error).split('\n')) output.err(`tempo-actors blocks: ${problem}\n`) // prettier-ignore
    return code
  }
}

async function run(
  command: Command,
  words: readonly string[],
  line: CommandLine,
  environment: BlocksEnvironment & { signal: AbortSignal },
): Promise<number> {
  const { output = processOutput, clock = systemClock, signal } = environment
  const isTerminal = environment.isTerminal ?? process.stderr.isTTY
  const { storage } = loadConfig(line).config
  const progress = new Progress({
    write: output.err,
    isShown: isTerminal && !line.options.quiet,
    clock,
  })
  const backend = await openBackend(storage, { clock, log: silentLog })
  try {
    // A folder is not probed: that writes into it.
    if (backend.kind === 's3') await backend.ensureReady()
    const place = placeOf(storage)
    const { options } = line
    return await command(
      { backend, storage, place, options, output, progress, clock, signal },
      words,
    )
  } finally {
    progress.clear()
    await backend.close()
  }
}

/** As shells tell of SIGINT. */
const INTERRUPTED = 130

/** The first Ctrl-C lets the command clear up behind itself, the second ends the process. */
async function untilInterrupted(
  environment: BlocksEnvironment,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const interrupt = new AbortController()
  const signal = environment.signal ?? interrupt.signal
  const onSignal = () => interrupt.abort()
  process.once('SIGINT', onSignal)
  try {
    return await work(signal)
  } catch (error) {
    if (!signal.aborted) throw error
    return INTERRUPTED
  } finally {
    process.off('SIGINT', onSignal)
  }
}

/** `| head` reads no more than it wants. */
function endWithItsReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(OK)
  })
}

function placeOf({ backend, local_path, s3 }: Config['storage']): string {
  if (backend === 'local') return local_path
  return `s3://${s3.bucket}${s3.prefix === '' ? '' : `/${s3.prefix}`}`
}
