/**
 * Owns the check of a ledger against a store: every acknowledged span must be found by id, by search and by
 * count_over_time(), none of them twice. Spans that were never acknowledged may be there, but not twice either.
 */
import { systemClock } from '../lib/time.js'
import { readLedger, type Ledger } from './ledger.js'
import { RUN_ATTRIBUTE } from './shop.js'

export interface VerifyOptions {
  readonly ledger: string
  /** Base URL of Tempo's API, e.g. http://127.0.0.1:3200. */
  readonly base: string
  readonly concurrency: number
  readonly onProgress?: (done: number, total: number) => void
}

export interface VerifyReport {
  readonly traces: number
  readonly acknowledgedSpans: number
  readonly unacknowledgedSpans: number
  /** By id. */
  readonly lostSpans: number
  readonly doubledSpans: number
  /** Spans of the run that nobody sent. */
  readonly foreignSpans: number
  /** Unacknowledged spans that are there all the same. */
  readonly keptUnacknowledged: number
  /** By search: traces with an acknowledged span that the search does not return. */
  readonly tracesMissingInSearch: number
  /** By count_over_time(): spans counted, against the spans found by id. */
  readonly counted: number
  readonly foundById: number
  readonly examples: readonly string[]
  readonly ok: boolean
}

interface Found {
  lost: number
  doubled: number
  foreign: number
  kept: number
  found: number
  examples: string[]
}

const EXAMPLES_MAX = 10
const SEARCH_LIMIT = 262_144
const REQUEST_TIMEOUT_MS = 120_000

export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const ledger = readLedger(options.ledger)
  const byId = await verifyById(ledger, options)
  const missing = await missingInSearch(ledger, options)
  const counted = await count(ledger, options)
  for (const traceId of missing.slice(0, EXAMPLES_MAX - byId.examples.length)) {
    byId.examples.push(`trace ${traceId} is not returned by search`)
  }
  return {
    traces: ledger.traces.size,
    acknowledgedSpans: ledger.acknowledgedSpans,
    unacknowledgedSpans: ledger.unacknowledgedSpans,
    lostSpans: byId.lost,
    doubledSpans: byId.doubled,
    foreignSpans: byId.foreign,
    keptUnacknowledged: byId.kept,
    tracesMissingInSearch: missing.length,
    counted,
    foundById: byId.found,
    examples: byId.examples,
    ok:
      byId.lost === 0 &&
      byId.doubled === 0 &&
      byId.foreign === 0 &&
      missing.length === 0 &&
      counted === byId.found,
  }
}

async function verifyById(ledger: Ledger, options: VerifyOptions): Promise<Found> {
  const found: Found = { lost: 0, doubled: 0, foreign: 0, kept: 0, found: 0, examples: [] }
  const traces = [...ledger.traces]
  let next = 0
  const lane = async () => {
    while (next < traces.length) {
      const [traceId, expected] = traces[next++]!
      const counts = await spansOf(traceId, ledger, options)
      compare(traceId, expected.acknowledged, expected.unacknowledged, counts, found)
      options.onProgress?.(next, traces.length)
    }
  }
  await Promise.all(Array.from({ length: options.concurrency }, lane))
  return found
}

function compare(
  traceId: string,
  acknowledged: ReadonlySet<string>,
  unacknowledged: ReadonlySet<string>,
  counts: ReadonlyMap<string, number>,
  found: Found,
): void {
  const note = (text: string) => {
    if (found.examples.length < EXAMPLES_MAX) found.examples.push(`trace ${traceId}: ${text}`)
  }
  for (const spanId of acknowledged) {
    if (counts.has(spanId)) continue
    found.lost++
    note(`acknowledged span ${spanId} is lost`)
  }
  for (const [spanId, times] of counts) {
    found.found++
    if (times > 1) {
      found.doubled++
      note(`span ${spanId} is there ${times} times`)
    }
    if (unacknowledged.has(spanId)) found.kept++
    else if (!acknowledged.has(spanId)) {
      found.foreign++
      note(`span ${spanId} was never sent`)
    }
  }
}

interface OtlpTraceJson {
  trace?: { resourceSpans?: { scopeSpans?: { spans?: { spanId: string }[] }[] }[] }
}

/** Span ids (hex) of a trace, and how often each is there. */
async function spansOf(
  traceId: string,
  ledger: Ledger,
  options: VerifyOptions,
): Promise<Map<string, number>> {
  const reply = (await get(`/api/v2/traces/${traceId}`, ledger, options)) as OtlpTraceJson
  const counts = new Map<string, number>()
  for (const resource of reply.trace?.resourceSpans ?? []) {
    for (const scope of resource.scopeSpans ?? []) {
      for (const span of scope.spans ?? []) {
        const id = Buffer.from(span.spanId, 'base64').toString('hex')
        counts.set(id, (counts.get(id) ?? 0) + 1)
      }
    }
  }
  return counts
}

async function missingInSearch(ledger: Ledger, options: VerifyOptions): Promise<string[]> {
  const query = `{ resource.${RUN_ATTRIBUTE} = "${ledger.header.run}" }`
  const params = new URLSearchParams({
    q: query,
    limit: String(SEARCH_LIMIT),
    spss: '1',
    ...range(ledger),
  })
  const reply = (await get(`/api/search?${params.toString()}`, ledger, options)) as {
    traces?: { traceID: string }[]
  }
  const returned = new Set((reply.traces ?? []).map((trace) => trace.traceID.padStart(32, '0')))
  return [...ledger.traces]
    .filter(([id, t]) => t.acknowledged.size > 0 && !returned.has(id))
    .map(([id]) => id)
}

interface Series {
  series?: { samples?: { value?: number }[] }[]
}

async function count(ledger: Ledger, options: VerifyOptions): Promise<number> {
  const query = `{ resource.${RUN_ATTRIBUTE} = "${ledger.header.run}" } | count_over_time()`
  const params = new URLSearchParams({ q: query, step: '60s', ...range(ledger) })
  const reply = (await get(
    `/api/metrics/query_range?${params.toString()}`,
    ledger,
    options,
  )) as Series
  let total = 0
  for (const series of reply.series ?? [])
    for (const sample of series.samples ?? []) total += sample.value ?? 0
  return total
}

/** A range in whole minutes around the run, so that no step of a metrics query is cut. */
function range(ledger: Ledger): { start: string; end: string } {
  const start_s = Math.floor(ledger.header.oldest_ms / 60_000) * 60 - 60
  const end_s = Math.ceil(systemClock.now() / 60_000) * 60 + 60
  return { start: String(start_s), end: String(end_s) }
}

async function get(path: string, ledger: Ledger, options: VerifyOptions): Promise<unknown> {
  const headers = ledger.header.tenant === '' ? {} : { 'x-scope-orgid': ledger.header.tenant }
  const reply = await fetch(options.base + path, {
    headers,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  if (!reply.ok)
    throw new Error(
      `${path.slice(0, 100)} answered ${reply.status}: ${(await reply.text()).slice(0, 200)}`,
    )
  return reply.json()
}
