/** Owns how commands print tables for people: columns that line up, numbers to the right, and the words for times and sizes. */
import { formatBytes } from '../../lib/units.js'
import { formatTime } from '../../storage/block/meta.js'

export interface TableColumn<T> {
  readonly title: string
  readonly text: (row: T) => string
  /** Numbers end where the column ends. */
  readonly isNumber?: boolean
}

/** Rows under titles; a row of totals may follow under a line. */
export function tableOf<T>(
  columns: readonly TableColumn<T>[],
  rows: readonly T[],
  totals?: readonly string[],
): string {
  const cells = rows.map((row) => columns.map(({ text }) => plain(text(row))))
  const all = [columns.map(({ title }) => title), ...cells, ...(totals ? [totals] : [])]
  const widths = columns.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) =>
        columns[i]!.isNumber ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
      )
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  const lines = all.map(line)
  if (totals) lines.splice(-1, 0, rule)
  return lines.map((text) => `${text}\n`).join('')
}

/** Names with what they stand for. */
export function listOf(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, text]) => `${name.padEnd(width)}${plain(text)}\n`).join('')
}

/** What came from outside must not move the cursor of whoever reads it. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd')
}

/** A text of any length in a cell. */
export function shortened(text: string, most = 48): string {
  const characters = Array.from(text)
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`
}

export function size(bytes: number): string {
  return formatBytes(bytes)
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 2 : 1)}%`
}

/** Whole seconds, in UTC. */
export function time(time_ns: bigint): string {
  return formatTime((time_ns / 1_000_000_000n) * 1_000_000_000n)
}

/** The two greatest units: 3d4h, 5m12s, 42ms. */
export function span(duration_ns: bigint): string {
  if (duration_ns < 0n) return `-${span(-duration_ns)}`
  const ms = Number(duration_ns / 1_000_000n)
  if (duration_ns < 1_000_000n) return `${Number(duration_ns) / 1000}µs`
  if (ms < 1000) return `${ms}ms`
  const parts: [number, string][] = [
    [Math.floor(ms / 86_400_000), 'd'],
    [Math.floor(ms / 3_600_000) % 24, 'h'],
    [Math.floor(ms / 60_000) % 60, 'm'],
    [Math.floor(ms / 1000) % 60, 's'],
  ]
  const first = parts.findIndex(([value]) => value > 0)
  return parts
    .slice(first, first + 2)
    .filter(([value], i) => i === 0 || value > 0)
    .map(([value, unit]) => `${value}${unit}`)
    .join('')
}
