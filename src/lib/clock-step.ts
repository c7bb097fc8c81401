/**
 * Owns the steps that a test makes the wall clock take: `TEMPO_ACTORS_CLOCK_STEP_FILE` names a file that holds milliseconds, which are
 * read at each look at the clock and added to it. Heeded only where `actors.chaos` is true, as failpoints.ts does it.
 */
import { readFileSync } from 'node:fs'

const VARIABLE = 'TEMPO_ACTORS_CLOCK_STEP_FILE'

let file = process.env[VARIABLE]

export function clockStep_ms(): number {
  return file === undefined ? 0 : read(file)
}

/** The clock is as it is, in this thread and in all that it starts from now on. */
export function disarmClockSteps(): void {
  Reflect.deleteProperty(process.env, VARIABLE)
  file = undefined
}

function read(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8')) || 0
  } catch {
    return 0
  }
}
