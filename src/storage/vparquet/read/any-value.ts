/** Owns AnyValue protobuf bytes for what Tempo's parquet has as lists, or as JSON. */
import { OtlpJsonError, anyValueFromJson } from '../../../otlp/json.js'
import { ByteWriter } from '../../block/codec/bytes.js'

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const STRING_VALUE = 1
const BOOL_VALUE = 2
const INT_VALUE = 3
const DOUBLE_VALUE = 4
const ARRAY_VALUE = 5

/** A list of scalars of any type, then the AnyValue that holds it. */
export class ArrayWriter {
  readonly #elements = new ByteWriter()
  readonly #element = new ByteWriter()
  readonly #out = new ByteWriter()

  begin(): void {
    this.#elements.clear()
  }
  string(bytes: Uint8Array): void {
    writeString(this.#begun(), bytes)
    this.#end()
  }
  int(lo: number, hi: number): void {
    writeInt(this.#begun(), lo, hi)
    this.#end()
  }
  double(value: number): void {
    writeDouble(this.#begun(), value)
    this.#end()
  }
  bool(value: boolean): void {
    writeBool(this.#begun(), value)
    this.#end()
  }
  /** Valid until the next `finish`. */
  finish(): Uint8Array {
    this.#out.clear()
    bytesField(this.#out, ARRAY_VALUE, this.#elements.view())
    return this.#out.view()
  }
  #begun(): ByteWriter {
    this.#element.clear()
    return this.#element
  }
  #end(): void {
    bytesField(this.#elements, 1, this.#element.view())
  }
}

export function writeString(out: ByteWriter, bytes: Uint8Array): void {
  bytesField(out, STRING_VALUE, bytes)
}
export function writeBool(out: ByteWriter, value: boolean): void {
  tag(out, BOOL_VALUE, VARINT)
  out.u8(value ? 1 : 0)
}
export function writeInt(out: ByteWriter, lo: number, hi: number): void {
  tag(out, INT_VALUE, VARINT)
  varint64(out, lo, hi)
}
export function writeDouble(out: ByteWriter, value: number): void {
  tag(out, DOUBLE_VALUE, FIXED64)
  out.f64(value)
}

/** The AnyValue of JSON that Tempo wrote; an empty one where it cannot be read, as Tempo has it. */
export function valueOfJson(json: Uint8Array): Uint8Array {
  try {
    return anyValueFromJson(json)
  } catch (error) {
    if (error instanceof OtlpJsonError) return new Uint8Array(0)
    throw error
  }
}

export function tag(out: ByteWriter, field: number, wire: number): void {
  out.varint(field * 8 + wire)
}

export function bytesField(out: ByteWriter, field: number, bytes: Uint8Array): void {
  tag(out, field, BYTES)
  out.varint(bytes.length)
  out.bytes(bytes)
}

export function varint64(out: ByteWriter, lo: number, hi: number): void {
  while (hi !== 0 || lo > 127) {
    out.u8((lo & 127) | 128)
    lo = ((lo >>> 7) | (hi << 25)) >>> 0
    hi >>>= 7
  }
  out.u8(lo)
}
