/**
 * Owns the schema of a parquet file as a list of leaves: each with its path and with the levels at which its lists begin. The
 * two wrappers that a LIST has (`list.element`) are left out of paths, so that both ways of writing lists read alike.
 */
import { Malformed } from '../block/codec/bytes.js'
import { REPETITION, type SchemaElement, type Type } from './metadata.js'

const MAX_ELEMENTS = 16_384
const MAX_DEPTH = 32

export interface Leaf {
  /** Which leaf it is, and so which column chunk of a row group. */
  readonly index: number
  /** Names from below the root, joined by dots: `rs.ss.Spans.Attrs.Key`. */
  readonly path: string
  readonly type: Type
  /** Of FIXED_LEN_BYTE_ARRAY. */
  readonly typeLength: number
  readonly maxRepetition: number
  readonly maxDefinition: number
  /** [r]: the definition level from which on an element of the list of repetition level r is there; [0] is 0. */
  readonly definitionOf: readonly number[]
}

/** Throws `Malformed` when the elements do not make one tree. */
export function leavesOf(schema: readonly SchemaElement[]): Leaf[] {
  if (schema.length > MAX_ELEMENTS) throw new Malformed(0, `a schema of ${schema.length} elements`)
  const leaves: Leaf[] = []
  let at = 0
  const next = (names: readonly string[], definitionOf: readonly number[], definition: number) => {
    const element = schema[at]
    if (!element) throw new Malformed(0, 'schema ends too early')
    at++
    const isRoot = at === 1
    if (names.length > MAX_DEPTH) throw new Malformed(0, 'schema is nested too deeply')
    const path = isRoot ? names : [...names, element.name]
    let levels = definitionOf
    if (!isRoot && element.repetition === REPETITION.REPEATED) levels = [...levels, ++definition]
    else if (!isRoot && element.repetition === REPETITION.OPTIONAL) definition++
    if (element.type === undefined) {
      const children = element.numChildren ?? 0
      if (children < 0 || children > MAX_ELEMENTS) throw new Malformed(0, `a group of ${children} columns`)
      for (let i = 0; i < children; i++) next(path, levels, definition)
      return
    }
    leaves.push({
      index: leaves.length,
      path: plainPath(path),
      type: element.type,
      typeLength: element.typeLength ?? 0,
      maxRepetition: levels.length - 1,
      maxDefinition: definition,
      definitionOf: levels,
    })
  }
  next([], [0], 0)
  if (at !== schema.length) throw new Malformed(0, 'schema has elements outside its tree')
  return leaves
} // prettier-ignore

function plainPath(names: readonly string[]): string {
  const plain: string[] = []
  for (let i = 0; i < names.length; i++) {
    if (i > 0 && names[i] === 'list' && names[i + 1] === 'element') i++
    else plain.push(names[i]!)
  }
  return plain.join('.')
}
