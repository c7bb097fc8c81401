/** Owns writing OTLP protobuf for the load generator: a growing buffer, nested messages by back-patched lengths. */

/** Room for the length of a nested message, until it is known. */
const LENGTH_BYTES_MAX = 4

export class OtlpWriter {
  #buffer = Buffer.allocUnsafe(64 * 1024)
  #at = 0

  /** A copy of what was written; the writer begins anew. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#at))
    this.#at = 0
    return bytes
  }

  get length(): number {
    return this.#at
  }

  message(field: number, write: () => void): void {
    this.#reserve(16)
    this.#varint((field << 3) | 2)
    const at = this.#at
    this.#at += LENGTH_BYTES_MAX
    write()
    const from = at + LENGTH_BYTES_MAX
    const end = this.#at
    this.#at = at
    this.#varint(end - from)
    // Receivers are quick with the short lengths that every SDK writes; a padded one would measure something else.
    this.#buffer.copyWithin(this.#at, from, end)
    this.#at += end - from
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length + 16)
    this.#varint((field << 3) | 2)
    this.#varint(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  text(field: number, value: string): void {
    this.#reserve(value.length * 3 + 16)
    this.#varint((field << 3) | 2)
    const length = Buffer.byteLength(value)
    this.#varint(length)
    this.#buffer.write(value, this.#at, 'utf8')
    this.#at += length
  }

  /** Non-negative integers below 2^53. */
  int(field: number, value: number): void {
    this.#reserve(24)
    this.#varint(field << 3)
    this.#varint(value)
  }

  fixed64(field: number, value: bigint): void {
    this.#reserve(24)
    this.#varint((field << 3) | 1)
    this.#buffer.writeBigUInt64LE(value, this.#at)
    this.#at += 8
  }

  double(field: number, value: number): void {
    this.#reserve(24)
    this.#varint((field << 3) | 1)
    this.#buffer.writeDoubleLE(value, this.#at)
    this.#at += 8
  }

  /** Bytes that are protobuf already. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  /** A KeyValue with a string, whole number, fraction or boolean. */
  attribute(field: number, key: string, value: string | number | boolean, isDouble = false): void {
    this.message(field, () => {
      this.text(1, key)
      this.message(2, () => {
        if (typeof value === 'string') this.text(1, value)
        else if (typeof value === 'boolean') this.int(2, value ? 1 : 0)
        else if (isDouble) this.double(4, value)
        else this.int(3, value)
      })
    })
  }

  #varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#at++] = rest
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes + 64 <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes + 64))
    this.#buffer.copy(grown, 0, 0, this.#at)
    this.#buffer = grown
  }
}
