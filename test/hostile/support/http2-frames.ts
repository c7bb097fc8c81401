/** Owns HTTP/2 by hand: frames as bytes, headers without compression, and a connection that counts what comes back. */
import { connect, type Socket } from 'node:net'
import { sleep } from './doors.js'

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const
export const ACK = 1
export const END_STREAM = 1
export const END_HEADERS = 4
export const PADDED = 8
export const PRIORITY = 0x20
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const EMPTY = Buffer.alloc(0)

/** `length` announces another than the payload's. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = EMPTY,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream >>> 0, 5)
  return Buffer.concat([head, payload])
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export const settings = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer =>
  frame(
    TYPE.settings,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id]), word(value)]))),
  ) // prettier-ignore
export const rst = (stream: number, code = 8): Buffer => frame(TYPE.rst, 0, stream, word(code))
export const ping = (flags = 0): Buffer => frame(TYPE.ping, flags, 0, Buffer.alloc(8))
export const windowUpdate = (stream: number, by: number): Buffer =>
  frame(TYPE.window, 0, stream, word(by))
export const goaway = (last: number, code: number, words = ''): Buffer =>
  frame(TYPE.goaway, 0, 0, Buffer.concat([word(last), word(code), Buffer.from(words)]))
export const priority = (stream: number, on: number, weight = 15): Buffer =>
  frame(TYPE.priority, 0, stream, Buffer.concat([word(on), Buffer.from([weight])]))
export const data = (stream: number, payload: Uint8Array = EMPTY, flags = 0): Buffer =>
  frame(TYPE.data, flags, stream, payload)
export const headers = (
  stream: number,
  block: Uint8Array,
  flags = END_HEADERS,
  length?: number,
): Buffer => frame(TYPE.headers, flags, stream, block, length)
export const continuation = (stream: number, block: Uint8Array, flags = 0): Buffer =>
  frame(TYPE.continuation, flags, stream, block)

/** An integer of HPACK behind a prefix of 7 bits. */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

export type Field = readonly [name: string, value: string]

/** Fields as literals; `first` 0x00 = not to be remembered, 0x40 = kept in the table of the connection. */
export function hpack(fields: readonly Field[], first = 0x00): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of fields) {
    const [nameBytes, valueBytes] = [Buffer.from(name, 'latin1'), Buffer.from(value, 'latin1')]
    parts.push(Buffer.from([first]), integer(nameBytes.length), nameBytes)
    parts.push(integer(valueBytes.length), valueBytes)
  }
  return Buffer.concat(parts)
}

/** What a connection was told, and how it ended. */
export interface Heard {
  readonly frames: ReadonlyMap<number, number>
  /** Of the last GOAWAY; -1 = none came. */
  readonly goawayCode: number
  /** Of each RST_STREAM, how often. */
  readonly resets: ReadonlyMap<number, number>
  readonly received_bytes: number
  readonly isClosed: boolean
}

const HEAD_BYTES = 9
const PAYLOAD_KEPT_BYTES = 1 << 16

/** A connection that sends what it is told to and judges nothing. One that is deaf never reads. */
export class RawHttp2 {
  readonly socket: Socket
  readonly closed: Promise<void>
  readonly #frames = new Map<number, number>()
  readonly #resets = new Map<number, number>()
  #goawayCode = -1
  #received_bytes = 0
  #isClosed = false
  #rest: Buffer = EMPTY

  constructor(port: number, { isDeaf = false } = {}) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        this.#isClosed = true
        resolve()
      })
    })
    if (isDeaf) this.socket.pause()
    else this.socket.on('data', (bytes: Buffer) => this.#read(bytes))
  }

  get heard(): Heard {
    return {
      frames: this.#frames,
      goawayCode: this.#goawayCode,
      resets: this.#resets,
      received_bytes: this.#received_bytes,
      isClosed: this.#isClosed,
    }
  }

  /** False when the other side takes no more: it is closed, or does not read although it had the time. */
  async send(bytes: Uint8Array, timeout_ms = 2000): Promise<boolean> {
    const { socket } = this
    if (this.#isClosed || socket.destroyed) return false
    if (socket.write(bytes)) return true
    const drained = new Promise<boolean>((resolve) => socket.once('drain', () => resolve(true)))
    const late = sleep(timeout_ms).then(() => false)
    const closed = this.closed.then(() => false)
    return Promise.race([drained, closed, late])
  }

  /** Resolves when the server has closed the connection, or after the time. */
  async settled(timeout_ms: number): Promise<Heard> {
    await Promise.race([this.closed, sleep(timeout_ms)])
    return this.heard
  }

  end(): void {
    this.socket.destroy()
  }

  #read(bytes: Buffer): void {
    this.#received_bytes += bytes.length
    let all = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    while (all.length >= HEAD_BYTES) {
      const length = all.readUIntBE(0, 3)
      if (length > PAYLOAD_KEPT_BYTES) {
        this.end()
        return
      }
      if (all.length < HEAD_BYTES + length) break
      this.#note(all[3]!, all.subarray(HEAD_BYTES, HEAD_BYTES + length))
      all = all.subarray(HEAD_BYTES + length)
    }
    this.#rest = all
  }

  #note(type: number, payload: Buffer): void {
    this.#frames.set(type, (this.#frames.get(type) ?? 0) + 1)
    if (type === TYPE.goaway) this.#goawayCode = payload.readUInt32BE(4)
    if (type !== TYPE.rst) return
    const code = payload.readUInt32BE(0)
    this.#resets.set(code, (this.#resets.get(code) ?? 0) + 1)
  }
}

const CODES = [
  'NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT', 'STREAM_CLOSED', 'FRAME_SIZE_ERROR',
  'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM', 'INADEQUATE_SECURITY', 'HTTP_1_1_REQUIRED',
] // prettier-ignore

export const codeName = (code: number): string => CODES[code] ?? String(code)

/** "GOAWAY PROTOCOL_ERROR, 3 RST STREAM_CLOSED, closed" */
export function wordsOf({ goawayCode, resets, isClosed }: Heard): string {
  const words = goawayCode < 0 ? [] : [`GOAWAY ${codeName(goawayCode)}`]
  for (const [code, times] of resets) words.push(`${times} RST ${codeName(code)}`)
  return [...words, isClosed ? 'closed' : 'kept'].join(', ')
}
