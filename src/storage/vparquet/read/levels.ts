/**
 * Owns what repetition and definition levels say of rows: an entry is a new row of a table when it repeats at the table's list
 * or further out, and is defined at least as far as that list's elements. Throws `Malformed`.
 */
import type { Parents } from '../../../otlp/columns.js'
import { Malformed } from '../../block/codec/bytes.js'
import type { ColumnData } from '../../parquet/read-column.js'
import type { Leaf } from '../../parquet/read-schema.js'
import { valueCount } from './join.js'

/** The row of each value in the table whose list has repetition level `list` (0: rows of the file). Never decreases. */
export function rowsOfValues(data: ColumnData, leaf: Leaf, list: number): Uint32Array {
  const rows = new Uint32Array(valueCount(data))
  const max = leaf.maxDefinition
  const least = leaf.definitionOf[list]!
  let row = -1
  let value = 0
  for (const { count, repetition, definition } of data.parts) {
    for (let i = 0; i < count; i++) {
      const defined = definition ? definition[i]! : max
      if (defined < least) continue
      if (!repetition || repetition[i]! <= list) row++
      if (defined === max) rows[value++] = row
    }
  }
  if (row < 0 && value > 0) throw new Malformed(0, 'values begin within a row')
  return rows
}

/** Where each of `parents` rows of the list around has its elements of the list: parents + 1 offsets. */
export function childOffsets(
  data: ColumnData,
  leaf: Leaf,
  list: number,
  parents: number,
): Uint32Array {
  const offsets = new Uint32Array(parents + 1)
  const outer = leaf.definitionOf[list - 1]!
  const inner = leaf.definitionOf[list]!
  const max = leaf.maxDefinition
  let parent = -1
  let child = 0
  for (const { count, repetition, definition } of data.parts) {
    for (let i = 0; i < count; i++) {
      const defined = definition ? definition[i]! : max
      if (defined < outer) continue
      const repeats = repetition ? repetition[i]! : 0
      if (repeats < list) {
        if (++parent >= parents) throw new Malformed(0, `more than ${parents} rows`)
        offsets[parent] = child
      }
      if (defined >= inner && repeats <= list) child++
    }
  }
  if (parent + 1 !== parents) throw new Malformed(0, `${parent + 1} rows where ${parents} belong`)
  offsets[parents] = child
  return offsets
}

export interface Structure extends Parents {
  readonly counts: {
    readonly trace: number
    readonly resource: number
    readonly scope: number
    readonly span: number
  }
  /** The resource's row in the table of traces, the scope's in that of resources. */
  readonly traceOfResource: Uint32Array
  readonly resourceOfScope: Uint32Array
}

const RESOURCE = 1
const SCOPE = 2
const SPAN = 3

/** The tables from traces to spans, out of the levels of a column that every span has a value in. */
export function structureOf(data: ColumnData, leaf: Leaf): Structure {
  const spans = valueCount(data)
  const parents = {
    trace: new Uint32Array(spans),
    resource: new Uint32Array(spans),
    scope: new Uint32Array(spans),
  }
  const max = leaf.maxDefinition
  const { [RESOURCE]: ofResource = 0, [SCOPE]: ofScope = 0, [SPAN]: ofSpan = 0 } = leaf.definitionOf
  const traceOfResource: number[] = []
  const resourceOfScope: number[] = []
  let trace = -1
  let resource = -1
  let scope = -1
  let span = 0
  for (const { count, repetition, definition } of data.parts) {
    for (let i = 0; i < count; i++) {
      const repeats = repetition ? repetition[i]! : 0
      const defined = definition ? definition[i]! : max
      if (repeats === 0) trace++
      if (repeats <= RESOURCE && defined >= ofResource) {
        resource++
        traceOfResource.push(trace)
      }
      if (repeats <= SCOPE && defined >= ofScope) {
        scope++
        resourceOfScope.push(resource)
      }
      if (defined < ofSpan) continue
      if (resource < 0 || scope < 0 || trace < 0) throw new Malformed(0, 'spans begin within a trace')
      parents.trace[span] = trace
      parents.resource[span] = resource
      parents.scope[span] = scope
      span++
    }
  }
  if (span !== spans) throw new Malformed(0, `${span} spans have ${spans} values`)
  const counts = { trace: trace + 1, resource: resource + 1, scope: scope + 1, span }
  return {
    ...parents,
    counts,
    traceOfResource: Uint32Array.from(traceOfResource),
    resourceOfScope: Uint32Array.from(resourceOfScope),
  }
} // prettier-ignore
