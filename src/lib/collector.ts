/**
 * Owns collecting this thread's garbage when the process as a whole is short of memory. V8 looks at each heap alone and not
 * at buffers beside it: a thread that rests would keep what it no longer needs for as long as it rests.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Pressure } from './pressure.js'

export class Collector {
  readonly #pressure: Pressure | undefined
  #collect: (() => void) | undefined
  #done = 0

  /** Without memory to look at, nothing is ever asked. */
  constructor(memory: SharedArrayBuffer | undefined) {
    this.#pressure = memory && new Pressure(memory)
    this.#done = this.#pressure?.collections ?? 0
  }

  /** Collects when that was asked since the last look: some ten milliseconds for a heap of ten MiB. */
  look(): boolean {
    const asked = this.#pressure?.collections ?? 0
    if (asked === this.#done) return false
    this.#done = asked
    this.#collect ??= collectFunction()
    this.#collect()
    return true
  }
}

/** Node gives no other door to it than the flag. */
function collectFunction(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
