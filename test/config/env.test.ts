import { expect, it } from 'vitest'
import { expandEnv } from '../../src/config/env.js'

const env = { A: 'one', EMPTY: '' }
const expand = (content: string) => expandEnv('f.yaml', content, env).content

it('replaces variables, and takes defaults as a shell does', () => {
  expect(expand('a: ${A}-${A}')).toBe('a: one-one')
  expect(expand('${NONE:-x} ${EMPTY:-x} ${A:-x}')).toBe('x x one')
  expect(expand('${NONE-x} ${EMPTY-x}|')).toBe('x |')
  expect(expand('${NONE:=x} ${NONE:-}|')).toBe('x |')
  expect(expand('${NONE:-http://h:1/?a=b}')).toBe('http://h:1/?a=b')
})

it('leaves comments, plain dollars and escaped references alone', () => {
  expect(expand('# ${NONE}')).toBe('# ${NONE}')
  expect(expand('$A $$ 5$')).toBe('$A $$ 5$')
  expect(expand('$${A}')).toBe('${A}')
})

it('does not expand what a variable holds', () => {
  expect(expandEnv('f', '${X}', { X: '${A}', A: 'no' }).content).toBe('${A}')
})

it('warns of a variable that is not set, with its place', () => {
  const { content, warnings } = expandEnv('f.yaml', 'a: 1\nb: ${NONE}', env)
  expect(content).toBe('a: 1\nb: ')
  expect(warnings).toEqual([
    'f.yaml:2:4: the environment variable NONE is not set; it is read as empty',
  ])
})

it('refuses what it does not understand instead of passing it on', () => {
  expect(() => expand('a: ${A^^}')).toThrow('f.yaml:1:4: ${A^^} is not understood')
  expect(() => expand('a: ${}')).toThrow('is not understood')
})
