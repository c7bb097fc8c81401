/**
 * Owns OTLP's JSON: requests of OTLP/HTTP to protobuf bytes. Ids are hex, 64-bit numbers strings or numbers, enums
 * numbers or names, keys camelCase or snake_case, unknown fields are ignored (opentelemetry-proto's specification, JSON).
 */
import { fromHex } from '../lib/bytes.js'
import { REQUEST, type Field, type Message } from './schema.js'
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
export function requestFromJson(json: string | object): Uint8Array {
  const writer = new JsonWriter()
  writer.message(parse(json), REQUEST)
  return writer.finish()
}

function parse(json: string | object): unknown {
  if (typeof json !== 'string') return json
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new OtlpJsonError('', `not JSON: ${(error as Error).message}`)
  }
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

  finish(): Uint8Array {
    return this.out.slice(0, this.at)
  }

  message(json: unknown, of: Message): void {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      this.fail(`expected an object, found ${describe(json)}`)
    }
    if (this.path.length > MAX_DEPTH) this.fail('nested too deeply')
    const fields = fieldsOf(of)
    for (const [name, value] of Object.entries(json)) {
      const field = fields.get(name)
      if (!field || value === null) continue
      this.path.push(name)
      if (field.repeated) this.list(value, field)
      else this.field(value, field)
      this.path.pop()
    }
  }

  private list(json: unknown, field: Field): void {
    if (!Array.isArray(json)) this.fail(`expected a list, found ${describe(json)}`)
    json.forEach((item: unknown, index) => {
      this.path.push(index)
      this.field(item, field)
      this.path.pop()
    })
  }

  private field(json: unknown, field: Field): void {
    this.reserve(MAX_VARINT_BYTES)
    this.at = writeVarint(this.out, this.at, field.number * 8 + wireType(field))
    switch (field.kind) {
      case 'message':
        this.child(json, field.message!)
        break
      case 'string':
        this.bytes(new TextEncoder().encode(this.text(json)))
        break
      case 'bytes':
        this.bytes(this.base64(json))
        break
      case 'traceId':
        this.bytes(this.id(json, TRACE_ID_BYTES))
        break
      case 'spanId':
        this.bytes(this.id(json, SPAN_ID_BYTES))
        break
      case 'fixed64':
        this.fixed64(this.integer(json, 0n, UINT64_END))
        break
      case 'double':
        this.double(this.float(json))
        break
      case 'fixed32':
        this.fixed32(Number(this.integer(json, 0n, 2n ** 32n)))
        break
      case 'int64':
        this.varint(this.integer(json, -INT64_END, INT64_END))
        break
      case 'int32':
        this.varint(this.integer(json, -(2n ** 31n), 2n ** 31n))
        break
      case 'uint32':
        this.varint(this.integer(json, 0n, 2n ** 32n))
        break
      case 'bool':
        if (typeof json !== 'boolean') this.fail(`expected true or false, found ${describe(json)}`)
        this.varint(json ? 1n : 0n)
        break
      case 'enum':
        this.varint(this.enumValue(json, field.names!))
        break
    }
  }

  /** A nested message: its length is known only afterwards, so the content moves when that needs more than a byte. */
  private child(json: unknown, of: Message): void {
    const lengthAt = this.at
    this.at += 1
    this.message(json, of)
    const size = this.at - lengthAt - 1
    const need = varintSize(size)
    if (need > 1) {
      this.reserve(need)
      this.out.copyWithin(lengthAt + need, lengthAt + 1, this.at)
      this.at += need - 1
    }
    writeVarint(this.out, lengthAt, size)
  }

  private text(json: unknown): string {
    if (typeof json !== 'string') this.fail(`expected a string, found ${describe(json)}`)
    return json
  }

  /** An id, or nothing: an empty text is an absent id. */
  private id(json: unknown, length: number): Uint8Array {
    const bytes = fromHex(this.text(json))
    if (bytes && (bytes.length === length || bytes.length === 0)) return bytes
    return this.fail(`expected ${length * 2} hex digits, found ${describe(json)}`)
  }

  private base64(json: unknown): Uint8Array {
    const text = this.text(json)
    if (!BASE64.test(text)) this.fail(`expected base64, found ${describe(json)}`)
    return Buffer.from(text, 'base64')
  }

  private integer(json: unknown, least: bigint, end: bigint): bigint {
    let value: bigint | undefined
    if (typeof json === 'number' && Number.isInteger(json)) value = BigInt(json)
    else if (typeof json === 'string' && INTEGER.test(json)) value = BigInt(json.replace('+', ''))
    else if (
      typeof json === 'string' &&
      WHOLE_FLOAT.test(json) &&
      Number.isSafeInteger(Number(json))
    ) {
      value = BigInt(Number(json))
    }
    if (value === undefined) this.fail(`expected a whole number, found ${describe(json)}`)
    if (value < least || value >= end) this.fail(`${value} is not between ${least} and ${end - 1n}`)
    return value
  }

  private float(json: unknown): number {
    if (typeof json === 'number') return json
    if (json === 'NaN') return NaN
    if (json === 'Infinity') return Infinity
    if (json === '-Infinity') return -Infinity
    const value = typeof json === 'string' && json.trim() !== '' ? Number(json) : NaN
    return Number.isNaN(value) ? this.fail(`expected a number, found ${describe(json)}`) : value
  }

  private enumValue(json: unknown, names: readonly string[]): bigint {
    if (typeof json !== 'string' || INTEGER.test(json))
      return this.integer(json, -(2n ** 31n), 2n ** 31n)
    const value = names.indexOf(json)
    return value < 0
      ? this.fail(`expected one of ${names.join(', ')}, found '${json}'`)
      : BigInt(value)
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

  private fail(problem: string): never {
    let path = ''
    for (const part of this.path) {
      path += typeof part === 'number' ? `[${part}]` : path === '' ? part : `.${part}`
    }
    throw new OtlpJsonError(path, problem)
  }
}

const MAX_QUOTED = 40

function describe(json: unknown): string {
  if (json === undefined) return 'nothing'
  const text = JSON.stringify(json)
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text
}
