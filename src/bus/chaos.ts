/** Owns the ways an actor dies on demand. Each is the real thing: what it does to the thread is what the fault would do. */
import { WAYS_TO_DIE, type WayToDie } from './actor.js'

/** `process.exit` code of an actor told to exit: no code Node uses itself. */
export const CHAOS_EXIT_CODE = 7

export class ChaosThrow extends Error {
  readonly code = 'CHAOS_THROW'
  override readonly name = 'ChaosThrow'
}

/** Dies in a turn of the event loop of its own, so that no promise of the actor catches it. */
export function die(how: WayToDie): void {
  setImmediate(WAYS[how])
}

/**
 * The killer of a stage: it dies at once of a record that holds the text `chaos-poison/<stage>/<way>` anywhere, as in a span's
 * name or an attribute. For tests, under `actors.chaos: true` only.
 */
export function poisonOf(stage: string): (bytes: Uint8Array) => void {
  const ways = WAYS_TO_DIE.map((how) => ({
    how,
    text: Buffer.from(`chaos-poison/${stage}/${how}`),
  }))
  return ({ buffer, byteOffset, length }) => {
    const bytes = Buffer.from(buffer, byteOffset, length)
    for (const { how, text } of ways) if (bytes.includes(text)) WAYS[how]()
  }
}

const WAYS: Record<WayToDie, () => never> = {
  throw: () => {
    throw new ChaosThrow('thrown on demand')
  },
  exit: () => process.exit(CHAOS_EXIT_CODE),
  hang: () => {
    for (;;) {
      // Busy in JavaScript: the event loop never turns again.
    }
  },
  oom: () => {
    // Small arrays that all stay reachable, the shape of a leak, until the heap limit ends the thread.
    const held: number[][] = []
    for (;;) held.push(new Array<number>(1024).fill(held.length))
  },
}
