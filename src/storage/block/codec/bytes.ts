/** Owns reading and writing of small binary structures: little endian, varints of up to 53 bits, bounds checked. */

/** Bytes that do not say what they must; the reader of a block turns it into `CorruptBlock`. */
export class Malformed extends Error {
  readonly code = 'MALFORMED'
  constructor(
    readonly offset: number,
    detail: string,
  ) {
    super(detail)
  }
}

export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  length = 0
  constructor(capacity_bytes = 1024) {
    this.#bytes = new Uint8Array(capacity_bytes)
    this.#view = new DataView(this.#bytes.buffer)
  }
  /** What was written; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }
  clear(): void {
    this.length = 0
  }
  u8(value: number): void {
    this.#room(1)
    this.#bytes[this.length++] = value
  }
  u16(value: number): void {
    this.#room(2)
    this.#view.setUint16(this.length, value, true)
    this.length += 2
  }
  u32(value: number): void {
    this.#room(4)
    this.#view.setUint32(this.length, value, true)
    this.length += 4
  }
  /** A 64-bit word of two halves. */
  u64(lo: number, hi: number): void {
    this.u32(lo)
    this.u32(hi)
  }
  big(value: bigint): void {
    this.#room(8)
    this.#view.setBigUint64(this.length, BigInt.asUintN(64, value), true)
    this.length += 8
  }
  f64(value: number): void {
    this.#room(8)
    this.#view.setFloat64(this.length, value, true)
    this.length += 8
  }
  varint(value: number): void {
    this.#room(8)
    while (value > 0x7f) {
      this.#bytes[this.length++] = (value % 128) | 128
      value = Math.floor(value / 128)
    }
    this.#bytes[this.length++] = value
  }
  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.length)
    this.length += bytes.length
  }
  /** Room for `count` bytes, to be filled by the caller. */
  reserve(count: number): Uint8Array {
    this.#room(count)
    this.length += count
    return this.#bytes.subarray(this.length - count, this.length)
  }
  #room(count: number): void {
    const needed = this.length + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length))
    grown.set(this.view())
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}

export class ByteReader {
  offset = 0
  readonly #view: DataView
  constructor(readonly source: Uint8Array) {
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength)
  }
  get remaining(): number {
    return this.source.length - this.offset
  }
  fail(detail: string): never {
    throw new Malformed(this.offset, detail)
  }
  #take(count: number): number {
    if (count > this.remaining) this.fail(`needs ${count} bytes, ${this.remaining} are left`)
    this.offset += count
    return this.offset - count
  }
  u8(): number {
    return this.source[this.#take(1)]!
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }
  big(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }
  /** At most `max`, which is the caller's bound on what it will do with the value. */
  varint(max: number): number {
    let value = 0
    for (let scale = 1; scale < 2 ** 53; scale *= 128) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte > 127) continue
      if (value > max) this.fail(`value ${value} is above its bound ${max}`)
      return value
    }
    this.fail('varint is longer than 53 bits')
  }
  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return this.source.subarray(at, at + count)
  }
  /** Nothing may be left: bytes that nobody read are a sign of corruption. */
  end(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes are left over`)
  }
}
