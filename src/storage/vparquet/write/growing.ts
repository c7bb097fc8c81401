/** Owns lists of numbers of which nobody knows the length before: typed arrays that grow, and are used again. */

export class Uint32List {
  #values = new Uint32Array(1024)
  length = 0

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Uint32Array(2 * this.length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  /** What was pushed; valid until the next push. */
  view(): Uint32Array {
    return this.#values.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }
}

export class Float64List {
  #values = new Float64Array(256)
  length = 0

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(2 * this.length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  view(): Float64Array {
    return this.#values.subarray(0, this.length)
  }

  clear(): void {
    this.length = 0
  }
}

/** Byte strings back to back. */
export class BytesList {
  #bytes = new Uint8Array(1024)
  readonly #ends = new Uint32List()
  #length = 0

  push(bytes: Uint8Array): void {
    const end = this.#length + bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    if (bytes.length > 0) this.#bytes.set(bytes, this.#length)
    this.#length = end
    this.#ends.push(end)
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  get ends(): Uint32Array {
    return this.#ends.view()
  }

  clear(): void {
    this.#length = 0
    this.#ends.clear()
  }
}
