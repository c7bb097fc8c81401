/** Owns a head as a column source: one published snapshot, shown as row groups of whole traces. */
import { compareBytes } from '../../lib/bytes.js'
import type { ColumnSource, RowGroup } from '../../otlp/columns.js'
import type { ArenaReader, HeadArena } from './arena.js'
import { DictionaryCache, HeadDictionary } from './head-dictionary.js'
import { HeadGroup, type GroupOwner } from './head-group.js'
import { HeadView } from './head-view.js'
import { readHeader, type HeadFacts } from './header.js'
import { SPAN, TRACE, TRACE_COLUMN } from './layout.js'
import { GROUP_SPANS, orderSpans, orderTrace, type SpanOrder, type TraceOrder } from './order.js'
import { publishedVersion, readSnapshot } from './snapshot.js'

export interface OpenHeadOptions {
  order: TraceOrder
  /** The thread's slot: holds the head's memory until `close`. Leave out only where nobody can retire the head meanwhile. */
  reader?: ArenaReader
  /** Show this trace alone (16 bytes): a lookup of one trace needs no order of the others. */
  traceId?: Uint8Array
  /** Whole traces are added to a row group until it has so many spans. */
  groupSpans?: number // default 32768
}

/** The head is retired, or another one by now. */
export class HeadGone extends Error {
  readonly code = 'HEAD_GONE'
  constructor(readonly headerChunk: number) {
    super(`no open head at chunk ${headerChunk}: its block is complete, look there`)
  }
}
/** A head source was read after `close`. */
export class HeadClosed extends Error {
  readonly code = 'HEAD_CLOSED'
  constructor(blockId: string) {
    super(`head ${blockId} was read after its source was closed`)
  }
}

/** Opens a head's last published snapshot; throws `HeadGone` when there is no open head. */
export function openHead(
  arena: HeadArena,
  headerChunk: number,
  options: OpenHeadOptions,
): HeadSource {
  const source = new HeadReader(arena, headerChunk).open(options)
  if (!source) throw new HeadGone(headerChunk)
  return source
}

/** What a thread keeps of a head between queries: the order of the last snapshot, and texts of the dictionary. */
export class HeadReader {
  readonly arena: HeadArena
  readonly headerChunk: number
  /** 0 when there was no open head. */
  readonly identity: number
  #facts: HeadFacts | undefined
  #cache: DictionaryCache | undefined
  #view: HeadView | undefined
  readonly #orders = new Map<string, SpanOrder>()

  constructor(arena: HeadArena, headerChunk: number) {
    this.arena = arena
    this.headerChunk = headerChunk
    this.identity = arena.identity(headerChunk)
  }

  /** The last published snapshot; undefined when the head is gone. An absent `traceId` gives a source without groups. */
  open(options: OpenHeadOptions): HeadSource | undefined {
    const { reader } = options
    const pin = reader?.enter() ?? 0
    // Only now is the answer sure to stay true: a head retired before we entered is seen as such here.
    if (this.identity === 0 || this.arena.identity(this.headerChunk) !== this.identity) {
      reader?.leave(pin)
      return undefined
    }
    this.#facts ??= readHeader(this.arena, this.headerChunk)
    this.#cache ??= new DictionaryCache(this.arena)
    const view = this.#currentView()
    return new HeadSource({
      facts: this.#facts,
      view,
      dictionary: new HeadDictionary(view, this.#cache),
      order: options.traceId
        ? orderTrace(view, options.traceId)
        : this.#orderOf(view, options.order, options.groupSpans ?? GROUP_SPANS),
      leave: () => reader?.leave(pin),
    })
  }

  #currentView(): HeadView {
    const version = publishedVersion(this.arena, this.headerChunk)
    if (this.#view?.snapshot.version === version) return this.#view
    const snapshot = readSnapshot(this.arena, this.headerChunk)
    this.#orders.clear()
    this.#view = new HeadView(this.arena, this.headerChunk, snapshot)
    return this.#view
  }

  #orderOf(view: HeadView, order: TraceOrder, groupSpans: number): SpanOrder {
    const name = `${order} ${groupSpans}`
    const known = this.#orders.get(name)
    if (known) return known
    const made = orderSpans(view, order, groupSpans)
    this.#orders.set(name, made)
    return made
  }
}

interface SourceParts {
  readonly facts: HeadFacts
  readonly view: HeadView
  readonly dictionary: HeadDictionary
  readonly order: SpanOrder | undefined
  readonly leave: () => void
}

export class HeadSource implements ColumnSource, GroupOwner {
  readonly id: string
  readonly tenant: string
  readonly spanCount: number
  readonly traceCount: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  readonly size_bytes: number
  readonly view: HeadView
  readonly dictionary: HeadDictionary
  readonly groupCount: number
  readonly #order: SpanOrder | undefined
  readonly #groups = new Map<number, HeadGroup>()
  #leave: (() => void) | undefined
  #inspected_bytes = 0

  constructor(parts: SourceParts) {
    const { facts, view, order } = parts
    const { snapshot } = view
    this.id = facts.blockId
    this.tenant = facts.tenant
    this.view = view
    this.dictionary = parts.dictionary
    this.spanCount = order?.spans.length ?? 0
    this.traceCount = order?.traces.length ?? 0
    const isEmpty = snapshot.count(SPAN) === 0
    this.minStart_ns = isEmpty ? 0n : snapshot.minStart_ns
    this.maxEnd_ns = snapshot.maxEnd_ns
    this.size_bytes = snapshot.otlpBytes
    this.groupCount = order ? order.groups.length - 1 : 0
    this.#order = order
    this.#leave = parts.leave
  }

  /** Up to where in the partition's log the snapshot goes. */
  get appliedOffset(): number {
    return this.view.snapshot.appliedOffset
  }

  group(index: number): Promise<RowGroup> {
    return new Promise((resolve) => {
      this.inspect(0)
      let group = this.#groups.get(index)
      if (!group) {
        if (!this.#order || !(index >= 0 && index < this.groupCount)) {
          throw new RangeError(`head ${this.id}: group ${index} of ${this.groupCount}`)
        }
        group = new HeadGroup(this, this.#order, index)
        this.#groups.set(index, group)
      }
      resolve(group)
    })
  }

  locate(traceId: Uint8Array): Promise<{ group: number; row: number } | undefined> {
    return new Promise((resolve) => {
      this.inspect(this.traceCount * 4)
      const place = this.#placeOf(this.view.findTrace(traceId), traceId)
      if (place < 0) {
        resolve(undefined)
        return
      }
      const { groups } = this.#order!
      let group = 0
      while (groups[group + 1]! <= place) group++
      resolve({ group, row: place - groups[group]! })
    })
  }

  inspected_bytes(): number {
    return this.#inspected_bytes
  }

  close(): Promise<void> {
    this.#leave?.()
    this.#leave = undefined
    this.#groups.clear()
    return Promise.resolve()
  }

  inspect(bytes: number): void {
    if (!this.#leave) throw new HeadClosed(this.id)
    this.#inspected_bytes += bytes
  }

  /** Where a trace row stands in the order shown; -1 = not at all. */
  #placeOf(trace: number, traceId: Uint8Array): number {
    const order = this.#order
    if (trace < 0 || !order) return -1
    if (order.traces[trace] === trace) return trace
    if (order.traces.length === 1) return order.traces[0] === trace ? 0 : -1
    let low = 0
    let high = order.traces.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.#idOf(order.traces[middle]!), traceId) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #idOf(trace: number): Uint8Array {
    const words = [0, 1, 2, 3].map((part) => this.view.word(TRACE, TRACE_COLUMN.id + part, trace))
    return new Uint8Array(Int32Array.from(words).buffer)
  }
}
