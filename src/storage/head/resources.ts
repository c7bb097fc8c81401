/**
 * Owns interning of resources, scopes, and the pairs of both that spans refer to. Identity ignores the order of
 * attributes, because Tempo and collectors re-batch; the same bytes again skip the decoding.
 */
import type { HeadArena } from './arena.js'
import type { Attributes } from './attributes.js'
import { finish, hashBytes, mix } from './hash.js'
import { HashIndex } from './hash-index.js'
import {
  BATCH_COLUMN,
  LEVEL_RESOURCE,
  LEVEL_SCOPE,
  RESOURCE_COLUMN,
  SCOPE_COLUMN,
} from './layout.js'
import type { Strings } from './strings.js'
import type { Table } from './table.js'
import type { Wire } from './wire.js'

/** Bytes and entries of messages remembered as they were sent; past either the memory starts anew. */
const SEEN_BYTES_MAX = 1 << 20
const SEEN_MAX = 4096

/** Messages as sent, to rows: a shortcut only, forgotten at any rollback. */
class Seen {
  readonly #slots = new Map<number, { view: DataView; extra: number; row: number }>()
  #size = 0

  find(wire: Wire, pos: number, length: number, extra: number, hash: number): number {
    const seen = this.#slots.get(hash)
    if (seen?.extra !== extra || seen.view.byteLength !== length) return -1
    const { view } = seen
    const request = wire.view
    let i = 0
    for (; i + 4 <= length; i += 4) {
      if (view.getInt32(i, true) !== request.getInt32(pos + i, true)) return -1
    }
    for (; i < length; i++) if (view.getUint8(i) !== request.getUint8(pos + i)) return -1
    return seen.row
  }

  add(wire: Wire, pos: number, length: number, extra: number, hash: number, row: number): void {
    if (length > SEEN_BYTES_MAX >> 3) return
    if (this.#size + length > SEEN_BYTES_MAX || this.#slots.size >= SEEN_MAX) this.clear()
    const copy = new Uint8Array(length)
    copy.set(wire.bytes.subarray(pos, pos + length))
    this.#slots.set(hash, { view: new DataView(copy.buffer), extra, row })
    this.#size += length
  }

  clear(): void {
    this.#slots.clear()
    this.#size = 0
  }
}

export class Resources {
  readonly resourceIndex = new HashIndex()
  readonly scopeIndex = new HashIndex()
  readonly batchIndex = new HashIndex()
  readonly #seenResources = new Seen()
  readonly #seenScopes = new Seen()
  #name = 0
  #version = 0
  #dropped = 0

  constructor(
    private readonly arena: HeadArena,
    private readonly wire: Wire,
    private readonly strings: Strings,
    private readonly attributes: Attributes,
    private readonly resources: Table,
    private readonly scopes: Table,
    private readonly batches: Table,
  ) {}

  /** Rows were taken back: what was seen may name them. */
  forget(): void {
    this.#seenResources.clear()
    this.#seenScopes.clear()
  }

  /** The row of the Resource message in [pos, end) under a schema URL's code. */
  resource(pos: number, end: number, schemaUrl: number): number {
    const length = end - pos
    const sent = hashBytes(this.wire.view, pos, length, this.arena.seed ^ schemaUrl)
    let row = this.#seenResources.find(this.wire, pos, length, schemaUrl, sent)
    if (row >= 0) return row
    this.#decode(pos, end, false)
    row = this.#internResource(schemaUrl)
    this.#seenResources.add(this.wire, pos, length, schemaUrl, sent, row)
    return row
  }

  /** The row of the InstrumentationScope message in [pos, end) under a schema URL's code. */
  scope(pos: number, end: number, schemaUrl: number): number {
    const length = end - pos
    const sent = hashBytes(this.wire.view, pos, length, this.arena.seed ^ schemaUrl)
    let row = this.#seenScopes.find(this.wire, pos, length, schemaUrl, sent)
    if (row >= 0) return row
    this.#decode(pos, end, true)
    row = this.#internScope(schemaUrl)
    this.#seenScopes.add(this.wire, pos, length, schemaUrl, sent, row)
    return row
  }

  /** The row of a resource with a scope. */
  batch(resource: number, scope: number): number {
    const { words } = this.arena
    const { rows } = this.batches
    const hash = finish(mix(resource, scope))
    let slot = this.batchIndex.first(hash)
    for (; slot >= 0; slot = this.batchIndex.next(hash, slot)) {
      const row = this.batchIndex.row(slot)
      const at = this.batches.at(row)
      if (words[at] === resource && words[at + BATCH_COLUMN.scope * rows] === scope) return row
    }
    const at = this.batches.next()
    words[at] = resource
    words[at + BATCH_COLUMN.scope * rows] = scope
    this.batchIndex.insert(slot, hash)
    return this.batches.count++
  }

  rebuild(hashValuesAt: (shape: number, row: number, seed: number) => number): void {
    const { words } = this.arena
    for (let row = 0; row < this.resources.count; row++) {
      const at = this.resources.at(row)
      const { rows } = this.resources
      const shape = words[at + RESOURCE_COLUMN.shape * rows]!
      const seed = identity(shape, words[at]!, words[at + RESOURCE_COLUMN.dropped * rows]!)
      this.resourceIndex.add(hashValuesAt(shape, words[at + RESOURCE_COLUMN.values * rows]!, seed))
    }
    for (let row = 0; row < this.scopes.count; row++) {
      const at = this.scopes.at(row)
      const { rows } = this.scopes
      const column = (index: number) => words[at + index * rows]!
      const shape = column(SCOPE_COLUMN.shape)
      const seed = mix(
        mix(
          identity(shape, column(SCOPE_COLUMN.schemaUrl), column(SCOPE_COLUMN.dropped)),
          column(SCOPE_COLUMN.name),
        ),
        column(SCOPE_COLUMN.version),
      )
      this.scopeIndex.add(hashValuesAt(shape, column(SCOPE_COLUMN.values), seed))
    }
    for (let row = 0; row < this.batches.count; row++) {
      const at = this.batches.at(row)
      this.batchIndex.add(finish(mix(words[at]!, words[at + this.batches.rows]!)))
    }
    for (const index of [this.resourceIndex, this.scopeIndex, this.batchIndex]) index.commit()
  }

  #internResource(schemaUrl: number): number {
    const { words } = this.arena
    const { rows } = this.resources
    const shape = this.attributes.shape(LEVEL_RESOURCE)
    const hash = this.attributes.hashValues(identity(shape, schemaUrl, this.#dropped))
    const index = this.resourceIndex
    let slot = index.first(hash)
    for (; slot >= 0; slot = index.next(hash, slot)) {
      const at = this.resources.at(index.row(slot))
      if (
        words[at + RESOURCE_COLUMN.schemaUrl * rows] === schemaUrl &&
        words[at + RESOURCE_COLUMN.dropped * rows] === this.#dropped &&
        words[at + RESOURCE_COLUMN.shape * rows] === shape &&
        this.attributes.equalsValues(words[at + RESOURCE_COLUMN.values * rows]!)
      ) {
        return index.row(slot)
      }
    }
    const at = this.resources.next()
    words[at + RESOURCE_COLUMN.schemaUrl * rows] = schemaUrl
    words[at + RESOURCE_COLUMN.dropped * rows] = this.#dropped
    words[at + RESOURCE_COLUMN.shape * rows] = shape
    words[at + RESOURCE_COLUMN.values * rows] = this.attributes.writeValues()
    index.insert(slot, hash)
    return this.resources.count++
  }

  #internScope(schemaUrl: number): number {
    const { words } = this.arena
    const { rows } = this.scopes
    const shape = this.attributes.shape(LEVEL_SCOPE)
    const seed = mix(mix(identity(shape, schemaUrl, this.#dropped), this.#name), this.#version)
    const hash = this.attributes.hashValues(seed)
    const index = this.scopeIndex
    let slot = index.first(hash)
    for (; slot >= 0; slot = index.next(hash, slot)) {
      const at = this.scopes.at(index.row(slot))
      if (
        words[at + SCOPE_COLUMN.name * rows] === this.#name &&
        words[at + SCOPE_COLUMN.version * rows] === this.#version &&
        words[at + SCOPE_COLUMN.schemaUrl * rows] === schemaUrl &&
        words[at + SCOPE_COLUMN.dropped * rows] === this.#dropped &&
        words[at + SCOPE_COLUMN.shape * rows] === shape &&
        this.attributes.equalsValues(words[at + SCOPE_COLUMN.values * rows]!)
      ) {
        return index.row(slot)
      }
    }
    const at = this.scopes.next()
    words[at + SCOPE_COLUMN.name * rows] = this.#name
    words[at + SCOPE_COLUMN.version * rows] = this.#version
    words[at + SCOPE_COLUMN.schemaUrl * rows] = schemaUrl
    words[at + SCOPE_COLUMN.dropped * rows] = this.#dropped
    words[at + SCOPE_COLUMN.shape * rows] = shape
    words[at + SCOPE_COLUMN.values * rows] = this.attributes.writeValues()
    index.insert(slot, hash)
    return this.scopes.count++
  }

  /** Resource {1 attributes, 2 dropped}; InstrumentationScope {1 name, 2 version, 3 attributes, 4 dropped}. */
  #decode(pos: number, end: number, isScope: boolean): void {
    const { wire } = this
    const attributes = isScope ? 0x1a : 0x0a
    const dropped = isScope ? 0x20 : 0x10
    this.attributes.begin()
    this.#name = 0
    this.#version = 0
    this.#dropped = 0
    while (pos < end) {
      const tag = wire.varint(pos, end)
      pos = wire.at
      if (tag === attributes || (isScope && (tag === 0x0a || tag === 0x12))) {
        const length = wire.length(pos, end)
        pos = wire.at
        if (tag === attributes) this.attributes.add(pos, pos + length)
        else if (tag === 0x0a) this.#name = this.strings.internField(pos, length)
        else this.#version = this.strings.internField(pos, length)
        pos += length
      } else if (tag === dropped) {
        this.#dropped = wire.varint(pos, end)
        pos = wire.at
      } else {
        pos = wire.skip(tag, pos, end)
      }
    }
    this.attributes.sort()
  }
}

function identity(shape: number, schemaUrl: number, dropped: number): number {
  return mix(mix(mix(0, shape), schemaUrl), dropped)
}
