import { describe, expect, it } from 'vitest'
import type { EncodingFigures } from '../../src/bench/block-process.js'
import { blocksTable } from '../../src/bench/blocks-table.js'
import type { TempoBlockFigures } from '../../src/bench/tempo-block.js'

const laps = { runs: 5, p50_ms: 2, p99_ms: 4, cpu_ms: 10 }
const scan = { ...laps, name: 'one number', query: '{ span.db.rows >= 999 }', found: 7 }
const calibration = { before_ms: 210, after_ms: 430 }
const own: EncodingFigures = {
  encoding: 'blockpack',
  spans: 1000,
  groups: 3,
  encodePerCpuSecond: 250_000,
  decodePerCpuSecond: 900_000,
  bytesPerSpan: 31.94,
  byIdCold: laps,
  byIdOpen: laps,
  scans: [{ ...scan, spansPerCpuSecond: 100_000 }],
  compaction: {
    blocks: 4,
    spans: 1000,
    traces: 60,
    combinedTraces: 30,
    inputBytes: 1,
    outputBytes: 1,
    wall_s: 1,
    cpu_s: 1,
    spansPerCpuSecond: 80_000,
  },
  wide: {
    spans: 300,
    otlpBytesPerSpan: 571,
    bytesPerSpan: 45,
    encodePerCpuSecond: 1,
    decodePerCpuSecond: 2,
  },
  calibration,
}
const tempo: TempoBlockFigures = {
  version: '',
  format: 'vParquet5',
  blocks: 2,
  bytesPerSpan: 111.2,
  wideBytesPerSpan: 170,
  byId: laps,
  scans: [scan],
  calibration,
}
const lineOf = (text: string, label: string) =>
  text.split('\n').find((line) => line.startsWith(`  ${label}`)) ?? ''

describe('the table of blocks', () => {
  const both = { name: 'blocks' as const, encodings: [own, { ...own, encoding: 'vParquet5' }] }

  it('has a column an encoding, all below its name', () => {
    const text = blocksTable(both)
    const column = lineOf(text, ' '.repeat(20)).indexOf('vParquet5')
    expect(column).toBeGreaterThan(0)
    expect(lineOf(text, 'bytes/span').indexOf('31.9', column)).toBe(column)
    expect(text).not.toContain('Tempo')
  })

  it("has Tempo's column where it was measured, with a dash where it cannot be", () => {
    const text = blocksTable({ ...both, tempo })
    expect(lineOf(text, 'bytes/span')).toContain('111.2 (vParquet5)')
    expect(lineOf(text, 'encode').endsWith('-')).toBe(true)
    expect(text).toContain('through its HTTP API')
  })

  it('shows how many traces each found, so that a fast wrong answer is seen', () => {
    const wrong = { ...tempo, scans: [{ ...scan, found: 6 }] }
    const line = lineOf(blocksTable({ ...both, tempo: wrong }), 'one number, traces found')
    expect(line.split(/\s+/).slice(-3)).toEqual(['7', '7', '6'])
  })

  it("divides Tempo's spans by its CPU, and says nothing where the kernel counted none", () => {
    const label = 'one number, spans per CPU second'
    expect(lineOf(blocksTable({ ...both, tempo }), label)).toMatch(/100,000$/)
    const none = { ...tempo, scans: [{ ...scan, cpu_ms: 0 }] }
    expect(lineOf(blocksTable({ ...both, tempo: none }), label)).toMatch(/ -$/)
  })
})
