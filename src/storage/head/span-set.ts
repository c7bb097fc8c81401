/**
 * Owns what is left of a head that was cut: which spans it held, exactly, in as few bytes as that takes. Made once, never
 * changed afterwards. It holds the ids themselves, no fingerprints: a span that is taken for another one would be lost.
 *
 *   traces   4 words a slot: the trace id; all zero = free. Half full: most questions end here.
 *   spans    3 words a slot: trace slot + 1, the span's kind above it; span id. 0 = free. Four fifths full.
 *
 * That is 32 bytes a trace and 15 a span. Not held, and so never found, are spans whose trace id is zero (no valid id) and
 * those of a kind that OTLP does not know.
 */
import type { HeadArena } from './arena.js'
import { finish, mix, traceHash } from './hash.js'
import { PACKED, SPAN_COLUMN } from './layout.js'
import type { Table } from './table.js'

const TRACE_WORDS = 4
const SPAN_WORDS = 3
const TRACE_SLOTS_PER_TRACE = 2
const SPAN_SLOTS_PER_SPAN = 1.25
const KIND_SHIFT = 29
const KINDS = 7
const WORD_VALUES = 2 ** 32

/** Bytes that a set for so many traces and spans takes. */
export function sizeOf_bytes(traces: number, spans: number): number {
  return 4 * (TRACE_WORDS * traceSlots(traces) + SPAN_WORDS * spanSlots(spans))
}

export class SpanSet {
  readonly #seed: number
  readonly #traces: Int32Array
  readonly #traceSlots: number
  readonly #spans: Int32Array
  readonly #spanSlots: number
  #count = 0
  /** The trace of the last question, since the spans of a request's trace follow each other: -1 = it is not here. */
  #slot = -1
  #a = 0
  #b = 0
  #c = 0
  #d = 0

  /** For at most so many traces and spans. The seed is nobody's to know, so that nobody can choose ids that collide. */
  constructor(seed: number, traces: number, spans: number) {
    this.#seed = seed
    this.#traceSlots = traceSlots(traces)
    this.#traces = new Int32Array(this.#traceSlots * TRACE_WORDS)
    this.#spanSlots = spanSlots(spans)
    this.#spans = new Int32Array(this.#spanSlots * SPAN_WORDS)
  }

  /** Spans in it. */
  get count(): number {
    return this.#count
  }

  get memory_bytes(): number {
    return this.#traces.byteLength + this.#spans.byteLength
  }

  /** Adds a trace by the words of its id; returns its slot for `addSpan`, -1 when it cannot be held. */
  addTrace(a: number, b: number, c: number, d: number): number {
    if ((a | b | c | d) === 0) return -1
    const found = this.#findTrace(a, b, c, d)
    if (found >= 0) return found
    const slot = ~found
    const at = slot * TRACE_WORDS
    this.#traces[at] = a
    this.#traces[at + 1] = b
    this.#traces[at + 2] = c
    this.#traces[at + 3] = d
    return slot
  }

  /** Adds a span of a trace that `addTrace` has answered; a second time changes nothing. */
  addSpan(traceSlot: number, idLo: number, idHi: number, kind: number): void {
    if (traceSlot < 0 || kind >>> 0 >= KINDS) return
    const slot = this.#findSpan(spanWord(traceSlot, kind), idLo, idHi)
    if (slot >= 0) return
    const at = ~slot * SPAN_WORDS
    this.#spans[at] = spanWord(traceSlot, kind)
    this.#spans[at + 1] = idLo
    this.#spans[at + 2] = idHi
    this.#count++
  }

  /** True when the span is in it. Words of ids are those of their bytes as sent, little endian. */
  has(
    a: number,
    b: number,
    c: number,
    d: number,
    idLo: number,
    idHi: number,
    kind: number,
  ): boolean {
    if (a !== this.#a || b !== this.#b || c !== this.#c || d !== this.#d) {
      this.#a = a
      this.#b = b
      this.#c = c
      this.#d = d
      this.#slot = this.#findTrace(a, b, c, d)
    }
    if (this.#slot < 0 || kind >>> 0 >= KINDS) return false
    return this.#findSpan(spanWord(this.#slot, kind), idLo, idHi) >= 0
  }

  /** The slot of a trace, or ~slot where it would be. A zero id looks like a free slot, and is never here. */
  #findTrace(a: number, b: number, c: number, d: number): number {
    const traces = this.#traces
    if ((a | b | c | d) === 0) return -1
    let slot = slotOf(traceHash(this.#seed, a, b, c, d), this.#traceSlots)
    for (;;) {
      const at = slot * TRACE_WORDS
      const w = traces[at]!
      const x = traces[at + 1]!
      const y = traces[at + 2]!
      const z = traces[at + 3]!
      if ((w | x | y | z) === 0) return ~slot
      if (w === a && x === b && y === c && z === d) return slot
      if (++slot === this.#traceSlots) slot = 0
    }
  }

  #findSpan(word: number, idLo: number, idHi: number): number {
    const spans = this.#spans
    let slot = slotOf(finish(mix(mix(mix(this.#seed, word), idLo), idHi)), this.#spanSlots)
    for (;;) {
      const at = slot * SPAN_WORDS
      const found = spans[at]!
      if (found === 0) return ~slot
      if (found === word && spans[at + 1] === idLo && spans[at + 2] === idHi) return slot
      if (++slot === this.#spanSlots) slot = 0
    }
  }
}

/** The spans that a head holds; of those that would take more than `max_bytes`, the last ones. */
export function spanSetOf(
  arena: HeadArena,
  spans: Table,
  traces: Table,
  max_bytes: number,
): SpanSet {
  const { words, seed } = arena
  const isWhole = sizeOf_bytes(traces.count, spans.count) <= max_bytes
  const last = isWhole ? { traces: traces.count, spans: spans.count } : lastOf(arena, spans, traces, max_bytes) // prettier-ignore
  const first = spans.count - last.spans
  const set = new SpanSet(seed, last.traces, last.spans)
  /** Slot + 2 of each trace row; 0 = not asked yet. */
  const slots = new Int32Array(traces.count)
  for (let span = first; span < spans.count; span++) {
    const at = spans.at(span)
    const trace = words[at]!
    if (slots[trace] === 0) {
      const id = traces.at(trace)
      const word = (part: number) => words[id + part * traces.rows]!
      slots[trace] = set.addTrace(word(0), word(1), word(2), word(3)) + 2
    }
    const idLo = words[at + SPAN_COLUMN.id * spans.rows]!
    const idHi = words[at + (SPAN_COLUMN.id + 1) * spans.rows]!
    const kind = words[at + SPAN_COLUMN.packed * spans.rows]! & PACKED.kindMax
    set.addSpan(slots[trace]! - 2, idLo, idHi, kind)
  }
  return set
}

/** How many of the last spans fit, and of how many traces they are. */
function lastOf({ words }: HeadArena, spans: Table, traces: Table, max_bytes: number) {
  const isSeen = new Uint8Array(traces.count)
  const last = { traces: 0, spans: 0 }
  while (last.spans < spans.count) {
    const trace = words[spans.at(spans.count - last.spans - 1)]!
    const isNew = isSeen[trace] === 0 ? 1 : 0
    if (sizeOf_bytes(last.traces + isNew, last.spans + 1) > max_bytes) break
    isSeen[trace] = 1
    last.traces += isNew
    last.spans++
  }
  return last
}

function spanWord(traceSlot: number, kind: number): number {
  return (traceSlot + 1) | (kind << KIND_SHIFT)
}

/** One is always free, so that every search ends. */
function traceSlots(traces: number): number {
  return traces * TRACE_SLOTS_PER_TRACE + 1
}

function spanSlots(spans: number): number {
  return Math.ceil(spans * SPAN_SLOTS_PER_SPAN) + 1
}

function slotOf(hash: number, slots: number): number {
  return Math.floor(((hash >>> 0) / WORD_VALUES) * slots)
}
