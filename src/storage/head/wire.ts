/**
 * Owns reading protobuf's wire format in place: the bytes of one request, and a place for what a read returns beside its
 * value. Callers read one-byte tags, lengths and varints themselves and come here for the rest.
 */
import { MalformedOtlp } from './errors.js'

const EMPTY = new Uint8Array(0)

export class Wire {
  bytes: Uint8Array = EMPTY
  view: DataView = new DataView(EMPTY.buffer)
  /** Where the last read ended. */
  at = 0
  /** The last 64-bit varint. */
  lo = 0
  hi = 0

  open(bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Lets go of the request, so that its memory is not held until the next. */
  close(): void {
    this.open(EMPTY)
  }

  /** A varint cut to its low 32 bits, as an int32; all of its bytes are below `end`. */
  varint(pos: number, end: number): number {
    const { bytes } = this
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= end) throw new MalformedOtlp(pos, 'a varint runs past the end of its message')
      const byte = bytes[pos++]!
      if (shift < 32) value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.at = pos
        return value
      }
    }
    throw new MalformedOtlp(pos, 'a varint is longer than 10 bytes')
  }

  /** A varint into `lo` and `hi`. */
  varint64(pos: number, end: number): void {
    const { bytes } = this
    let lo = 0
    let hi = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= end) throw new MalformedOtlp(pos, 'a varint runs past the end of its message')
      const byte = bytes[pos++]!
      const bits = byte & 0x7f
      if (shift < 28) lo |= bits << shift
      else if (shift === 28) {
        lo |= bits << 28
        hi = bits >>> 4
      } else if (shift < 64) hi |= bits << (shift - 32)
      if (byte < 0x80) {
        this.at = pos
        this.lo = lo
        this.hi = hi
        return
      }
    }
    throw new MalformedOtlp(pos, 'a varint is longer than 10 bytes')
  }

  /** The length of a length-delimited field whose bytes all lie below `end`; they begin at `at`. */
  length(pos: number, end: number): number {
    const length = this.varint(pos, end)
    if (length < 0 || length > end - this.at) {
      throw new MalformedOtlp(
        pos,
        `a field of ${length >>> 0} bytes in a message that has ${end - this.at} left`,
      )
    }
    return length
  }

  /** Skips the value of a field by its wire type; returns where the next field begins. */
  skip(tag: number, pos: number, end: number): number {
    switch (tag & 7) {
      case 0:
        this.varint(pos, end)
        return this.at
      case 1:
        return this.#fixed(pos, end, 8)
      case 2: {
        const length = this.length(pos, end)
        return this.at + length
      }
      case 5:
        return this.#fixed(pos, end, 4)
      default:
        throw new MalformedOtlp(pos, `wire type ${tag & 7}`)
    }
  }

  #fixed(pos: number, end: number, bytes: number): number {
    if (end - pos < bytes)
      throw new MalformedOtlp(pos, `a fixed field of ${bytes} bytes, ${end - pos} left`)
    return pos + bytes
  }
}
