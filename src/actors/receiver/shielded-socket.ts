/**
 * Owns a stream between a socket and Node's HTTP/2, so that HTTP/2 never reads the socket itself.
 *
 * Given a bare socket, Node's HTTP/2 session reads it in native code. When a thread ends in that moment (terminated while it
 * hung, out of heap), a request whose headers met a stopped JavaScript has no handler for its data, and Node aborts
 * the whole process (`Assertion failed: onread->IsFunction()` in stream_base.cc; seen with Node 20.20 under load). Behind
 * a stream of JavaScript, a thread whose JavaScript has stopped reads nothing more.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { LastWord } from './last-word.js'

export class ShieldedSocket extends Duplex {
  readonly #socket: Socket
  readonly #lastWord = new LastWord()
  readonly #onLastWord: () => void
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined

  /** `onLastWord` is called when HTTP/2 has told of an error that ends the connection, and will not close it. */
  constructor(socket: Socket, onLastWord: () => void = () => {}) {
    super({ allowHalfOpen: true, emitClose: true })
    this.#socket = socket
    this.#onLastWord = onLastWord
    this.remoteAddress = socket.remoteAddress
    this.remotePort = socket.remotePort
    socket.on('data', (chunk: Buffer) => {
      // Nobody waits in the buffer and the reader wants more: past the buffer is the same, for less.
      if (this.readableFlowing === true && this.readableLength === 0) this.emit('data', chunk)
      else if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    const hasRoom = this.#send(chunk)
    if (hasRoom) done()
    else this.#socket.once('drain', done)
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.cork()
    let hasRoom = true
    for (const { chunk } of chunks) hasRoom = this.#send(chunk)
    this.#socket.uncork()
    if (hasRoom) done()
    else this.#socket.once('drain', done)
  }

  #send(chunk: Buffer): boolean {
    if (this.#lastWord.isIn(chunk)) this.#onLastWord()
    return this.#socket.write(chunk)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  setNoDelay(isOn: boolean): this {
    this.#socket.setNoDelay(isOn)
    return this
  }
}
