/**
 * Owns how the rows of a row group nest in Tempo's schema: a trace's spans under their scopes under their resources, each
 * resource once a trace, in the order of their first span; and the levels that follow from it.
 */
import type { Parents, RowGroup } from '../../../otlp/columns.js'
import { Levels } from '../../parquet/write-levels.js'

export interface Structure {
  readonly traces: number
  /** Rows of the input in the order written: a resource and a scope are there once for each trace that has them. */
  readonly resourceRows: Uint32Array
  readonly scopeRows: Uint32Array
  readonly spanRows: Uint32Array
  readonly eventRows: Uint32Array
  readonly linkRows: Uint32Array
  /** How many there are under each one: resources of a trace, scopes of a resource, spans of a scope, ... */
  readonly resourceCounts: Uint32Array
  readonly scopeCounts: Uint32Array
  readonly spanCounts: Uint32Array
  /** First span of each trace in the order written; one more than traces. */
  readonly traceOffsets: Uint32Array
  readonly levels: {
    readonly trace: Levels
    readonly resource: Levels
    readonly scope: Levels
    readonly span: Levels
    readonly event: Levels
    readonly link: Levels
  }
}

export async function structureOf(group: RowGroup): Promise<Structure> {
  const [parents, events, links] = await Promise.all([
    group.parents(),
    group.offsets('event'),
    group.offsets('link'),
  ])
  const traces = group.counts.trace
  const traceOffsets = new Uint32Array(traces + 1)
  for (const trace of parents.trace) traceOffsets[trace + 1]!++
  for (let i = 0; i < traces; i++) traceOffsets[i + 1]! += traceOffsets[i]!
  const nesting = new Nesting(parents, traceOffsets)
  const event = children(nesting.spanRows, events)
  const link = children(nesting.spanRows, links)
  const { resourceCounts, scopeCounts, spanCounts } = nesting
  const trace = Levels.ofRows(traces)
  const resource = trace.list(resourceCounts)
  const scope = resource.list(scopeCounts)
  const span = scope.list(spanCounts)
  return {
    traces,
    traceOffsets,
    resourceRows: nesting.resourceRows,
    scopeRows: nesting.scopeRows,
    spanRows: nesting.spanRows,
    resourceCounts,
    scopeCounts,
    spanCounts,
    eventRows: event.rows,
    linkRows: link.rows,
    levels: {
      trace,
      resource,
      scope,
      span,
      event: span.list(event.counts),
      link: span.list(link.counts),
    },
  }
}

/** A resource with a scope, as spans of the group have them. */
interface Batch {
  readonly resource: number
  readonly scope: number
}

class Nesting {
  readonly spanRows: Uint32Array
  readonly resourceCounts: Uint32Array
  readonly #resources: number[] = []
  readonly #scopes: number[] = []
  readonly #scopeCounts: number[] = []
  readonly #spanCounts: number[] = []
  readonly #batches: Batch[] = []
  readonly #batchOf: Uint32Array
  /** Next span of a batch in the trace at hand, as places: one list a batch. */
  #first: Int32Array
  #last: Int32Array
  readonly #next: Int32Array

  constructor(parents: Parents, traceOffsets: Uint32Array) {
    const spans = parents.trace.length
    this.#batchOf = this.#findBatches(parents)
    this.#first = new Int32Array(this.#batches.length).fill(-1)
    this.#last = new Int32Array(this.#batches.length)
    this.#next = new Int32Array(spans)
    this.spanRows = new Uint32Array(spans)
    this.resourceCounts = new Uint32Array(traceOffsets.length - 1)
    for (let trace = 0; trace + 1 < traceOffsets.length; trace++) {
      this.#trace(trace, traceOffsets[trace]!, traceOffsets[trace + 1]!)
    }
  }

  get resourceRows(): Uint32Array {
    return Uint32Array.from(this.#resources)
  }
  get scopeRows(): Uint32Array {
    return Uint32Array.from(this.#scopes)
  }
  get scopeCounts(): Uint32Array {
    return Uint32Array.from(this.#scopeCounts)
  }
  get spanCounts(): Uint32Array {
    return Uint32Array.from(this.#spanCounts)
  }

  /** Numbers the pairs of resource and scope; a span's is that of the span before it more often than not. */
  #findBatches({ resource, scope }: Parents): Uint32Array {
    const of = new Uint32Array(resource.length)
    const known = new Map<number, number>()
    let batch = -1
    for (let span = 0; span < of.length; span++) {
      const isSame =
        span > 0 && resource[span] === resource[span - 1] && scope[span] === scope[span - 1]
      if (!isSame) {
        const pair = resource[span]! * 2 ** 26 + scope[span]!
        batch = known.get(pair) ?? -1
        if (batch < 0) {
          batch = this.#batches.push({ resource: resource[span]!, scope: scope[span]! }) - 1
          known.set(pair, batch)
        }
      }
      of[span] = batch
    }
    return of
  }

  #trace(trace: number, from: number, to: number): void {
    const used: number[] = []
    for (let span = from; span < to; span++) {
      const batch = this.#batchOf[span]!
      this.#next[span] = -1
      if (this.#first[batch]! < 0) {
        this.#first[batch] = span
        used.push(batch)
      } else {
        this.#next[this.#last[batch]!] = span
      }
      this.#last[batch] = span
    }
    if (used.length > 1) this.#byResource(used)
    let at = from
    let resources = 0
    for (let i = 0; i < used.length;) {
      const { resource } = this.#batches[used[i]!]!
      resources++
      this.#resources.push(resource)
      let scopes = 0
      for (; i < used.length && this.#batches[used[i]!]!.resource === resource; i++) {
        scopes++
        at = this.#scope(used[i]!, at)
      }
      this.#scopeCounts.push(scopes)
    }
    this.resourceCounts[trace] = resources
  }

  /** Puts batches of one resource together, in the order of its first. */
  #byResource(used: number[]): void {
    const ranks = new Map<number, number>()
    for (const batch of used) {
      const { resource } = this.#batches[batch]!
      if (!ranks.has(resource)) ranks.set(resource, ranks.size)
    }
    if (ranks.size === used.length) return
    const rank = (batch: number) => ranks.get(this.#batches[batch]!.resource)!
    used.sort((a, b) => rank(a) - rank(b))
  }

  /** Writes the spans of a batch from place `at` on; returns the place behind them. */
  #scope(batch: number, at: number): number {
    const start = at
    for (let span = this.#first[batch]!; span >= 0; span = this.#next[span]!) {
      this.spanRows[at++] = span
    }
    this.#first[batch] = -1
    this.#scopes.push(this.#batches[batch]!.scope)
    this.#spanCounts.push(at - start)
    return at
  }
}

/** The events or links of the spans in their order, and how many each span has. */
function children(
  spanRows: Uint32Array,
  offsets: Uint32Array,
): { rows: Uint32Array; counts: Uint32Array } {
  const counts = new Uint32Array(spanRows.length)
  let total = 0
  for (let i = 0; i < spanRows.length; i++) {
    const span = spanRows[i]!
    counts[i] = offsets[span + 1]! - offsets[span]!
    total += counts[i]!
  }
  const rows = new Uint32Array(total)
  let at = 0
  for (let i = 0; at < total; i++) {
    const first = offsets[spanRows[i]!]!
    for (let n = 0; n < counts[i]!; n++) rows[at++] = first + n
  }
  return { rows, counts }
}
