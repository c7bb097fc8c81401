/** Owns how many spans and errors each service has in each trace. */
import type { IntColumn, StringColumn } from '../../../otlp/columns.js'
import { Uint32List } from './growing.js'
import type { Structure } from './structure.js'

const ERROR = 2

export interface ServiceStats {
  /** Services of each trace. */
  readonly counts: Uint32Array
  /** The names of the services of all traces: `rows` are rows of this column. */
  readonly services: StringColumn | undefined
  readonly rows: Uint32Array
  readonly spans: Int32Array
  readonly errors: Int32Array
}

/** Services of a trace are sorted by name; a resource without one counts as that with an empty name. */
export function serviceStats(
  structure: Structure,
  services: StringColumn | undefined,
  statuses: IntColumn | undefined,
): ServiceStats {
  const { traces, resourceRows, resourceCounts, scopeCounts, spanCounts, spanRows } = structure
  const names = new Names(services)
  const counts = new Uint32Array(traces)
  const rows = new Uint32List()
  const spans = new Uint32List()
  const errors = new Uint32List()
  let resource = 0
  let scope = 0
  let span = 0
  for (let trace = 0; trace < traces; trace++) {
    const found = new Map<string, { row: number; spans: number; errors: number }>()
    for (let end = resource + resourceCounts[trace]!; resource < end; resource++) {
      const row = resourceRows[resource]!
      const name = names.of(row)
      let stats = found.get(name)
      if (!stats) found.set(name, (stats = { row, spans: 0, errors: 0 }))
      for (let scopes = scopeCounts[resource]!; scopes > 0; scopes--) {
        const count = spanCounts[scope++]!
        stats.spans += count
        for (let last = span + count; span < last; span++) {
          if (statuses?.lo[spanRows[span]!] === ERROR) stats.errors++
        }
      }
    }
    counts[trace] = found.size
    const sorted = found.size > 1 ? [...found].sort(([a], [b]) => (a < b ? -1 : 1)) : found
    for (const [, stats] of sorted) {
      rows.push(stats.row)
      spans.push(stats.spans)
      errors.push(stats.errors)
    }
  }
  return {
    counts,
    services,
    rows: rows.view(),
    spans: new Int32Array(spans.view()),
    errors: new Int32Array(errors.view()),
  }
}

/** The name of each resource's service, as text whose order is that of its bytes. */
class Names {
  readonly #known: string[] = []
  constructor(readonly services: StringColumn | undefined) {}

  of(row: number): string {
    return (this.#known[row] ??= this.#read(row))
  }

  #read(row: number): string {
    const code = this.services?.codes[row] ?? 0
    if (!this.services || code === 0) return ''
    return Buffer.from(this.services.dictionary.bytes(code)).toString('latin1')
  }
}
