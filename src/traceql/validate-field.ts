/** Owns what a field expression may be: which types meet at which operator. */
import { attributeType, sameAttribute, attributeOf } from './ast.js'
import type { AttributeExpr, BinaryExpr, FieldExpr, UnaryExpr } from './ast.js'
import { UnsupportedError, ValidationError } from './errors.js'
import { printAttribute, printField } from './print.js'
import { elementsOf, isBooleanOp, isNumeric, operatorTakes, regexOf, typesMatch } from './static.js'
import type { ImpliedType } from './static.js'

/** The type a field expression is known to have before any span is seen. */
export function impliedType(e: FieldExpr): ImpliedType {
  switch (e.kind) {
    case 'attribute':
      return attributeType(e)
    case 'static':
      return e.value.type
    case 'unary':
      return e.op === 'exists' || e.op === 'not exists' ? 'bool' : impliedType(e.expr)
    case 'binary': {
      if (isBooleanOp(e.op)) return 'bool'
      const left = impliedType(e.lhs)
      return left === 'attribute' ? impliedType(e.rhs) : left
    }
  }
}

/** The first thing wrong with an expression, or undefined. */
export function fieldProblem(e: FieldExpr): Error | undefined {
  switch (e.kind) {
    case 'static':
      return undefined
    case 'attribute':
      return attributeProblem(e)
    case 'unary':
      return fieldProblem(e.expr) ?? unaryProblem(e)
    case 'binary':
      return fieldProblem(e.lhs) ?? fieldProblem(e.rhs) ?? binaryProblem(e)
  }
}

export function attributeProblem(a: AttributeExpr): Error | undefined {
  if (a.parent) return new UnsupportedError(`parent scope (${printAttribute(a)})`)
  if (a.intrinsic === 'parent') return new UnsupportedError('intrinsic (parent)')
  return undefined
}

const SERVICE_NAME = attributeOf('resource', 'service.name')

function unaryProblem(e: UnaryExpr): Error | undefined {
  if (e.op === 'not exists' && e.expr.kind === 'attribute') {
    const text = printAttribute(e.expr)
    if (e.expr.intrinsic !== undefined) {
      return new ValidationError(`${text}=nil is not valid because intrinsics cannot be nil`)
    }
    if (sameAttribute(e.expr, SERVICE_NAME)) {
      return new ValidationError(`${text}=nil is not valid because ${text} cannot be nil`)
    }
  }
  const type = impliedType(e.expr)
  const fits =
    type === 'attribute' ||
    e.op === 'exists' ||
    e.op === 'not exists' ||
    (e.op === '-' ? isNumeric(type) : type === 'bool')
  return fits
    ? undefined
    : new ValidationError(`illegal operation for the given type: ${printField(e)}`)
}

function binaryProblem(e: BinaryExpr): Error | undefined {
  const [left, right] = [impliedType(e.lhs), impliedType(e.rhs)]
  if (!typesMatch(left, right)) {
    return new ValidationError(
      `binary operations must operate on the same type: ${printField(e)} (${left} and ${right})`,
    )
  }
  if (!operatorTakes(e.op, left) || !operatorTakes(e.op, right)) {
    return new ValidationError(`illegal operation for the given types: ${printField(e)}`)
  }
  return e.op === '=~' || e.op === '!~' ? regexProblem(e) : undefined
}

function regexProblem(e: BinaryExpr): Error | undefined {
  if (e.rhs.kind !== 'static' || e.rhs.value.type !== 'string') {
    return new ValidationError(`invalid type for =~ or !~: ${printField(e.rhs)}`)
  }
  for (const pattern of elementsOf(e.rhs.value)) {
    if (pattern.type === 'string' && !regexOf(pattern.value)) {
      return new ValidationError(`invalid regex: ${printField(e.rhs)}`)
    }
  }
  return undefined
}
