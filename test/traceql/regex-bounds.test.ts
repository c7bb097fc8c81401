import { describe, expect, it } from 'vitest'
import { ValidationError } from '../../src/traceql/errors.js'
import { parse } from '../../src/traceql/parser.js'
import { MAX_REGEX_WEIGHT, compileRegex } from '../../src/traceql/regex.js'
import { weightOf } from '../../src/traceql/regex-weight.js'

describe('a regex is bounded', () => {
  it.each([
    ['abc', 3],
    ['a|b', 3],
    ['[a-z]{2}', 4],
    ['a{10}', 20],
    ['(ab){3,5}', 25],
    ['((a{10}){10}){10}', 2000],
    ['[]a]{3}\\{5}', 8],
    ['a{x}', 4],
  ])('by an estimate from above: %s is at least its repetitions', (pattern, least) => {
    expect(weightOf(pattern)).toBeGreaterThanOrEqual(least)
    expect(weightOf(pattern)).toBeLessThan(least * 2 + 10)
  })

  it('in what it compiles to, before it is compiled', () => {
    expect(compileRegex('a{1000}'.repeat(100))).toBeUndefined()
    expect(compileRegex('(a|b)'.repeat(12_000))).toBeUndefined()
    const names = Array.from({ length: 1000 }, (_, i) => `service-${i}`).join('|')
    expect(weightOf(names)).toBeLessThan(MAX_REGEX_WEIGHT)
    expect(compileRegex(names)?.matches('service-77')).toBe(true)
  })

  it('in the time it takes over many texts: a pattern of 3 KB held a querier for minutes', () => {
    const regex = compileRegex('.*a'.repeat(1000) + 'x')!
    const text = 'a'.repeat(1900)
    expect(() => {
      for (let i = 0; i < 1000; i++) regex.matches(`${text}${i}`)
    }).toThrow(ValidationError)
  })

  it('together with all others of the query', () => {
    const one = `.a =~ "${'a{1000}'.repeat(10)}"`
    expect(() => parse(`{ ${Array(100).fill(one).join(' || ')} }`)).toThrow('too large together')
    expect(() => parse(`{ .a = "${'x'.repeat(120_000)}" }`)).not.toThrow()
  })

  it('and harmless ones are not slowed or refused', () => {
    const regex = compileRegex('.*(error|timeout)[0-9]{1,5}.*')!
    for (let i = 0; i < 2000; i++) {
      expect(regex.matches(`GET /api/${i} timeout${i % 10} after`)).toBe(true)
    }
  })
})
