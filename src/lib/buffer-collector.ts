/**
 * Owns collecting the garbage of a thread that works with large buffers: V8 counts them beside its heap and lets hundreds of MiB of dead ones
 * pile up before it looks.
 */
import { collectGarbage } from './garbage.js'

export class BufferCollector {
  readonly #above_bytes: number
  #live_bytes = 0

  /** Collects when there are so many bytes of buffers more than after the last time. */
  constructor(above_bytes: number) {
    this.#above_bytes = above_bytes
  }

  look(): void {
    if (buffers() - this.#live_bytes < this.#above_bytes) return
    collectGarbage()
    this.#live_bytes = buffers()
  }
}

const buffers = (): number => process.memoryUsage().arrayBuffers
