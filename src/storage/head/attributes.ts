/**
 * Owns turning KeyValue messages into values and shapes. A row's attributes are a shape (its list of keys with types,
 * shared by every row with the same list) and its values back to back, so that a repeated attribute costs four bytes and
 * a reader finds it by one look at the shape.
 */
import type { HeadArena } from './arena.js'
import { MalformedOtlp } from './errors.js'
import { finish, mix } from './hash.js'
import { HashIndex } from './hash-index.js'
import { ANY, BOOL, DOUBLE, INT32, INT64, SHAPE_COLUMN, STRING } from './layout.js'
import type { Strings } from './strings.js'
import type { Table } from './table.js'
import type { Wire } from './wire.js'

const KEY_CODE_MAX = (1 << 28) - 1
const FOLLOWERS = 1024

export class Attributes {
  readonly index = new HashIndex()
  readonly #arena: HeadArena
  readonly #wire: Wire
  readonly #strings: Strings
  readonly #values: Table
  readonly #shapes: Table
  /** The row under construction: items (key code << 3 | type) and value words. */
  #items = new Int32Array(32)
  #words = new Int32Array(64)
  #itemCount = 0
  #wordCount = 0
  #previousKey = 0
  /** By the low bits of a key's code: the key that followed it last. A guess, always checked. */
  readonly #followers = new Int32Array(FOLLOWERS)

  constructor(arena: HeadArena, wire: Wire, strings: Strings, values: Table, shapes: Table) {
    this.#arena = arena
    this.#wire = wire
    this.#strings = strings
    this.#values = values
    this.#shapes = shapes
  }

  /** Makes shape 0: no attributes. */
  initialise(): void {
    const at = this.#shapes.next()
    for (let column = 0; column < 4; column++) {
      this.#arena.words[at + column * this.#shapes.rows] = 0
    }
    this.#shapes.count = 1
  }

  rebuild(): void {
    for (let shape = 1; shape < this.#shapes.count; shape++) this.index.add(this.#hashOf(shape))
    this.index.commit()
  }

  begin(): void {
    this.#itemCount = 0
    this.#wordCount = 0
    this.#previousKey = 0
  }

  /** Adds the KeyValue in [pos, end) to the row under construction. */
  add(pos: number, end: number): void {
    const { bytes } = this.#wire
    let keyAt = pos
    let keyLength = 0
    let valueAt = pos
    let valueLength = 0
    while (pos < end) {
      const tag = bytes[pos]!
      if (tag !== 0x0a && tag !== 0x12) {
        pos = this.#skipField(pos, end)
        continue
      }
      pos++
      let length = pos < end ? bytes[pos]! : 0x80
      if (length < 0x80 && length < end - pos) {
        pos++
      } else {
        length = this.#wire.length(pos, end)
        pos = this.#wire.at
      }
      if (tag === 0x0a) {
        keyAt = pos
        keyLength = length
      } else {
        valueAt = pos
        valueLength = length
      }
      pos += length
    }
    const key = this.#key(keyAt, keyLength)
    if (key > KEY_CODE_MAX) throw new MalformedOtlp(keyAt, 'too many different strings in one head')
    this.#value(key, valueAt, valueAt + valueLength)
  }

  /** The code of a key. The same key tends to follow the same key, and comparing is cheaper than hashing. */
  #key(pos: number, length: number): number {
    const place = this.#previousKey & (FOLLOWERS - 1)
    let key = this.#followers[place]!
    if (key === 0 || !this.#strings.is(key, pos, length)) {
      key = this.#strings.intern(pos, length)
      this.#followers[place] = key
    }
    this.#previousKey = key
    return key
  }

  /** Puts items in the order of their keys, for rows whose identity must not depend on the order they were sent in. */
  sort(): void {
    const items = this.#items
    const count = this.#itemCount
    let isSorted = true
    for (let i = 1; i < count && isSorted; i++) isSorted = items[i - 1]! <= items[i]!
    if (isSorted) return
    const order = Array.from({ length: count }, (_, i) => i)
    const starts = new Int32Array(count)
    for (let i = 0, at = 0; i < count; at += width(items[i]!), i++) starts[i] = at
    order.sort((a, b) => items[a]! - items[b]! || a - b)
    const oldItems = items.slice(0, count)
    const oldWords = this.#words.slice(0, this.#wordCount)
    let at = 0
    order.forEach((from, to) => {
      items[to] = oldItems[from]!
      for (let i = 0; i < width(oldItems[from]!); i++)
        this.#words[at++] = oldWords[starts[from]! + i]!
    })
  }

  /** Hash of the values under construction, to tell rows of one shape apart. */
  hashValues(seed: number): number {
    let h = seed
    for (let i = 0; i < this.#wordCount; i++) h = mix(h, this.#words[i]!)
    return finish(h)
  }

  /** Whether the values at a VALUE row are those under construction, given that the shape is the same. */
  equalsValues(row: number): boolean {
    const { words } = this.#arena
    for (let i = 0; i < this.#wordCount; i++) {
      if (words[this.#values.at(row + i)] !== this.#words[i]) return false
    }
    return true
  }

  /** Writes the values under construction; returns their first VALUE row. */
  writeValues(): number {
    return this.#append(this.#words, this.#wordCount)
  }

  /** The shape of the row under construction; 0 when it has no attributes. */
  shape(level: number): number {
    const count = this.#itemCount
    if (count === 0) return 0
    const items = this.#items
    let h = mix(level, count)
    for (let i = 0; i < count; i++) h = mix(h, items[i]!)
    h = finish(h)
    let slot = this.index.first(h)
    while (slot >= 0) {
      const shape = this.index.pairs[slot * 2 + 1]!
      if (this.#equalsShape(shape, level)) return shape
      slot = this.index.next(h, slot)
    }
    return this.#addShape(slot, h, level)
  }

  #addShape(slot: number, hash: number, level: number): number {
    const { words } = this.#arena
    const shapes = this.#shapes
    const at = shapes.next()
    const items = this.#append(this.#items, this.#itemCount)
    words[at + SHAPE_COLUMN.level * shapes.rows] = level
    words[at + SHAPE_COLUMN.count * shapes.rows] = this.#itemCount
    words[at + SHAPE_COLUMN.items * shapes.rows] = items
    this.index.insert(slot, hash)
    return shapes.count++
  }

  #equalsShape(shape: number, level: number): boolean {
    const { words } = this.#arena
    const { rows } = this.#shapes
    const at = this.#shapes.at(shape)
    if (words[at + SHAPE_COLUMN.level * rows] !== level) return false
    if (words[at + SHAPE_COLUMN.count * rows] !== this.#itemCount) return false
    const start = words[at + SHAPE_COLUMN.items * rows]!
    for (let i = 0; i < this.#itemCount; i++) {
      if (words[this.#values.at(start + i)] !== this.#items[i]) return false
    }
    return true
  }

  #hashOf(shape: number): number {
    const { words } = this.#arena
    const { rows } = this.#shapes
    const at = this.#shapes.at(shape)
    const count = words[at + SHAPE_COLUMN.count * rows]!
    const start = words[at + SHAPE_COLUMN.items * rows]!
    let h = mix(words[at + SHAPE_COLUMN.level * rows]!, count)
    for (let i = 0; i < count; i++) h = mix(h, words[this.#values.at(start + i)]!)
    return finish(h)
  }

  #append(source: Int32Array, count: number): number {
    const { words } = this.#arena
    const values = this.#values
    const first = values.count
    if (count === 0) return first
    values.reserve(first + count - 1)
    const at = values.at(first)
    if ((first & values.mask) + count <= values.rows) {
      for (let i = 0; i < count; i++) words[at + i] = source[i]!
    } else {
      for (let i = 0; i < count; i++) words[values.at(first + i)] = source[i]!
    }
    values.count = first + count
    return first
  }

  /** The AnyValue in [pos, end). Of several oneof fields the last counts, as in every protobuf reader. */
  #value(key: number, pos: number, end: number): void {
    const { bytes } = this.#wire
    const room = end - pos - 2
    if (room >= 0 && room < 0x80 && bytes[pos] === 0x0a && bytes[pos + 1] === room) {
      // Nearly every value: one short string and nothing else.
      this.#push(key, STRING, this.#strings.intern(pos + 2, room))
      return
    }
    const start = pos
    let tag = 0
    let at = pos
    while (pos < end) {
      const next = bytes[pos]!
      if (next === 0x0a || next === 0x10 || next === 0x18 || next === 0x21 || isAny(next)) {
        tag = next
        at = pos + 1
        pos = this.#wire.skip(next, at, end)
      } else {
        pos = this.#skipField(pos, end)
      }
    }
    if (tag === 0x0a) {
      const length = this.#wire.length(at, end)
      this.#push(key, STRING, this.#strings.intern(this.#wire.at, length))
    } else if (tag === 0x18) {
      this.#integer(key, at, end)
    } else if (tag === 0x10) {
      this.#wire.varint64(at, end)
      this.#push(key, BOOL, (this.#wire.lo | this.#wire.hi) === 0 ? 0 : 1)
    } else if (tag === 0x21) {
      const { view } = this.#wire
      this.#pushWide(key, DOUBLE, view.getInt32(at, true), view.getInt32(at + 4, true))
    } else {
      this.#push(key, ANY, this.#strings.intern(start, end - start))
    }
  }

  #integer(key: number, at: number, end: number): void {
    const wire = this.#wire
    wire.varint64(at, end)
    if (wire.lo >> 31 === wire.hi) this.#push(key, INT32, wire.lo)
    else this.#pushWide(key, INT64, wire.lo, wire.hi)
  }

  #push(key: number, type: number, word: number): void {
    if (this.#itemCount === this.#items.length) this.#widen()
    this.#items[this.#itemCount++] = (key << 3) | type
    this.#words[this.#wordCount++] = word
  }

  #pushWide(key: number, type: number, lo: number, hi: number): void {
    this.#push(key, type, lo)
    this.#words[this.#wordCount++] = hi
  }

  #widen(): void {
    const items = new Int32Array(this.#items.length * 2)
    items.set(this.#items)
    this.#items = items
    const words = new Int32Array(items.length * 2)
    words.set(this.#words)
    this.#words = words
  }

  #skipField(pos: number, end: number): number {
    const tag = this.#wire.varint(pos, end)
    return this.#wire.skip(tag, this.#wire.at, end)
  }
}

function isAny(tag: number): boolean {
  return tag === 0x2a || tag === 0x32 || tag === 0x3a
}

/** Value words of an item. */
export function width(item: number): number {
  const type = item & 7
  return type === INT64 || type === DOUBLE ? 2 : 1
}
