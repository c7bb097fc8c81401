/** Owns the ways in which a TraceQL query is refused; all of them are the caller's to answer with 400. */

export interface Position {
  readonly line: number
  readonly column: number
}

/** The text is no TraceQL: says where, what stood there and what may stand there. */
export class ParseError extends Error {
  readonly code = 'TRACEQL_PARSE'
  readonly line: number
  readonly column: number
  readonly expected: readonly string[]
  constructor(what: string, at: Position, expected: readonly string[] = []) {
    const hint = expected.length === 0 ? '' : `, expecting ${listOf(expected)}`
    super(`parse error at line ${at.line}, col ${at.column}: ${what}${hint}`)
    this.name = 'ParseError'
    this.line = at.line
    this.column = at.column
    this.expected = expected
  }
}

/** The text parses and means nothing: types that do not fit, a bad regex, a quantile over 1. */
export class ValidationError extends Error {
  readonly code = 'TRACEQL_INVALID'
  constructor(message: string) {
    super(message)
    this.name = 'ValidationError'
  }
}

/** A part of the language that is understood and not evaluated (yet, or by Tempo neither): never half an answer. */
export class UnsupportedError extends Error {
  readonly code = 'TRACEQL_UNSUPPORTED'
  readonly feature: string
  constructor(feature: string) {
    super(`${feature} not yet supported`)
    this.name = 'UnsupportedError'
    this.feature = feature
  }
}

/** Whether an error means that the query, and not this program, is at fault. */
export function isQueryError(
  error: unknown,
): error is ParseError | ValidationError | UnsupportedError {
  return (
    error instanceof ParseError ||
    error instanceof ValidationError ||
    error instanceof UnsupportedError
  )
}

function listOf(words: readonly string[]): string {
  const shown = words.slice(0, 8)
  if (words.length > shown.length) return `${shown.join(', ')} or others`
  if (shown.length === 1) return shown[0]!
  return `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)!}`
}
