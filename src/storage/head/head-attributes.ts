/** Owns making an attribute column of rows' shapes and values. */
import type { AttributeColumn, ValueType } from '../../otlp/columns.js'
import type { GroupOwner } from './head-group.js'
import { ANY, BOOL, DOUBLE, INT32, STRING, VALUE, WORD_SHIFT } from './layout.js'

const TYPES: Record<ValueType, number> = {
  string: STRING,
  int: INT32,
  float: DOUBLE,
  bool: BOOL,
  any: ANY,
}
const PAGE_MASK = (1 << WORD_SHIFT) - 1

/** One attribute of rows by their shapes and first values; undefined when no row has it. */
export function attributeColumn(
  owner: GroupOwner,
  shapes: Uint32Array,
  values: Uint32Array,
  key: number,
  type: ValueType,
): AttributeColumn | undefined {
  const slots = owner.view.slots(key, TYPES[type])
  switch (type) {
    case 'string':
    case 'any': {
      const codes = words(owner, shapes, values, slots, 0)
      return codes && { type, codes, dictionary: owner.dictionary }
    }
    case 'bool':
      return booleans(owner, shapes, values, slots)
    case 'int':
      return integers(owner, shapes, values, slots)
    case 'float':
      return floats(owner, shapes, values, slots)
  }
}

/** The first value word of each row that has the attribute, plus `add`; 0 for the others. */
function words(
  owner: GroupOwner,
  shapes: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
  add: number,
): Uint32Array | undefined {
  const source = owner.view.words
  const pages = owner.view.pages(VALUE)
  const out = new Uint32Array(shapes.length)
  let found = 0
  for (let i = 0; i < shapes.length; i++) {
    const slot = slots[shapes[i]!]!
    if (slot < 0) continue
    const at = values[i]! + (slot >>> 1)
    out[i] = source[pages[at >>> WORD_SHIFT]! + (at & PAGE_MASK)]! + add
    found++
  }
  return found === 0 ? undefined : out
}

function booleans(
  owner: GroupOwner,
  shapes: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
): AttributeColumn | undefined {
  const found = words(owner, shapes, values, slots, 1)
  return found && { type: 'bool', values: Uint8Array.from(found) }
}

function integers(
  owner: GroupOwner,
  shapes: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
): AttributeColumn | undefined {
  const source = owner.view.words
  const pages = owner.view.pages(VALUE)
  const lo = new Uint32Array(shapes.length)
  const hi = new Uint32Array(shapes.length)
  const present = new Uint8Array(shapes.length)
  let found = 0
  for (let i = 0; i < shapes.length; i++) {
    const slot = slots[shapes[i]!]!
    if (slot < 0) continue
    const at = values[i]! + (slot >>> 1)
    const word = source[pages[at >>> WORD_SHIFT]! + (at & PAGE_MASK)]!
    lo[i] = word
    if ((slot & 1) === 0) hi[i] = word >> 31
    else hi[i] = source[pages[(at + 1) >>> WORD_SHIFT]! + ((at + 1) & PAGE_MASK)]!
    present[i] = 1
    found++
  }
  if (found === 0) return undefined
  return { type: 'int', lo, hi, present: found === shapes.length ? undefined : present }
}

function floats(
  owner: GroupOwner,
  shapes: Uint32Array,
  values: Uint32Array,
  slots: Int32Array,
): AttributeColumn | undefined {
  const source = owner.view.words
  const pages = owner.view.pages(VALUE)
  const out = new Float64Array(shapes.length)
  const halves = new Int32Array(out.buffer)
  const present = new Uint8Array(shapes.length)
  let found = 0
  for (let i = 0; i < shapes.length; i++) {
    const slot = slots[shapes[i]!]!
    if (slot < 0) continue
    const at = values[i]! + (slot >>> 1)
    halves[2 * i] = source[pages[at >>> WORD_SHIFT]! + (at & PAGE_MASK)]!
    halves[2 * i + 1] = source[pages[(at + 1) >>> WORD_SHIFT]! + ((at + 1) & PAGE_MASK)]!
    present[i] = 1
    found++
  }
  if (found === 0) return undefined
  return { type: 'float', values: out, present: found === shapes.length ? undefined : present }
}
