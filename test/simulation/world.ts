/**
 * Owns the one thread that everything happens on: time that only events move, chance from one seed, and the lives
 * (incarnations of actors, the process, the clients) to whom events belong.
 *
 * An event runs, then every promise that it settled; only then comes the next. So one life runs at a time, all that
 * passes between two lives is an event, and a life that ends stands still at whatever it awaited. Also a life may end in
 * the middle of a synchronous run, before any step that others could see.
 */
import { Random } from '../../src/lib/random.js'

const turnOfLoop = setImmediate

/** What a dead life's code meets when it tries to go on. */
export class Died extends Error {
  readonly code = 'SIMULATED_DEATH'
}
const DIED = new Died('this life is over')
const NEVER = new Promise<never>(() => undefined)

/** Something that must never be was seen: the seed has failed. */
export class Violation extends Error {
  constructor(
    readonly invariant: string,
    detail: string,
  ) {
    super(`${invariant}: ${detail}`)
  }
}

interface InFlight {
  readonly op: string
  readonly effect: () => unknown
  readonly torn: (() => void) | undefined
}

/** One thread of a process, or something beside it that lives through the whole run. */
export class Life {
  isAlive = true
  /** Its thread does nothing before this: stopped by somebody, or starved. */
  stalledUntil_ms = 0
  /** Of the actor whose thread it is; 0 = none. */
  actorId = 0
  /** Steps that it has left, when its end is planned. */
  stepsLeft = Infinity
  /** It ends before the next step whose label begins so. */
  endsBefore: string | undefined
  readonly children = new Set<Life>()
  readonly inFlight = new Set<InFlight>()
  readonly ends = new Set<(error: unknown) => void>()

  constructor(
    readonly id: number,
    readonly name: string,
    readonly parent: Life | undefined,
  ) {}
}

export interface Event {
  time_ms: number
  /** When it was due, where its owner stood still then. */
  heldFrom_ms?: number | undefined
  readonly order: number
  readonly owner: Life
  readonly label: string
  run: (() => void) | undefined
}

/** More means that something makes events without end. */
const EVENTS_PENDING_MAX = 5000

export class World {
  now_ms = 0
  /** Added to the wall clock, not to the monotonic one. */
  clockStep_ms = 0
  clockStepMax_ms = 0
  readonly random: Random
  /** Belongs to no process and never ends: clients, the operator, the bucket. */
  readonly outside: Life
  current: Life
  violation: Error | undefined
  /** A number of the whole schedule: the same seed must give the same one. */
  digest = 0
  events = 0
  steps = 0
  trace: ((line: string) => void) | undefined
  #heap: Event[] = []
  #lives = 0
  #stepsOfEvent = 0

  constructor(seed: number) {
    this.random = new Random(Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635)
    this.outside = new Life(this.#lives++, 'outside', undefined)
    this.current = this.outside
  }

  life(name: string, parent: Life): Life {
    const life = new Life(this.#lives++, name, parent)
    parent.children.add(life)
    return life
  }

  say(text: string): void {
    if (!this.trace) return
    const { name, id } = this.current
    this.trace(`${this.now_ms.toFixed(3).padStart(11)} ${name}#${id} ${text}`)
  }

  fail(invariant: string, detail: string): never {
    this.violation ??= new Violation(invariant, detail)
    throw this.violation
  }

  check(isTrue: boolean, invariant: string, detail: () => string): void {
    if (!isTrue) this.fail(invariant, detail())
  }

  at(delay_ms: number, owner: Life, label: string, run: () => void): Event {
    // Of two events at one time, chance says which comes first.
    const order = this.random.bits()
    const event = { time_ms: this.now_ms + delay_ms, order, owner, label, run }
    this.#push(event)
    return event
  }

  cancel(event: Event): void {
    event.run = undefined
  }

  sleep(delay_ms: number, signal?: AbortSignal): Promise<void> {
    const owner = this.current
    if (!owner.isAlive) return NEVER
    if (signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const event = this.at(Math.max(0, delay_ms), owner, 'timer', () => {
        signal?.removeEventListener('abort', ended)
        resolve()
      })
      const ended = () => {
        this.cancel(event)
        resolve()
      }
      signal?.addEventListener('abort', ended, { once: true })
    })
  }

  /** Something the world does for a life: `effect` happens after the time; a death before leaves all, a torn part or nothing of it. */
  io<T>(op: string, delay_ms: number, effect: () => T, torn?: () => void): Promise<T> {
    const owner = this.current
    if (!owner.isAlive) return NEVER
    try {
      this.step(op)
    } catch (error) {
      return Promise.reject(asError(error))
    }
    return new Promise((resolve, reject) => {
      const pending = { op, effect, torn }
      owner.inFlight.add(pending)
      this.at(delay_ms, owner, op, () => {
        owner.inFlight.delete(pending)
        try {
          resolve(effect())
        } catch (error) {
          reject(asError(error))
        }
      })
    })
  }

  /** A point at which the current life may end: right before something that others can see. */
  step(label: string): void {
    const life = this.current
    if (!life.isAlive) throw DIED
    this.steps++
    if (++this.#stepsOfEvent > STEPS_OF_EVENT_MAX) {
      this.fail('bounded', `${STEPS_OF_EVENT_MAX} steps without an event, the last is ${label}`)
    }
    const isItsEnd = life.endsBefore !== undefined && label.startsWith(life.endsBefore)
    if (--life.stepsLeft > 0 && !isItsEnd) return
    this.say(`dies before ${label}`)
    this.end(life, new Died(`died before ${label}`))
    throw DIED
  }

  /** Ends a life and all that live in it. What it had asked of the world may still happen, in part, or not. */
  end(life: Life, error: unknown): void {
    if (!life.isAlive) return
    const { code } = (error ?? {}) as { code?: string }
    if (code !== undefined && BROKEN.has(code))
      this.violation ??= new Violation(
        "the store's own assertions hold",
        `${life.name}: ${String(error)}`,
      )
    life.isAlive = false
    life.parent?.children.delete(life)
    for (const child of [...life.children]) this.end(child, error)
    for (const { op, effect, torn } of life.inFlight) {
      const fate = this.random.below(torn ? 3 : 2)
      this.say(`in flight at the end of ${life.name}#${life.id}: ${op} ${FATES[fate]!}`)
      if (fate === 0) quietly(effect)
      if (fate === 2 && torn) quietly(torn)
    }
    life.inFlight.clear()
    for (const told of life.ends) told(error)
    life.ends.clear()
  }

  /** Runs events until `isDone` or until there are none; rejects with a violation. */
  run(isDone: () => boolean, limit_ms: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const turn = () => {
        // Who waits for the run goes on as nobody in it.
        this.current = this.outside
        const event = this.violation || isDone() ? undefined : this.#next()
        if (event && event.time_ms <= limit_ms) {
          this.#run(event)
          turnOfLoop(turn)
          return
        }
        if (event) this.#push(event)
        if (this.violation) reject(this.violation)
        else resolve(isDone())
      }
      turnOfLoop(turn)
    })
  }

  get pending(): number {
    return this.#heap.length
  }

  /** Code that nobody awaited has failed: on a thread of its own that ends the thread. */
  unhandled(reason: unknown): void {
    if (reason instanceof Violation) this.violation ??= reason
    if (reason instanceof Died || !this.current.isAlive) return
    if (this.current === this.outside) {
      this.violation ??= reason instanceof Error ? reason : new Error(String(reason))
      return
    }
    this.say(`throws ${String(reason)}`)
    this.end(this.current, reason)
  }

  #run(event: Event): void {
    const { owner, run } = event
    this.now_ms = event.time_ms
    this.current = owner
    this.events++
    this.#stepsOfEvent = 0
    this.digest = (Math.imul(this.digest, 31) + event.order + owner.id) | 0
    if (this.trace && event.label !== 'timer') this.say(event.label)
    try {
      run!()
    } catch (error) {
      this.unhandled(error)
    }
  }

  /** The next event of somebody who lives; a stalled life's wait for it. */
  #next(): Event | undefined {
    for (;;) {
      const event = this.#pop()
      if (!event) return undefined
      if (event.run === undefined || !event.owner.isAlive) continue
      const { stalledUntil_ms } = event.owner
      if (stalledUntil_ms <= event.time_ms) return event
      if (stalledUntil_ms === Infinity) continue
      event.heldFrom_ms ??= event.time_ms
      event.time_ms = stalledUntil_ms
      this.#push(event)
    }
  }

  /** Stalls have ended before their time: what waited for their ends happens now, and no later than it was due. */
  releaseHeld(): void {
    const pending = this.#heap
    this.#heap = []
    for (const event of pending) {
      if (event.heldFrom_ms !== undefined) {
        event.time_ms = Math.max(this.now_ms, event.heldFrom_ms)
        event.heldFrom_ms = undefined
      }
      this.#push(event)
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    if (heap.length >= EVENTS_PENDING_MAX) {
      this.violation ??= new Violation('bounded', `${heap.length} events are pending`)
      return
    }
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const up = (at - 1) >> 1
      if (!isBefore(event, heap[up]!)) break
      heap[at] = heap[up]!
      at = up
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || !last) return first
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= heap.length) break
      if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down++
      if (!isBefore(heap[down]!, last)) break
      heap[at] = heap[down]!
      at = down
    }
    heap[at] = last
    return first
  }
}

/** Errors that no fault excuses: something is not what the code takes for granted. */
const BROKEN = new Set([
  'ASSERTION',
  'BUS_CORRUPT',
  'BUS_FORMAT',
  'BUS_LOCK',
  'BUS_OFFSET',
  'WAL_CORRUPT',
])

const FATES = ['is done', 'is not done', 'is half done']

function isBefore(a: Event, b: Event): boolean {
  return a.time_ms < b.time_ms || (a.time_ms === b.time_ms && a.order < b.order)
}

/** What was thrown is an Error everywhere in the house. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

/** Who is dead hears of no error; a violation is noted where it is seen. */
export function quietly(act: () => unknown): void {
  try {
    act()
  } catch {
    return
  }
}

/** More than a full ring takes: somebody goes in a circle without ever waiting. */
const STEPS_OF_EVENT_MAX = 10_000

/** The world of the seed that runs; doors look here. */
export let world = new World(0)

export function begin(seed: number): World {
  world = new World(seed)
  return world
}
