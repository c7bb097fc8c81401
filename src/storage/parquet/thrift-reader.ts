/** Owns reading thrift's compact protocol: fields in any order, unknown ones skipped, every length checked before it is believed. */
import { Malformed } from '../block/codec/bytes.js'

export const THRIFT = {
  STOP: 0,
  TRUE: 1,
  FALSE: 2,
  BYTE: 3,
  I16: 4,
  I32: 5,
  I64: 6,
  DOUBLE: 7,
  BINARY: 8,
  LIST: 9,
  SET: 10,
  MAP: 11,
  STRUCT: 12,
} as const

/** Structures within structures; parquet's own need seven. */
const MAX_DEPTH = 16

export class ThriftReader {
  #depth = 0
  constructor(
    readonly source: Uint8Array,
    public offset = 0,
  ) {}

  fail(detail: string): never {
    throw new Malformed(this.offset, detail)
  }

  /** Calls `field` for each field of a structure; it must read the value, or call `skip(type)`. */
  struct(field: (id: number, type: number) => void): void {
    if (++this.#depth > MAX_DEPTH) this.fail('structures are nested too deeply')
    let id = 0
    for (;;) {
      const head = this.#u8()
      const type = head & 15
      if (type === THRIFT.STOP) break
      const delta = head >>> 4
      id = delta === 0 ? this.i32() : id + delta
      field(id, type)
    }
    this.#depth--
  }

  /** Calls `element` for each element of a list of `type`. Returns how many there were. */
  list(type: number, element: () => void): number {
    const head = this.#u8()
    let count = head >>> 4
    if (count === 15) count = this.#varint32()
    const found = head & 15
    // Writers disagree on the number of booleans in lists.
    const isBool = (t: number) => t === THRIFT.TRUE || t === THRIFT.FALSE
    if (count > 0 && found !== type && !(isBool(found) && isBool(type))) {
      this.fail(`a list of type ${found} where one of type ${type} belongs`)
    }
    // Every element takes a byte at least.
    if (count > this.source.length - this.offset) this.fail(`a list of ${count} is longer than what is left`)
    for (let i = 0; i < count; i++) element()
    return count
  } // prettier-ignore

  /** A boolean field has its value in its type. */
  bool(type: number): boolean {
    if (type === THRIFT.TRUE) return true
    if (type === THRIFT.FALSE) return false
    this.fail(`type ${type} is no boolean`)
  }

  /** A boolean within a list. */
  boolElement(): boolean {
    return this.#u8() === THRIFT.TRUE
  }

  i8(): number {
    return (this.#u8() << 24) >> 24
  }

  /** Zigzag, 32 bits; used for 16 bits as well. */
  i32(): number {
    const n = this.#varint32()
    return (n >>> 1) ^ -(n & 1)
  }

  /** Zigzag, 64 bits; fails beyond 2^53. */
  i64(): number {
    let low = 0
    let scale = 1
    for (let i = 0; i < 10; i++, scale *= 128) {
      const byte = this.#u8()
      low += (byte & 127) * scale
      if (byte > 127) continue
      if (low > Number.MAX_SAFE_INTEGER) break
      return low % 2 === 0 ? low / 2 : -(low + 1) / 2
    }
    this.fail('a number is beyond 2^53')
  }

  /** A count, a size or an offset: fails when negative. */
  count(): number {
    const value = this.i64()
    if (value < 0) this.fail(`${value} is less than zero`)
    return value
  }

  /** A view of the source. */
  binary(): Uint8Array {
    const length = this.#varint32()
    if (length > this.source.length - this.offset) this.fail(`${length} bytes are more than what is left`)
    this.offset += length
    return this.source.subarray(this.offset - length, this.offset)
  } // prettier-ignore

  text(): string {
    const bytes = this.binary()
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  }

  skip(type: number): void {
    switch (type) {
      case THRIFT.TRUE:
      case THRIFT.FALSE:
        return
      case THRIFT.BYTE:
        this.#u8()
        return
      case THRIFT.I16:
      case THRIFT.I32:
      case THRIFT.I64:
        this.#skipVarint()
        return
      case THRIFT.DOUBLE:
        this.#take(8)
        return
      case THRIFT.BINARY:
        this.binary()
        return
      case THRIFT.LIST:
      case THRIFT.SET:
        this.#skipList()
        return
      case THRIFT.MAP:
        this.#skipMap()
        return
      case THRIFT.STRUCT:
        this.struct((_, inner) => {
          this.skip(inner)
        })
        return
      default:
        this.fail(`type ${type} is unknown`)
    }
  }

  #skipList(): void {
    const type = this.source[this.offset]! & 15
    if (++this.#depth > MAX_DEPTH) this.fail('lists are nested too deeply')
    this.list(type, () => {
      this.#skipElement(type)
    })
    this.#depth--
  }

  #skipMap(): void {
    const count = this.#varint32()
    if (count === 0) return
    if (count > this.source.length - this.offset) this.fail(`a map of ${count} is longer than what is left`)
    if (++this.#depth > MAX_DEPTH) this.fail('maps are nested too deeply')
    const types = this.#u8()
    for (let i = 0; i < count; i++) {
      this.#skipElement(types >>> 4)
      this.#skipElement(types & 15)
    }
    this.#depth--
  } // prettier-ignore

  #skipElement(type: number): void {
    if (type === THRIFT.TRUE || type === THRIFT.FALSE) this.#u8()
    else this.skip(type)
  }

  #take(count: number): void {
    if (count > this.source.length - this.offset) this.fail(`${count} bytes are more than what is left`)
    this.offset += count
  } // prettier-ignore

  #u8(): number {
    if (this.offset >= this.source.length) this.fail('ends too early')
    return this.source[this.offset++]!
  }

  #skipVarint(): void {
    for (let i = 0; i < 10; i++) if (this.#u8() < 128) return
    this.fail('a number is longer than 64 bits')
  }

  #varint32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#u8()
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
    this.fail('a number is longer than 32 bits')
  }
}
