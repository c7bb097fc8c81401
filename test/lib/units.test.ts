import { describe, expect, it } from 'vitest'
import { formatBytes, formatDuration, parseBytes, parseDuration_ms } from '../../src/lib/units.js'

describe('durations', () => {
  it.each([
    ['0', 0],
    ['250ms', 250],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['1d', 86_400_000],
    ['100us', 0.1],
    ['100µs', 0.1],
    ['-5s', -5000],
    [' 5s ', 5000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration_ms(text)).toBeCloseTo(ms, 9)
  })

  it.each(['', '5', '5 s', 's', '1h-5m', '5sec', '.5s', '1e3s', '--5s'])(
    '"%s" is none: a number without its unit is never guessed at',
    (text) => {
      expect(parseDuration_ms(text)).toBeUndefined()
    },
  )

  it('are printed so that they can be read back', () => {
    for (const ms of [0, 1, 999, 1000, 61_000, 3_600_000, 5_430_500, 90_000_000])
      expect(parseDuration_ms(formatDuration(ms))).toBe(ms)
    expect(formatDuration(5_400_000)).toBe('1h30m0s')
  })
})

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['1024', 1024],
    ['250MB', 250e6],
    ['50MiB', 50 * 2 ** 20],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['4kb', 4000],
    ['7b', 7],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes)
  })

  it.each(['', '-1', 'MB', '1M', '1ib', '1XB', '1MBs'])('"%s" is none', (text) => {
    expect(parseBytes(text)).toBeUndefined()
  })

  it('are printed for people', () => {
    expect([0, 1023, 1024, 1536, 10 * 2 ** 20, 2 ** 50].map(formatBytes)).toEqual([
      '0 B', '1023 B', '1 KiB', '1.5 KiB', '10 MiB', '1024 TiB',
    ]) // prettier-ignore
  })
})
