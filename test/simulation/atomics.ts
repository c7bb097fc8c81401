/**
 * Owns waiting in the simulation: parking on shared words ends by a wake that takes a moment, by none when it is lost, or
 * by the time, all as events. The store's own `parking.ts` runs above it as it is.
 */
import { world, type Event, type Life } from './world.js'

interface Parked {
  readonly owner: Life
  readonly wake: () => void
  readonly recheck: Event | undefined
}

/** How wake-ups behave at this time. */
export interface WakeMood {
  /** One notify in so many wakes nobody; 0 = none. */
  lostOneIn: number
  delay_ms: number
}
export const CALM_WAKES: WakeMood = { lostOneIn: 0, delay_ms: 0.05 }

/** More than any spot has watchers: a spot where waiters gather for ever. */
const PARKED_MAX = 100

let mood = CALM_WAKES
let spots = new WeakMap<ArrayBufferLike, Map<number, Set<Parked>>>()

export function setWakeMood(next: WakeMood): void {
  mood = next
}

function parkedAt(words: Int32Array, word: number): Set<Parked> {
  let ofBuffer = spots.get(words.buffer)
  if (!ofBuffer) spots.set(words.buffer, (ofBuffer = new Map<number, Set<Parked>>()))
  let parked = ofBuffer.get(word)
  if (!parked) ofBuffer.set(word, (parked = new Set()))
  return parked
}

function waitAsync(words: Int32Array, word: number, value: number, timeout_ms = Infinity) {
  if (Atomics.load(words, word) !== value) return { async: false, value: 'not-equal' }
  const owner = world.current
  const parked = parkedAt(words, word)
  world.check(parked.size < PARKED_MAX, 'bounded', () => `${parked.size} waiters park at one word`)
  const promise = new Promise<'ok' | 'timed-out'>((resolve) => {
    const end = (why: 'ok' | 'timed-out') => {
      if (one.recheck) world.cancel(one.recheck)
      resolve(why)
    }
    const recheck =
      timeout_ms === Infinity
        ? undefined
        : world.at(timeout_ms, owner, 'timer', () => {
            parked.delete(one)
            end('timed-out')
          })
    const one: Parked = {
      owner,
      recheck,
      wake: () => world.at(world.random.float() * mood.delay_ms, owner, 'wake', () => end('ok')),
    }
    if (owner.isAlive) parked.add(one)
  })
  return { async: true, value: promise }
}

function notify(words: Int32Array, word: number): number {
  const parked = parkedAt(words, word)
  if (parked.size === 0) return 0
  if (mood.lostOneIn > 0 && world.random.oneIn(mood.lostOneIn)) {
    world.say('a wake-up is lost')
    return 0
  }
  let woken = 0
  for (const one of parked) {
    parked.delete(one)
    if (!one.owner.isAlive) continue
    one.wake()
    woken++
  }
  return woken
}

/** Takes the place of the real waiting in this process, for good. */
export function installAtomics(): void {
  Object.assign(Atomics, {
    waitAsync,
    notify,
    // Only the append lock blocks, and its holder is dead when it is held here.
    wait: () => 'timed-out',
  })
}

export function resetAtomics(): void {
  spots = new WeakMap()
  mood = CALM_WAKES
}
