/**
 * Owns collecting the garbage of a thread that works with large buffers: V8 counts them beside its heap and lets hundreds of MiB of dead ones
 * pile up before it looks.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export class BufferCollector {
  readonly #above_bytes: number
  #collect: (() => void) | undefined
  #live_bytes = 0

  /** Collects when there are so many bytes of buffers more than after the last time. */
  constructor(above_bytes: number) {
    this.#above_bytes = above_bytes
  }

  look(): void {
    if (buffers() - this.#live_bytes < this.#above_bytes) return
    this.#collect ??= collectFunction()
    this.#collect()
    this.#live_bytes = buffers()
  }
}

const buffers = (): number => process.memoryUsage().arrayBuffers

/** Node gives no other door to it than the flag. */
function collectFunction(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
