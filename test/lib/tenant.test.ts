/** Tests that a header can name no tenant that Tempo would not take, nor one that leaves its folder. */
import { describe, expect, it } from 'vitest'
import { parseEndpoint } from '../../src/actors/receiver/listen.js'
import { tenantResolver } from '../../src/lib/tenant.js'

describe('tenantResolver', () => {
  const many = tenantResolver(true)

  it.each(['team-a', "!-_.*'()", 'A1', 'x'.repeat(150), '...'])('takes %s', (id) => {
    expect(many(id)).toEqual({ tenant: id })
  })

  it.each(['.', '..', 'a/b', 'a|b', 'a b', 'é', 'x'.repeat(151), 'a\n'])('refuses %j', (id) => {
    expect(many(id)).toMatchObject({ refused: 'invalid' })
  })

  it('asks for a name only when multitenancy is enabled', () => {
    expect(many(undefined)).toMatchObject({ refused: 'unauthenticated' })
    expect(many('')).toMatchObject({ refused: 'unauthenticated' })
    expect(tenantResolver(false)('..')).toEqual({ tenant: 'single-tenant' })
  })
})

describe('parseEndpoint', () => {
  it.each([
    ['0.0.0.0:4317', { host: '0.0.0.0', port: 4317 }],
    [':4317', { host: undefined, port: 4317 }],
    ['localhost:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:80', { host: '::1', port: 80 }],
  ])('reads %s', (text, endpoint) => {
    expect(parseEndpoint(text, 'key')).toEqual(endpoint)
  })

  it.each(['4317', 'host:', 'host:x', 'host:70000', 'host:-1', ''])(
    'refuses %j and names the key',
    (text) => {
      expect(() => parseEndpoint(text, 'some.key')).toThrow('some.key')
    },
  )
})
