/** Owns the grammar outside braces: span sets, pipelines, metrics, arithmetic between series and hints. */
import type {
  AggregateOp,
  AttributeExpr,
  FieldExpr,
  FirstStage,
  Hint,
  MetricsOp,
  Root,
  SecondStage,
  SpansetFilter,
  Stage,
} from './ast.js'
import { parseAttribute, parseFieldExpr, parseStatic } from './parse-field.js'
import { PIECE_WORDS, join, negate, outerStrength, pipelineOf, withSecond } from './parse-value.js'
import type { Piece } from './parse-value.js'
import { TRUE } from './static.js'
import { TokenStream } from './token-stream.js'

const METRICS: ReadonlySet<string> = new Set([
  'rate',
  'count_over_time',
  'min_over_time',
  'max_over_time',
  'sum_over_time',
  'avg_over_time',
  'quantile_over_time',
  'histogram_over_time',
])
const AGGREGATES: ReadonlySet<string> = new Set(['count', 'avg', 'min', 'max', 'sum'])
const DEFAULT_TOP_N = 10n

const START_WORDS = ['{', '(', 'by', 'select', 'an aggregate', 'a number']
const STAGE_WORDS = ['{', '(', 'by', 'select', 'coalesce', 'an aggregate', 'a metrics function']

/** The parsed query; throws ParseError. Types are not judged here. */
export function parse(text: string): Root {
  const tokens = new TokenStream(text)
  const piece = parseSequence(tokens, true)
  const hints = parseHints(tokens)
  if (tokens.peek().kind !== 'end') tokens.fail(['an operator', '|', 'with', 'end of query'])
  switch (piece.kind) {
    case 'series':
      return { pipeline: undefined, series: piece.expr, hints }
    case 'spanset':
    case 'pipelines':
      return {
        pipeline: piece.expr.kind === 'pipeline' ? piece.expr : pipelineOf(piece.expr),
        series: undefined,
        hints,
      }
    case 'filter':
      return { pipeline: pipelineOf(piece.stage), series: undefined, hints }
    case 'stage':
      return { pipeline: pipelineOf(piece.stage), series: undefined, hints }
    default:
      return tokens.fail([], `${PIECE_WORDS[piece.kind]} is not a query by itself`)
  }
}

/** Stages joined by `|`, at the top of the query or inside parentheses. */
function parseSequence(tokens: TokenStream, top: boolean): Piece {
  const first = parseJoined(tokens, 1, true)
  if (tokens.word() !== '|') return first
  if (first.kind === 'series') return top ? parseSeriesStages(tokens, first) : first
  const stages: Stage[] = [stageOf(tokens, first)]
  while (tokens.take('|')) {
    const at = tokens.peek()
    const piece = parseJoined(tokens, 1, false)
    if (piece.kind === 'first') {
      const second = [...piece.second, ...parseSecondStages(tokens)]
      const leaf = {
        kind: 'leaf',
        pipeline: pipelineOf(...stages),
        first: piece.stage,
        second,
      } as const
      return { kind: 'series', expr: leaf, filtered: false }
    }
    if (piece.kind === 'scalar' && piece.expr.kind === 'aggregate' && !top) {
      return { kind: 'scalarPipeline', expr: pipelineOf(...stages, piece.expr) }
    }
    if (piece.kind === 'scalar' && tokens.peek().kind === 'end') {
      tokens.fail(['=', '!=', '<', '<=', '>', '>='], 'an aggregate must be compared')
    }
    stages.push(stageOf(tokens, piece, at))
  }
  return { kind: 'pipelines', expr: pipelineOf(...stages) }
}

function stageOf(tokens: TokenStream, piece: Piece, at = tokens.peek()): Stage {
  if (piece.kind === 'spanset') return piece.expr
  if (piece.kind === 'filter' && !piece.ofPipelines) return piece.stage
  if (piece.kind === 'stage') return piece.stage
  return tokens.fail(STAGE_WORDS, `unexpected ${PIECE_WORDS[piece.kind]} in a pipeline`, at)
}

function parseSecondStages(tokens: TokenStream): SecondStage[] {
  const stages: SecondStage[] = []
  while (tokens.take('|')) {
    const at = tokens.peek()
    const piece = parseJoined(tokens, 1, false)
    if (piece.kind !== 'second') {
      tokens.fail(['topk', 'bottomk'], `unexpected ${PIECE_WORDS[piece.kind]} after metrics`, at)
    }
    stages.push(...piece.second)
  }
  return stages
}

function parseSeriesStages(tokens: TokenStream, piece: Piece & { kind: 'series' }): Piece {
  return { ...piece, expr: withSecond(piece.expr, ...parseSecondStages(tokens)), filtered: true }
}

function parseJoined(tokens: TokenStream, least: number, start: boolean): Piece {
  return tokens.nested(() => {
    let left = parsePrimary(tokens, start)
    for (;;) {
      const op = tokens.word()
      const strength = outerStrength(op)
      if (op === undefined || strength === undefined || strength < least) return left
      const at = tokens.advance()
      const right = parseJoined(tokens, op === '^' ? strength : strength + 1, start)
      const joined = join(op, left, right)
      if (joined === undefined || typeof joined === 'string') {
        const pair = `${PIECE_WORDS[left.kind]} and ${PIECE_WORDS[right.kind]}`
        return tokens.fail([], joined ?? `unexpected ${op}: it does not join ${pair}`, at)
      }
      left = tokens.grown(joined, left, right)
    }
  })
}

function parsePrimary(tokens: TokenStream, start: boolean): Piece {
  const token = tokens.peek()
  if (token.kind === 'int' || token.kind === 'float' || token.kind === 'duration') {
    return { kind: 'constant', value: parseStatic(tokens)! }
  }
  const word = tokens.word()
  if (word === '{') return { kind: 'spanset', expr: parseFilter(tokens) }
  if (word === '(') return parseGroup(tokens)
  if (word === '-') {
    const at = tokens.advance()
    const piece = tokens.nested(() => parsePrimary(tokens, start))
    return negate(piece) ?? tokens.fail([], `unexpected - before ${PIECE_WORDS[piece.kind]}`, at)
  }
  if (word !== undefined && AGGREGATES.has(word)) return parseAggregate(tokens, word as AggregateOp)
  if (word === 'by') return { kind: 'stage', stage: { kind: 'by', expr: parseArgument(tokens) } }
  if (word === 'select') {
    tokens.advance()
    return { kind: 'stage', stage: { kind: 'select', attributes: parseAttributeList(tokens) } }
  }
  if (start) return tokens.fail(START_WORDS)
  if (word === 'coalesce') {
    tokens.advance()
    emptyParens(tokens)
    return { kind: 'stage', stage: { kind: 'coalesce' } }
  }
  if (word === 'topk' || word === 'bottomk') return parseTopK(tokens, word)
  if (word !== undefined && (METRICS.has(word) || word === 'compare')) {
    const stage =
      word === 'compare' ? parseCompare(tokens) : parseMetrics(tokens, word as MetricsOp)
    return { kind: 'first', stage, second: [] }
  }
  return tokens.fail(STAGE_WORDS)
}

/** A single span set in parentheses stays one; more than that is a pipeline, which joins only others of its kind. */
function parseGroup(tokens: TokenStream): Piece {
  tokens.advance()
  const at = tokens.peek()
  const inner = parseSequence(tokens, false)
  tokens.expect(')')
  switch (inner.kind) {
    case 'filter':
      if (inner.ofPipelines) return tokens.fail([], 'unexpected comparison in parentheses', at)
      return { kind: 'pipelines', expr: pipelineOf(inner.stage) }
    case 'stage':
      return { kind: 'pipelines', expr: pipelineOf(inner.stage) }
    case 'series':
      if (inner.filtered) return tokens.fail([], 'unexpected comparison in parentheses', at)
      return inner
    default:
      return inner
  }
}

function parseFilter(tokens: TokenStream): SpansetFilter {
  tokens.expect('{')
  if (tokens.take('}')) return { kind: 'filter', expr: { kind: 'static', value: TRUE } }
  const expr = parseFieldExpr(tokens)
  if (!tokens.take('}')) tokens.fail(['}', 'an operator'])
  return { kind: 'filter', expr }
}

function emptyParens(tokens: TokenStream): void {
  tokens.expect('(')
  tokens.expect(')')
}

function parseArgument(tokens: TokenStream): FieldExpr {
  tokens.advance()
  tokens.expect('(')
  const expr = parseFieldExpr(tokens)
  tokens.expect(')')
  return expr
}

function parseAggregate(tokens: TokenStream, op: AggregateOp): Piece {
  if (op !== 'count') {
    return { kind: 'scalar', expr: { kind: 'aggregate', op, expr: parseArgument(tokens) } }
  }
  tokens.advance()
  emptyParens(tokens)
  return { kind: 'scalar', expr: { kind: 'aggregate', op, expr: undefined } }
}

function requireAttribute(tokens: TokenStream): AttributeExpr {
  return parseAttribute(tokens) ?? tokens.fail(['an attribute', 'an intrinsic'])
}

function parseAttributeList(tokens: TokenStream): AttributeExpr[] {
  tokens.expect('(')
  const attributes = [requireAttribute(tokens)]
  while (tokens.take(',')) attributes.push(requireAttribute(tokens))
  tokens.expect(')')
  return attributes
}

function parseMetrics(tokens: TokenStream, op: MetricsOp): FirstStage {
  tokens.advance()
  tokens.expect('(')
  let attribute: AttributeExpr | undefined
  const quantiles: number[] = []
  if (op !== 'rate' && op !== 'count_over_time') attribute = requireAttribute(tokens)
  if (op === 'quantile_over_time') {
    tokens.expect(',')
    do quantiles.push(parseNumber(tokens))
    while (tokens.take(','))
  }
  tokens.expect(')')
  const by = tokens.take('by') ? parseAttributeList(tokens) : []
  return { kind: 'metrics', op, attribute, quantiles, by }
}

function parseNumber(tokens: TokenStream): number {
  const token = tokens.peek()
  if (token.kind !== 'int' && token.kind !== 'float') return tokens.fail(['a number'])
  tokens.advance()
  return Number(token.value)
}

function parseInteger(tokens: TokenStream): bigint {
  const token = tokens.peek()
  if (token.kind !== 'int') return tokens.fail(['an integer'])
  tokens.advance()
  return token.value
}

function parseTopK(tokens: TokenStream, kind: 'topk' | 'bottomk'): Piece {
  tokens.advance()
  tokens.expect('(')
  const limit = parseInteger(tokens)
  tokens.expect(')')
  return { kind: 'second', second: [{ kind, limit }] }
}

function parseCompare(tokens: TokenStream): FirstStage {
  tokens.advance()
  tokens.expect('(')
  const filter = parseFilter(tokens)
  let topN = DEFAULT_TOP_N
  let [start_ns, end_ns] = [0n, 0n]
  if (tokens.take(',')) topN = parseInteger(tokens)
  if (tokens.take(',')) {
    start_ns = parseInteger(tokens)
    tokens.expect(',')
    end_ns = parseInteger(tokens)
  }
  tokens.expect(')')
  return { kind: 'compare', filter, topN, start_ns, end_ns }
}

/** `with(name=value, ...)`; of several such clauses the last holds. */
function parseHints(tokens: TokenStream): readonly Hint[] {
  let hints: Hint[] = []
  while (tokens.take('with')) {
    hints = []
    tokens.expect('(')
    do hints.push(parseHint(tokens))
    while (tokens.take(','))
    tokens.expect(')')
  }
  return hints
}

function parseHint(tokens: TokenStream): Hint {
  const token = tokens.peek()
  if (token.kind !== 'identifier') return tokens.fail(['the name of a hint'])
  tokens.advance()
  tokens.expect('=')
  const value = parseStatic(tokens) ?? tokens.fail(['a constant'])
  return { name: token.text, value }
}
