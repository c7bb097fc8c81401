/**
 * Owns what a partition remembers of the heads it has cut, so that a client's retry finds its first copy there too: a
 * request that was stored but whose answer was late or lost comes again, and by then its head may be a block.
 *
 * A set of ids is kept until the retry's time is over, or until there is no room for it: then the oldest goes first and its
 * spans are counted, since a retry of them would be stored a second time.
 */
import type { ColumnSource, RowGroup } from '../../otlp/columns.js'
import { SpanSet, sizeOf_bytes } from '../../storage/head/span-set.js'
import type { HeadWriter } from '../../storage/head/writer.js'

const NONE: readonly SpanSet[] = []

export interface RecentSpansOptions {
  /** How long after its last span a head's ids are of use. */
  readonly horizon_ms: number
  /** Of all sets together. */
  readonly max_bytes: number
  /** Spans that were forgotten before their time. */
  readonly onForgotten: (spans: number) => void
}

interface Kept {
  readonly tenant: string
  readonly set: SpanSet
  readonly until_ms: number
}

export class RecentSpans {
  readonly #options: RecentSpansOptions
  /** Oldest first, which is also the order in which they end. */
  readonly #kept: Kept[] = []
  readonly #byTenant = new Map<string, SpanSet[]>()
  #memory_bytes = 0

  constructor(options: RecentSpansOptions) {
    this.#options = options
  }

  get memory_bytes(): number {
    return this.#memory_bytes
  }

  get horizon_ms(): number {
    return this.#options.horizon_ms
  }

  get max_bytes(): number {
    return this.#options.max_bytes
  }

  /** The sets of a tenant, oldest first. */
  of(tenant: string): readonly SpanSet[] {
    return this.#byTenant.get(tenant) ?? NONE
  }

  /** Remembers what heads hold that are cut now, before they are built and their memory goes. */
  addHeads(
    heads: Iterable<{ readonly tenant: string; readonly writer: HeadWriter }>,
    now_ms: number,
  ): void {
    for (const { tenant, writer } of heads) this.add(tenant, writer.spanSet(this.max_bytes), now_ms)
  }

  /** Remembers what a head held that is cut now. */
  add(tenant: string, set: SpanSet, now_ms: number): void {
    if (set.count === 0) return
    this.#kept.push({ tenant, set, until_ms: now_ms + this.#options.horizon_ms })
    const sets = this.#byTenant.get(tenant)
    if (sets) sets.push(set)
    else this.#byTenant.set(tenant, [set])
    this.#memory_bytes += set.memory_bytes
    while (this.#memory_bytes > this.#options.max_bytes) this.forget(this.#dropOldest())
  }

  /** Spans for which there is no memory. */
  forget(spans: number): void {
    this.#options.onForgotten(spans)
  }

  /** Drops what no retry can ask for any more. */
  expire(now_ms: number): void {
    while (this.#kept.length > 0 && this.#kept[0]!.until_ms <= now_ms) this.#dropOldest()
  }

  /** The oldest set goes; returns its spans. */
  #dropOldest(): number {
    const { tenant, set } = this.#kept.shift()!
    const sets = this.#byTenant.get(tenant)!
    sets.shift()
    if (sets.length === 0) this.#byTenant.delete(tenant)
    this.#memory_bytes -= set.memory_bytes
    return set.count
  }
}

/** The ids of a block's spans, as its head would have given them; undefined when they would take more than `max_bytes`. */
export async function spanSetOfSource(
  seed: number,
  source: ColumnSource,
  max_bytes: number,
): Promise<SpanSet | undefined> {
  const { spanCount, traceCount } = source
  if (sizeOf_bytes(traceCount, spanCount) > max_bytes) return undefined
  const set = new SpanSet(seed, traceCount, spanCount)
  for (let group = 0; group < source.groupCount; group++) {
    await addGroup(set, await source.group(group))
  }
  return set
}

async function addGroup(set: SpanSet, group: RowGroup): Promise<void> {
  const { trace } = await group.parents()
  const traceIds = await group.field('trace.id')
  const spanIds = await group.field('span.id')
  const kinds = await group.field('span.kind')
  // Zero throughout: no valid id at all.
  if (!traceIds || !spanIds) return
  const traces = viewOf(traceIds.bytes)
  const ids = viewOf(spanIds.bytes)
  let slot = -1
  for (let span = 0; span < trace.length; span++) {
    const row = trace[span]!
    if (span === 0 || row !== trace[span - 1]) {
      const word = (part: number) => traces.getInt32(16 * row + 4 * part, true)
      slot = set.addTrace(word(0), word(1), word(2), word(3))
    }
    const kind = kinds ? kinds.lo[span]! : 0
    set.addSpan(slot, ids.getInt32(8 * span, true), ids.getInt32(8 * span + 4, true), kind)
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
