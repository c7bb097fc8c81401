/** Owns the door to V8's garbage collection: Node gives no other than the flag. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

let collect: (() => void) | undefined

/** Collects all of this thread's garbage: some ten milliseconds for a heap of ten MiB. */
export function collectGarbage(): void {
  collect ??= collectFunction()
  collect()
}

function collectFunction(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
