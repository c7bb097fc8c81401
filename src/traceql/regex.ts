/** Owns regular expressions (the one door to re2js): RE2 syntax, linear time, anchored at both ends, `.` matches newlines. */
import { RE2JS } from 're2js'

/** Patterns this long are refused: compiled size grows with the text. */
export const MAX_REGEX_CHARS = 64 * 1024

export interface Regex {
  readonly pattern: string
  /** True when the pattern matches the whole text. */
  matches(text: string): boolean
}

/** Undefined when the pattern is no RE2 expression. */
export function compileRegex(pattern: string): Regex | undefined {
  if (pattern.length > MAX_REGEX_CHARS) return undefined
  try {
    const compiled = RE2JS.compile(pattern, RE2JS.DOTALL)
    return { pattern, matches: (text) => compiled.testExact(text) }
  } catch {
    return undefined
  }
}

/** The text as a pattern that matches only itself. */
export function quoteRegex(text: string): string {
  return RE2JS.quote(text)
}
