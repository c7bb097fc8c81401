/**
 * Owns reading JSON in place: one token at a time off the bytes, with nothing built of what is not asked for. A parser that
 * makes objects first would take many times the request's bytes: 16 MiB of `[],[],[]` are more than a worker's heap.
 */

/** The bytes are no JSON, or nested beyond reason; the text says where. */
export class JsonFault extends Error {}

export const QUOTE = 0x22
export const OPEN_OBJECT = 0x7b
export const CLOSE_OBJECT = 0x7d
export const OPEN_LIST = 0x5b
export const CLOSE_LIST = 0x5d
export const NULL = 0x6e
export const TRUE = 0x74
export const FALSE = 0x66
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const SPACE = 0x20
const END = -1

/** Objects and lists within one another in a value that is skipped. */
const MAX_SKIP_DEPTH = 1000
/** Longer numbers are refused: no 64-bit number needs so many digits. */
const MAX_NUMBER_LENGTH = 400
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]
/** As much of a value as an error shows. */
const MAX_QUOTED = 40

export class JsonReader {
  /** Where the content of the last string begins and ends, without its quotes, and whether it has escapes. */
  start = 0
  end = 0
  isEscaped = false
  #at = 0
  readonly #bytes: Uint8Array
  readonly #buffer: Buffer

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (BYTE_ORDER_MARK.every((byte, i) => bytes[i] === byte)) this.#at = BYTE_ORDER_MARK.length
  }

  /** The first byte of what comes next, which tells its kind; -1 at the end. */
  peek(): number {
    const bytes = this.#bytes
    let at = this.#at
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte > SPACE || (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) {
        this.#at = at
        return byte
      }
    }
    this.#at = at
    return END
  }

  /** A place to come back to with `reset`. */
  mark(): number {
    return this.#at
  }

  reset(mark: number): void {
    this.#at = mark
  }

  /** Goes past a byte of punctuation, if it comes next. */
  take(byte: number): boolean {
    if (this.peek() !== byte) return false
    this.#at++
    return true
  }

  /** Goes past the name of an object's member and its colon. */
  key(): string {
    if (this.peek() !== QUOTE) this.unexpected()
    this.string()
    const name = this.text()
    if (!this.take(COLON)) this.unexpected()
    return name
  }

  /** Behind a member or an item: true when another follows, false when `close` came instead. */
  more(close: number): boolean {
    if (this.take(COMMA)) return true
    if (this.take(close)) return false
    return this.unexpected()
  }

  /** Goes past a string, noting where its content is. */
  string(): void {
    const bytes = this.#bytes
    this.isEscaped = false
    let at = this.#at + 1
    this.start = at
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte === QUOTE) {
        this.end = at
        this.#at = at + 1
        return
      }
      if (byte < SPACE) {
        this.#at = at
        this.unexpected()
      }
      if (byte === BACKSLASH) {
        this.isEscaped = true
        at++
      }
    }
    this.#at = bytes.length
    this.unexpected()
  }

  /** The string last read. */
  text(): string {
    if (!this.isEscaped) return this.#buffer.toString('utf8', this.start, this.end)
    try {
      return JSON.parse(this.#buffer.toString('utf8', this.start - 1, this.end + 1)) as string
    } catch {
      throw new JsonFault(`not JSON: bad escape in the string at byte ${this.start - 1}`)
    }
  }

  /** The bytes of the string last read; a lone half of a surrogate pair becomes U+FFFD. */
  textBytes(): Uint8Array {
    return this.isEscaped
      ? new TextEncoder().encode(this.text())
      : this.#bytes.subarray(this.start, this.end)
  }

  /** Goes past a number; returns its text. */
  number(): string {
    const bytes = this.#bytes
    let end = this.#at
    while (end < bytes.length && isOfNumber(bytes[end]!)) end++
    if (end - this.#at > MAX_NUMBER_LENGTH) {
      throw new JsonFault(`the number at byte ${this.#at} has ${end - this.#at} digits`)
    }
    const text = this.#buffer.toString('latin1', this.#at, end)
    if (!NUMBER.test(text)) this.unexpected()
    this.#at = end
    return text
  }

  /** Goes past `true`, `false` or `null`. */
  word(): void {
    const word = { [TRUE]: 'true', [FALSE]: 'false', [NULL]: 'null' }[this.peek()] ?? ''
    const end = this.#at + word.length
    if (word === '' || this.#buffer.toString('latin1', this.#at, end) !== word) this.unexpected()
    this.#at = end
  }

  /** Goes past a value, whatever it is. */
  skip(): void {
    const open: number[] = []
    do {
      const byte = this.peek()
      if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
        this.#at++
        if (open.length >= MAX_SKIP_DEPTH) throw new JsonFault('nested too deeply')
        const close = byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_LIST
        if (!this.take(close)) {
          open.push(close)
          if (close === CLOSE_OBJECT) this.key()
          continue
        }
      } else this.#scalar(byte)
      this.#closeOrNext(open)
    } while (open.length > 0)
  }

  /** Nothing but blanks may follow. */
  finish(): void {
    if (this.peek() !== END) this.unexpected()
  }

  /** The value that comes next, as the text of an error shows it. Throws when it is no JSON: that is the error then. */
  describe(): string {
    this.peek()
    const from = this.#at
    this.skip()
    const end = this.#at
    this.#at = from
    const text = this.#buffer.toString('utf8', from, Math.min(end, from + 4 * MAX_QUOTED))
    return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text
  }

  unexpected(): never {
    const byte = this.peek()
    if (byte === END) throw new JsonFault(`not JSON: it ends early, at byte ${this.#at}`)
    const shown = byte > SPACE && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte ${byte}`
    throw new JsonFault(`not JSON: unexpected ${shown} at byte ${this.#at}`)
  }

  #scalar(byte: number): void {
    if (byte === QUOTE) this.string()
    else if (byte === TRUE || byte === FALSE || byte === NULL) this.word()
    else this.number()
  }

  /** Behind a value within the objects and lists that are open: to the next value, or out of what ends here. */
  #closeOrNext(open: number[]): void {
    for (let close = open.at(-1); close !== undefined; close = open.at(-1)) {
      if (this.more(close)) {
        if (close === CLOSE_OBJECT) this.key()
        return
      }
      open.pop()
    }
  }
}

/** Digits, sign, point and exponent. */
function isOfNumber(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e ||
    byte === 0x65 ||
    byte === 0x45
  )
}
