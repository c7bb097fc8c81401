/** Owns how the bench's figures are printed: one paragraph a measurement, one line a figure. */
import type { Memory } from './process-stats.js'
import type { Measured, OwnFigures, TempoFigures } from './scenario.js'

export interface ScenarioResult extends OwnFigures {
  readonly name: string
  readonly tempo?: TempoFigures
}

type Line = readonly [name: string, value: string]

const LABEL_CHARS = 20

export function number(n: number, digits = 0): string {
  return n.toLocaleString('en-US', {
    maximumFractionDigits: digits,
    minimumFractionDigits: digits,
  })
}

export function paragraph(title: string, lines: readonly Line[]): string {
  return `\n${title}\n` + lines.map(([name, value]) => `  ${name.padEnd(LABEL_CHARS)}${value}\n`).join('') // prettier-ignore
}

export function scenarioTable(rows: readonly ScenarioResult[]): string {
  return rows.map(oneScenario).join('')
}

function oneScenario(own: ScenarioResult): string {
  const { name, tempo } = own
  const ours = paragraph(name, [...measured(own, 'flushed and read back'), ...ownLines(own)])
  if (!tempo) return ours
  const title = `${name}: Tempo ${tempo.version}`.trimEnd()
  const theirs = paragraph(title, [...measured(tempo, 'flushed'), ...tempoLines(tempo)])
  return ours + theirs + paragraph(`${name}: ours / Tempo`, ratioLines(own, tempo))
}

function measured(r: Measured, until: string): Line[] {
  const { load, calibration } = r
  return [
    [
      'accepted',
      `${number(r.acceptedPerSecond)} spans/s (${number(load.acknowledgedSpans)} spans in ${number(load.wall_s, 1)} s, ${number(load.failedSpans)} given up)`,
    ],
    [
      'per core, all in',
      `${number(r.spansPerCore)} spans per CPU second, until the last block is ${until} (${number(r.cpuAll_s, 1)} s)`,
    ],
    [
      'per core, load only',
      `${number(r.spansPerCoreLoad)} spans per CPU second (${number(r.cpuLoad_s, 1)} s)`,
    ],
    ['peak RSS', parts(r.peak)],
    ['idle RSS', parts(r.idle)],
    ['on disk', `${number(r.bytesPerSpan, 1)} bytes/span (${number(load.bytes / load.spans)} as OTLP)`],
    [
      'ack',
      `p50 ${number(load.ack_ms.p50, 1)} ms, p99 ${number(load.ack_ms.p99, 1)} ms, max ${number(load.ack_ms.max, 1)} ms`,
    ],
    ['ready after', `${number(r.ready_ms)} ms`],
    ['calibration', `${number(calibration.before_ms)} ms before, ${number(calibration.after_ms)} ms after`],
  ] // prettier-ignore
}

function ownLines({ searchable_ms, readBack, load }: OwnFigures): Line[] {
  return [
    [
      'ack to searchable',
      `p50 ${number(searchable_ms.p50, 1)} ms, max ${number(searchable_ms.max, 1)} ms (one HTTP search included)`,
    ],
    ['read back', `${number(readBack)} of ${number(load.acknowledgedSpans)} spans`],
  ]
}

function tempoLines({ tracesInBlocks, load, flushedAfter_s }: TempoFigures): Line[] {
  const found = `${number(tracesInBlocks)} of ${number(load.traces)} traces, ${number(flushedAfter_s)} s after the load`
  const isWhole = tracesInBlocks >= load.traces
  return [['in blocks', isWhole ? found : `${found}; NOT ALL: its figures do not count`]]
}

function ratioLines(own: OwnFigures, tempo: TempoFigures): Line[] {
  if (tempo.tracesInBlocks < tempo.load.traces) return [['none', 'Tempo had not flushed all']]
  const of = (ours: number, theirs: number) => `${number(ours / theirs, 2)} times`
  return [
    ['per core, all in', of(own.spansPerCore, tempo.spansPerCore)],
    ['per core, load only', of(own.spansPerCoreLoad, tempo.spansPerCoreLoad)],
    ['accepted', of(own.acceptedPerSecond, tempo.acceptedPerSecond)],
    ['peak RSS', of(own.peak.total_mib, tempo.peak.total_mib)],
    ['on disk', of(own.bytesPerSpan, tempo.bytesPerSpan)],
  ]
}

function parts(m: Memory): string {
  return `${number(m.total_mib)} MiB (anonymous ${number(m.anonymous_mib)}, shared ${number(m.shared_mib)}, file-mapped ${number(m.file_mib)})`
}
