#!/usr/bin/env node
/** Owns the program's entry: which command runs, and its exit code. The server is the command without a name. */
import { nodeProblem } from './cli/node-version.js'

const [command, ...rest] = process.argv.slice(2)

async function main(): Promise<number> {
  const problem = nodeProblem(process.versions.node)
  if (problem !== undefined) {
    process.stderr.write(`tempo-actors: ${problem}\n`)
    return 1
  }
  if (command === 'bus') return (await import('./cli/bus.js')).busCommand(rest)
  if (command === 'load') return (await import('./cli/load.js')).loadCommand(rest)
  if (command === 'blocks') return (await import('./cli/blocks.js')).blocksCommand(rest)
  if (command === 'config') return (await import('./cli/config.js')).configCommand(rest)
  return (await import('./cli/serve.js')).serve(process.argv.slice(2))
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    // Expected failures are told by their commands in a sentence; what comes here is a fault of ours.
    process.stderr.write(
      `tempo-actors: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    )
    process.exitCode = 1
  },
)
