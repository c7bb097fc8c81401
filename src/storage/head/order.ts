/** Owns the order in which a snapshot is shown: traces by arrival or id, each trace's spans together and by start time. */
import { SPAN, SPAN_COLUMN, TRACE, TRACE_COLUMN } from './layout.js'
import type { HeadView } from './head-view.js'

export type TraceOrder = 'arrival' | 'traceId'

/** Default spans of a row group, about: whole traces are added until it is reached. */
export const GROUP_SPANS = 32_768
const INSERTION_MAX = 64

export interface SpanOrder {
  /** Trace rows in the order shown. */
  readonly traces: Uint32Array
  /** Span rows in the order shown. */
  readonly spans: Uint32Array
  /** Where each trace's spans begin in `spans`; one more than traces. */
  readonly starts: Uint32Array
  /** Where each group's traces begin in `traces`; one more than groups. */
  readonly groups: Uint32Array
}

/** The order of all spans of a snapshot. */
export function orderSpans(view: HeadView, order: TraceOrder, groupSpans: number): SpanOrder {
  const traceCount = view.count(TRACE)
  const spanCount = view.count(SPAN)
  const traces = order === 'traceId' ? tracesById(view) : rowsUpTo(traceCount)
  const traceOf = view.column(SPAN, SPAN_COLUMN.trace)
  const counts = new Uint32Array(traceCount)
  for (let span = 0; span < spanCount; span++) counts[traceOf[span]!]!++
  const starts = new Uint32Array(traceCount + 1)
  const next = new Uint32Array(traceCount)
  for (let i = 0, at = 0; i < traceCount; i++) {
    next[traces[i]!] = at
    at += counts[traces[i]!]!
    starts[i + 1] = at
  }
  const spans = new Uint32Array(spanCount)
  for (let span = 0; span < spanCount; span++) spans[next[traceOf[span]!]!++] = span
  sortByStart(view, spans, starts)
  return { traces, spans, starts, groups: cutGroups(starts, groupSpans) }
}

/** The order of one trace's spans alone; undefined when the snapshot has not got it. */
export function orderTrace(view: HeadView, traceId: Uint8Array): SpanOrder | undefined {
  const trace = view.findTrace(traceId)
  if (trace < 0) return undefined
  const spans = view.spansOfTrace(trace, view.word(TRACE, TRACE_COLUMN.firstSpan, trace))
  const lo = new Uint32Array(spans.length)
  const hi = new Uint32Array(spans.length)
  view.gather(SPAN, SPAN_COLUMN.start, spans, lo)
  view.gather(SPAN, SPAN_COLUMN.start + 1, spans, hi)
  const places = rowsUpTo(spans.length)
  sortRange(places, 0, places.length, lo, hi)
  return {
    traces: Uint32Array.of(trace),
    spans: places.map((place) => spans[place]!),
    starts: Uint32Array.of(0, spans.length),
    groups: Uint32Array.of(0, 1),
  }
}

function cutGroups(starts: Uint32Array, groupSpans: number): Uint32Array {
  const groups = [0]
  const traces = starts.length - 1
  for (let trace = 0, begin = 0; trace < traces; trace++) {
    if (starts[trace + 1]! - begin < groupSpans && trace + 1 < traces) continue
    groups.push(trace + 1)
    begin = starts[trace + 1]!
  }
  return Uint32Array.from(groups)
}

function tracesById(view: HeadView): Uint32Array {
  const columns = [0, 1, 2, 3].map((part) => {
    // Ids are words of their bytes, little endian; bytes are compared from the first.
    const column = view.column(TRACE, TRACE_COLUMN.id + part)
    for (let i = 0; i < column.length; i++) column[i] = swapBytes(column[i]!)
    return column
  })
  const [a, b, c, d] = columns as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  return rowsUpTo(a.length).sort(
    (x, y) => a[x]! - a[y]! || b[x]! - b[y]! || c[x]! - c[y]! || d[x]! - d[y]!,
  )
}

function sortByStart(view: HeadView, spans: Uint32Array, starts: Uint32Array): void {
  const lo = view.column(SPAN, SPAN_COLUMN.start)
  const hi = view.column(SPAN, SPAN_COLUMN.start + 1)
  for (let trace = 0; trace + 1 < starts.length; trace++) {
    sortRange(spans, starts[trace]!, starts[trace + 1]!, lo, hi)
  }
}

/** Stable: spans that start together stay in the order of arrival. */
function sortRange(
  rows: Uint32Array,
  begin: number,
  end: number,
  lo: Uint32Array,
  hi: Uint32Array,
): void {
  if (end - begin > INSERTION_MAX) {
    rows.subarray(begin, end).sort((x, y) => hi[x]! - hi[y]! || lo[x]! - lo[y]! || x - y)
    return
  }
  for (let i = begin + 1; i < end; i++) {
    const row = rows[i]!
    const rowHi = hi[row]!
    const rowLo = lo[row]!
    let to = i - 1
    for (; to >= begin; to--) {
      const other = rows[to]!
      const otherHi = hi[other]!
      if (otherHi < rowHi || (otherHi === rowHi && lo[other]! <= rowLo)) break
      rows[to + 1] = other
    }
    rows[to + 1] = row
  }
}

function rowsUpTo(count: number): Uint32Array {
  const rows = new Uint32Array(count)
  for (let i = 0; i < count; i++) rows[i] = i
  return rows
}

function swapBytes(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
}
