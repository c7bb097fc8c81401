/**
 * Owns a trace as the JSON that Tempo answers with (gogo's jsonpb): ids and bytes base64, enums by name, 64-bit numbers
 * as strings, zero fields left out, lists of a message in the order of the schema. Built as text straight from the bytes.
 */
import { ANY_VALUE, REQUEST, type Field, type Message } from './schema.js'
import {
  FIXED32,
  FIXED64,
  LENGTH_DELIMITED,
  MalformedOtlp,
  lastFaultAt,
  lastValue,
  readLength,
  readTag,
  skipField,
  varintBig,
  varintLow,
} from './wire.js'
import { wireType } from './validate.js'

export interface TraceJsonOptions {
  /** Tempo's `/api/traces` says `batches` where `/api/v2/traces` and OTLP say `resourceSpans`. */
  readonly v1: boolean
}

/** The JSON of a tempopb.Trace; throws `MalformedOtlp` when the bytes are none. */
export function traceToJson(trace: Uint8Array, options: TraceJsonOptions): string {
  const printer = new Printer(trace)
  return printer.message(0, trace.length, REQUEST, options.v1 ? 'batches' : undefined)
}

/** The JSON of an AnyValue, as Tempo keeps those in parquet that it has no columns for. */
export function anyValueToJson(value: Uint8Array): string {
  return new Printer(value).message(0, value.length, ANY_VALUE)
}

const decoder = new TextDecoder()

class Printer {
  private readonly view: DataView
  private readonly buffer: Buffer

  constructor(private readonly b: Uint8Array) {
    this.view = new DataView(b.buffer, b.byteOffset, b.byteLength)
    this.buffer = Buffer.from(b.buffer, b.byteOffset, b.byteLength)
  }

  /** `rename` replaces the name of the message's first field. */
  message(at: number, end: number, of: Message, rename?: string): string {
    const places = this.places(at, end, of)
    let out = ''
    of.fields.forEach((field, i) => {
      const place = places[i]
      if (place === undefined) return
      const name = i === 0 && rename !== undefined ? rename : field.name
      const text = Array.isArray(place)
        ? `[${place.map((content) => this.field(content, end, field)).join(',')}]`
        : this.field(place, end, field)
      if (text !== '') out += `${out === '' ? '' : ','}"${name}":${text}`
    })
    return `{${out}}`
  }

  /** Where the content of each field is (behind its tag): of a list all, else the last; of a oneof only the last one's. */
  private places(at: number, end: number, of: Message): (number | number[] | undefined)[] {
    const places: (number | number[] | undefined)[] = []
    while (at < end) {
      at = this.check(readTag(this.b, at, end))
      const tag = lastValue()
      const content = at
      at = this.check(skipField(this.b, at, end, tag))
      const i = of.fields.findIndex((field) => field.number === tag >>> 3)
      const field = of.fields[i]
      if (!field || wireType(field) !== (tag & 7)) continue
      if (field.oneof) places.fill(undefined)
      if (!field.repeated) places[i] = content
      else {
        const list = places[i]
        if (Array.isArray(list)) list.push(content)
        else places[i] = [content]
      }
    }
    return places
  }

  /** The value at `at`, or '' when it is a zero that is not printed. */
  private field(at: number, end: number, field: Field): string {
    switch (wireType(field)) {
      case LENGTH_DELIMITED: {
        const start = this.check(readLength(this.b, at, end))
        return this.delimited(start, start + lastValue(), field)
      }
      case FIXED64:
        return this.fixed64(at, field)
      case FIXED32: {
        const value = this.view.getUint32(at, true)
        return value === 0 ? '' : String(value)
      }
      default:
        return this.varint(at, field)
    }
  }

  private delimited(start: number, end: number, field: Field): string {
    if (field.kind === 'message') return this.message(start, end, field.message!)
    if (field.kind !== 'string') return `"${this.buffer.toString('base64', start, end)}"`
    if (start === end && !field.oneof && !field.repeated) return ''
    return JSON.stringify(this.text(start, end))
  }

  private text(start: number, end: number): string {
    // TextDecoder refuses shared memory; Buffer does not, and both put U+FFFD where bytes are no UTF-8.
    const bytes = this.b.subarray(start, end)
    return bytes.buffer instanceof ArrayBuffer
      ? decoder.decode(bytes)
      : this.buffer.toString('utf8', start, end)
  }

  private fixed64(at: number, field: Field): string {
    if (field.kind === 'double') return double(this.view.getFloat64(at, true))
    const value = this.view.getBigUint64(at, true)
    return value === 0n ? '' : `"${value}"`
  }

  private varint(at: number, field: Field): string {
    switch (field.kind) {
      case 'bool':
        return varintBig(this.b, at) === 0n ? (field.oneof ? 'false' : '') : 'true'
      case 'int64':
        return `"${BigInt.asIntN(64, varintBig(this.b, at))}"`
      case 'enum': {
        const value = varintLow(this.b, at) | 0
        if (value === 0) return ''
        const name = field.names![value]
        return name === undefined ? String(value) : `"${name}"`
      }
      case 'uint32': {
        const value = varintLow(this.b, at)
        return value === 0 ? '' : String(value)
      }
      default: {
        const value = varintLow(this.b, at) | 0
        return value === 0 && !field.oneof ? '' : String(value)
      }
    }
  }

  private check(at: number): number {
    if (at < 0) throw new MalformedOtlp(at, lastFaultAt())
    return at
  }
}

function double(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : String(value)
  return `"${String(value)}"`
}
