/**
 * Owns collecting this thread's garbage when the process as a whole is short of memory. V8 looks at each heap alone and not
 * at buffers beside it: a thread that rests would keep what it no longer needs for as long as it rests.
 */
import { getHeapStatistics } from 'node:v8'
import { collectGarbage } from './garbage.js'
import { Pressure } from './pressure.js'
import { systemClock } from './time.js'

/** What has grown by less since the last time has little to give back. */
const WORTH_BYTES = 2 * 2 ** 20
/** While most of the memory is used, a thread that grew by this collects unasked: V8 would let each heap grow to 24 MiB first. */
const GROWN_BYTES = 4 * 2 ** 20
/** It takes no more than one part in so many of the thread's time. */
const TIME_SHARE = 10

export class Collector {
  readonly #pressure: Pressure | undefined
  #done = 0
  /** After the last collection. */
  #left_bytes = 0
  #notBefore_ms = 0

  /** Without memory to look at, nothing is ever asked. */
  constructor(memory: SharedArrayBuffer | undefined) {
    this.#pressure = memory && new Pressure(memory)
    this.#done = this.#pressure?.collections ?? 0
  }

  /** Collects when that was asked since the last look and is worth it. */
  look(): boolean {
    const asked = this.#pressure?.collections ?? 0
    if (asked === this.#done) return false
    this.#done = asked
    if (inUse_bytes() - this.#left_bytes < WORTH_BYTES) return false
    this.#run()
    return true
  }

  /** Collects while most of the memory is used, when this thread has grown; cheap otherwise. For every step of an actor's work. */
  spare(): boolean {
    if (this.#pressure?.isHigh !== true || systemClock.monotonic() < this.#notBefore_ms)
      return false
    if (inUse_bytes() - this.#left_bytes < GROWN_BYTES) return false
    this.#run()
    return true
  }

  #run(): void {
    const began_ms = systemClock.monotonic()
    collectGarbage()
    const ended_ms = systemClock.monotonic()
    this.#notBefore_ms = ended_ms + TIME_SHARE * (ended_ms - began_ms)
    this.#left_bytes = inUse_bytes()
  }
}

function inUse_bytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}
