/** Owns a door's open sockets: how many there are, and how they end. */
import type { Socket } from 'node:net'
import type { Clock } from '../../lib/time.js'

/** A peer that does not close its side after we closed ours is cut off after this. */
const HALF_CLOSE_MS = 200

export class Connections {
  readonly #sockets = new Set<Socket>()

  get size(): number {
    return this.#sockets.size
  }

  add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  /** Destroys the sockets that are not in `busy`. */
  destroyIdle(busy: ReadonlySet<Socket>): void {
    for (const socket of this.#sockets) if (!busy.has(socket)) socket.destroy()
  }

  /** Cuts off each socket that its peer leaves half closed from now on. */
  endHalfClosed(clock: Clock): void {
    for (const socket of this.#sockets) {
      socket.once('finish', () => void clock.sleep(HALF_CLOSE_MS).then(() => socket.destroy()))
    }
  }

  /** Resolves when every socket is closed. */
  async destroyAll(): Promise<void> {
    const closed = [...this.#sockets].map(
      (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    )
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }
}
