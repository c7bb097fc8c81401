/**
 * Owns the faults: a seed first chooses which kinds there will be at all, then when each comes. Few kinds at a time
 * find more than all of them always.
 */
import { CALM_WAKES, setWakeMood } from './atomics.js'
import { bucket, HEALTHY_BUCKET } from './bucket.js'
import { disk, HEALTHY_DISK } from './disk.js'
import { COMPONENTS, type House } from './house.js'
import { world } from './world.js'

type Fault = (house: House) => void

const STEPS_MAX = 60
/** Kinds of steps, by what their labels begin with: on rings, acks, heads, catalogs, the disk, LMDB, the bucket. */
const ENDS_BEFORE = [
  'append to',
  'commit traces',
  'commit ingress',
  'commit',
  'acks.',
  'head.',
  'catalog.',
  'rename',
  'rm',
  'bucket: put',
] as const
const WINDOW_MS = 3000
/** Less than a heartbeat may be late. */
const BACKLOG_MS = 2500
const ZOMBIE_MS = 2500
const HOUR_MS = 3_600_000

/** An actor's thread; the ones with state twice as often. */
const VICTIMS = [...COMPONENTS, 'livestore', 'livestore', 'distributor'] as const

function victim(house: House) {
  return house.threads.ready(world.random.pick(VICTIMS))?.life
}

/** Something is bad for a while. */
function window(label: string, begin: () => void, end: () => void): void {
  world.say(label)
  begin()
  world.at(world.random.float() * WINDOW_MS, world.outside, `no more ${label}`, end)
}

const FAULTS = {
  /** At the next await that the thread comes to, or in the middle of a run. */
  death: (house) => {
    const life = victim(house)
    if (life) life.stepsLeft = 1 + world.random.below(STEPS_MAX)
  },
  /** A few steps are rare among all, and the ones that matter: each kind of step gets its share. */
  deathBefore: (house) => {
    const life = victim(house)
    if (life) life.endsBefore = world.random.pick(ENDS_BEFORE)
  },
  deathAtAwait: (house) => {
    const life = victim(house)
    if (!life) return
    world.say(`death of ${life.name}`)
    world.end(life, new Error('killed'))
  },
  builderDeath: (house) => {
    const builders = [...(house.threads.ready('livestore')?.life.children ?? [])]
    for (const life of builders) life.stepsLeft = 1 + world.random.below(12)
  },
  hang: (house) => {
    const life = victim(house)
    if (!life) return
    world.say(`${life.name} hangs`)
    life.stalledUntil_ms = Infinity
  },
  stall: (house) => {
    const life = world.random.oneIn(4) ? house.process : victim(house)
    if (!life) return
    const length_ms = world.random.float() * 2 * WINDOW_MS
    world.say(`${life.name} stands still for ${Math.round(length_ms)} ms`)
    const until_ms = world.now_ms + length_ms
    for (const one of [life, ...(life === house.process ? life.children : [])])
      one.stalledUntil_ms = Math.max(one.stalledUntil_ms, until_ms)
  },
  /** The rings fill, and with copies: clients send again what they have no answer to. */
  backlog: (house) => {
    const life = house.threads.ready('livestore')?.life
    if (!life) return
    world.say('the livestore stands still')
    life.stalledUntil_ms = Math.max(life.stalledUntil_ms, world.now_ms + BACKLOG_MS)
  },
  crash: (house) => house.crash(),
  /** The process dies where one of its threads is in the middle of a run. */
  crashAtStep: (house) => {
    const life = victim(house)
    if (!life) return
    life.stepsLeft = 1 + world.random.below(STEPS_MAX)
    const { process } = house
    life.ends.add(() => {
      if (process.isAlive) house.crash()
    })
  },
  orderedStop: (house) => house.stop(),
  zombie: (house) => {
    const resident = house.threads.ready('distributor')
    if (!resident) return
    world.say('the distributor is taken for dead and goes on')
    resident.leaveZombie()
    world.at(world.random.float() * ZOMBIE_MS, world.outside, 'the zombie ends', () =>
      world.end(resident.life, undefined),
    )
  },
  diskErrors: () =>
    window(
      'disk errors',
      () => (disk.mood = { ...disk.mood, errorsOneIn: 3 + world.random.below(20) }),
      () => (disk.mood = { ...disk.mood, errorsOneIn: 0 }),
    ),
  slowDisk: () =>
    window(
      'slow disk',
      () => (disk.mood = { ...disk.mood, slowness_ms: world.random.pick([5, 50, 1000]) }),
      () => (disk.mood = { ...disk.mood, slowness_ms: 0 }),
    ),
  fullDisk: () =>
    window(
      'full disk',
      () => (disk.mood = { ...disk.mood, free_bytes: 0 }),
      () => (disk.mood = { ...disk.mood, free_bytes: HEALTHY_DISK.free_bytes }),
    ),
  bucketErrors: () =>
    window(
      'bucket errors',
      () => (bucket.mood = { ...bucket.mood, errorsOneIn: 1 + world.random.below(6) }),
      () => (bucket.mood = { ...bucket.mood, errorsOneIn: 0 }),
    ),
  slowBucket: () =>
    window(
      'slow bucket',
      () => (bucket.mood = { ...bucket.mood, slowness_ms: world.random.pick([100, 1000, 10_000]) }),
      () => (bucket.mood = { ...bucket.mood, slowness_ms: 0 }),
    ),
  lostWakes: () =>
    window(
      'lost wake-ups',
      () => setWakeMood({ lostOneIn: 1 + world.random.below(6), delay_ms: 1 }),
      () => setWakeMood(CALM_WAKES),
    ),
  slowWakes: () =>
    window(
      'slow wake-ups',
      () => setWakeMood({ lostOneIn: 0, delay_ms: 200 }),
      () => setWakeMood(CALM_WAKES),
    ),
  clockStep: () => {
    world.clockStep_ms += Math.round((world.random.float() - 0.5) * 2 * HOUR_MS)
    world.clockStepMax_ms = Math.max(world.clockStepMax_ms, world.clockStep_ms)
    world.say(`clock stepped by ${world.clockStep_ms} ms in all`)
  },
} as const satisfies Record<string, Fault>

export type FaultKind = keyof typeof FAULTS
export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[]

const KINDS_MAX = 4
const FAULTS_MAX = 8

export interface Plan {
  readonly kinds: readonly FaultKind[]
  readonly count: number
}

export function planFaults(isSiege: boolean): Plan {
  const { random } = world
  if (isSiege) return { kinds: ['backlog', random.pick(FAULT_KINDS)], count: 1 + random.below(4) }
  const kinds = Array.from({ length: 1 + random.below(KINDS_MAX) }, () => random.pick(FAULT_KINDS))
  return { kinds: [...new Set(kinds)], count: random.below(FAULTS_MAX) }
}

/** Lays the faults over the time to come. */
export function layFaults(plan: Plan, house: House, within_ms: number): void {
  for (let i = 0; i < plan.count; i++) {
    const kind = world.random.pick(plan.kinds)
    world.at(world.random.float() * within_ms, world.outside, `fault: ${kind}`, () => {
      FAULTS[kind](house)
    })
  }
}

/** All faults cease; what is broken stays so until somebody mends it. */
export function calm(house: House): void {
  disk.mood = HEALTHY_DISK
  bucket.mood = HEALTHY_BUCKET
  setWakeMood(CALM_WAKES)
  // Ahead of all that was ever written with it: or what was stamped in an hour would wait for an hour.
  world.clockStep_ms = world.clockStepMax_ms
  for (const { life } of house.threads.residents.values()) {
    life.stepsLeft = Infinity
    life.endsBefore = undefined
    if (life.stalledUntil_ms < Infinity) life.stalledUntil_ms = 0
  }
  house.process.stalledUntil_ms = 0
  world.releaseHeld()
}
