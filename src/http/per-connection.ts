/** Owns the bound on requests that one connection has open at once: HTTP/1 lets a client send thousands before it reads one answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** No client that waits for its answers comes near; proxies open more connections instead. */
export const OPEN_PER_CONNECTION_MAX = 16

export class PerConnection {
  readonly #open = new WeakMap<Socket, number>()

  /** True when the request may go on; else it is answered, and its connection ends after the answer. */
  admits({ socket }: IncomingMessage, response: ServerResponse): boolean {
    const open = (this.#open.get(socket) ?? 0) + 1
    if (open > OPEN_PER_CONNECTION_MAX) {
      const text = `${OPEN_PER_CONNECTION_MAX} requests of this connection wait for their answers already\n`
      response.writeHead(429, { connection: 'close', 'content-type': 'text/plain; charset=utf-8' })
      response.end(text)
      return false
    }
    this.#open.set(socket, open)
    response.once('close', () => this.#open.set(socket, this.#open.get(socket)! - 1))
    return true
  }
}
