/** Owns the way in: text to a query that is parsed and valid, with its hints. */
import type { Root } from './ast.js'
import { parse } from './parser.js'
import type { StaticType } from './static.js'
import { validate } from './validate.js'

export interface Query {
  readonly text: string
  readonly root: Root
  /** True for `{..} | rate()` and arithmetic between such; false for a search. */
  readonly isMetrics: boolean
}

/** Throws ParseError, ValidationError or UnsupportedError. */
export function parseQuery(text: string): Query {
  const root = parse(text)
  validate(root)
  return { text, root, isMetrics: root.series !== undefined }
}

/** The value of a hint when the query has it with that type. */
export function hintOf(query: Query, name: string, type: StaticType): unknown {
  for (const hint of query.root.hints) {
    if (hint.name === name && hint.value.type === type && hint.value.type !== 'nil') {
      return hint.value.value
    }
  }
  return undefined
}
