/**
 * Owns following the frames that HTTP/2 writes, to notice the last one. Once it has sent GOAWAY for an error, Node hears no
 * more frames and yet leaves the connection open: a client that does not close it would keep its place for minutes.
 */

const HEAD_BYTES = 9
const GOAWAY = 7
/** Behind the head of a GOAWAY: the last stream, then the code. */
const GOAWAY_BYTES = HEAD_BYTES + 8
const NO_ERROR = 0

export class LastWord {
  /** The frame's beginning, as far as it has come. */
  readonly #head = Buffer.alloc(GOAWAY_BYTES)
  #filled_bytes = 0
  /** What is left of a frame that does not matter. */
  #skip_bytes = 0

  /** True when these bytes complete a GOAWAY that tells of an error. Chunks may begin and end anywhere. */
  isIn(chunk: Uint8Array): boolean {
    let at = 0
    let isLast = false
    while (at < chunk.length) {
      if (this.#skip_bytes > 0) {
        const skipped = Math.min(this.#skip_bytes, chunk.length - at)
        this.#skip_bytes -= skipped
        at += skipped
        continue
      }
      this.#head[this.#filled_bytes++] = chunk[at++]!
      if (this.#filled_bytes >= HEAD_BYTES && this.#isRead()) isLast = true
    }
    return isLast
  }

  /** Called with each byte from the head's last on: looks at the frame once enough of it is there. */
  #isRead(): boolean {
    const head = this.#head
    const length = head.readUIntBE(0, 3)
    const wanted =
      head[3] === GOAWAY && length >= GOAWAY_BYTES - HEAD_BYTES ? GOAWAY_BYTES : HEAD_BYTES
    if (this.#filled_bytes < wanted) return false
    this.#filled_bytes = 0
    this.#skip_bytes = length - (wanted - HEAD_BYTES)
    return wanted === GOAWAY_BYTES && head.readUInt32BE(GOAWAY_BYTES - 4) !== NO_ERROR
  }
}
