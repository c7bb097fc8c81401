/**
 * Owns the bounds that grpc-js does not have: on what all calls together hold while their messages come in, on how long a
 * message may take, on how many are decompressed at once, and on connections that never speak HTTP/2.
 */
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Clock } from '../../lib/time.js'
import type { Budget } from './budget.js'
import { DecompressError, decompress, type Compression } from './decompress.js'

/** What of grpc-js's call is used, whatever its types say. What it does not have is left as it is. */
export interface GuardedCall {
  readonly stream?: Readable | undefined
  decompressMessage?: (message: Buffer, encoding: string) => Buffer | Promise<Buffer>
}

export interface CallGuardOptions {
  readonly budget: Budget
  readonly max_message_bytes: number
  /** From a call's headers to the end of its message. */
  readonly receive_timeout_ms: number
  readonly clock: Clock
}

/** A client's preface (24 bytes) and its SETTINGS (9 at least) come within this, or it is no client. */
const PREFACE_TIMEOUT_MS = 10_000
const PREFACE_BYTES = 33
/** A refused client gets this long to read why. */
const LINGER_MS = 1000
/** How often calls and connections past their time are looked for. */
const SWEEP_MS = 1000
/** A message's first byte says whether it is compressed, four more how long it is. */
const MESSAGE_HEADER_BYTES = 5

interface Receiving {
  readonly due_ms: number
  readonly expire: () => void
}

export class CallGuard {
  readonly #options: CallGuardOptions
  readonly #receiving = new Set<Receiving>()
  readonly #stopping = new AbortController()

  constructor(options: CallGuardOptions) {
    this.#options = options
    void this.#sweep()
  }

  stop(): void {
    this.#stopping.abort()
  }

  /** Cuts off a connection that is not HTTP/2 by its time. */
  connected(socket: Socket): void {
    const expire = () => {
      if (socket.bytesRead < PREFACE_BYTES) socket.destroy()
    }
    const entry = this.#enter(PREFACE_TIMEOUT_MS, expire)
    socket.once('close', () => this.#receiving.delete(entry))
  }

  /** Cuts off a connection that was told of its end, once its client had the time to read it. */
  ending(socket: Socket): void {
    const entry = this.#enter(LINGER_MS, () => socket.destroy())
    socket.once('close', () => this.#receiving.delete(entry))
  }

  /** Counts what a call holds until its stream is closed. `refuse` is called at most once, when it must not go on. */
  admit(call: GuardedCall, refuse: (why: 'full' | 'slow') => void): void {
    const { stream } = call
    if (!stream) return
    const { budget, receive_timeout_ms, max_message_bytes } = this.#options
    let held_bytes = 0
    let isOpen = true
    const hold = (bytes: number) => {
      if (!isOpen) return
      held_bytes += bytes
      budget.grow(bytes)
      if (budget.isOver) stop('full')
    }
    const stop = (why: 'full' | 'slow') => {
      if (!isOpen) return
      release()
      refuse(why)
      // A client that goes on sending after it was refused is cut off.
      const last = this.#enter(LINGER_MS, () => stream.destroy())
      stream.once('close', () => this.#receiving.delete(last))
    }
    const release = () => {
      isOpen = false
      budget.grow(-held_bytes)
      held_bytes = 0
      this.#receiving.delete(entry)
    }
    const entry = this.#enter(receive_timeout_ms, () => stop('slow'))
    stream.on('data', (chunk: Buffer) => hold(chunk.length))
    stream.once('end', () => this.#receiving.delete(entry))
    stream.once('close', () => {
      if (isOpen) release()
    })
    if (!call.decompressMessage) return
    call.decompressMessage = (message, encoding) => {
      const content = message.subarray(MESSAGE_HEADER_BYTES)
      return encoding === 'identity' ? content : unpack(content, encoding, max_message_bytes, hold)
    }
  }

  #enter(timeout_ms: number, expire: () => void): Receiving {
    const entry = { due_ms: this.#options.clock.monotonic() + timeout_ms, expire }
    this.#receiving.add(entry)
    return entry
  }

  async #sweep(): Promise<void> {
    const { clock } = this.#options
    while (!this.#stopping.signal.aborted) {
      await clock.sleep(SWEEP_MS, this.#stopping.signal)
      const now_ms = clock.monotonic()
      for (const entry of this.#receiving) {
        if (entry.due_ms > now_ms) continue
        this.#receiving.delete(entry)
        entry.expire()
      }
    }
  }
}

/** grpc-js's codes: this file does not import it. */
const RESOURCE_EXHAUSTED = 8
const INTERNAL = 13
const UNIMPLEMENTED = 12

/** Rejects with what grpc-js sends as the call's status. */
async function unpack(
  content: Buffer,
  encoding: string,
  max_bytes: number,
  hold: (bytes: number) => void,
): Promise<Buffer> {
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    throw status(
      UNIMPLEMENTED,
      `messages compressed with '${encoding}' are not read: gzip, deflate are`,
    )
  }
  try {
    const message = await decompress(encoding satisfies Compression, content, max_bytes)
    hold(message.length)
    return message
  } catch (error) {
    if (!(error instanceof DecompressError)) throw error
    throw error.code === 'TOO_LARGE'
      ? status(RESOURCE_EXHAUSTED, `the message decompresses to more than ${max_bytes} bytes`)
      : status(INTERNAL, `the message is no valid ${encoding}: ${error.message}`)
  }
}

class CallStatus extends Error {
  constructor(
    readonly code: number,
    readonly details: string,
  ) {
    super(details)
  }
}

function status(code: number, details: string): CallStatus {
  return new CallStatus(code, details)
}
