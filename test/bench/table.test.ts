import { describe, expect, it } from 'vitest'
import type { OwnFigures, TempoFigures } from '../../src/bench/scenario.js'
import { number, paragraph, scenarioTable } from '../../src/bench/table.js'

const memory = { total_mib: 300, anonymous_mib: 250, shared_mib: 0, file_mib: 50 }
const own: OwnFigures = {
  load: {
    run: 'r',
    spans: 1000,
    traces: 60,
    requests: 4,
    acknowledgedSpans: 1000,
    failedSpans: 0,
    rejectedSpans: 0,
    retries: 0,
    bytes: 326_000,
    wall_s: 2,
    spansPerSecond: 500,
    ack_ms: { p50: 1, p90: 2, p99: 3.25, max: 4 },
    firstError: '',
  },
  acceptedPerSecond: 500,
  cpuLoad_s: 0.01,
  cpuAll_s: 0.02,
  spansPerCore: 50_000,
  spansPerCoreLoad: 100_000,
  peak: memory,
  idle: memory,
  bytesPerSpan: 32,
  ready_ms: 800,
  calibration: { before_ms: 210, after_ms: 430 },
  readBack: 1000,
  searchable_ms: { p50: 10, max: 20 },
}
const tempo: TempoFigures = {
  ...own,
  spansPerCore: 20_000,
  bytesPerSpan: 128,
  version: '3.0.1',
  tracesInBlocks: 60,
  flushedAfter_s: 41,
}

describe('the table of the bench', () => {
  it('has one line a figure, the values below one another', () => {
    expect(paragraph('title', [['short', 'a'], ['quite a long label', 'b']])).toBe(
      '\ntitle\n  short               a\n  quite a long label  b\n',
    ) // prettier-ignore
  })

  it('shows thousands, and as many decimals as asked for', () => {
    expect(number(1234567.891)).toBe('1,234,568')
    expect(number(31.86, 1)).toBe('31.9')
  })

  it('shows the speed of the machine before and after', () => {
    expect(scenarioTable([{ name: 'full', ...own }])).toMatch(/calibration +210 ms before, 430 ms after/) // prettier-ignore
  })

  it('says nothing of Tempo where it was not measured', () => {
    expect(scenarioTable([{ name: 'full', ...own }])).not.toContain('Tempo')
  })

  it('puts Tempo and the ratio below ours: more than 1 is more spans a CPU second than Tempo', () => {
    const text = scenarioTable([{ name: 'full', ...own, tempo }])
    expect(text).toContain('\nfull: Tempo 3.0.1\n')
    const ratios = text.slice(text.indexOf('full: ours / Tempo'))
    expect(ratios).toMatch(/per core, all in +2\.50 times/)
    expect(ratios).toMatch(/on disk +0\.25 times/)
  })

  it('gives no ratio over blocks that were not all flushed', () => {
    const text = scenarioTable([{ name: 'full', ...own, tempo: { ...tempo, tracesInBlocks: 59 } }])
    expect(text).toContain('NOT ALL')
    expect(text).not.toContain('times')
  })
})
