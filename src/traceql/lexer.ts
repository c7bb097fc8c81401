/** Owns cutting a query into tokens, by the rules of Go's text/scanner as Tempo uses it: attribute names run to the next operator or space. */
import { ParseError } from './errors.js'
import type { Position } from './errors.js'
import { isAttributeRune } from './print.js'
import { parseDuration_ns, unquoteGo } from './literals.js'
import { weightOf } from './regex-weight.js'

export type Token = Position & {
  /** Index into the text, for what stood there. */
  readonly at: number
  readonly end: number
} & (
    | { readonly kind: 'end' }
    /** Punctuation, operators and keywords, by their text: `{`, `&>>`, `duration`, `span:`. */
    | { readonly kind: 'word'; readonly text: string }
    | { readonly kind: 'identifier'; readonly text: string }
    /** An attribute with its scopes: `.a`, `resource.a`, `parent.span.a`. */
    | { readonly kind: 'attribute'; readonly scopes: readonly string[]; readonly text: string }
    | { readonly kind: 'string'; readonly text: string }
    | { readonly kind: 'int' | 'duration'; readonly value: bigint }
    | { readonly kind: 'float'; readonly value: number }
  )

const OPERATORS = [
  ',', '.', '{', '}', '(', ')', '=', '!=', '=~', '!~', '>', '>=', '<', '<=', '+', '-', '/', '%',
  '*', '^', '&&', '||', '!', '|', '>>', '<<', '~', '!>', '!<', '!>>', '!<<', '&~', '&>', '&<',
  '&>>', '&<<',
] // prettier-ignore

const KEYWORDS = [
  'true', 'false', 'nil', 'ok', 'error', 'unset', 'unspecified', 'internal', 'server', 'client',
  'producer', 'consumer', 'duration', 'childCount', 'name', 'status', 'statusMessage', 'kind',
  'rootName', 'rootServiceName', 'rootService', 'traceDuration', 'nestedSetLeft',
  'nestedSetRight', 'nestedSetParent', 'id', 'traceID', 'spanID', 'parentID', 'timeSinceStart',
  'version', 'parent', 'count', 'avg', 'max', 'min', 'sum', 'by', 'coalesce', 'select', 'rate',
  'count_over_time', 'min_over_time', 'max_over_time', 'avg_over_time', 'sum_over_time',
  'quantile_over_time', 'histogram_over_time', 'compare', 'topk', 'bottomk', 'with',
] // prettier-ignore

const SCOPES = ['resource', 'span', 'event', 'link', 'instrumentation']
const ATTRIBUTE_STARTS = new Set(['.', 'parent.', ...SCOPES.map((s) => `${s}.`)])
const WORDS: ReadonlySet<string> = new Set([
  ...OPERATORS,
  ...KEYWORDS,
  ...ATTRIBUTE_STARTS,
  'trace:',
  'span:',
  'event:',
  'link:',
  'instrumentation:',
])

const IDENTIFIER = /[\p{L}_][\p{L}\p{Nd}_]*/uy
const NUMBER =
  /0[xX][\da-fA-F_]*|0[bB][01_]*|0[oO][0-7_]*|(?:\d[\d_]*)?\.\d[\d_]*(?:[eE][+-]?\d+)?|\d[\d_]*\.?(?:[eE][+-]?\d+)?/y
const DURATION_TAIL = /[\p{N}nsumhµdwy.]*/uy
/** Longer queries are refused by the frontend long before; this bounds the lexer on its own. */
export const MAX_QUERY_CHARS = 1024 * 1024

/** Of all texts of a query together, if they were patterns: a query of 128 KiB without repetitions is below. */
export const MAX_QUERY_WEIGHT = 160_000

export function tokenize(text: string): Token[] {
  if (text.length > MAX_QUERY_CHARS) {
    throw new ParseError(`query of ${text.length} characters is over ${MAX_QUERY_CHARS}`, {
      line: 1,
      column: 1,
    })
  }
  const lexer = new Lexer(text)
  const tokens: Token[] = []
  let weight = 0
  for (;;) {
    const token = lexer.next()
    tokens.push(token)
    if (token.kind === 'string' && (weight += weightOf(token.text)) > MAX_QUERY_WEIGHT) {
      throw new ParseError('the regular expressions of the query are too large together', token)
    }
    if (token.kind === 'end') return tokens
  }
}

class Lexer {
  readonly #text: string
  #at = 0
  #line = 1
  #counted = 0
  #column = 1
  constructor(text: string) {
    this.#text = text
  }

  next(): Token {
    this.#skipBlank()
    const at = this.#at
    const place = this.#position(at)
    const char = this.#text[at]
    if (char === undefined) return { ...place, kind: 'end', at, end: at }
    if (char === '"' || char === '`') return this.#string(place, char)
    if (char === "'") return this.#character(place)
    if (/\d/.test(char) || (char === '.' && /\d/.test(this.#text[at + 1] ?? ''))) {
      return this.#number(place)
    }
    return this.#word(place)
  }

  /** Columns count characters; each call goes on from where the last one stopped. */
  #position(at: number): Position {
    for (; this.#counted < at; this.#counted++) {
      const unit = this.#text.charCodeAt(this.#counted)
      // The second half of a surrogate pair is no character of its own.
      if (unit < 0xdc00 || unit > 0xdfff) this.#column++
    }
    return { line: this.#line, column: this.#column }
  }

  #newline(at: number): void {
    this.#line++
    this.#counted = at + 1
    this.#column = 1
  }

  /** Spaces and Go's comments. */
  #skipBlank(): void {
    const text = this.#text
    for (;;) {
      const char = text[this.#at]
      if (char === '\n') this.#newline(this.#at++)
      else if (char === ' ' || char === '\t' || char === '\r') this.#at++
      else if (char === '/' && text[this.#at + 1] === '/') {
        const end = text.indexOf('\n', this.#at)
        this.#at = end < 0 ? text.length : end
      } else if (char === '/' && text[this.#at + 1] === '*') {
        const end = text.indexOf('*/', this.#at + 2)
        if (end < 0) throw new ParseError('comment not terminated', this.#position(this.#at))
        for (; this.#at < end + 2; this.#at++) if (text[this.#at] === '\n') this.#newline(this.#at)
      } else return
    }
  }

  #string(place: Position, quote: string): Token {
    const at = this.#at
    let end = at + 1
    for (; this.#text[end] !== quote; end++) {
      const char = this.#text[end]
      if (char === undefined || (char === '\n' && quote === '"')) {
        throw new ParseError(`unexpected end of string, expecting ${quote}`, place)
      }
      if (char === '\n') this.#newline(end)
      if (char === '\\' && quote === '"') end++
    }
    this.#at = ++end
    const text = unquoteGo(this.#text.slice(at, end))
    if (text === undefined) throw new ParseError('invalid escape in a string', place)
    return { ...place, kind: 'string', text, at, end }
  }

  #character(place: Position): Token {
    const at = this.#at
    let end = at + 1
    while (this.#text[end] !== "'" && this.#text[end] !== '\n' && end < this.#text.length) {
      end += this.#text[end] === '\\' ? 2 : 1
    }
    if (this.#text[end] !== "'") throw new ParseError("unexpected character '", place)
    this.#at = ++end
    return { ...place, kind: 'identifier', text: this.#text.slice(at, end), at, end }
  }

  #number(place: Position): Token {
    const at = this.#at
    NUMBER.lastIndex = at
    const digits = NUMBER.exec(this.#text)![0]
    let end = at + digits.length
    DURATION_TAIL.lastIndex = end
    const tail = DURATION_TAIL.exec(this.#text)![0]
    const duration = tail === '' ? undefined : parseDuration_ns(digits + tail)
    if (duration !== undefined) {
      end += tail.length
      this.#at = end
      return { ...place, kind: 'duration', value: duration, at, end }
    }
    this.#at = end
    if (/^\d+$/.test(digits)) {
      const value = BigInt(digits)
      if (value >= 2n ** 63n) throw new ParseError(`${digits} does not fit in 64 bits`, place)
      return { ...place, kind: 'int', value, at, end }
    }
    if (/^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(digits)) {
      const value = Number(digits)
      if (!Number.isFinite(value)) throw new ParseError(`${digits} is too large`, place)
      return { ...place, kind: 'float', value, at, end }
    }
    throw new ParseError(`invalid number ${digits}`, place)
  }

  /** Keywords and operators: the longest run whose every longer prefix is a word too. */
  #word(place: Position): Token {
    const at = this.#at
    IDENTIFIER.lastIndex = at
    const first =
      IDENTIFIER.exec(this.#text)?.[0] ?? String.fromCodePoint(this.#text.codePointAt(at)!)
    let end = at + first.length
    while (end < this.#text.length && WORDS.has(this.#text.slice(at, end + 1))) end++
    const text = this.#text.slice(at, end)
    this.#at = end
    if (ATTRIBUTE_STARTS.has(text)) return this.#attribute(place, at, text)
    if (WORDS.has(text)) return { ...place, kind: 'word', text, at, end }
    if (!/^[\p{L}_]/u.test(text)) throw new ParseError(`unexpected character ${text}`, place)
    return { ...place, kind: 'identifier', text, at, end }
  }

  #attribute(place: Position, at: number, start: string): Token {
    const scopes = start === '.' ? [] : [start.slice(0, -1)]
    if (start === 'parent.') {
      const scope = /^(span|resource)\./.exec(this.#text.slice(this.#at, this.#at + 9))?.[1]
      if (scope !== undefined) {
        scopes.push(scope)
        this.#at += scope.length + 1
      }
    }
    let name = ''
    const begin = this.#at
    for (;;) {
      const char = this.#text[this.#at]
      if (char === '"') name += this.#quotedPart(place)
      else if (char !== undefined && isAttributeRune(char)) {
        name += char
        this.#at++
      } else break
    }
    if (this.#at === begin) {
      throw new ParseError(`unexpected ${this.#here()} after ${start}`, this.#position(this.#at), [
        'an attribute name',
      ])
    }
    return { ...place, kind: 'attribute', scopes, text: name, at, end: this.#at }
  }

  #here(): string {
    const char = this.#text[this.#at]
    return char === undefined ? 'end of query' : JSON.stringify(char)
  }

  /** `"a b"` inside a name; only \" and \\ are escapes. */
  #quotedPart(place: Position): string {
    let out = ''
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      let char = this.#text[this.#at]
      if (char === '\\') {
        char = this.#text[++this.#at]
        if (char !== '"' && char !== '\\') {
          throw new ParseError('invalid escape sequence in an attribute name', place, [
            '\\"',
            '\\\\',
          ])
        }
      }
      if (char === undefined) {
        throw new ParseError('unexpected end of query in a quoted attribute name', place, ['"'])
      }
      if (char === '\n') this.#newline(this.#at)
      out += char
    }
    this.#at++
    return out
  }
}
