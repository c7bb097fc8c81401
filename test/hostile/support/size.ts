/** Owns how much the hostile suites send: all of it, or with HOSTILE=slice what CI has time for. */

export interface HostileSize {
  readonly isSlice: boolean
  /** In a flood of frames. */
  readonly frames: number
  /** That flood at the same time. */
  readonly connections: number
  /** Connections with frames in any order. */
  readonly sequences: number
  /** Rounds of what was tried, between which memory may not grow, and which of the attempts they take. */
  readonly memoryRounds: number
  readonly memoryStep: number
  /** Mutated requests through a server. */
  readonly requests: number
}

const FULL: HostileSize = {
  isSlice: false,
  frames: 50_000,
  connections: 8,
  sequences: 3000,
  memoryRounds: 3,
  memoryStep: 1,
  requests: 20_000,
}
const SLICE: HostileSize = {
  isSlice: true,
  frames: 5000,
  connections: 4,
  sequences: 300,
  memoryRounds: 1,
  memoryStep: 4,
  requests: 2000,
}

export const HOSTILE = process.env.HOSTILE === 'slice' ? SLICE : FULL

/** An event loop may be held up so long. HOSTILE_LOOP_MS: more, on a machine that others use too. */
export const LOOP_MS = Number(process.env.HOSTILE_LOOP_MS ?? (HOSTILE.isSlice ? 3000 : 1000))
