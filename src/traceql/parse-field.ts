/** Owns parsing of what stands between braces: attributes, constants and the operators between them. */
import { attributeOf, intrinsicOf, referencesSpan } from './ast.js'
import type { AttributeExpr, BinaryOp, FieldExpr, Intrinsic, Scope, UnaryOp } from './ast.js'
import {
  FALSE,
  KIND_NAMES,
  STATUS_NAMES,
  combine,
  isNumeric,
  staticBool,
  staticDuration,
  staticFloat,
  staticInt,
  staticString,
} from './static.js'
import type { Static } from './static.js'
import { mergeChain } from './rewrite.js'
import type { TokenStream } from './token-stream.js'
import { fieldProblem } from './validate-field.js'

/** Binding strength, weakest first. `&&` and `||` bind alike and to the left, as in Tempo. */
const LOGIC = 1
const COMPARE = 2
const ADD = 3
const NOT = 4
const MULTIPLY = 5
const POWER = 6

const STRENGTH: Readonly<Record<string, number>> = {
  '&&': LOGIC,
  '||': LOGIC,
  '=': COMPARE,
  '!=': COMPARE,
  '<': COMPARE,
  '<=': COMPARE,
  '>': COMPARE,
  '>=': COMPARE,
  '=~': COMPARE,
  '!~': COMPARE,
  '+': ADD,
  '-': ADD,
  '*': MULTIPLY,
  '/': MULTIPLY,
  '%': MULTIPLY,
  '^': POWER,
}

const UNSCOPED: Readonly<Record<string, Intrinsic>> = {
  duration: 'duration',
  name: 'name',
  status: 'status',
  statusMessage: 'statusMessage',
  kind: 'kind',
  parent: 'parent',
  rootName: 'rootName',
  rootServiceName: 'rootServiceName',
  traceDuration: 'traceDuration',
  nestedSetLeft: 'nestedSetLeft',
  nestedSetRight: 'nestedSetRight',
  nestedSetParent: 'nestedSetParent',
}

const SCOPED: Readonly<Record<string, Readonly<Record<string, Intrinsic>>>> = {
  'trace:': {
    duration: 'traceDuration',
    rootName: 'rootName',
    rootService: 'rootServiceName',
    id: 'trace:id',
  },
  'span:': {
    duration: 'duration',
    name: 'name',
    kind: 'kind',
    status: 'status',
    statusMessage: 'statusMessage',
    id: 'span:id',
    parentID: 'span:parentID',
    childCount: 'span:childCount',
  },
  'event:': { name: 'event:name', timeSinceStart: 'event:timeSinceStart' },
  'link:': { traceID: 'link:traceID', spanID: 'link:spanID' },
  'instrumentation:': { name: 'instrumentation:name', version: 'instrumentation:version' },
}

/** What may begin an operand, for messages. */
export const OPERAND_WORDS = ['an attribute', 'an intrinsic', 'a constant', '(', '!', '-']

export function parseFieldExpr(tokens: TokenStream): FieldExpr {
  return parseAtLeast(tokens, LOGIC)
}

function parseAtLeast(tokens: TokenStream, least: number): FieldExpr {
  return tokens.nested(() => {
    let left = parseOperand(tokens)
    for (;;) {
      const op = tokens.word()
      const strength = op === undefined ? undefined : STRENGTH[op]
      if (op === undefined || strength === undefined || strength < least) return left
      tokens.advance()
      if ((op === '=' || op === '!=') && tokens.take('nil')) {
        left = unary(op === '=' ? 'not exists' : 'exists', left)
        continue
      }
      const right = parseAtLeast(tokens, op === '^' ? strength : strength + 1)
      const merged = mergeChain(op as BinaryOp, left, right)
      left = merged ?? tokens.grown(binary(op as BinaryOp, left, right), left, right)
    }
  })
}

function parseOperand(tokens: TokenStream): FieldExpr {
  if (tokens.take('(')) {
    const inner = parseAtLeast(tokens, LOGIC)
    tokens.expect(')')
    return inner
  }
  // A minus binds like subtraction here: `-a * b` is -(a * b) and `-a + b` is (-a) + b.
  if (tokens.take('-')) return unary('-', parseAtLeast(tokens, ADD + 1))
  if (tokens.take('!')) return unary('!', parseAtLeast(tokens, NOT + 1))
  if (tokens.take('nil')) return parseAfterNil(tokens)
  const attribute = parseAttribute(tokens)
  if (attribute) return attribute
  const value = parseStatic(tokens)
  if (value) return { kind: 'static', value }
  return tokens.fail(OPERAND_WORDS)
}

/** `nil = x`, `nil != x`; nil with itself is false either way. */
function parseAfterNil(tokens: TokenStream): FieldExpr {
  const op = tokens.word()
  if (op !== '=' && op !== '!=') return tokens.fail(['=', '!='])
  tokens.advance()
  if (tokens.take('nil')) return { kind: 'static', value: FALSE }
  return unary(op === '=' ? 'not exists' : 'exists', parseAtLeast(tokens, COMPARE + 1))
}

/** An attribute or intrinsic, if one stands here. */
export function parseAttribute(tokens: TokenStream): AttributeExpr | undefined {
  const token = tokens.peek()
  if (token.kind === 'attribute') {
    tokens.advance()
    const parent = token.scopes[0] === 'parent'
    const scope = token.scopes[parent ? 1 : 0] as Scope | undefined
    return attributeOf(scope ?? 'none', token.text, parent)
  }
  if (token.kind !== 'word') return undefined
  const unscoped = UNSCOPED[token.text]
  if (unscoped) {
    tokens.advance()
    return intrinsicOf(unscoped)
  }
  const names = SCOPED[token.text]
  if (!names) return undefined
  tokens.advance()
  const found = names[tokens.word() ?? '']
  if (!found) return tokens.fail(Object.keys(names))
  tokens.advance()
  return intrinsicOf(found)
}

/** A constant, if one stands here. */
export function parseStatic(tokens: TokenStream): Static | undefined {
  const token = tokens.peek()
  const value = staticOf(token.kind === 'word' ? token.text : '') ?? literalOf(tokens)
  if (value) tokens.advance()
  return value
}

function literalOf(tokens: TokenStream): Static | undefined {
  const token = tokens.peek()
  switch (token.kind) {
    case 'string':
      return staticString(token.text)
    case 'int':
      return staticInt(token.value)
    case 'duration':
      return staticDuration(token.value)
    case 'float':
      return staticFloat(token.value)
    case 'identifier':
      if (token.text === 'minInt') return staticInt(-(2n ** 63n))
      if (token.text === 'maxInt') return staticInt(2n ** 63n - 1n)
      return tokens.fail(OPERAND_WORDS, `unknown identifier: ${token.text}`)
    default:
      return undefined
  }
}

function staticOf(word: string): Static | undefined {
  if (word === 'true' || word === 'false') return staticBool(word === 'true')
  const status = (STATUS_NAMES as readonly string[]).indexOf(word)
  if (status >= 0) return { type: 'status', value: status }
  const kind = (KIND_NAMES as readonly string[]).indexOf(word)
  return kind >= 0 ? { type: 'kind', value: kind } : undefined
}

/** Trace ids are compared without leading zeros, however they were written. */
function normalized(value: FieldExpr, other: FieldExpr): FieldExpr {
  const isId = other.kind === 'attribute' && other.intrinsic === 'trace:id'
  if (!isId || value.kind !== 'static' || value.value.type !== 'string') return value
  return { kind: 'static', value: staticString(value.value.value.replace(/^0+/, '')) }
}

function binary(op: BinaryOp, left: FieldExpr, right: FieldExpr): FieldExpr {
  const lhs = normalized(left, right)
  const rhs = normalized(right, left)
  const made: FieldExpr = { kind: 'binary', op, lhs, rhs }
  if (lhs.kind !== 'static' || rhs.kind !== 'static' || fieldProblem(made)) return made
  const value = combine(op, lhs.value, rhs.value)
  return value.type === 'nil' ? made : { kind: 'static', value }
}

function unary(op: UnaryOp, expr: FieldExpr): FieldExpr {
  const made: FieldExpr = { kind: 'unary', op, expr }
  if (referencesSpan(expr) || expr.kind !== 'static' || fieldProblem(made)) return made
  const value = negated(op, expr.value)
  return value ? { kind: 'static', value } : made
}

export function negated(op: UnaryOp, value: Static): Static | undefined {
  if (op === 'exists') return staticBool(value.type !== 'nil')
  // The constant "nil" is what absence looks like inside Tempo, and so `"nil" = nil` holds there.
  if (op === 'not exists') return staticBool(value.type === 'string' && value.value === 'nil')
  if (op === '!') return value.type === 'bool' ? staticBool(!value.value) : undefined
  if (!isNumeric(value.type)) return undefined
  if (value.type === 'int') return staticInt(-value.value)
  if (value.type === 'duration') return staticDuration(-value.value)
  return value.type === 'float' ? staticFloat(-value.value) : undefined
}
