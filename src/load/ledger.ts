/**
 * Owns the ledger of a load: which spans were acknowledged, which were given up, in a file of fixed records.
 *
 *     line 1   JSON: { run, seed, endpoint, startedAt_ms, minStart_ns, maxEnd_ns ... } and a newline
 *     then     25 bytes a span: 16 trace id, 8 span id, 1 outcome (1 acknowledged, 2 not acknowledged, 3 rejected)
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

export const ACKNOWLEDGED = 1
export const UNACKNOWLEDGED = 2
export const REJECTED = 3
const ID_BYTES = 24
const RECORD_BYTES = 25

export interface LedgerHeader {
  readonly run: string
  readonly seed: number
  readonly tenant: string
  readonly startedAt_ms: number
  /** All span times of the run lie within (ms since the epoch). */
  readonly oldest_ms: number
}

export class LedgerWriter {
  readonly #file: number

  constructor(path: string, header: LedgerHeader) {
    this.#file = openSync(path, 'w')
    writeSync(this.#file, JSON.stringify(header) + '\n')
  }

  /** `ids` are 24 bytes a span. */
  add(ids: Buffer, outcome: number): void {
    const count = ids.length / ID_BYTES
    const records = Buffer.alloc(count * RECORD_BYTES)
    for (let i = 0; i < count; i++) {
      ids.copy(records, i * RECORD_BYTES, i * ID_BYTES, (i + 1) * ID_BYTES)
      records[i * RECORD_BYTES + ID_BYTES] = outcome
    }
    writeSync(this.#file, records)
  }

  close(): void {
    closeSync(this.#file)
  }
}

export interface LedgerTrace {
  /** Span ids (hex) whose request was acknowledged: each must be found, once. */
  readonly acknowledged: Set<string>
  /** Span ids whose request was never acknowledged: each may be found, once. */
  readonly unacknowledged: Set<string>
}

export interface Ledger {
  readonly header: LedgerHeader
  /** By trace id, 32 hex digits. */
  readonly traces: Map<string, LedgerTrace>
  readonly acknowledgedSpans: number
  readonly unacknowledgedSpans: number
}

/** Reads a whole ledger; a torn last record (the load was killed) is left out. */
export function readLedger(path: string): Ledger {
  const bytes = readFileSync(path)
  const newline = bytes.indexOf(10)
  if (newline < 0) throw new Error(`${path} is no ledger: its first line is missing`)
  const header = JSON.parse(bytes.toString('utf8', 0, newline)) as LedgerHeader
  const traces = new Map<string, LedgerTrace>()
  let acknowledgedSpans = 0
  let unacknowledgedSpans = 0
  for (let at = newline + 1; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    const traceId = bytes.toString('hex', at, at + 16)
    let trace = traces.get(traceId)
    if (!trace)
      traces.set(traceId, (trace = { acknowledged: new Set(), unacknowledged: new Set() }))
    const spanId = bytes.toString('hex', at + 16, at + ID_BYTES)
    if (bytes[at + ID_BYTES] === ACKNOWLEDGED) {
      trace.acknowledged.add(spanId)
      acknowledgedSpans++
    } else {
      trace.unacknowledged.add(spanId)
      unacknowledgedSpans++
    }
  }
  return { header, traces, acknowledgedSpans, unacknowledgedSpans }
}
