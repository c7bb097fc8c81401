/**
 * Owns OTLP's JSON: requests of OTLP/HTTP to protobuf bytes. Ids are hex, 64-bit numbers strings or numbers, enums
 * numbers or names, keys camelCase or snake_case, unknown fields are ignored (opentelemetry-proto's specification, JSON).
 */
import { fromHex } from '../lib/bytes.js'
import {
  CLOSE_LIST,
  CLOSE_OBJECT,
  FALSE,
  JsonFault,
  JsonReader,
  NULL,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
  TRUE,
} from './json-reader.js'
import { ANY_VALUE, REQUEST, type Field, type Message } from './schema.js'
import { MAX_VALUE_DEPTH, SPAN_ID_BYTES, TRACE_ID_BYTES, wireType } from './validate.js'
import { varintSize, writeVarint } from './wire.js'

export { traceToJson } from './trace-json.js'

/** What is wrong with a JSON request, and where: `resourceSpans[0].scopeSpans[1].spans[3].traceId`. */
export class OtlpJsonError extends Error {
  readonly code = 'BAD_OTLP_JSON'

  constructor(
    readonly path: string,
    readonly problem: string,
  ) {
    super(path === '' ? problem : `${path}: ${problem}`)
    this.name = 'OtlpJsonError'
  }
}

/** The protobuf bytes of an OTLP/JSON request; throws `OtlpJsonError`. Ids are judged for their form here, not for being zero. */
export function requestFromJson(json: Uint8Array | string): Uint8Array {
  return messageFromJson(json, REQUEST)
}

/** The protobuf bytes of an AnyValue in JSON, as Tempo's parquet keeps some; throws `OtlpJsonError`. */
export function anyValueFromJson(json: Uint8Array | string): Uint8Array {
  return messageFromJson(json, ANY_VALUE)
}

function messageFromJson(json: Uint8Array | string, message: Message): Uint8Array {
  const reader = new JsonReader(typeof json === 'string' ? Buffer.from(json) : json)
  const writer = new JsonWriter(reader)
  try {
    writer.message(message)
    reader.finish()
  } catch (error) {
    if (error instanceof JsonFault) throw new OtlpJsonError('', error.message)
    throw error
  }
  return writer.finish()
}

/** Objects within objects; attribute values at their deepest need three a level. */
const MAX_DEPTH = MAX_VALUE_DEPTH * 3 + 8
const FIRST_CAPACITY = 4096
const UINT64_END = 2n ** 64n
const INT64_END = 2n ** 63n
const INTEGER = /^[+-]?\d{1,20}$/
const WHOLE_FLOAT = /^[+-]?\d{1,20}(\.0*)?([eE][+-]?\d{1,2})?$/
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/
const MAX_VARINT_BYTES = 10
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39

/** Fields by both spellings of their names. */
const FIELDS = new Map<Message, Map<string, Field>>()

function fieldsOf(message: Message): Map<string, Field> {
  let fields = FIELDS.get(message)
  if (!fields) {
    fields = new Map()
    for (const field of message.fields) {
      fields.set(field.name, field)
      fields.set(
        field.name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        field,
      )
    }
    FIELDS.set(message, fields)
  }
  return fields
}

class JsonWriter {
  private out = new Uint8Array(FIRST_CAPACITY)
  private view = new DataView(this.out.buffer)
  private at = 0
  /** Names and indexes from the root to here, for the path of an error. */
  private readonly path: (string | number)[] = []

  constructor(private readonly reader: JsonReader) {}

  finish(): Uint8Array {
    return this.out.slice(0, this.at)
  }

  message(of: Message): void {
    const { reader } = this
    if (reader.peek() !== OPEN_OBJECT) this.unfit('an object')
    if (this.path.length > MAX_DEPTH) this.fail('nested too deeply')
    reader.take(OPEN_OBJECT)
    if (reader.take(CLOSE_OBJECT)) return
    const fields = fieldsOf(of)
    do {
      const name = reader.key()
      const field = fields.get(name)
      if (!field) reader.skip()
      else if (reader.peek() === NULL) reader.word()
      else {
        this.path.push(name)
        if (field.repeated) this.list(field)
        else this.field(field)
        this.path.pop()
      }
    } while (reader.more(CLOSE_OBJECT))
  }

  private list(field: Field): void {
    const { reader } = this
    if (!reader.take(OPEN_LIST)) this.unfit('a list')
    if (reader.take(CLOSE_LIST)) return
    let index = 0
    do {
      this.path.push(index++)
      this.field(field)
      this.path.pop()
    } while (reader.more(CLOSE_LIST))
  }

  private field(field: Field): void {
    this.reserve(MAX_VARINT_BYTES)
    this.at = writeVarint(this.out, this.at, field.number * 8 + wireType(field))
    switch (field.kind) {
      case 'message':
        this.child(field.message!)
        break
      case 'string':
        this.string()
        this.bytes(this.reader.textBytes())
        break
      case 'bytes':
        this.bytes(this.base64())
        break
      case 'traceId':
        this.bytes(this.id(TRACE_ID_BYTES))
        break
      case 'spanId':
        this.bytes(this.id(SPAN_ID_BYTES))
        break
      case 'fixed64':
        this.fixed64(this.integer(0n, UINT64_END))
        break
      case 'double':
        this.double(this.float())
        break
      case 'fixed32':
        this.fixed32(Number(this.integer(0n, 2n ** 32n)))
        break
      case 'int64':
        this.varint(this.integer(-INT64_END, INT64_END))
        break
      case 'int32':
        this.varint(this.integer(-(2n ** 31n), 2n ** 31n))
        break
      case 'uint32':
        this.varint(this.integer(0n, 2n ** 32n))
        break
      case 'bool':
        this.varint(this.boolean() ? 1n : 0n)
        break
      case 'enum':
        this.varint(this.enumValue(field.names!))
        break
    }
  }

  /** A nested message: its length is known only afterwards, so the content moves when that needs more than a byte. */
  private child(of: Message): void {
    const lengthAt = this.at
    this.at += 1
    this.message(of)
    const size = this.at - lengthAt - 1
    const need = varintSize(size)
    if (need > 1) {
      this.reserve(need)
      this.out.copyWithin(lengthAt + need, lengthAt + 1, this.at)
      this.at += need - 1
    }
    writeVarint(this.out, lengthAt, size)
  }

  private string(): void {
    if (this.reader.peek() !== QUOTE) this.unfit('a string')
    this.reader.string()
  }

  /** An id, or nothing: an empty text is an absent id. */
  private id(length: number): Uint8Array {
    const { reader } = this
    const before = reader.mark()
    this.string()
    const bytes = reader.end - reader.start <= length * 2 ? fromHex(reader.text()) : undefined
    if (bytes && (bytes.length === length || bytes.length === 0)) return bytes
    return this.unfit(`${length * 2} hex digits`, before)
  }

  private base64(): Uint8Array {
    const before = this.reader.mark()
    this.string()
    const text = this.reader.text()
    if (!BASE64.test(text)) this.unfit('base64', before)
    return Buffer.from(text, 'base64')
  }

  private boolean(): boolean {
    const byte = this.reader.peek()
    if (byte !== TRUE && byte !== FALSE) this.unfit('true or false')
    this.reader.word()
    return byte === TRUE
  }

  private integer(least: bigint, end: bigint): bigint {
    const { reader } = this
    const before = reader.mark()
    let value: bigint | undefined
    if (reader.peek() === QUOTE) {
      reader.string()
      value = wholeText(reader.text())
    } else if (isNumber(reader.peek())) value = wholeNumber(reader.number())
    if (value === undefined) this.unfit('a whole number', before)
    if (value < least || value >= end) this.fail(`${value} is not between ${least} and ${end - 1n}`)
    return value
  }

  private float(): number {
    const { reader } = this
    if (isNumber(reader.peek())) return Number(reader.number())
    const before = reader.mark()
    let value = NaN
    if (reader.peek() === QUOTE) {
      reader.string()
      const text = reader.text()
      if (text === 'NaN') return NaN
      if (text.trim() !== '') value = Number(text)
    }
    return Number.isNaN(value) ? this.unfit('a number', before) : value
  }

  private enumValue(names: readonly string[]): bigint {
    const { reader } = this
    const before = reader.mark()
    if (reader.peek() === QUOTE) {
      reader.string()
      const text = reader.text()
      if (!INTEGER.test(text)) {
        const value = names.indexOf(text)
        return value < 0 ? this.unfit(`one of ${names.join(', ')}`, before) : BigInt(value)
      }
      reader.reset(before)
    }
    return this.integer(-(2n ** 31n), 2n ** 31n)
  }

  private bytes(bytes: Uint8Array): void {
    this.reserve(MAX_VARINT_BYTES + bytes.length)
    this.at = writeVarint(this.out, this.at, bytes.length)
    this.out.set(bytes, this.at)
    this.at += bytes.length
  }

  private varint(value: bigint): void {
    this.reserve(MAX_VARINT_BYTES)
    let left = BigInt.asUintN(64, value)
    while (left > 0x7fn) {
      this.out[this.at++] = Number(left & 0x7fn) | 0x80
      left >>= 7n
    }
    this.out[this.at++] = Number(left)
  }

  private fixed64(value: bigint): void {
    this.reserve(8)
    this.view.setBigUint64(this.at, value, true)
    this.at += 8
  }

  private double(value: number): void {
    this.reserve(8)
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  private fixed32(value: number): void {
    this.reserve(4)
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  /** Room for `bytes` and the length byte of a message behind them. */
  private reserve(bytes: number): void {
    const need = this.at + bytes + 1
    if (need <= this.out.length) return
    const out = new Uint8Array(Math.max(need, this.out.length * 2))
    out.set(this.out.subarray(0, this.at))
    this.out = out
    this.view = new DataView(out.buffer)
  }

  /** The value (at `before`, else the one that comes next) is not what its field takes. */
  private unfit(wanted: string, before = this.reader.mark()): never {
    this.reader.reset(before)
    return this.fail(`expected ${wanted}, found ${this.reader.describe()}`)
  }

  private fail(problem: string): never {
    let path = ''
    for (const part of this.path) {
      path += typeof part === 'number' ? `[${part}]` : path === '' ? part : `.${part}`
    }
    throw new OtlpJsonError(path, problem)
  }
}

function isNumber(byte: number): boolean {
  return byte === MINUS || (byte >= ZERO && byte <= NINE)
}

/** A JSON number, if it is a whole one: 5, -0, 5.0, 5e3. */
function wholeNumber(text: string): bigint | undefined {
  if (INTEGER.test(text)) return BigInt(text)
  const value = Number(text)
  return Number.isInteger(value) ? BigInt(value) : undefined
}

function wholeText(text: string): bigint | undefined {
  if (INTEGER.test(text)) return BigInt(text.replace('+', ''))
  const value = WHOLE_FLOAT.test(text) ? Number(text) : NaN
  return Number.isSafeInteger(value) ? BigInt(value) : undefined
}
