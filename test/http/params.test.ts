import { describe, expect, it } from 'vitest'
import {
  BadParam,
  metricsRange,
  searchRange,
  step_ns,
  traceId,
  wholeNumber,
} from '../../src/http/params.js'
import { defaultStep_ns } from '../../src/traceql/intervals.js'

const params = (text: string) => new URLSearchParams(text)
const NOW_MS = 1_700_000_000_123
const NS = 1_000_000_000n

describe('times', () => {
  it.each([
    ['1600000000', 1_600_000_000n * NS],
    ['1600000000.5', 1_600_000_000n * NS + NS / 2n],
    ['1600000000.123456', 1_600_000_000n * NS + 123_000_000n],
    ['1600000000000000001', 1_600_000_000_000_000_001n],
    ['2020-09-13T12:26:40Z', 1_600_000_000n * NS],
    ['2020-09-13T14:26:40.000000001+02:00', 1_600_000_000n * NS + 1n],
  ])('%s is read to the nanosecond', (text, ns) => {
    const range = params('')
    range.set('start', text)
    range.set('end', '1700000000')
    expect(searchRange(range, NOW_MS).start_ns).toBe(ns)
  })

  it.each([
    '-5',
    '1e9',
    'now',
    '2020-09-13',
    '2020-13-13T12:26:40Z',
    '1'.repeat(20),
    '1600000000 ',
  ])('%s is none', (text) => {
    const range = params('')
    range.set('start', text)
    range.set('end', '1700000000')
    expect(() => searchRange(range, NOW_MS)).toThrow(BadParam)
  })

  it('none, or two zeros as old clients send, is no range', () => {
    for (const text of ['', 'start=0&end=0', 'start=&end='])
      expect(searchRange(params(text), NOW_MS)).toEqual({ start_ns: undefined, end_ns: undefined })
  })

  it('since counts back from now; it wins over start and end, and must be positive', () => {
    const { start_ns, end_ns } = searchRange(params('since=90s&start=1&end=2'), NOW_MS)
    expect([start_ns, end_ns]).toEqual([1_699_999_910_123_000_000n, 1_700_000_000_123_000_000n])
    for (const since of ['0', '-1m', 'x'])
      expect(() => searchRange(params(`since=${since}`), NOW_MS)).toThrow(/invalid since/)
  })

  it('of a metrics query: an hour back from now, or from the end', () => {
    expect(metricsRange(params(''), NOW_MS)).toEqual({
      start_ns: 1_699_996_400_123_000_000n,
      end_ns: 1_700_000_000_123_000_000n,
    })
  })
})

describe('steps', () => {
  it.each([
    ['', 0n],
    ['15', 15n * NS],
    ['0.5', NS / 2n],
    ['1m', 60n * NS],
    ['1h30m', 5400n * NS],
    ['1e1', 10n * NS],
  ])('%s', (text, ns) => {
    expect(step_ns(params(`step=${text}`))).toBe(ns)
  })

  it.each(['-1', 'x', '1y', '1m30'])('%s is none', (text) => {
    expect(() => step_ns(params(`step=${text}`))).toThrow(BadParam)
  })

  it('that fit: about 240 points, whole units, never zero', () => {
    const step_s = (length_s: number) => Number(defaultStep_ns(0n, BigInt(length_s) * NS)) / 1e9
    expect([1, 30, 300, 3600, 86_400, 604_800, 31_536_000].map(step_s)).toEqual([
      0.05, 0.1, 1, 15, 300, 2400, 129_600,
    ])
    expect(defaultStep_ns(5n, 6n)).toBe(50_000_000n)
  })
})

describe('numbers and ids', () => {
  it('numbers are whole, positive and of 32 bits', () => {
    expect(wholeNumber(params('n=7'), 'n', 3)).toBe(7)
    expect(wholeNumber(params('n='), 'n', 3)).toBe(3)
    expect(wholeNumber(params('n=0'), 'n', 3, { zero: true })).toBe(0)
    for (const text of ['0', '-1', '1.5', '0x10', '4294967296', '٣'])
      expect(() => wholeNumber(params(`n=${text}`), 'n', 3)).toThrow(BadParam)
  })

  it('ids are hex, and short ones are padded on the left', () => {
    expect(Buffer.from(traceId('aB')).toString('hex')).toBe('ab'.padStart(32, '0'))
    for (const text of ['', 'g', '0'.repeat(33), '0x12', 'é'])
      expect(() => traceId(text)).toThrow(BadParam)
  })
})
