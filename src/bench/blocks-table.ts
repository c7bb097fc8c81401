/** Owns how the rows about blocks are printed: a line a figure, a column an encoding, Tempo's in the last. */
import type { BlocksResult } from './blocks.js'
import type { EncodingFigures } from './block-process.js'
import type { Laps } from './stopwatch.js'
import { number } from './table.js'

const LABEL_CHARS = 36
const COLUMN_CHARS = 26

type Row = readonly [label: string, ...cells: string[]]

export function blocksTable({ encodings, tempo }: BlocksResult): string {
  const [first] = encodings
  if (!first) return ''
  const title = `blocks of ${number(first.spans)} spans in ${first.groups} row groups, in one thread; CPU is of all threads of the process`
  const of = (label: string, own: (f: EncodingFigures) => string, theirs = '-'): Row => [
    label,
    ...encodings.map(own),
    ...(tempo ? [theirs] : []),
  ]
  const rows: Row[] = [
    of('', (f) => f.encoding, tempo && `Tempo ${tempo.version}`.trimEnd()),
    of('encode, spans per CPU second', (f) => number(f.encodePerCpuSecond)),
    of('decode, spans per CPU second', (f) => number(f.decodePerCpuSecond)),
    of('bytes/span', (f) => number(f.bytesPerSpan, 1), tempo && `${number(tempo.bytesPerSpan, 1)} (${tempo.format})`),
    of('trace by id, p50', (f) => laps(f.byIdOpen), tempo && laps(tempo.byId)),
    of('trace by id, block opened for it', (f) => laps(f.byIdCold)),
    ...first.scans.flatMap(({ name }, i) => [
      of(`${name}, p50`, (f) => laps(f.scans[i]!), tempo && laps(tempo.scans[i]!)),
      of(`${name}, spans per CPU second`, (f) => number(f.scans[i]!.spansPerCpuSecond), tempo && perSecond(first.spans, tempo.scans[i]!)),
      of(`${name}, traces found`, (f) => number(f.scans[i]!.found), tempo && number(tempo.scans[i]!.found)),
    ]),
    of('compaction, spans per CPU second', (f) => number(f.compaction.spansPerCpuSecond)),
    of(`wide: bytes/span (${number(first.wide.otlpBytesPerSpan)} as OTLP)`, (f) => number(f.wide.bytesPerSpan, 1), tempo && number(tempo.wideBytesPerSpan, 1)),
    of('wide: encode, spans per CPU second', (f) => number(f.wide.encodePerCpuSecond)),
    of('wide: decode, spans per CPU second', (f) => number(f.wide.decodePerCpuSecond)),
    of('calibration, before / after', calibration, tempo && calibration(tempo)),
  ] // prettier-ignore
  const queries = first.scans.map(({ name, query }) => `  ${name}: ${query}\n`).join('')
  return `\n${title}\n${rows.map(line).join('')}${queries}${tempo ? note(tempo.blocks) : ''}`
}

function line([label, ...cells]: Row): string {
  const padded = cells.map((cell) => cell.padEnd(COLUMN_CHARS)).join('')
  return `  ${label.padEnd(LABEL_CHARS)}${padded}`.trimEnd() + '\n'
}

function laps({ p50_ms, cpu_ms }: Laps): string {
  return `${number(p50_ms, 2)} ms (${number(cpu_ms, 2)} CPU)`
}

function calibration({ calibration: { before_ms, after_ms } }: Pick<EncodingFigures, 'calibration'>) {
  return `${number(before_ms)} / ${number(after_ms)} ms`
} // prettier-ignore

/** 10 ms is what the kernel counts CPU of another process by: a search that took less has no such figure. */
function perSecond(spans: number, { cpu_ms }: Laps): string {
  return cpu_ms > 0 ? number((spans * 1000) / cpu_ms) : '-'
}

function note(blocks: number): string {
  return (
    `  Tempo: ${blocks === 1 ? '1 block' : `${blocks} blocks`} that it made of the same spans; its times are through its HTTP API, ours are calls of the block's reader,\n` +
    '  its CPU is that of its whole process while it answered. What its blocks cost to build cannot be told from the rest.\n'
  )
}
