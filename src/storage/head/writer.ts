/**
 * Owns the one way spans enter a head: OTLP bytes are decoded straight into columns, staged, and published as a whole.
 * One thread writes a head at a time; what it published outlives it, and `adopt` goes on from there.
 */
import { assert } from '../../lib/assert.js'
import type { HeadArena } from './arena.js'
import { Attributes, width } from './attributes.js'
import { HeadFull, MalformedOtlp } from './errors.js'
import { finish, mix } from './hash.js'
import { initialiseHeader, readHeader, type HeadFacts } from './header.js'
import {
  BATCH,
  CHUNK_BYTES,
  ENTRY,
  EVENT,
  EXTRA,
  LINK,
  RESOURCE,
  SCOPE,
  SHAPE,
  SHAPE_COLUMN,
  SNAPSHOT,
  SPAN,
  TABLES,
  TEXT,
  TRACE,
  VALUE,
} from './layout.js'
import { Resources } from './resources.js'
import { publishSnapshot, readSnapshot, reservedRows, Snapshot } from './snapshot.js'
import { Spans } from './spans.js'
import { spanSetOf, type SpanSet } from './span-set.js'
import { Strings } from './strings.js'
import { Table } from './table.js'
import { tracesFrom, type AppendLimits, type LimitReason } from './trace-limits.js'
import { Wire } from './wire.js'

export interface AppendResult {
  /**
   * When it is not `ok`, nothing of the request was kept. `head_full`: cut the head and go on with a new one. `over_limit`:
   * `overLimits` names the traces, and `spans` is how many would have been staged without limits.
   */
  readonly code: 'ok' | 'arena_full' | 'head_full' | 'over_limit'
  /** Spans staged. */
  readonly spans: number
  /** Spans skipped, because the head has the same (trace id, span id, kind). */
  readonly duplicates: number
  /** Spans skipped, because a head that was cut lately has. */
  readonly recentDuplicates: number
  readonly newTraces: number
  /** OTLP bytes of the spans staged. */
  readonly bytes: number
}

const NONE: readonly SpanSet[] = []

/** Where a rollback goes back to. */
interface Mark {
  readonly counts: Int32Array
  readonly times: Int32Array
  readonly duplicates: number
  readonly otlpBytes: number
}

export class HeadWriter {
  readonly arena: HeadArena
  readonly headerChunk: number
  readonly facts: HeadFacts
  readonly #tables: Table[] = []
  readonly #wire = new Wire()
  readonly #strings: Strings
  readonly #attributes: Attributes
  readonly #resources: Resources
  readonly #spans: Spans
  readonly #snapshot = new Snapshot()
  #otlpBytes = 0
  #overLimits: ReadonlyMap<string, LimitReason> = new Map()
  #published: Mark
  #isRetired = false
  #isSpoiled = false

  /** Makes an empty head that readers can open at once; undefined when the arena has no room for one. */
  static create(arena: HeadArena, facts: HeadFacts): HeadWriter | undefined {
    arena.sweep(facts.partition)
    const headerChunk = arena.takeHeader(facts.partition)
    if (headerChunk === 0) return undefined
    initialiseHeader(arena, headerChunk, facts)
    arena.open(headerChunk)
    const writer = new HeadWriter(arena, headerChunk, facts)
    try {
      writer.#initialise()
    } catch (error) {
      if (!(error instanceof HeadFull)) throw error
      writer.retire()
      // Now, or the next `reclaim` of whoever makes room would take these chunks for room that somebody has made.
      arena.reclaim()
      return undefined
    }
    return writer
  }

  /**
   * Goes on with the head of an owner that has died, from its last published state: frees what it had taken beyond that
   * and rebuilds the private tables from the columns. The caller knows that the owner's thread has ended.
   */
  static adopt(arena: HeadArena, headerChunk: number): HeadWriter {
    assert(arena.identity(headerChunk) !== 0, `no open head at chunk ${headerChunk}`)
    const writer = new HeadWriter(arena, headerChunk, readHeader(arena, headerChunk))
    arena.sweep(writer.facts.partition)
    writer.#adopt()
    return writer
  }

  private constructor(arena: HeadArena, headerChunk: number, facts: HeadFacts) {
    this.arena = arena
    this.headerChunk = headerChunk
    this.facts = facts
    for (let table = 0; table < TABLES; table++) {
      this.#tables.push(new Table(arena, headerChunk, table))
    }
    const table = (id: number) => this.#tables[id]!
    this.#strings = new Strings(arena, this.#wire, table(ENTRY), table(TEXT))
    this.#attributes = new Attributes(arena, this.#wire, this.#strings, table(VALUE), table(SHAPE))
    this.#resources = new Resources(
      arena,
      this.#wire,
      this.#strings,
      this.#attributes,
      table(RESOURCE),
      table(SCOPE),
      table(BATCH),
    )
    this.#spans = new Spans(
      arena,
      this.#wire,
      this.#strings,
      this.#attributes,
      table(SPAN),
      table(TRACE),
      table(EVENT),
      table(LINK),
      table(EXTRA),
    )
    this.#published = this.#mark()
  }

  /**
   * Stages the spans of an ExportTraceServiceRequest (or TracesData), all but those that are in one of `recent`. The bytes
   * lie in normal memory and are not kept. Throws `MalformedOtlp` and keeps nothing of it when they are no such message.
   */
  append(otlp: Uint8Array, recent: readonly SpanSet[] = NONE): AppendResult {
    assert(!this.#isRetired, `head ${this.facts.blockId} is retired`)
    assert(!this.#isSpoiled, `head ${this.facts.blockId} failed before; adopt it anew`)
    const before = this.#mark()
    this.#spans.recent = recent
    this.#spans.recentDuplicates = 0
    this.#wire.open(otlp)
    try {
      this.#request(otlp.length)
    } catch (error) {
      this.#restore(before)
      if (error instanceof HeadFull) return refused(error.reason)
      // A fault of ours may have left tables out of step with each other: only the published state is sure.
      if (!(error instanceof MalformedOtlp)) this.#isSpoiled = true
      throw error
    } finally {
      this.#wire.close()
      this.#spans.recent = NONE
    }
    if (this.#spans.limits.over.size > 0) return this.#overLimit(before)
    const spans = this.#count(SPAN) - before.counts[SPAN]!
    const duplicates = this.#spans.duplicates - before.duplicates
    const { recentDuplicates } = this.#spans
    // The resources and strings of spans that are elsewhere are of no use here.
    if (spans === 0 && recentDuplicates > 0) this.#restore(before, before.duplicates + duplicates)
    return {
      code: 'ok',
      spans,
      duplicates,
      recentDuplicates,
      newTraces: this.#count(TRACE) - before.counts[TRACE]!,
      bytes: this.#otlpBytes - before.otlpBytes,
    }
  }

  /** What the next append is held to; without a call, to nothing. */
  setLimits(limits: AppendLimits): void {
    this.#spans.limits.set(limits)
  }

  /** Traces that went beyond a limit, by key (a character a byte of the id), as of the last `over_limit`. */
  get overLimits(): ReadonlyMap<string, LimitReason> {
    return this.#overLimits
  }

  /** Traces of at least so many bytes, by key, staged ones included. */
  tracesFrom(min_bytes: number): Map<string, number> {
    return tracesFrom(this.arena, this.#tables[TRACE]!, min_bytes)
  }

  /** Makes all staged spans visible at once, and says up to which offset of the partition's log they go. */
  publish(appliedOffset: number): void {
    assert(!this.#isRetired, `head ${this.facts.blockId} is retired`)
    assert(
      Number.isSafeInteger(appliedOffset) && appliedOffset >= 0,
      `applied offset ${appliedOffset}`,
    )
    const { words } = this.#snapshot
    for (let table = 0; table < TABLES; table++) {
      words[SNAPSHOT.counts + table] = this.#count(table)
    }
    this.#snapshot.setNumber(SNAPSHOT.appliedOffset, appliedOffset)
    this.#snapshot.setNumber(SNAPSHOT.otlpBytes, this.#otlpBytes)
    words.set(this.#times(), SNAPSHOT.minStart)
    words[SNAPSHOT.duplicates] = this.#spans.duplicates
    publishSnapshot(this.arena, this.headerChunk, this.#snapshot)
    for (const index of this.#indexes()) index.commit()
    this.#published = this.#mark()
  }

  /** Takes back all that was staged since the last `publish`. */
  rollback(): void {
    this.#restore(this.#published)
  }

  /** Closes the head to new readers; its memory comes back by `arena.reclaim()`. The writer is of no use afterwards. */
  retire(): void {
    this.#isRetired = true
    this.arena.retire(this.headerChunk)
  }

  /** Spans, staged ones included. */
  get spanCount(): number {
    return this.#count(SPAN)
  }

  get traceCount(): number {
    return this.#count(TRACE)
  }

  /** OTLP bytes of the spans, staged ones included. */
  get otlpBytes(): number {
    return this.#otlpBytes
  }

  /** Spans skipped so far, because the head had them. */
  get duplicates(): number {
    return this.#spans.duplicates
  }

  get appliedOffset(): number {
    return this.#snapshot.appliedOffset
  }

  get minStart_ns(): bigint {
    return this.spanCount === 0 ? 0n : big(this.#spans.minStartLo, this.#spans.minStartHi)
  }

  get maxEnd_ns(): bigint {
    return big(this.#spans.maxEndLo, this.#spans.maxEndHi)
  }

  /** OTLP bytes of the head's spans of a trace (16 bytes), staged ones included; 0 when it has none. */
  traceBytes(traceId: Uint8Array): number {
    const view = new DataView(traceId.buffer, traceId.byteOffset, traceId.byteLength)
    const trace = this.#spans.findTrace(view, 0)
    return trace < 0 ? 0 : this.#spans.traceBytes(trace)
  }

  /** The ids of the head's spans, for whoever has to know them when the head is gone; of the last ones that fit. */
  spanSet(max_bytes: number): SpanSet {
    return spanSetOf(this.arena, this.#tables[SPAN]!, this.#tables[TRACE]!, max_bytes)
  }

  /** Shared memory that the head takes. */
  get arena_bytes(): number {
    let chunks = 1
    for (const table of this.#tables) chunks += table.pageCount
    return chunks * CHUNK_BYTES
  }

  /** Shared memory by table number, for measurements. */
  tableBytes(): number[] {
    return this.#tables.map((table) => table.pageCount * CHUNK_BYTES)
  }

  /** Private memory of the hash tables. */
  get memory_bytes(): number {
    return this.#indexes().reduce((sum, index) => sum + index.memory_bytes, 0)
  }

  #initialise(): void {
    this.#strings.initialise()
    this.#attributes.initialise()
    this.#spans.initialise()
    this.publish(0)
  }

  #count(table: number): number {
    return this.#tables[table]!.count
  }

  #times(): Int32Array {
    const { minStartLo, minStartHi, maxEndLo, maxEndHi } = this.#spans
    return Int32Array.of(minStartLo, minStartHi, maxEndLo, maxEndHi)
  }

  #mark(): Mark {
    return {
      counts: Int32Array.from(this.#tables, (table) => table.count),
      times: this.#times(),
      duplicates: this.#spans.duplicates,
      otlpBytes: this.#otlpBytes,
    }
  }

  #restore(mark: Mark, duplicates = mark.duplicates): void {
    const count = (table: number) => mark.counts[table]!
    this.#spans.truncate(count(SPAN), count(TRACE))
    this.#strings.index.truncate(count(ENTRY) - 1)
    this.#attributes.index.truncate(count(SHAPE) - 1)
    this.#resources.resourceIndex.truncate(count(RESOURCE))
    this.#resources.scopeIndex.truncate(count(SCOPE))
    this.#resources.batchIndex.truncate(count(BATCH))
    this.#resources.forget()
    for (let table = 0; table < TABLES; table++) this.#tables[table]!.count = count(table)
    this.#setTimes(mark.times)
    this.#spans.duplicates = duplicates
    this.#otlpBytes = mark.otlpBytes
  }

  #overLimit(before: Mark): AppendResult {
    this.#overLimits = this.#spans.limits.takeOver(this.arena, this.#tables[TRACE]!)
    const spans = this.#count(SPAN) - before.counts[SPAN]!
    this.#restore(before)
    return { ...refused('head_full'), code: 'over_limit', spans }
  }

  #setTimes(times: Int32Array): void {
    this.#spans.minStartLo = times[0]!
    this.#spans.minStartHi = times[1]!
    this.#spans.maxEndLo = times[2]!
    this.#spans.maxEndHi = times[3]!
  }

  #indexes() {
    return [
      this.#strings.index,
      this.#attributes.index,
      this.#resources.resourceIndex,
      this.#resources.scopeIndex,
      this.#resources.batchIndex,
      this.#spans.traceIndex,
      this.#spans.spanIndex,
    ]
  }

  #adopt(): void {
    const snapshot = readSnapshot(this.arena, this.headerChunk, this.#snapshot)
    const used = new Set<number>()
    for (let table = 0; table < TABLES; table++) {
      const reserved = reservedRows(snapshot, table)
      this.#tables[table]!.adopt(snapshot.count(table), reserved, (chunk) => used.add(chunk))
    }
    this.arena.freeUnused(this.headerChunk, (chunk) => used.has(chunk))
    if (this.#count(ENTRY) === 0) {
      // Its owner died between making the head and publishing it for the first time.
      this.#initialise()
      return
    }
    this.#strings.rebuild()
    this.#attributes.rebuild()
    this.#resources.rebuild((shape, row, seed) => this.#hashValuesAt(shape, row, seed))
    this.#spans.rebuild()
    this.#setTimes(snapshot.words.subarray(SNAPSHOT.minStart, SNAPSHOT.minStart + 4))
    this.#spans.duplicates = snapshot.duplicates
    this.#otlpBytes = snapshot.otlpBytes
    this.#published = this.#mark()
  }

  #hashValuesAt(shape: number, row: number, seed: number): number {
    const { words } = this.arena
    const shapes = this.#tables[SHAPE]!
    const values = this.#tables[VALUE]!
    const at = shapes.at(shape)
    const items = words[at + SHAPE_COLUMN.items * shapes.rows]!
    const itemCount = words[at + SHAPE_COLUMN.count * shapes.rows]!
    let h = seed
    for (let item = 0; item < itemCount; item++) {
      for (let i = width(words[values.at(items + item)]!); i > 0; i--) {
        h = mix(h, words[values.at(row++)]!)
      }
    }
    return finish(h)
  }

  /** ExportTraceServiceRequest {1 resource spans}. */
  #request(length: number): void {
    const wire = this.#wire
    for (let pos = 0; pos < length;) {
      const tag = wire.varint(pos, length)
      pos = wire.at
      const next = wire.skip(tag, pos, length)
      if (tag === 0x0a) {
        wire.length(pos, length)
        this.#resourceSpans(wire.at, next)
      }
      pos = next
    }
  }

  /** ResourceSpans {1 resource, 2 scope spans, 3 schema URL}: the URL comes last, but belongs to the resource's identity. */
  #resourceSpans(begin: number, end: number): void {
    const wire = this.#wire
    let at = 0
    let atEnd = 0
    let schemaUrl = 0
    for (let pos = begin; pos < end;) {
      const tag = wire.varint(pos, end)
      const next = wire.skip(tag, (pos = wire.at), end)
      if (tag === 0x0a) {
        wire.length(pos, end)
        at = wire.at
        atEnd = next
      } else if (tag === 0x1a) {
        const length = wire.length(pos, end)
        schemaUrl = this.#strings.internField(wire.at, length)
      }
      pos = next
    }
    const resource = this.#resources.resource(at, atEnd, schemaUrl)
    for (let pos = begin; pos < end;) {
      const tag = wire.varint(pos, end)
      const next = wire.skip(tag, (pos = wire.at), end)
      if (tag === 0x12) {
        wire.length(pos, end)
        this.#scopeSpans(wire.at, next, resource)
      }
      pos = next
    }
  }

  /** ScopeSpans {1 scope, 2 spans, 3 schema URL}. */
  #scopeSpans(begin: number, end: number, resource: number): void {
    const wire = this.#wire
    let at = 0
    let atEnd = 0
    let schemaUrl = 0
    for (let pos = begin; pos < end;) {
      const tag = wire.varint(pos, end)
      const next = wire.skip(tag, (pos = wire.at), end)
      if (tag === 0x0a) {
        wire.length(pos, end)
        at = wire.at
        atEnd = next
      } else if (tag === 0x1a) {
        const length = wire.length(pos, end)
        schemaUrl = this.#strings.internField(wire.at, length)
      }
      pos = next
    }
    const scope = this.#resources.scope(at, atEnd, schemaUrl)
    const batch = this.#resources.batch(resource, scope)
    for (let pos = begin; pos < end;) {
      const tag = wire.varint(pos, end)
      const next = wire.skip(tag, (pos = wire.at), end)
      if (tag === 0x12) {
        const length = wire.length(pos, end)
        if (this.#spans.add(wire.at, next, batch)) this.#otlpBytes += length
      }
      pos = next
    }
  }
}

function refused(code: 'arena_full' | 'head_full'): AppendResult {
  return { code, spans: 0, duplicates: 0, recentDuplicates: 0, newTraces: 0, bytes: 0 }
}

function big(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
}
