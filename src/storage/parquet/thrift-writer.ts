/** Owns writing thrift's compact protocol: the part of it that parquet's structures are made of. */
import { ByteWriter } from '../block/codec/bytes.js'

const TRUE = 1
const FALSE = 2
const I8 = 3
const I32 = 5
const I64 = 6
const BINARY = 8
const LIST = 9
const STRUCT = 12
const NESTED_MAX = 16
const SHORT_LIST = 15

export class ThriftWriter {
  readonly out: ByteWriter
  /** Field ids are differences from the one before, at each depth. */
  readonly #lastIds = new Int16Array(NESTED_MAX)
  #depth = 0

  constructor(out = new ByteWriter()) {
    this.out = out
  }

  /** A whole structure: what is in a list, or the outermost one. */
  struct(fields: () => void): void {
    this.#lastIds[++this.#depth] = 0
    fields()
    this.#depth--
    this.out.u8(0)
  }

  structField(id: number, fields: () => void): void {
    this.#header(id, STRUCT)
    this.struct(fields)
  }

  boolField(id: number, value: boolean): void {
    this.#header(id, value ? TRUE : FALSE)
  }

  i8Field(id: number, value: number): void {
    this.#header(id, I8)
    this.out.u8(value)
  }

  i32Field(id: number, value: number): void {
    this.#header(id, I32)
    this.#zigzag(value)
  }

  /** Up to 52 bits, as every size and count of ours is. */
  i64Field(id: number, value: number): void {
    this.#header(id, I64)
    this.#zigzag(value)
  }

  textField(id: number, value: string): void {
    this.binaryField(id, Buffer.from(value))
  }

  binaryField(id: number, value: Uint8Array): void {
    this.#header(id, BINARY)
    this.#binary(value)
  }

  structList<T>(id: number, values: readonly T[], fields: (value: T) => void): void {
    this.#list(id, values.length, STRUCT)
    for (const value of values) {
      this.struct(() => {
        fields(value)
      })
    }
  }

  i32List(id: number, values: readonly number[]): void {
    this.#list(id, values.length, I32)
    for (const value of values) this.#zigzag(value)
  }

  i64List(id: number, values: readonly number[]): void {
    this.#list(id, values.length, I64)
    for (const value of values) this.#zigzag(value)
  }

  boolList(id: number, values: readonly boolean[]): void {
    this.#list(id, values.length, TRUE)
    for (const value of values) this.out.u8(value ? TRUE : FALSE)
  }

  textList(id: number, values: readonly string[]): void {
    this.#list(id, values.length, BINARY)
    for (const value of values) this.#binary(Buffer.from(value))
  }

  binaryList(id: number, values: readonly Uint8Array[]): void {
    this.#list(id, values.length, BINARY)
    for (const value of values) this.#binary(value)
  }

  #list(id: number, length: number, type: number): void {
    this.#header(id, LIST)
    if (length < SHORT_LIST) {
      this.out.u8((length << 4) | type)
      return
    }
    this.out.u8((SHORT_LIST << 4) | type)
    this.out.varint(length)
  }

  #header(id: number, type: number): void {
    const delta = id - this.#lastIds[this.#depth]!
    this.#lastIds[this.#depth] = id
    if (delta > 0 && delta <= 15) {
      this.out.u8((delta << 4) | type)
      return
    }
    this.out.u8(type)
    this.#zigzag(id)
  }

  #binary(value: Uint8Array): void {
    this.out.varint(value.length)
    this.out.bytes(value)
  }

  #zigzag(value: number): void {
    this.out.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }
}
