/** Owns comparing whole columns with a constant: tight loops over codes and halves of integers, one verdict per dictionary code. */
import type {
  AnyColumn,
  AttributeColumn,
  BoolColumn,
  Dictionary,
  FixedColumn,
  FloatColumn,
  IntColumn,
  StringColumn,
} from '../../otlp/columns.js'
import type { BinaryOp } from '../ast.js'
import { combine, compareText, elementsOf, regexOf, staticBool, toFloat } from '../static.js'
import type { Static } from '../static.js'
import { decodeArray } from './any-value.js'

/** One byte a row, 1 = the row is in. Undefined = no row is. */
export type Mask = Uint8Array | undefined

const UNKNOWN = 0
const FAILS = 1
const HOLDS = 2

/** A comparison `value op operand`, with what it has already found out about dictionary codes. */
export class ValueTest {
  readonly op: BinaryOp
  readonly operand: Static
  readonly #verdicts = new Map<string, { dictionary: Dictionary; codes: Uint8Array }>()
  #text: ((text: string) => boolean) | undefined
  constructor(op: BinaryOp, operand: Static) {
    this.op = op
    this.operand = operand
  }

  /** Adds the rows of a column whose value passes; rows without a value never do. */
  mark(column: Exclude<AttributeColumn, AnyColumn>, out: Uint8Array): void {
    switch (column.type) {
      case 'string': {
        this.markStrings(column, out)
        return
      }
      case 'int': {
        this.markInts(column, out)
        return
      }
      case 'float': {
        this.#markFloats(column, out)
        return
      }
      case 'bool': {
        this.#markBools(column, out)
        return
      }
    }
  }

  text(text: string): boolean {
    this.#text ??= textTest(this.op, this.operand)
    return this.#text(text)
  }

  /** The only code that can pass, when there is just one: 0 when the dictionary has not got it. */
  onlyCode(dictionary: Dictionary): number | undefined {
    return this.op === '=' && this.operand.type === 'string'
      ? dictionary.find(this.operand.value)
      : undefined
  }

  /** Rows without a value count as the empty text when `absentIsEmpty`. */
  markStrings(column: StringColumn, out: Uint8Array, absentIsEmpty = false): void {
    const { codes, dictionary } = column
    const count = out.length
    const ofAbsent = absentIsEmpty && this.text('') ? 1 : 0
    const only = this.onlyCode(dictionary)
    if (only !== undefined) {
      const code = only === 0 ? -1 : only
      for (let i = 0; i < count; i++) out[i]! |= codes[i] === code ? 1 : 0
      if (ofAbsent) for (let i = 0; i < count; i++) out[i]! |= codes[i] === 0 ? 1 : 0
      return
    }
    const verdicts = this.#verdictsOf('text', dictionary)
    for (let i = 0; i < count; i++) {
      const code = codes[i]!
      if (code === 0) out[i]! |= ofAbsent
      else {
        if (verdicts[code] === UNKNOWN) {
          verdicts[code] = this.text(dictionary.text(code)) ? HOLDS : FAILS
        }
        out[i]! |= verdicts[code]! >> 1
      }
    }
  }

  /** Verdicts by code. A live head's dictionary grows, and so does this. */
  #verdictsOf(kind: string, dictionary: Dictionary): Uint8Array {
    const known = this.#verdicts.get(kind)
    if (known?.dictionary === dictionary && known.codes.length > dictionary.size) return known.codes
    const codes = new Uint8Array(dictionary.size + 1)
    if (known?.dictionary === dictionary) codes.set(known.codes)
    this.#verdicts.set(kind, { dictionary, codes })
    return codes
  }

  /** Arrays: of their elements only those count that are seen. `place` names what sees them. */
  markArrays(
    column: AnyColumn,
    place: string,
    seen: (value: Static) => Static,
    out: Uint8Array,
  ): void {
    const { codes, dictionary } = column
    const verdicts = this.#verdictsOf(`arrays ${place}`, dictionary)
    for (let i = 0; i < out.length; i++) {
      const code = codes[i]!
      if (code === 0) continue
      if (verdicts[code] === UNKNOWN) {
        const value = decodeArray(dictionary.bytes(code))
        const result = value && combine(this.op, seen(value), this.operand)
        verdicts[code] = result?.type === 'bool' && result.value ? HOLDS : FAILS
      }
      out[i]! |= verdicts[code]! >> 1
    }
  }

  markInts(column: IntColumn, out: Uint8Array): void {
    const { operand } = this
    if (operand.type === 'int' || operand.type === 'duration') {
      compareInts(this.op, column, operand.value, out)
      return
    }
    if (operand.type === 'intArray') {
      this.#markIntsInList(column, operand.value, out)
      return
    }
    if (operand.type !== 'float' && operand.type !== 'floatArray') return
    const hi = signedHalves(column)
    this.#markNumbers(column.present, out, (i) => hi[i]! * 2 ** 32 + column.lo[i]!)
  }

  #markIntsInList(column: IntColumn, list: readonly bigint[], out: Uint8Array): void {
    const wanted = new Set(list)
    // Nearly all integers are small enough to be looked up as plain numbers.
    const small = new Set(list.filter((v) => v === BigInt(Number(v))).map(Number))
    const isIn = this.op === 'in' || this.op === '='
    const hi = signedHalves(column)
    const { lo, present } = column
    for (let i = 0; i < out.length; i++) {
      if (present?.[i] === 0) continue
      const value = hi[i]! * 2 ** 32 + lo[i]!
      const found = Number.isSafeInteger(value)
        ? small.has(value)
        : wanted.has((BigInt(hi[i]!) << 32n) | BigInt(lo[i]!))
      if (found === isIn) out[i] = 1
    }
  }

  #markFloats(column: FloatColumn, out: Uint8Array): void {
    this.#markNumbers(column.present, out, (i) => column.values[i]!)
  }

  #markNumbers(
    present: Uint8Array | undefined,
    out: Uint8Array,
    valueAt: (row: number) => number,
  ): void {
    const holds = numberTest(this.op, this.operand)
    for (let i = 0; i < out.length; i++) {
      if ((!present || present[i] === 1) && holds(valueAt(i))) out[i] = 1
    }
  }

  #markBools(column: BoolColumn, out: Uint8Array): void {
    const pass = [false, true].map((b) => {
      const result = combine(this.op, staticBool(b), this.operand)
      return result.type === 'bool' && result.value
    })
    const { values } = column
    for (let i = 0; i < out.length; i++) {
      if ((values[i] === 1 && pass[0]) || (values[i] === 2 && pass[1])) out[i] = 1
    }
  }

  /** Ids as text, row by row; an equality looks at bytes only. */
  markIds(column: FixedColumn, textOf: (id: Uint8Array) => string, out: Uint8Array): void {
    const { bytes, width } = column
    for (let i = 0; i < out.length; i++) {
      if (this.text(textOf(bytes.subarray(i * width, i * width + width)))) out[i] = 1
    }
  }

  /** Small numbers by what they stand for (status, kind). */
  markNames(column: IntColumn | undefined, type: 'status' | 'kind', out: Uint8Array): void {
    const pass: (boolean | undefined)[] = []
    for (let i = 0; i < out.length; i++) {
      const value = column ? column.lo[i]! : 0
      let holds = pass[value]
      if (holds === undefined) {
        const result = combine(this.op, { type, value }, this.operand)
        holds = result.type === 'bool' && result.value
        if (value < 64) pass[value] = holds
      }
      if (holds) out[i] = 1
    }
  }
}

/** Rows whose array has anything that is seen. */
export function markSeenArrays(
  { codes, dictionary }: AnyColumn,
  seen: (value: Static) => Static,
  out: Uint8Array,
): void {
  const verdicts = new Map<number, boolean>([[0, false]])
  for (let i = 0; i < out.length; i++) {
    const code = codes[i]!
    let is = verdicts.get(code)
    if (is === undefined) {
      const value = decodeArray(dictionary.bytes(code))
      verdicts.set(code, (is = value !== undefined && seen(value).type !== 'nil'))
    }
    if (is) out[i] = 1
  }
}

export function textTest(op: BinaryOp, operand: Static): (text: string) => boolean {
  if (operand.type !== 'string' && operand.type !== 'stringArray') return () => false
  const texts = operand.type === 'string' ? [operand.value] : operand.value
  const [first = ''] = texts
  const set = new Set(texts)
  switch (op) {
    case '=':
    case 'in':
      return (text) => set.has(text)
    case '!=':
    case 'not in':
      return (text) => !set.has(text)
    case '=~':
    case '!~':
    case 'match any':
    case 'match none': {
      const regexes = texts.map((pattern) => regexOf(pattern))
      const wanted = op === '=~' || op === 'match any'
      return (text) => regexes.some((regex) => regex?.matches(text)) === wanted
    }
    case '<':
      return (text) => compareText(text, first) < 0
    case '<=':
      return (text) => compareText(text, first) <= 0
    case '>':
      return (text) => compareText(text, first) > 0
    case '>=':
      return (text) => compareText(text, first) >= 0
    default:
      return () => false
  }
}

function numberTest(op: BinaryOp, operand: Static): (value: number) => boolean {
  const values = elementsOf(operand).map(toFloat)
  const [limit = NaN] = values
  const set = new Set(values)
  switch (op) {
    case '=':
    case 'in':
      return (v) => set.has(v) && !Number.isNaN(v)
    case '!=':
    case 'not in':
      return (v) => !set.has(v) || Number.isNaN(v)
    case '<':
      return (v) => v < limit
    case '<=':
      return (v) => v <= limit
    case '>':
      return (v) => v > limit
    case '>=':
      return (v) => v >= limit
    default:
      return () => false
  }
}

const signedHalves = ({ hi }: IntColumn): Int32Array =>
  new Int32Array(hi.buffer, hi.byteOffset, hi.length)

/** Exact in 64 bits: high halves signed, low halves unsigned. */
function compareInts(op: BinaryOp, column: IntColumn, operand: bigint, out: Uint8Array): void {
  const hi = signedHalves(column)
  const { lo, present } = column
  const H = Number(BigInt.asIntN(32, operand >> 32n))
  const L = Number(BigInt.asUintN(32, operand))
  const count = out.length
  const isIn = (i: number) => !present || present[i] === 1
  switch (op) {
    case '=':
      for (let i = 0; i < count; i++) if (lo[i] === L && hi[i] === H && isIn(i)) out[i] = 1
      return
    case '!=':
      for (let i = 0; i < count; i++) if ((lo[i] !== L || hi[i] !== H) && isIn(i)) out[i] = 1
      return
    case '>':
    case '>=': {
      const least = op === '>' ? L + 1 : L
      for (let i = 0; i < count; i++) {
        if ((hi[i]! > H || (hi[i] === H && lo[i]! >= least)) && isIn(i)) out[i] = 1
      }
      return
    }
    case '<':
    case '<=': {
      const most = op === '<' ? L - 1 : L
      for (let i = 0; i < count; i++) {
        if ((hi[i]! < H || (hi[i] === H && lo[i]! <= most)) && isIn(i)) out[i] = 1
      }
      return
    }
  }
}
