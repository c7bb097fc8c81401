import { describe, expect, it } from 'vitest'
import { createLog, errorText, type LogOptions } from '../../src/lib/log.js'

function lines(options: LogOptions, work: (log: ReturnType<typeof createLog>) => void): string[] {
  const out: string[] = []
  work(createLog({ ...options, write: (line) => out.push(line) }))
  return out
}

describe('the log', () => {
  it('is one line a fact, whatever is in it', () => {
    const nasty = 'a\nb "c" \\ =\u0007 é'
    for (const format of ['logfmt', 'json', 'pretty'] as const) {
      const [line, ...more] = lines({ format }, (log) => log.info(nasty, { nasty, n: 1 }))
      expect(more).toEqual([])
      expect(line!.indexOf('\n')).toBe(line!.length - 1)
    }
  })

  it('logfmt can be read back: values with spaces or quotes are quoted', () => {
    const [line] = lines({}, (log) => log.warn('two words', { a: 'x', b: 'y z', c: '"', d: '' }))
    expect(line).toMatch(/^ts=\S+ level=warn msg="two words" a=x b="y z" c="\\"" d=""\n$/)
  })

  it('json is JSON, also with numbers that JSON has not got', () => {
    const [line] = lines({ format: 'json' }, (log) =>
      log.error('x', { big: 2n ** 70n, no: undefined }),
    )
    expect(JSON.parse(line!)).toMatchObject({ level: 'error', msg: 'x', big: String(2n ** 70n) })
  })

  it('leaves out what is below its level', () => {
    const out = lines({ level: 'warn' }, (log) => {
      log.debug('1')
      log.info('2')
      log.warn('3')
      log.error('4')
    })
    expect(out).toHaveLength(2)
  })

  it('carries its fields on every line, and a later one wins', () => {
    const [line] = lines({}, (log) =>
      log.with({ actor: 'a', n: 1 }).with({ n: 2 }).info('x', { n: 3 }),
    )
    expect(line).toMatch(/ actor=a n=3\n$/)
  })

  it('a writer that fails does not take its caller down', () => {
    expect(errorText(new Error('no'))).toBe('no')
    expect(errorText('no')).toBe('no')
    expect(errorText(undefined)).toBe('undefined')
  })
})
