/** Owns regular expressions (the one door to re2js): RE2 syntax, linear time, anchored at both ends, `.` matches newlines. */
import { RE2JS } from 're2js'
import { systemClock } from '../lib/time.js'
import { ValidationError } from './errors.js'
import { weightOf } from './regex-weight.js'

/** Patterns this long are refused: compiled size grows with the text. */
export const MAX_REGEX_CHARS = 64 * 1024
/** Patterns that compile to more than about this are refused: seconds and megabytes each. */
export const MAX_REGEX_WEIGHT = 20_000

/**
 * Time is linear in the text, but each character may cost as much as the pattern is long: a pattern of 3 KB takes half a second
 * for a value of 2 KB, and nothing else runs on the thread. Matches that take longer than they should are added
 * up; past the budget the query is refused. The sum fades, so that a slow machine is not a bad pattern.
 */
const SLOW_MATCH_MS = 2
const SLOW_MATCH_STEPS = 20_000
const SLOW_BUDGET_MS = 1000
const FADE_SHARE = 0.1

export interface Regex {
  readonly pattern: string
  /** True when the pattern matches the whole text. Throws ValidationError when it has taken too long over too many texts. */
  matches(text: string): boolean
}

/** Undefined when the pattern is no RE2 expression, or too large a one. */
export function compileRegex(pattern: string): Regex | undefined {
  if (pattern.length > MAX_REGEX_CHARS || weightOf(pattern) > MAX_REGEX_WEIGHT) return undefined
  try {
    return new BoundedRegex(pattern, RE2JS.compile(pattern, RE2JS.DOTALL))
  } catch {
    return undefined
  }
}

class BoundedRegex implements Regex {
  readonly #compiled: RE2JS
  readonly #size: number
  #slow_ms = 0
  #seen_ms = 0

  constructor(
    readonly pattern: string,
    compiled: RE2JS,
  ) {
    this.#compiled = compiled
    this.#size = compiled.programSize()
  }

  matches(text: string): boolean {
    if (this.#size * text.length < SLOW_MATCH_STEPS) return this.#compiled.testExact(text)
    const started_ms = systemClock.monotonic()
    const isMatch = this.#compiled.testExact(text)
    const ended_ms = systemClock.monotonic()
    const took_ms = ended_ms - started_ms
    if (took_ms > SLOW_MATCH_MS) this.#charge(took_ms, started_ms, ended_ms)
    return isMatch
  }

  #charge(took_ms: number, started_ms: number, ended_ms: number): void {
    const faded_ms = this.#slow_ms - (started_ms - this.#seen_ms) * FADE_SHARE
    this.#slow_ms = Math.max(0, faded_ms) + took_ms
    this.#seen_ms = ended_ms
    if (this.#slow_ms <= SLOW_BUDGET_MS) return
    throw new ValidationError(
      `the regex takes too long: ${Math.round(this.#slow_ms)} ms and not done, it compiles to ${this.#size} steps a character; write it with fewer repetitions`,
    )
  }
}

/** The text as a pattern that matches only itself. */
export function quoteRegex(text: string): string {
  return RE2JS.quote(text)
}
