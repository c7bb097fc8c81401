/** Owns which rows of the inputs make up one row group of the output: collected trace by trace, then by table. */
import type { Level } from '../../otlp/columns.js'
import type { Part } from './gather-columns.js'
import type { SourceCursor, SourceGroup } from './source-cursor.js'
import { SpanDedup } from './span-dedup.js'

export interface GroupRows {
  readonly counts: Readonly<Record<Level, number>>
  readonly parts: Readonly<Record<Level, readonly Part[]>>
  /** Of each span: its row in the table of traces, of resources and of scopes. Equal resources may stand in several rows. */
  readonly trace: Uint32Array
  readonly resource: Uint32Array
  readonly scope: Uint32Array
  readonly offsets: Readonly<Record<'event' | 'link', Uint32Array>>
}

/** Numbers in a buffer that doubles. */
class Numbers {
  length = 0
  #values: Uint32Array

  constructor(capacity: number) {
    this.#values = new Uint32Array(capacity)
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const grown = new Uint32Array(2 * this.#values.length)
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.length++] = value
  }

  view(): Uint32Array {
    return this.#values.subarray(0, this.length)
  }
}

const FIRST_TRACES = 1024
const FIRST_SPANS = 8192

interface Taken {
  readonly input: SourceGroup
  readonly traceFrom: Numbers
  readonly traceTo: Numbers
  readonly spanFrom: Numbers
  readonly spanTo: Numbers
}

/** Collects whole traces for one row group of the output. */
export class GroupCollector {
  spans = 0
  traces = 0
  /** Traces that stood in more than one input. */
  combinedTraces = 0
  /** Copies of spans that were left out. */
  duplicateSpans = 0
  readonly #taken = new Map<SourceGroup, Taken>()
  readonly #traceOfSpan = new Numbers(FIRST_SPANS)
  readonly #dedup: SpanDedup

  constructor(dedup: SpanDedup) {
    this.#dedup = dedup
  }

  /** The trace at which the cursors stand, which is the same one; of copies of a span the first cursor's is kept. */
  add(cursors: readonly SourceCursor[]): void {
    const trace = this.traces++
    const isShared = cursors.length > 1
    if (isShared) {
      this.combinedTraces++
      this.#dedup.clear()
    }
    for (const { group, row } of cursors) {
      const taken = this.#takenOf(group!)
      const { traceOffsets, spanIds, spanKinds } = taken.input
      taken.traceFrom.push(row)
      taken.traceTo.push(trace)
      const end = traceOffsets[row + 1]!
      for (let span = traceOffsets[row]!; span < end; span++) {
        if (isShared && !this.#dedup.add(spanIds, span, spanKinds[span]!)) {
          this.duplicateSpans++
          continue
        }
        taken.spanFrom.push(span)
        taken.spanTo.push(this.spans++)
        this.#traceOfSpan.push(trace)
      }
    }
  }

  rows(): GroupRows {
    const taken = [...this.#taken.values()]
    const span = taken.map(({ input, spanFrom, spanTo }): Part => ({ input, from: spanFrom.view(), to: spanTo.view() })) // prettier-ignore
    const trace = taken.map(({ input, traceFrom, traceTo }): Part => ({ input, from: traceFrom.view(), to: traceTo.view() })) // prettier-ignore
    const resource = usedRows(span, this.spans, 'resource')
    const scope = usedRows(span, this.spans, 'scope')
    const event = childRows(span, this.spans, 'event')
    const link = childRows(span, this.spans, 'link')
    return {
      counts: {
        trace: this.traces,
        span: this.spans,
        resource: resource.rows,
        scope: scope.rows,
        event: event.rows,
        link: link.rows,
      },
      parts: { trace, span, resource: resource.parts, scope: scope.parts, event: event.parts, link: link.parts }, // prettier-ignore
      trace: this.#traceOfSpan.view(),
      resource: resource.ofSpan,
      scope: scope.ofSpan,
      offsets: { event: event.offsets, link: link.offsets },
    }
  }

  #takenOf(input: SourceGroup): Taken {
    let taken = this.#taken.get(input)
    if (!taken) {
      taken = {
        input,
        traceFrom: new Numbers(FIRST_TRACES),
        traceTo: new Numbers(FIRST_TRACES),
        spanFrom: new Numbers(FIRST_SPANS),
        spanTo: new Numbers(FIRST_SPANS),
      }
      this.#taken.set(input, taken)
    }
    return taken
  }
}

/** The resources or scopes that the spans use, each once an input, numbered on over all inputs. */
function usedRows(
  spans: readonly Part[],
  spanCount: number,
  level: 'resource' | 'scope',
): { parts: Part[]; ofSpan: Uint32Array; rows: number } {
  const ofSpan = new Uint32Array(spanCount)
  let rows = 0
  const parts = spans.map(({ input, from, to }): Part => {
    const parents = input.parents[level]
    /** Row in the output + 1. */
    const known = new Uint32Array(input.counts[level])
    const used: number[] = []
    const first = rows
    for (let i = 0; i < from.length; i++) {
      const parent = parents[from[i]!]!
      if (known[parent] === 0) {
        used.push(parent)
        known[parent] = ++rows
      }
      ofSpan[to[i]!] = known[parent]! - 1
    }
    const target = Uint32Array.from(used, (_, i) => first + i)
    return { input, from: Uint32Array.from(used), to: target }
  })
  return { parts, ofSpan, rows }
}

/** The events or links of the spans. */
function childRows(
  spans: readonly Part[],
  spanCount: number,
  level: 'event' | 'link',
): { parts: Part[]; offsets: Uint32Array; rows: number } {
  const name = level === 'event' ? 'events' : 'links'
  const offsets = new Uint32Array(spanCount + 1)
  for (const { input, from, to } of spans) {
    const source = input[name]
    for (let i = 0; i < from.length; i++) {
      offsets[to[i]! + 1] = source[from[i]! + 1]! - source[from[i]!]!
    }
  }
  for (let span = 0; span < spanCount; span++) offsets[span + 1]! += offsets[span]!
  const parts = spans.map(({ input, from: spanFrom, to: spanTo }): Part => {
    const source = input[name]
    let rows = 0
    for (const span of spanFrom) rows += source[span + 1]! - source[span]!
    const from = new Uint32Array(rows)
    const to = new Uint32Array(rows)
    let at = 0
    for (let i = 0; i < spanFrom.length; i++) {
      const end = source[spanFrom[i]! + 1]!
      let target = offsets[spanTo[i]!]!
      for (let row = source[spanFrom[i]!]!; row < end; row++, at++) {
        from[at] = row
        to[at] = target++
      }
    }
    return { input, from, to }
  })
  return { parts, offsets, rows: offsets[spanCount]! }
}
