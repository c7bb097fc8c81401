/** Owns what every `tempo-actors blocks` command works with, and how its failures are told apart. */
import { ConfigError } from '../../config/error.js'
import type { Config } from '../../config.js'
import { BadParam } from '../../http/params.js'
import type { Clock } from '../../lib/time.js'
import { BackendError, type OpenBackend } from '../../storage/backend/backend.js'
import { EmptyBlock, UnsortedInput } from '../../storage/block/blockpack-writer.js'
import { CorruptBlock, UnsupportedBlock } from '../../storage/block/encoding.js'
import { ConversionMismatch } from '../../storage/compaction/convert.js'
import { isQueryError } from '../../traceql/errors.js'
import type { Output } from '../output.js'
import type { Options } from './options.js'
import type { Progress } from './progress.js'

/** Exit codes. */
export const OK = 0
export const FAILED = 1
export const USAGE_ERROR = 2

/** The command was not understood. */
export class Usage extends Error {}
/** What was asked for cannot be done, or is not there. */
export class Failure extends Error {}

export interface BlocksContext {
  readonly backend: OpenBackend
  readonly storage: Config['storage']
  /** The backend in words. */
  readonly place: string
  readonly options: Options
  readonly output: Output
  readonly progress: Progress
  readonly clock: Clock
  /** Aborted when somebody wants the command to end. */
  readonly signal: AbortSignal
}

/** The exit code of a failure that was to be expected; undefined when it is a fault of the program. */
export function exitCodeOf(error: unknown): number | undefined {
  if (error instanceof Usage || error instanceof BadParam || isQueryError(error)) return USAGE_ERROR
  const isExpected =
    error instanceof Failure ||
    error instanceof BackendError ||
    error instanceof CorruptBlock ||
    error instanceof UnsupportedBlock ||
    error instanceof UnsortedInput ||
    error instanceof EmptyBlock ||
    error instanceof ConversionMismatch ||
    error instanceof ConfigError ||
    // A disk that is full, a folder that may not be written into.
    (error instanceof Error && 'syscall' in error)
  return isExpected ? FAILED : undefined
}

export function say({ output }: Pick<BlocksContext, 'output'>, text: string): void {
  output.out(text)
}

/** JSON for programs; bigints are texts, as in OTLP. */
export function sayJson({ output }: Pick<BlocksContext, 'output'>, value: unknown): void {
  const text = JSON.stringify(
    value,
    (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v),
    2,
  )
  output.out(`${text}\n`)
}

export function warn({ output }: Pick<BlocksContext, 'output'>, text: string): void {
  output.err(`warning: ${text}\n`)
}
