/** Owns stopping a whole thread for a while. */

/** For a start or a command line, where nothing runs beside it. */
export function sleepBlocking(delay_ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, delay_ms)
}
