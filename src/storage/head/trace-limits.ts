/** Owns what a head is held to while it appends: how large a trace may become, how many there may be, and which went beyond. */
import type { HeadArena } from './arena.js'
import { TRACE_COLUMN } from './layout.js'
import type { Table } from './table.js'

export type LimitReason = 'trace_too_large' | 'live_traces_exceeded'

export interface AppendLimits {
  /** OTLP bytes of a trace's spans; Infinity = any. */
  readonly max_trace_bytes: number
  /** Traces of the head; Infinity = any. */
  readonly max_traces: number
  /** What earlier heads had of a trace, by its key: it counts too. */
  readonly carried: ReadonlyMap<string, number>
}

export const NO_LIMITS: AppendLimits = {
  max_trace_bytes: Infinity,
  max_traces: Infinity,
  carried: new Map(),
}

const ID_BYTES = 16

export class TraceLimits {
  max_trace_bytes = Infinity
  max_traces = Infinity
  /** Rows of traces that went beyond a limit since `set`. */
  readonly over = new Map<number, LimitReason>()
  #carried = NO_LIMITS.carried

  set(limits: AppendLimits): void {
    this.max_trace_bytes = limits.max_trace_bytes
    this.max_traces = limits.max_traces
    this.#carried = limits.carried
    if (this.over.size > 0) this.over.clear()
  }

  /** With how many bytes a new trace, whose id is at `at`, begins. */
  carriedTo(bytes: Uint8Array, at: number): number {
    if (this.#carried.size === 0) return 0
    return this.#carried.get(latin1(bytes, at)) ?? 0
  }

  /** The traces that went beyond, by key; forgets them. */
  takeOver(arena: HeadArena, traces: Table): Map<string, LimitReason> {
    const over = new Map<string, LimitReason>()
    for (const [row, reason] of this.over) over.set(traceKeyOf(arena, traces, row), reason)
    this.over.clear()
    return over
  }
}

/** The traces of a head that have at least so many bytes, by key. */
export function tracesFrom(
  arena: HeadArena,
  traces: Table,
  min_bytes: number,
): Map<string, number> {
  const found = new Map<string, number>()
  const { words } = arena
  for (let row = 0; row < traces.count; row++) {
    const bytes = words[traces.at(row) + TRACE_COLUMN.bytes * traces.rows]! >>> 0
    if (bytes >= min_bytes) found.set(traceKeyOf(arena, traces, row), bytes)
  }
  return found
}

/** The id of a trace as a key: one character a byte. */
function traceKeyOf(arena: HeadArena, traces: Table, row: number): string {
  const words = new Int32Array(ID_BYTES / 4)
  for (let part = 0; part < words.length; part++) {
    words[part] = arena.words[traces.at(row) + (TRACE_COLUMN.id + part) * traces.rows]!
  }
  return latin1(new Uint8Array(words.buffer), 0)
}

function latin1(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, ID_BYTES).toString('latin1')
}
