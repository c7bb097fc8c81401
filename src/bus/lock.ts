/** Owns the append lock: one word, 0 or the id of the actor that holds it for the length of a copy. */
import { LOCK_OFFSET, LOCK_WAITERS_OFFSET } from './layout.js'
import { BusError } from './errors.js'
import { blockBriefly, wakeBlocked } from './parking.js'

const LOCK = LOCK_OFFSET >> 2
const LOCK_WAITERS = LOCK_WAITERS_OFFSET >> 2
const FREE = 0

/** A holder is done after a copy, so a few tries mostly suffice before the thread must sleep. */
const SPINS_MAX = 200
/** Sleeps of a millisecond; a holder that died is released by the supervisor well before they are used up. */
const SLEEPS_MAX = 200

/** Takes the lock; false when it could not be had in time, which the caller treats as back-pressure. */
export function acquireLock(words: Int32Array<SharedArrayBuffer>, actorId: number): boolean {
  for (let spin = 0; spin < SPINS_MAX; spin++) {
    const holder = Atomics.compareExchange(words, LOCK, FREE, actorId)
    if (holder === FREE) return true
    if (holder === actorId) throw reentered(actorId)
  }
  for (let sleep = 0; sleep < SLEEPS_MAX; sleep++) {
    const holder = Atomics.compareExchange(words, LOCK, FREE, actorId)
    if (holder === FREE) return true
    blockBriefly(words, LOCK, LOCK_WAITERS, holder)
  }
  return false
}

/** Gives the lock back; whoever calls without holding it has lost track of its own id. */
export function releaseLock(words: Int32Array<SharedArrayBuffer>, actorId: number): void {
  const holder = Atomics.compareExchange(words, LOCK, actorId, FREE)
  if (holder !== actorId) {
    const text = `append lock released by actor ${actorId} but held by ${holder}`
    throw new BusError(
      'BUS_LOCK',
      `${text} (0 = free): two actors share an id, or a live one was taken for dead`,
    )
  }
  wakeBlocked(words, LOCK, LOCK_WAITERS)
}

/** Frees the lock when `deadActorId` holds it; true if it did. Only after that actor's thread has ended. */
export function releaseLockOfDead(
  words: Int32Array<SharedArrayBuffer>,
  deadActorId: number,
): boolean {
  const held = Atomics.compareExchange(words, LOCK, deadActorId, FREE) === deadActorId
  if (held) wakeBlocked(words, LOCK, LOCK_WAITERS)
  return held
}

/** The id of the actor that appends at this moment; 0 = none. */
export function lockHolder(words: Int32Array<SharedArrayBuffer>): number {
  return Atomics.load(words, LOCK)
}

function reentered(actorId: number): BusError {
  const text = `actor ${actorId} already holds the append lock`
  return new BusError(
    'BUS_LOCK',
    `${text}: fill must not append, and ids must be unique per incarnation`,
  )
}
