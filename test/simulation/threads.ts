/**
 * Owns the threads of a simulated process: the supervisor's `Spawn`, whose threads are lives in the world, and the asks
 * between them. An actor is its real class with the context it would have on a thread of its own.
 */
import type { Actor, ActorClass, AskOptions } from '../../src/bus/actor.js'
import { ActorDown, AskFailed, DeadlineExceeded } from '../../src/bus/ask-errors.js'
import { createContext } from '../../src/bus/context.js'
import type { Birth, ToActor } from '../../src/bus/protocol.js'
import { SUPERVISOR } from '../../src/bus/supervisor.js'
import type { Spawn, Thread, ThreadEvents } from '../../src/bus/thread.js'
import type { Switchboard } from '../../src/bus/switchboard.js'
import type { Log } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { world, type Life } from './world.js'

const ASK_DEADLINE_MS = 10_000
const START_MS = 5
const EXIT_MS = 2

type Handler = (args: unknown, call: { signal: AbortSignal; deadline_ms: number }) => unknown

/** A thread of the supervisor's. */
export interface Resident {
  readonly component: string
  readonly life: Life
  readonly birth: Birth
  readonly actor: Actor | undefined
  /** Tells the supervisor that it is gone while it goes on: for the fences. */
  readonly leaveZombie: () => void
}

export class Threads {
  /** The latest thread of each component. */
  readonly residents = new Map<string, Resident>()
  /** What the supervisor itself answers. */
  supervisorAsks: object = {}
  readonly #ready = new Set<string>()
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(
    /** The process; the supervisor runs on its main thread. */
    readonly process: Life,
    private readonly actors: Readonly<Record<string, ActorClass>>,
    private readonly log: Log,
  ) {}

  /** The actor of a component, when its thread is ready. */
  ready(component: string): Resident | undefined {
    const resident = this.residents.get(component)
    return resident?.life.isAlive === true && this.#ready.has(component) ? resident : undefined
  }

  /** Signs of life of all that run, as each thread gives them by timer. */
  beat(): void {
    for (const { life, birth } of this.residents.values()) {
      if (life.isAlive && life.stalledUntil_ms <= world.now_ms)
        Atomics.add(new Int32Array(birth.vitals), 0, 1)
    }
  }

  readonly spawn: Spawn = (birth, _limits, events): Thread => {
    const life = world.life(birth.name, this.process)
    life.actorId = birth.actorId
    const thread = new SimulatedThread(this, birth, life, events)
    this.#ready.delete(birth.component)
    this.residents.set(birth.component, thread)
    thread.begin(this.actors[birth.component]!, this.log)
    return { threadId: life.id, post: (m) => thread.post(m), terminate: () => thread.terminate() }
  }

  /** The thread has said that it is ready. */
  settle(component: string): void {
    this.#ready.add(component)
    for (const deliver of this.#waiting.get(component) ?? []) deliver()
    this.#waiting.delete(component)
  }

  leave(component: string, life: Life): void {
    if (this.residents.get(component)?.life === life) this.#ready.delete(component)
  }

  /** As a switchboard: waits for a target that is down, and fails when it dies or is late. */
  ask(
    component: string,
    method: string,
    args: unknown,
    options: AskOptions = {},
  ): Promise<unknown> {
    const asker = world.current
    const { deadline_ms = ASK_DEADLINE_MS } = options
    return new Promise((resolve, reject) => {
      const deadline = world.at(deadline_ms, asker, 'timer', () => {
        fail(new DeadlineExceeded(component, method, deadline_ms))
      })
      let isOver = false
      const finish = (act: () => void) => {
        if (isOver) return
        isOver = true
        world.cancel(deadline)
        act()
      }
      const fail = (error: Error) => finish(() => reject(error))
      const reply = (label: string, act: () => void) =>
        world.at(world.random.float(), asker, label, () => finish(act))
      const deliver = () => {
        const target = this.#target(component)
        if (!target) {
          this.#wait(component, deliver)
          return
        }
        const down = () =>
          reply('ask failed', () => reject(new ActorDown(component, method, 'it died')))
        target.life.ends.add(down)
        world.at(world.random.float(), target.life, `asked ${method}`, () => {
          const handler = (target.asks as Record<string, Handler>)[method]!
          const call = { signal: new AbortController().signal, deadline_ms }
          const answered = Promise.resolve(handler(args, call))
          void answered.finally(() => target.life.ends.delete(down)).catch(() => undefined)
          answered.then(
            (value) => reply(`answer to ${method}`, () => resolve(value)),
            (error: unknown) => {
              if (!target.life.isAlive) return
              const wire = { name: 'Error', code: 'SIMULATED', message: String(error) }
              const failed = new AskFailed(component, method, wire.code, wire)
              reply(`no answer to ${method}`, () => reject(failed))
            },
          )
        })
      }
      deliver()
    })
  }

  #target(component: string): { life: Life; asks: object } | undefined {
    if (component === SUPERVISOR) return { life: this.process, asks: this.supervisorAsks }
    const resident = this.ready(component)
    return resident && { life: resident.life, asks: resident.actor?.asks ?? {} }
  }

  #wait(component: string, deliver: () => void): void {
    let waiting = this.#waiting.get(component)
    if (!waiting) this.#waiting.set(component, (waiting = new Set()))
    waiting.add(deliver)
  }
}

class SimulatedThread implements Resident {
  readonly component: string
  actor: Actor | undefined
  readonly #abort = new AbortController()
  #hasLeft = false
  #saidStopped = false

  constructor(
    private readonly threads: Threads,
    readonly birth: Birth,
    readonly life: Life,
    private readonly events: ThreadEvents,
  ) {
    this.component = birth.component
    life.ends.add((error) => this.#leave(error))
  }

  begin(actorClass: ActorClass, log: Log): void {
    const { birth, life, threads } = this
    const asker = (component: string) =>
      new Proxy(
        {},
        {
          get: (_, method) => (args: unknown, options?: AskOptions) =>
            threads.ask(component, String(method), args, options),
        },
      )
    const context = createContext({
      ...birth,
      log,
      clock: systemClock,
      switchboard: { asker, replicas: () => [] } as unknown as Switchboard,
      abort: this.#abort.signal,
      progress: () => void Atomics.add(new Int32Array(birth.vitals), 0, 1),
      crash: (error) => {
        world.end(life, error)
        throw error
      },
    })
    world.at(START_MS * world.random.float(), life, 'starts', () => {
      const Class = actorClass as ActorClass<unknown>
      this.actor = new Class(context)
      this.actor.start().then(
        () => {
          this.#tell('ready', () => {
            threads.settle(this.component)
            this.events.message({ type: 'ready' })
          })
        },
        (error: unknown) => {
          if (!this.#abort.signal.aborted) world.end(life, error)
        },
      )
    })
  }

  post(message: ToActor): void {
    if (message.type !== 'stop') return
    world.at(world.random.float(), this.life, 'told to stop', () => {
      this.#abort.abort()
      const stopped = this.actor?.stop() ?? Promise.resolve()
      stopped.then(
        () => {
          this.#saidStopped = true
          this.#tell('stopped', () => this.events.message({ type: 'stopped' }))
          world.end(this.life, undefined)
        },
        (error: unknown) => world.end(this.life, error),
      )
    })
  }

  terminate(): void {
    world.say(`terminates ${this.life.name}#${this.life.id}`)
    world.at(world.random.float() * EXIT_MS, world.outside, 'terminated', () =>
      world.end(this.life, undefined),
    )
  }

  leaveZombie(): void {
    this.#leave(new Error('taken for dead'))
  }

  /** The exit comes when nothing of the thread is in flight any more. */
  #leave(error: unknown): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    this.threads.leave(this.component, this.life)
    const isOrdered = this.#saidStopped
    this.#tell(`exit of ${this.life.name}#${this.life.id}`, () => {
      if (error !== undefined && !isOrdered) this.events.error(error)
      this.events.exit(isOrdered ? 0 : 1)
    })
  }

  /** Order between a thread's messages is kept. */
  #lastTold_ms = 0
  #tell(label: string, act: () => void): void {
    const at_ms = Math.max(this.#lastTold_ms + 0.001, world.now_ms + world.random.float() * EXIT_MS)
    this.#lastTold_ms = at_ms
    world.at(at_ms - world.now_ms, this.threads.process, label, act)
  }
}
