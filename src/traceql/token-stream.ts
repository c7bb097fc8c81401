/** Owns walking over tokens: what stands here, what must stand here, and the error that says both. */
import { ParseError } from './errors.js'
import { tokenize } from './lexer.js'
import type { Token } from './lexer.js'

/** Deeper nesting is refused, so that no query can overflow the stack. */
export const MAX_NESTING = 500
/** Higher trees are refused: they are walked by recursion. */
export const MAX_HEIGHT = 4000

export class TokenStream {
  readonly #text: string
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0
  readonly #heights = new WeakMap<object, number>()
  constructor(text: string) {
    this.#text = text
    this.#tokens = tokenize(text)
  }

  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]!
  }

  /** The punctuation, operator or keyword here; undefined when something else stands here. */
  word(ahead = 0): string | undefined {
    const token = this.peek(ahead)
    return token.kind === 'word' ? token.text : undefined
  }

  advance(): Token {
    const token = this.peek()
    this.#at++
    return token
  }

  take(word: string): boolean {
    if (this.word() !== word) return false
    this.#at++
    return true
  }

  expect(word: string): void {
    if (!this.take(word)) this.fail([word])
  }

  /** Throws at the token here (or at another). */
  fail(expected: readonly string[], what?: string, token = this.peek()): never {
    throw new ParseError(what ?? `unexpected ${this.describe(token)}`, token, expected)
  }

  describe(token: Token): string {
    return token.kind === 'end' ? 'end of query' : this.#text.slice(token.at, token.end)
  }

  /** The node, remembered to be one higher than its parts. */
  grown<T extends object>(node: T, ...parts: readonly object[]): T {
    let height = 0
    for (const part of parts) height = Math.max(height, this.#heights.get(part) ?? 0)
    this.#heights.set(node, height + 1)
    if (height >= MAX_HEIGHT) this.fail([], `more than ${MAX_HEIGHT} operators in a row`)
    return node
  }

  nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_NESTING) {
      this.fail([], `expression nests deeper than ${MAX_NESTING}`)
    }
    const result = parse()
    this.#depth--
    return result
  }
}
