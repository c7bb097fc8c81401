/** Owns the question whether a group may have a value, answered from its directory alone. */
import type { AttributeKey, FieldName } from '../../otlp/columns.js'
import type { BlockDictionary } from './blockpack-dictionary.js'
import type { ColumnEntry, Range } from './blockpack-directory.js'
import { FIELDS } from './blockpack-format.js'

const SHAPES = new Map(FIELDS)

/** False only when the value is certainly not in the group; `entry` is undefined when the group has no such column. */
export function mayHave(
  key: AttributeKey | FieldName,
  text: string,
  entry: ColumnEntry | undefined,
  block: BlockDictionary,
): boolean {
  const isField = typeof key === 'string'
  const type = isField ? SHAPES.get(key)?.type : key.type
  switch (type) {
    case 'string':
      // What is not valid UTF-8 reads as the replacement character, which says nothing of the bytes.
      if (text.includes('\ufffd')) return true
      if (!entry) return isField && text === ''
      // A field's empty string is no value, which the set does not tell.
      if (!entry.codes || (isField && text === '')) return true
      return hasCode(entry.codes, block.findStored(text))
    case 'int':
      return !/^-?\d{1,20}$/.test(text) || hasInt(entry, BigInt(text), isField)
    case 'float':
      return hasFloat(entry, Number(text))
    case 'bool':
    case 'any':
      return entry !== undefined
    default:
      return true
  }
}

function hasCode(codes: Uint32Array, code: number): boolean {
  let low = 0
  let high = codes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (codes[middle]! < code) low = middle + 1
    else high = middle
  }
  return code !== 0 && codes[low] === code
}

/** Fields are unsigned and 0 where absent, attributes signed. */
function hasInt(entry: ColumnEntry | undefined, value: bigint, isField: boolean): boolean {
  if (!entry) return isField && value === 0n
  if (!entry.range) return true
  const word = (bits: bigint) => (isField ? bits : BigInt.asIntN(64, bits))
  return word(entry.range.min) <= value && value <= word(entry.range.max)
}

function hasFloat(entry: ColumnEntry | undefined, value: number): boolean {
  if (!entry) return false
  if (!entry.range || Number.isNaN(value)) return true
  const { min, max } = floats(entry.range)
  return min <= value && value <= max
}

function floats({ min, max }: Range): { min: number; max: number } {
  const values = new Float64Array(BigUint64Array.of(min, max).buffer)
  return { min: values[0]!, max: values[1]! }
}
