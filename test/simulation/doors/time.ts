/** Owns the clock as the store's modules see it in the simulation. */
import type { Clock } from '../../../src/lib/time.js'
import { world } from '../world.js'

export type { Clock } from '../../../src/lib/time.js'

const EPOCH_MS = 1_700_000_000_000

export const systemClock: Clock = {
  now: () => EPOCH_MS + world.now_ms + world.clockStep_ms,
  monotonic: () => world.now_ms,
  sleep: (delay_ms, signal) => world.sleep(delay_ms, signal),
}
