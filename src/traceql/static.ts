/** Owns TraceQL's constants: their types, how they print (as Go prints them) and how two of them compare and combine. */
import { ValidationError } from './errors.js'
import { compileRegex } from './regex.js'
import { weightOf } from './regex-weight.js'
import type { Regex } from './regex.js'
import type { BinaryOp } from './ast.js'

/** Status and kind hold OTLP's numbers. Durations are ns; int and duration wrap at 64 bits. */
export type Static =
  | { readonly type: 'nil' }
  | { readonly type: 'int' | 'duration'; readonly value: bigint }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'status' | 'kind'; readonly value: number }
  | { readonly type: 'intArray'; readonly value: readonly bigint[] }
  | { readonly type: 'floatArray'; readonly value: readonly number[] }
  | { readonly type: 'stringArray'; readonly value: readonly string[] }
  | { readonly type: 'boolArray'; readonly value: readonly boolean[] }

export type StaticType = Static['type']
/** What an expression may turn out to be; `attribute` is only known span by span. */
export type ImpliedType = StaticType | 'attribute' | 'spanset'

export const NIL: Static = { type: 'nil' }
export const TRUE: Static = { type: 'bool', value: true }
export const FALSE: Static = { type: 'bool', value: false }

export const STATUS_NAMES = ['unset', 'ok', 'error'] as const
export const KIND_NAMES = [
  'unspecified',
  'internal',
  'server',
  'client',
  'producer',
  'consumer',
] as const

export const staticInt = (value: bigint): Static => ({
  type: 'int',
  value: BigInt.asIntN(64, value),
})
export const staticFloat = (value: number): Static => ({ type: 'float', value })
export const staticString = (value: string): Static => ({ type: 'string', value })
export const staticBool = (value: boolean): Static => (value ? TRUE : FALSE)
export const staticDuration = (value: bigint): Static => ({
  type: 'duration',
  value: BigInt.asIntN(64, value),
})

export const isNumeric = (type: ImpliedType): boolean =>
  type === 'int' || type === 'float' || type === 'duration'

const ELEMENT_TYPE: Partial<Record<ImpliedType, StaticType>> = {
  intArray: 'int',
  floatArray: 'float',
  stringArray: 'string',
  boolArray: 'bool',
}

/** Whether values of these types may stand on the two sides of an operator, whichever it is. */
export function typesMatch(a: ImpliedType, b: ImpliedType): boolean {
  if (a === 'attribute' || b === 'attribute' || a === b) return true
  if (isNumeric(a) && isNumeric(b)) return true
  if (a === 'nil' || b === 'nil') return true
  const elementA = ELEMENT_TYPE[a]
  if (elementA) return typesMatch(elementA, b)
  const elementB = ELEMENT_TYPE[b]
  return elementB !== undefined && typesMatch(elementB, a)
}

const EQUALITY: ReadonlySet<BinaryOp> = new Set(['=', '!=', 'in', 'not in'])
const ORDER: ReadonlySet<BinaryOp> = new Set(['<', '<=', '>', '>='])
const ARITHMETIC: ReadonlySet<BinaryOp> = new Set(['+', '-', '*', '/', '%', '^'])
const MATCHING: ReadonlySet<BinaryOp> = new Set(['=~', '!~', 'match any', 'match none'])

export const isBooleanOp = (op: BinaryOp): boolean => !ARITHMETIC.has(op)

/** Whether an operator is defined on values of a type. */
export function operatorTakes(op: BinaryOp, type: ImpliedType): boolean {
  switch (type) {
    case 'attribute':
      return true
    case 'bool':
    case 'boolArray':
      return op === '&&' || op === '||' || EQUALITY.has(op)
    case 'int':
    case 'float':
    case 'duration':
    case 'intArray':
    case 'floatArray':
      return ARITHMETIC.has(op) || EQUALITY.has(op) || ORDER.has(op)
    case 'string':
    case 'stringArray':
      return EQUALITY.has(op) || ORDER.has(op) || MATCHING.has(op)
    case 'nil':
    case 'status':
    case 'kind':
      return op === '=' || op === '!='
    default:
      return false
  }
}

/** The number a value stands for; NaN when it is none. */
export function toFloat(s: Static): number {
  if (s.type === 'float') return s.value
  if (s.type === 'int' || s.type === 'duration') return Number(s.value)
  return NaN
}

export function elementsOf(s: Static): readonly Static[] {
  switch (s.type) {
    case 'intArray':
      return s.value.map(staticInt)
    case 'floatArray':
      return s.value.map(staticFloat)
    case 'stringArray':
      return s.value.map(staticString)
    case 'boolArray':
      return s.value.map(staticBool)
    default:
      return [s]
  }
}

const isArray = (s: Static): boolean => ELEMENT_TYPE[s.type] !== undefined

function equal(a: Static, b: Static): boolean {
  if (a.type === 'nil' || b.type === 'nil') return false
  const whole = (s: Static) => s.type === 'int' || s.type === 'duration'
  if (whole(a) && whole(b)) return (a as { value: bigint }).value === (b as { value: bigint }).value
  if (isNumeric(a.type) && isNumeric(b.type)) return toFloat(a) === toFloat(b)
  if (a.type !== b.type) return false
  if (isArray(a)) {
    const [left, right] = [elementsOf(a), elementsOf(b)]
    return left.length === right.length && left.every((e, i) => equal(e, right[i]!))
  }
  return (a as { value: unknown }).value === (b as { value: unknown }).value
}

const encoder = new TextEncoder()

/** UTF-8 byte order, which differs from JavaScript's UTF-16 order only where surrogates are. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  // eslint-disable-next-line no-control-regex -- the range is all of ASCII
  if (/^[\u0000-\ud7ff]*$/.test(a) && /^[\u0000-\ud7ff]*$/.test(b)) return a < b ? -1 : 1
  return Buffer.compare(encoder.encode(a), encoder.encode(b))
}

/** Total order for min and max: numbers by value, texts by bytes, else by type. */
export function compareStatics(a: Static, b: Static): number {
  if (isNumeric(a.type) && isNumeric(b.type)) {
    if (a.type !== 'float' && b.type !== 'float' && a.type === b.type) {
      const [x, y] = [(a as { value: bigint }).value, (b as { value: bigint }).value]
      return x < y ? -1 : x > y ? 1 : 0
    }
    const [x, y] = [toFloat(a), toFloat(b)]
    return x < y ? -1 : x > y ? 1 : 0
  }
  if (a.type === 'string' && b.type === 'string') return compareText(a.value, b.value)
  if (a.type === b.type) return compareText(staticText(a), staticText(b))
  return a.type < b.type ? -1 : 1
}

const regexes = new Map<string, Regex | undefined>()
const MAX_CACHED_REGEXES = 256
/** About half a kilobyte each. */
const MAX_CACHED_WEIGHT = 60_000
let cachedWeight = 0

/** A compiled pattern, kept for the next row. */
export function regexOf(pattern: string): Regex | undefined {
  let found = regexes.get(pattern)
  if (found === undefined && !regexes.has(pattern)) {
    if (regexes.size >= MAX_CACHED_REGEXES || cachedWeight > MAX_CACHED_WEIGHT) {
      regexes.clear()
      cachedWeight = 0
    }
    regexes.set(pattern, (found = compileRegex(pattern)))
    cachedWeight += found ? weightOf(pattern) : pattern.length
  }
  return found
}

function orderHolds(op: BinaryOp, order: number): boolean {
  if (op === '<') return order < 0
  if (op === '<=') return order <= 0
  if (op === '>') return order > 0
  return order >= 0
}

function orderOf(a: Static, b: Static): number {
  if (a.type === 'string' && b.type === 'string') return compareText(a.value, b.value)
  if (a.type === 'int' && b.type === 'int') return compareStatics(a, b)
  const [x, y] = [toFloat(a), toFloat(b)]
  return x < y ? -1 : x > y ? 1 : x === y ? 0 : NaN
}

function arithmetic(op: BinaryOp, a: Static, b: Static): Static {
  if (a.type === 'int' && b.type === 'int') {
    const [x, y] = [a.value, b.value]
    switch (op) {
      case '+':
        return staticInt(x + y)
      case '-':
        return staticInt(x - y)
      case '*':
        return staticInt(x * y)
      case '/':
        return y === 0n ? NIL : staticInt(x / y)
      case '%':
        return y === 0n ? NIL : staticInt(x % y)
      default:
        return powerOf(x, y)
    }
  }
  const [x, y] = [toFloat(a), toFloat(b)]
  switch (op) {
    case '+':
      return staticFloat(x + y)
    case '-':
      return staticFloat(x - y)
    case '*':
      return staticFloat(x * y)
    case '/':
      return staticFloat(x / y)
    case '%':
      return staticFloat(x % y)
    default:
      return staticFloat(Math.pow(x, y))
  }
}

/** Tempo's integer power takes its operands the other way round: `2 ^ 3` is 3 to the power of 2. */
function powerOf(x: bigint, y: bigint): Static {
  const power = Math.trunc(Math.pow(Number(y), Number(x)))
  if (!Number.isFinite(power) || Math.abs(power) >= 2 ** 63) return staticInt(-(2n ** 63n))
  return staticInt(BigInt(power))
}

const FLIPPED: Partial<Record<BinaryOp, BinaryOp>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' }
export const flipOp = (op: BinaryOp): BinaryOp => FLIPPED[op] ?? op

const ELEMENT_OP: Partial<Record<BinaryOp, BinaryOp>> = {
  in: '=',
  'not in': '!=',
  'match any': '=~',
  'match none': '!~',
}

function combineArrays(op: BinaryOp, a: Static, b: Static): Static {
  if (ARITHMETIC.has(op)) return NIL
  const elementOp = ELEMENT_OP[op] ?? op
  const all = elementOp === '!=' || elementOp === '!~'
  const holds = (x: Static, y: Static) => {
    const result = combine(elementOp, x, y)
    return result.type === 'bool' && result.value
  }
  // A list on the right (IN) and a list in the span: some (or every) pair of them.
  const left = elementsOf(a)
  const right = elementsOf(b)
  const test = (x: Static) =>
    all ? right.every((y) => holds(x, y)) : right.some((y) => holds(x, y))
  return staticBool(all ? left.every(test) : left.some(test))
}

/** What `a op b` is. Values that the operator is not defined on compare as false, as in Tempo. */
export function combine(op: BinaryOp, a: Static, b: Static): Static {
  if (!typesMatch(a.type, b.type) || !operatorTakes(op, a.type) || !operatorTakes(op, b.type)) {
    return FALSE
  }
  if (isArray(a) || isArray(b)) return combineArrays(op, a, b)
  switch (op) {
    case '&&':
      return staticBool(a.type === 'bool' && b.type === 'bool' && a.value && b.value)
    case '||':
      return staticBool(a.type === 'bool' && b.type === 'bool' && (a.value || b.value))
    case '=':
    case 'in':
      return staticBool(equal(a, b))
    case '!=':
    case 'not in':
      return staticBool(a.type !== 'nil' && b.type !== 'nil' && !equal(a, b))
    case '=~':
    case '!~':
    case 'match any':
    case 'match none': {
      if (a.type !== 'string' || b.type !== 'string') return FALSE
      const regex = regexOf(b.value)
      if (!regex) throw new ValidationError(`invalid regex: ${printStatic(b)}`)
      return staticBool(regex.matches(a.value) === (op === '=~' || op === 'match any'))
    }
    case '<':
    case '<=':
    case '>':
    case '>=':
      return staticBool(orderHolds(op, orderOf(a, b)))
    default:
      return arithmetic(op, a, b)
  }
}

/** A key that is equal exactly for equal values of equal type. */
export function staticKey(s: Static): string {
  return s.type === 'nil' ? 'nil' : `${s.type} ${staticText(s)}`
}

/** The value as text without quotes. */
export function staticText(s: Static): string {
  switch (s.type) {
    case 'nil':
      return 'nil'
    case 'int':
      return s.value.toString()
    case 'float':
      return floatText(s.value)
    case 'string':
      return s.value
    case 'bool':
      return s.value ? 'true' : 'false'
    case 'duration':
      return durationText(s.value)
    case 'status':
      return STATUS_NAMES[s.value] ?? `status(${s.value})`
    case 'kind':
      return KIND_NAMES[s.value] ?? `kind(${s.value})`
    case 'stringArray':
      return `[${s.value.map((v) => `\`${v}\``).join(', ')}]`
    default:
      return `[${elementsOf(s).map(staticText).join(', ')}]`
  }
}

/** The value as it stands in a query. */
export const printStatic = (s: Static): string =>
  s.type === 'string' ? `\`${s.value}\`` : staticText(s)

/** Shortest form that reads back the same, with an exponent as Go's 'g' format has it; never like an integer. */
function floatText(value: number): string {
  const text = formatGo(value)
  return /[e.]/.test(text) ? text : `${text}.0`
}

export function formatGo(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const [mantissa, exponentText] = value.toExponential().split('e')
  const exponent = Number(exponentText)
  if (exponent >= -4 && exponent < GO_EXPONENT) return String(value)
  const sign = exponent < 0 ? '-' : '+'
  return `${mantissa!}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`
}

/** From 1e6 on Go's shortest form has an exponent. */
const GO_EXPONENT = 6

/** "1h2m3.5s", as Go prints a time.Duration. */
export function durationText(ns: bigint): string {
  if (ns === 0n) return '0s'
  const sign = ns < 0n ? '-' : ''
  const abs = ns < 0n ? -ns : ns
  if (abs < 1_000n) return `${sign}${abs}ns`
  if (abs < 1_000_000n) return `${sign}${fraction(abs, 1_000n)}µs`
  if (abs < 1_000_000_000n) return `${sign}${fraction(abs, 1_000_000n)}ms`
  const minutes = abs / 60_000_000_000n
  const hours = minutes / 60n
  const seconds = fraction(abs % 60_000_000_000n, 1_000_000_000n)
  const minutePart = minutes > 0n ? `${minutes % 60n}m` : ''
  return `${sign}${hours > 0n ? `${hours}h` : ''}${minutePart}${seconds}s`
}

function fraction(value: bigint, unit: bigint): string {
  const digits = unit.toString().length - 1
  const rest = (value % unit).toString().padStart(digits, '0').replace(/0+$/, '')
  return rest === '' ? `${value / unit}` : `${value / unit}.${rest}`
}
