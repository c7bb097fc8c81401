/** Owns turning one Span message into rows: the span itself, its trace, its events and links, what is out of the ordinary. */
import type { HeadArena } from './arena.js'
import type { Attributes } from './attributes.js'
import { MalformedOtlp } from './errors.js'
import { finish, mix, traceHash } from './hash.js'
import { HashIndex } from './hash-index.js'
import {
  EVENT_COLUMN,
  EXTRA_COLUMN,
  LEVEL_EVENT,
  LEVEL_LINK,
  LEVEL_SPAN,
  LINK_COLUMN,
  PACKED,
  SPAN_COLUMN,
  TRACE_COLUMN,
} from './layout.js'
import type { SpanSet } from './span-set.js'
import type { Strings } from './strings.js'
import type { Table } from './table.js'
import { TraceLimits } from './trace-limits.js'
import type { Wire } from './wire.js'

const KIND_MASK = 7
const STATUS_MASK = 3
const U32_MAX = 0xffffffff

export class Spans {
  readonly traceIndex = new HashIndex()
  readonly spanIndex = new HashIndex()
  /** Least start and greatest end of all spans here, staged ones included; as signed halves. */
  minStartLo = -1
  minStartHi = -1
  maxEndLo = 0
  maxEndHi = 0
  duplicates = 0
  readonly limits = new TraceLimits()
  /** What heads of the same tenant held that were cut lately, and how many spans were skipped since they are there. */
  recent: readonly SpanSet[] = []
  recentDuplicates = 0
  #lastTrace = -1
  /** The span being decoded: places in the request (-1 = absent) and values. */
  #traceId = -1
  #spanId = -1
  #start = -1
  #end = -1
  #parentLo = 0
  #parentHi = 0
  #name = 0
  #kind = 0
  #status = 0
  #flags = 0
  #traceState = 0
  #statusMessage = 0
  #droppedAttributes = 0
  #droppedEvents = 0
  #droppedLinks = 0
  /** Begin and end of each event and link, read after the span's own row is known. */
  #events = new Int32Array(16)
  #eventWords = 0
  #links = new Int32Array(16)
  #linkWords = 0

  constructor(
    private readonly arena: HeadArena,
    private readonly wire: Wire,
    private readonly strings: Strings,
    private readonly attributes: Attributes,
    private readonly spans: Table,
    private readonly traces: Table,
    private readonly events: Table,
    private readonly links: Table,
    private readonly extras: Table,
  ) {}

  /** Makes extra row 0, which stands for "none". */
  initialise(): void {
    const at = this.extras.next()
    for (let column = 0; column < 8; column++) this.arena.words[at + column * this.extras.rows] = 0
    this.extras.count = 1
  }

  /** Adds the Span message in [pos, end) under a batch; false when the head, or one that was cut lately, has it already. */
  add(pos: number, end: number, batch: number): boolean {
    this.#decode(pos, end)
    const idLo = this.wire.view.getInt32(this.#spanId, true)
    const idHi = this.wire.view.getInt32(this.#spanId + 4, true)
    if (this.recent.length > 0 && this.#isRecent(idLo, idHi)) {
      this.recentDuplicates++
      return false
    }
    const trace = this.#trace()
    const hash = spanHash(trace, idLo, idHi, this.#kind)
    let slot = this.spanIndex.first(hash)
    while (slot >= 0) {
      if (this.#isSame(this.spanIndex.row(slot), trace, idLo, idHi)) {
        this.duplicates++
        return false
      }
      slot = this.spanIndex.next(hash, slot)
    }
    const span = this.spans.count
    this.#write(trace, batch, idLo, idHi, end - pos)
    const { limits } = this
    if (this.traceBytes(trace) > limits.max_trace_bytes) limits.over.set(trace, 'trace_too_large')
    this.spanIndex.insert(slot, hash)
    for (let i = 0; i < this.#eventWords; i += 2) {
      this.#event(span, this.#events[i]!, this.#events[i + 1]!)
    }
    for (let i = 0; i < this.#linkWords; i += 2) {
      this.#link(span, this.#links[i]!, this.#links[i + 1]!)
    }
    return true
  }

  /** The row of a trace by its 16 bytes at `at` of a view; -1 when it is not here. */
  findTrace(view: DataView, at: number): number {
    const a = view.getInt32(at, true)
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    const hash = traceHash(this.arena.seed, a, b, c, d)
    const index = this.traceIndex
    for (let slot = index.first(hash); slot >= 0; slot = index.next(hash, slot)) {
      if (this.#isTrace(index.row(slot), a, b, c, d)) return index.row(slot)
    }
    return -1
  }

  /** OTLP bytes of a trace's spans. */
  traceBytes(trace: number): number {
    return this.arena.words[this.traces.at(trace) + TRACE_COLUMN.bytes * this.traces.rows]! >>> 0
  }

  /** Takes back span rows from `count` on, and trace rows from `traces` on. */
  truncate(count: number, traceCount: number): void {
    const { words } = this.arena
    const { rows } = this.spans
    for (let span = count; span < this.spans.count; span++) {
      const at = this.spans.at(span)
      this.#addBytes(words[at]!, -(words[at + SPAN_COLUMN.bytes * rows]! >>> 0))
    }
    this.spans.count = count
    this.traces.count = traceCount
    this.spanIndex.truncate(count)
    this.traceIndex.truncate(traceCount)
    this.#lastTrace = -1
  }

  rebuild(): void {
    const { words, seed } = this.arena
    const traceRows = this.traces.rows
    for (let trace = 0; trace < this.traces.count; trace++) {
      const at = this.traces.at(trace)
      words[at + TRACE_COLUMN.bytes * traceRows] = 0
      const id = (part: number) => words[at + part * traceRows]!
      this.traceIndex.add(traceHash(seed, id(0), id(1), id(2), id(3)))
    }
    const { rows } = this.spans
    for (let span = 0; span < this.spans.count; span++) {
      const at = this.spans.at(span)
      const trace = words[at]!
      this.#addBytes(trace, words[at + SPAN_COLUMN.bytes * rows]! >>> 0)
      const idLo = words[at + SPAN_COLUMN.id * rows]!
      const idHi = words[at + (SPAN_COLUMN.id + 1) * rows]!
      this.spanIndex.add(spanHash(trace, idLo, idHi, this.#kindOf(at)))
    }
    this.traceIndex.commit()
    this.spanIndex.commit()
  }

  #clear(): void {
    this.#traceId = -1
    this.#spanId = -1
    this.#start = -1
    this.#end = -1
    this.#parentLo = 0
    this.#parentHi = 0
    this.#name = 0
    this.#kind = 0
    this.#status = 0
    this.#flags = 0
    this.#traceState = 0
    this.#statusMessage = 0
    this.#droppedAttributes = 0
    this.#droppedEvents = 0
    this.#droppedLinks = 0
    this.#eventWords = 0
    this.#linkWords = 0
    this.attributes.begin()
  }

  #decode(pos: number, end: number): void {
    const { wire } = this
    const { bytes } = wire
    const begin = pos
    this.#clear()
    while (pos < end) {
      let tag = bytes[pos]!
      if (tag < 0x80) {
        pos++
      } else {
        tag = wire.varint(pos, end)
        pos = wire.at
      }
      if ((tag & 7) === 2) {
        let length = pos < end ? bytes[pos]! : 0x80
        if (length < 0x80 && length < end - pos) {
          pos++
        } else {
          length = wire.length(pos, end)
          pos = wire.at
        }
        this.#delimited(tag >>> 3, pos, length)
        pos += length
      } else if ((tag & 7) === 1) {
        if (end - pos < 8) throw new MalformedOtlp(pos, `a time of 8 bytes, ${end - pos} left`)
        if (tag === 0x39) this.#start = pos
        else if (tag === 0x41) this.#end = pos
        pos += 8
      } else {
        pos = this.#scalar(tag, pos, end)
      }
    }
    if (this.#traceId < 0 || this.#spanId < 0) {
      throw new MalformedOtlp(begin, 'a span without a trace id of 16 bytes or a span id of 8')
    }
  }

  #delimited(field: number, pos: number, length: number): void {
    switch (field) {
      case 1:
        this.#traceId = length === 16 ? pos : -1
        break
      case 2:
        this.#spanId = length === 8 ? pos : -1
        break
      case 3:
        this.#traceState = this.strings.internField(pos, length)
        break
      case 4:
        this.#parent(pos, length)
        break
      case 5:
        this.#name = this.strings.internField(pos, length)
        break
      case 9:
        this.attributes.add(pos, pos + length)
        break
      case 11:
        if (this.#eventWords === this.#events.length) this.#events = doubled(this.#events)
        this.#events[this.#eventWords++] = pos
        this.#events[this.#eventWords++] = pos + length
        break
      case 13:
        if (this.#linkWords === this.#links.length) this.#links = doubled(this.#links)
        this.#links[this.#linkWords++] = pos
        this.#links[this.#linkWords++] = pos + length
        break
      case 15:
        this.#statusOf(pos, pos + length)
    }
  }

  #scalar(tag: number, pos: number, end: number): number {
    const { wire } = this
    const next = wire.skip(tag, pos, end)
    switch (tag) {
      case 0x30:
        this.#kind = wire.varint(pos, end)
        break
      case 0x50:
        this.#droppedAttributes = wire.varint(pos, end)
        break
      case 0x60:
        this.#droppedEvents = wire.varint(pos, end)
        break
      case 0x70:
        this.#droppedLinks = wire.varint(pos, end)
        break
      case 0x85: // field 16, fixed32
        this.#flags = wire.view.getInt32(pos, true)
    }
    return next
  }

  /** Ids of a length that OTLP does not know are cut or filled with zeros: nobody judged parent ids before. */
  #parent(pos: number, length: number): void {
    const { bytes, view } = this.wire
    if (length >= 8) {
      this.#parentLo = view.getInt32(pos, true)
      this.#parentHi = view.getInt32(pos + 4, true)
      return
    }
    this.#parentLo = 0
    this.#parentHi = 0
    for (let i = 0; i < length; i++) {
      if (i < 4) this.#parentLo |= bytes[pos + i]! << (8 * i)
      else this.#parentHi |= bytes[pos + i]! << (8 * (i - 4))
    }
  }

  /** Status {2 message, 3 code}. */
  #statusOf(pos: number, end: number): void {
    const { wire } = this
    while (pos < end) {
      const tag = wire.varint(pos, end)
      pos = wire.at
      const next = wire.skip(tag, pos, end)
      if (tag === 0x12) {
        const length = wire.length(pos, end)
        this.#statusMessage = this.strings.internField(wire.at, length)
      } else if (tag === 0x18) {
        this.#status = wire.varint(pos, end)
      }
      pos = next
    }
  }

  /** The row of the span's trace, made when it is new. A request's spans of one trace often follow each other. */
  #trace(): number {
    const { view } = this.wire
    const at = this.#traceId
    const a = view.getInt32(at, true)
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    if (this.#lastTrace >= 0 && this.#isTrace(this.#lastTrace, a, b, c, d)) return this.#lastTrace
    const index = this.traceIndex
    const hash = traceHash(this.arena.seed, a, b, c, d)
    let slot = index.first(hash)
    for (; slot >= 0; slot = index.next(hash, slot)) {
      const row = index.row(slot)
      if (this.#isTrace(row, a, b, c, d)) {
        this.#lastTrace = row
        return row
      }
    }
    const { words } = this.arena
    const { rows } = this.traces
    const to = this.traces.next()
    words[to] = a
    words[to + rows] = b
    words[to + 2 * rows] = c
    words[to + 3 * rows] = d
    words[to + TRACE_COLUMN.firstSpan * rows] = this.spans.count
    words[to + TRACE_COLUMN.bytes * rows] = this.limits.carriedTo(this.wire.bytes, at) | 0
    index.insert(slot, hash)
    this.#lastTrace = this.traces.count++
    const { limits } = this
    if (this.traces.count > limits.max_traces) {
      limits.over.set(this.#lastTrace, 'live_traces_exceeded')
    }
    return this.#lastTrace
  }

  #isRecent(idLo: number, idHi: number): boolean {
    const { view } = this.wire
    const at = this.#traceId
    const a = view.getInt32(at, true)
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    for (let i = 0; i < this.recent.length; i++) {
      if (this.recent[i]!.has(a, b, c, d, idLo, idHi, this.#kind)) return true
    }
    return false
  }

  #isTrace(row: number, a: number, b: number, c: number, d: number): boolean {
    const { words } = this.arena
    const { rows } = this.traces
    const at = this.traces.at(row)
    return (
      words[at] === a &&
      words[at + rows] === b &&
      words[at + 2 * rows] === c &&
      words[at + 3 * rows] === d
    )
  }

  #isSame(row: number, trace: number, idLo: number, idHi: number): boolean {
    const { words } = this.arena
    const { rows } = this.spans
    const at = this.spans.at(row)
    return (
      words[at] === trace &&
      words[at + SPAN_COLUMN.id * rows] === idLo &&
      words[at + (SPAN_COLUMN.id + 1) * rows] === idHi &&
      this.#kindOf(at) === this.#kind
    )
  }

  #kindOf(at: number): number {
    const { words } = this.arena
    const { rows } = this.spans
    const kind = words[at + SPAN_COLUMN.packed * rows]! & KIND_MASK
    if (kind !== PACKED.kindMax) return kind
    const extra = this.extras.at(words[at + SPAN_COLUMN.extra * rows]!)
    return words[extra + EXTRA_COLUMN.kind * this.extras.rows]!
  }

  #addBytes(trace: number, bytes: number): void {
    const at = this.traces.at(trace) + TRACE_COLUMN.bytes * this.traces.rows
    this.arena.words[at] = Math.min((this.arena.words[at]! >>> 0) + bytes, U32_MAX) | 0
  }

  #write(trace: number, batch: number, idLo: number, idHi: number, bytes: number): void {
    const { words } = this.arena
    const { view } = this.wire
    const { rows } = this.spans
    const startLo = this.#start < 0 ? 0 : view.getInt32(this.#start, true)
    const startHi = this.#start < 0 ? 0 : view.getInt32(this.#start + 4, true)
    const endLo = this.#end < 0 ? 0 : view.getInt32(this.#end, true)
    const endHi = this.#end < 0 ? 0 : view.getInt32(this.#end + 4, true)
    this.#widenRange(startLo, startHi, endLo, endHi)
    const borrow = endLo >>> 0 < startLo >>> 0 ? 1 : 0
    // In the order of SPAN_COLUMN.
    let at = this.spans.next()
    words[at] = trace
    words[(at += rows)] = batch
    words[(at += rows)] = idLo
    words[(at += rows)] = idHi
    words[(at += rows)] = this.#parentLo
    words[(at += rows)] = this.#parentHi
    words[(at += rows)] = startLo
    words[(at += rows)] = startHi
    words[(at += rows)] = (endLo - startLo) | 0
    words[(at += rows)] = (endHi - startHi - borrow) | 0
    words[(at += rows)] = this.#name
    words[(at += rows)] = this.#packed()
    words[(at += rows)] = this.attributes.shape(LEVEL_SPAN)
    words[(at += rows)] = this.attributes.writeValues()
    words[(at += rows)] = this.#extra()
    words[at + rows] = bytes
    this.#addBytes(trace, bytes)
    this.spans.count++
  }

  #widenRange(startLo: number, startHi: number, endLo: number, endHi: number): void {
    if (isBelow(startLo, startHi, this.minStartLo, this.minStartHi)) {
      this.minStartLo = startLo
      this.minStartHi = startHi
    }
    if (isBelow(this.maxEndLo, this.maxEndHi, endLo, endHi)) {
      this.maxEndLo = endLo
      this.maxEndHi = endHi
    }
  }

  #packed(): number {
    const kind = this.#kind >>> 0 < PACKED.kindMax ? this.#kind : PACKED.kindMax
    const status = this.#status >>> 0 < PACKED.statusMax ? this.#status : PACKED.statusMax
    const flags = this.#flags >>> 0 < PACKED.flagsMax ? this.#flags : PACKED.flagsMax
    return kind | (status << PACKED.statusShift) | (flags << PACKED.flagsShift)
  }

  /** A row for what few spans have; 0 when this one has nothing of it. */
  #extra(): number {
    const isPlain =
      (this.#statusMessage |
        this.#traceState |
        this.#droppedAttributes |
        this.#droppedEvents |
        this.#droppedLinks) ===
        0 &&
      this.#kind >>> 0 < KIND_MASK &&
      this.#status >>> 0 < STATUS_MASK &&
      this.#flags >>> 0 < PACKED.flagsMax
    if (isPlain) return 0
    const { words } = this.arena
    const { rows } = this.extras
    const at = this.extras.next()
    words[at + EXTRA_COLUMN.statusMessage * rows] = this.#statusMessage
    words[at + EXTRA_COLUMN.traceState * rows] = this.#traceState
    words[at + EXTRA_COLUMN.flags * rows] = this.#flags
    words[at + EXTRA_COLUMN.kind * rows] = this.#kind
    words[at + EXTRA_COLUMN.status * rows] = this.#status
    words[at + EXTRA_COLUMN.droppedAttributes * rows] = this.#droppedAttributes
    words[at + EXTRA_COLUMN.droppedEvents * rows] = this.#droppedEvents
    words[at + EXTRA_COLUMN.droppedLinks * rows] = this.#droppedLinks
    return this.extras.count++
  }

  /** Event {1 time, 2 name, 3 attributes, 4 dropped}. */
  #event(span: number, pos: number, end: number): void {
    const { wire } = this
    let time = -1
    let name = 0
    let dropped = 0
    this.attributes.begin()
    while (pos < end) {
      const tag = wire.varint(pos, end)
      pos = wire.at
      const next = wire.skip(tag, pos, end)
      if (tag === 0x09) time = pos
      else if (tag === 0x12) {
        const length = wire.length(pos, end)
        name = this.strings.internField(wire.at, length)
      } else if (tag === 0x1a) {
        const length = wire.length(pos, end)
        this.attributes.add(wire.at, wire.at + length)
      } else if (tag === 0x20) dropped = wire.varint(pos, end)
      pos = next
    }
    const { words } = this.arena
    const { rows } = this.events
    const at = this.events.next()
    words[at + EVENT_COLUMN.span * rows] = span
    words[at + EVENT_COLUMN.time * rows] = time < 0 ? 0 : wire.view.getInt32(time, true)
    words[at + (EVENT_COLUMN.time + 1) * rows] = time < 0 ? 0 : wire.view.getInt32(time + 4, true)
    words[at + EVENT_COLUMN.name * rows] = name
    words[at + EVENT_COLUMN.dropped * rows] = dropped
    words[at + EVENT_COLUMN.shape * rows] = this.attributes.shape(LEVEL_EVENT)
    words[at + EVENT_COLUMN.values * rows] = this.attributes.writeValues()
    this.events.count++
  }

  /** Link {1 trace id, 2 span id, 3 trace state, 4 attributes, 5 dropped, 6 flags}. */
  #link(span: number, pos: number, end: number): void {
    const { wire, strings } = this
    let [traceId, spanId, traceState, flags, dropped] = [0, 0, 0, 0, 0]
    this.attributes.begin()
    while (pos < end) {
      const tag = wire.varint(pos, end)
      pos = wire.at
      const next = wire.skip(tag, pos, end)
      if ((tag & 7) === 2 && tag <= 0x22) {
        const length = wire.length(pos, end)
        if (tag === 0x0a) traceId = strings.internField(wire.at, length)
        else if (tag === 0x12) spanId = strings.internField(wire.at, length)
        else if (tag === 0x1a) traceState = strings.internField(wire.at, length)
        else if (tag === 0x22) this.attributes.add(wire.at, wire.at + length)
      } else if (tag === 0x28) dropped = wire.varint(pos, end)
      else if (tag === 0x35) flags = wire.view.getInt32(pos, true)
      pos = next
    }
    const { words } = this.arena
    const { rows } = this.links
    const at = this.links.next()
    words[at + LINK_COLUMN.span * rows] = span
    words[at + LINK_COLUMN.traceId * rows] = traceId
    words[at + LINK_COLUMN.spanId * rows] = spanId
    words[at + LINK_COLUMN.traceState * rows] = traceState
    words[at + LINK_COLUMN.flags * rows] = flags
    words[at + LINK_COLUMN.dropped * rows] = dropped
    words[at + LINK_COLUMN.shape * rows] = this.attributes.shape(LEVEL_LINK)
    words[at + LINK_COLUMN.values * rows] = this.attributes.writeValues()
    this.links.count++
  }
}

function spanHash(trace: number, idLo: number, idHi: number, kind: number): number {
  return finish(mix(mix(mix(trace, idLo), idHi), kind))
}

/** Unsigned 64-bit comparison of halves. */
function isBelow(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(array.length * 2)
  grown.set(array)
  return grown
}
