/** Holds the grammar: what parses, what is refused and why, and what binds how. */
import { describe, expect, test } from 'vitest'
import {
  ParseError,
  UnsupportedError,
  ValidationError,
  isQueryError,
} from '../../src/traceql/errors.js'
import { parseQuery } from '../../src/traceql/query.js'
import { printPipeline } from '../../src/traceql/print.js'
import { Random } from './random-traces.js'

const printed = (query: string) => printPipeline(parseQuery(query).root.pipeline!)

const ACCEPTED = [
  '{}',
  '{ }',
  '{ true }',
  '{ .a = 1 }',
  '{ .a-b.c/d = "x" }',
  '{ span."a b" = `x` }',
  '{ ."with \\"quotes\\"" != nil }',
  '{ resource.service.name = "shop" && span.http.status_code >= 500 }',
  '{ duration > 1h30m && traceDuration < 2d && .x = 1.5s }',
  '{ 1 = 1 } // a comment',
  '{ /* inside */ name =~ "a|b" }',
  '{ status = error || kind = server }',
  '{ trace:rootName = "x" && span:childCount > 2 && instrumentation:version = "1" }',
  '{ event:name = "e" && event:timeSinceStart > 2ms && link:traceID = "1" }',
  '{ nil != .a } && { .b = nil }',
  '{ .a = minInt || .a = maxInt }',
  '{ -.a * 2 + 3 % 2 ^ 2 > 1 }',
  '{ .a } > { .b } >> { .c } < { .d } << { .e } ~ { .f }',
  '{ .a } !> { .b } !>> { .c } !< { .d } !<< { .e } !~ { .f }',
  '{ .a } &> { .b } &>> { .c } &< { .d } &<< { .e } &~ { .f }',
  '({ .a } || { .b }) && { .c }',
  '{ .a } | { .b } | count() > 1 | by(.c) | coalesce() | select(.d, name) | avg(duration) > 1s',
  'count() > 1',
  'by(name) | count() = 2',
  '({ .a } | count() > 1) && ({ .b } | by(name))',
  '{} | rate()',
  '{} | rate() by (name, .a)',
  '{} | count_over_time() by (span.a) | topk(5) | bottomk(2)',
  '{} | quantile_over_time(duration, .5, 0.9, 1) by (name) > 1s',
  '{} | histogram_over_time(span.bytes)',
  '{} | avg_over_time(duration) > 5 | topk(3) < 100',
  '{} | compare({ status = error }, 5, 100, 200)',
  '({} | rate()) / ({ status = error } | rate()) * 100',
  '100 * (({} | rate()) + 2.5) > 7 | topk(1)',
  '{} | rate() with(sample=true, exemplars=10)',
  '{} with(most_recent=true)',
]

test.each(ACCEPTED)('%s parses', (query) => {
  expect(parseQuery(query).text).toBe(query)
})

const REFUSED: readonly (readonly [string, string])[] = [
  ['', 'line 1, col 1: unexpected end of query'],
  ['{', 'line 1, col 2: unexpected end of query, expecting an attribute'],
  ['{ .a = }', 'line 1, col 8: unexpected }'],
  ['{ .a = 1', 'line 1, col 9: unexpected end of query, expecting }'],
  ['{ . = 1 }', 'line 1, col 4: unexpected " " after .'],
  ['{ .a == 1 }', 'line 1, col 7: unexpected ='],
  ['{ .a = "x }', 'line 1, col 8: unexpected end of string'],
  ['{ .a = "\\q" }', 'line 1, col 8: invalid escape'],
  ['{ foo = 1 }', 'line 1, col 3: unknown identifier: foo'],
  ['{ .a = 1 }\n| cuont() > 1', 'line 2, col 3: unexpected cuont'],
  ['{ span:foo = 1 }', 'expecting duration, name'],
  ['{ .a = 99999999999999999999 }', 'does not fit in 64 bits'],
  ['{} | count()', 'an aggregate must be compared'],
  ['{} | count() > 1 && {}', 'does not join a comparison and a span set'],
  ['({} | count() > 1) && {}', 'does not join a pipeline in parentheses and a span set'],
  ['{} | by(name', 'expecting )'],
  ['coalesce()', 'unexpected coalesce'],
  ['rate()', 'unexpected rate'],
  ['{} | rate() | { .a }', 'unexpected a span set after metrics'],
  ['{} | rate() by ()', 'expecting an attribute'],
  ['({} | rate()) % 2', 'does not join'],
  ['({} | rate()) + 2s', 'duration cannot be used'],
  ['({} | rate()) / (1 / 0)', 'division by zero'],
  ['{} | quantile_over_time(duration)', 'expecting ,'],
  ['{} with(true=1)', 'expecting the name of a hint'],
  ['{} extra', 'unexpected extra'],
]

test.each(REFUSED)('%s is refused, saying where and why', (query, words) => {
  expect(() => parseQuery(query)).toThrow(ParseError)
  expect(() => parseQuery(query)).toThrow(words)
})

const INVALID: readonly (readonly [string, string])[] = [
  ['{ "a" }', 'must resolve to a boolean'],
  ['{ duration }', 'must resolve to a boolean'],
  ['{ duration = "x" }', 'must operate on the same type'],
  ['{ status > ok }', 'illegal operation'],
  ['{ name && true }', 'must operate on the same type'],
  ['{ .a =~ "(" }', 'invalid regex'],
  ['{ .a =~ .b }', 'invalid type for =~'],
  ['{ name = nil }', 'intrinsics cannot be nil'],
  ['{ resource.service.name = nil }', 'cannot be nil'],
  ['{} | by(1)', 'must reference the span'],
  ['{} | sum(name) > 1', 'must resolve to a number'],
  ['{} | max(1) > 1', 'must reference the span'],
  ['{} | rate() | topk(0)', 'limit must be greater than 0'],
  ['{} | quantile_over_time(duration, 1.5)', 'quantile must be between 0 and 1'],
  ['{} | compare({}) | topk(2)', 'compare()` cannot be used'],
  ['{} | compare({}, 1001)', 'between 1 and 1000'],
]

test.each(INVALID)('%s is invalid', (query, words) => {
  expect(() => parseQuery(query)).toThrow(ValidationError)
  expect(() => parseQuery(query)).toThrow(words)
})

test.each([
  '{ parent = nil }',
  '{ parent.a = 1 }',
  '{ parent.resource.a = 1 }',
  '{} | count() > count()',
  '{} | count() + 1 > 2',
  '({} | count()) > ({} | count())',
  '{} | rate() by (.a, .b, .c, .d, .e, .f)',
])('%s is understood and refused as unsupported', (query) => {
  expect(() => parseQuery(query)).toThrow(UnsupportedError)
})

describe('what binds how', () => {
  test.each([
    // Equal strength, left to right.
    ['{ .a || .b && .c }', '{ (.a || .b) && .c }'],
    ['{ .a && .b || .c }', '{ (.a && .b) || .c }'],
    ['{ .a + 2 * .b = 3 && .c }', '{ ((.a + (2 * .b)) = 3) && .c }'],
    ['{ .a - 1 - .b = 0 }', '{ ((.a - 1) - .b) = 0 }'],
    ['{ .a ^ 2 ^ .b = 0 }', '{ (.a ^ (2 ^ .b)) = 0 }'],
    ['{ !.a && .b }', '{ (!.a) && .b }'],
    ['{ -.a + .b = 1 }', '{ ((-.a) + .b) = 1 }'],
    ['{ -.a * .b = 1 }', '{ (-(.a * .b)) = 1 }'],
    ['{ .a } || { .b } > { .c }', '({ .a }) || (({ .b }) > ({ .c }))'],
    ['{ .a } > { .b } >> { .c }', '(({ .a }) > ({ .b })) >> ({ .c })'],
  ])('%s is %s', (query, canonical) => {
    expect(printed(query)).toBe(canonical)
  })

  test.each([
    ['{ .a = 1 || .a = 2 || .a = 3 }', '{ .a IN [1, 2, 3] }'],
    ['{ .a != "x" && .a != "y" }', '{ .a NOT IN [`x`, `y`] }'],
    ['{ .a =~ "x" || .a =~ "y" }', '{ .a MATCH ANY [`x`, `y`] }'],
    ['{ .a = 1 || .a = "x" }', '{ (.a = 1) || (.a = `x`) }'],
    ['{ 1 + 2 * 3 = 7 }', '{ true }'],
    ['{ trace:id = "00ab" }', '{ trace:id = `ab` }'],
  ])('%s becomes %s', (query, canonical) => {
    expect(printed(query)).toBe(canonical)
  })
})

test('a long chain and deep nesting are refused, not a stack overflow', () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => `.a${i} = 1`).join(' || ')
  expect(() => parseQuery(`{ ${chain} }`)).toThrow(ParseError)
  expect(() => parseQuery(`{ ${'('.repeat(20_000)}`)).toThrow('nests deeper')
  expect(() => parseQuery('('.repeat(20_000))).toThrow('nests deeper')
  expect(() => parseQuery(`{ ${'!'.repeat(20_000)}.a }`)).toThrow('nests deeper')
  const same = Array.from({ length: 5_000 }, (_, i) => `.a = ${i}`).join(' || ')
  expect(printed(`{ ${same} }`)).toContain('.a IN [0, 1, 2')
})

test('mutated queries throw nothing but query errors', () => {
  const random = new Random(7)
  const bits = ['&&', '||', '(', ')', '{', '}', '|', 'count()', '>', '!~', 'nil', '-', '"', '`', '\\', '1s', '.', 'by(.a)', 'rate()', 'with(', '\u{1f600}', '\n', '0x1', '9e99', "'"] // prettier-ignore
  let parsed = 0
  for (let i = 0; i < 5_000; i++) {
    let query = random.pick(ACCEPTED)
    for (let edits = random.below(3) + 1; edits > 0; edits--) {
      const at = random.below(query.length + 1)
      const cut = random.chance(0.5) ? at + random.below(4) : at
      query = query.slice(0, at) + (random.chance(0.7) ? random.pick(bits) : '') + query.slice(cut)
    }
    try {
      parseQuery(query)
      parsed++
    } catch (error) {
      if (!isQueryError(error))
        throw new Error(`not refused as a query: ${query}`, { cause: error })
    }
  }
  expect(parsed).toBeGreaterThan(100)
})
