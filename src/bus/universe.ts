/**
 * Owns a universe for tests: actors of the real classes on one thread, with the context they would have on their own,
 * real ports and structured clone between them, and a clock the test moves. No supervisor: the test is the supervisor.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { assert } from '../lib/assert.js'
import { FakeClock } from '../lib/fake-clock.js'
import { silentLog, type Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { Actor, Asker, Context } from './actor.js'
import { createContext } from './context.js'
import { serve, ServeGauge } from './port.js'
import { Switchboard } from './switchboard.js'

export interface UniverseOptions<C extends Clock = FakeClock> {
  clock?: C // default: a FakeClock
  log?: Log // default: silent
}

export interface SpawnOptions<Config> {
  component: string
  index?: number // default 0
  config: Config
  shared?: Record<string, SharedArrayBuffer>
  asks?: readonly string[] // components it asks
}

/** An actor in the universe. */
export interface Hosted<A extends Actor, Config> {
  readonly name: string
  readonly actor: A
  readonly context: Context<Config>
  /** What it ended itself with by `ctx.crash`. */
  readonly crashedWith: unknown
  readonly isAlive: boolean
  /** Ordered stop: abort fires, `stop()` runs, then its ports close. */
  readonly stop: () => Promise<void>
  /** Its thread is gone at once: ports close, no code of it is called any more by others. */
  readonly kill: () => void
  /** A new generation of it, after a stop or a kill, with the same config and shared memory. */
  readonly restart: () => Promise<Hosted<A, Config>>
}

interface Resident {
  readonly name: string
  readonly component: string
  readonly actorId: number
  readonly asks: readonly string[]
  readonly answers: object
  readonly switchboard: Switchboard
  readonly ports: Set<MessagePort>
  readonly gauge: ServeGauge
}

export class Universe<C extends Clock = FakeClock> {
  readonly clock: C
  readonly #log: Log
  readonly #residents = new Map<string, Resident>()
  readonly #stops: (() => Promise<void>)[] = []
  readonly #observers = new Map<string, Switchboard>()
  #lastActorId = 0

  constructor(options: UniverseOptions<C> = {}) {
    this.clock = options.clock ?? (new FakeClock() as Clock as C)
    this.#log = options.log ?? silentLog
  }

  /** Makes the actor, starts it, and connects it with those who ask it and those it asks. Spawn sinks first. */
  spawn<A extends Actor, Config>(
    actorClass: new (ctx: Context<Config>) => A,
    options: SpawnOptions<Config>,
  ): Promise<Hosted<A, Config>> {
    return this.#spawn(actorClass, options, 0)
  }

  /** A target that is not an actor: these methods answer in its place. */
  stub(component: string, answers: object, index = 0): void {
    this.#settle({
      name: `${component}-${index}`,
      component,
      actorId: ++this.#lastActorId,
      asks: [],
      answers,
      switchboard: new Switchboard({ clock: this.clock, targets: {} }),
      ports: new Set(),
      gauge: new ServeGauge(),
    })
  }

  /** Asks as the test: any component or replica that lives here. */
  ask<Asks extends object>(target: string): Asker<Asks> {
    const resident = [...this.#residents.values()].find((r) =>
      [r.name, r.component].includes(target),
    )
    assert(resident !== undefined, `no "${target}" in this universe`)
    const { component } = resident
    let observer = this.#observers.get(component)
    if (!observer) {
      observer = new Switchboard({ clock: this.clock, targets: {} })
      this.#observers.set(component, observer)
      this.#introduce(observer, component)
    }
    return observer.asker(target)
  }

  /** Stops every actor, the last spawned first, and closes all ports. */
  async stop(): Promise<void> {
    for (const stop of [...this.#stops].reverse()) await stop()
    for (const resident of [...this.#residents.values()]) this.#leave(resident)
    for (const observer of this.#observers.values()) observer.close()
  }

  async #spawn<A extends Actor, Config>(
    actorClass: new (ctx: Context<Config>) => A,
    options: SpawnOptions<Config>,
    generation: number,
  ): Promise<Hosted<A, Config>> {
    const { component, index = 0, config, shared = {}, asks = [] } = options
    const name = `${component}-${index}`
    assert(!this.#residents.has(name), `"${name}" lives in this universe already`)
    const abort = new AbortController()
    const switchboard = new Switchboard({ clock: this.clock, targets: {} })
    for (const target of asks) this.#introduce(switchboard, target)
    const life = { isAlive: true, crashedWith: undefined as unknown }
    const actorId = ++this.#lastActorId
    const context = createContext({
      ...{ name, component, index, actorId, generation, config, shared, switchboard },
      ...{ log: this.#log, clock: this.clock, abort: abort.signal },
      progress: () => undefined,
      crash: (error) => {
        life.crashedWith = error
        kill()
        throw error
      },
    }) as Context<Config>
    const actor = new actorClass(context)
    const answers = actor.asks ?? {}
    const resident = {
      name,
      component,
      actorId,
      asks,
      answers,
      switchboard,
      ports: new Set<MessagePort>(),
      gauge: new ServeGauge(),
    }
    const kill = () => {
      life.isAlive = false
      this.#leave(resident)
    }
    const stop = async () => {
      if (!life.isAlive) return
      abort.abort()
      await actor.stop()
      kill()
    }
    try {
      await actor.start()
    } catch (error) {
      kill()
      throw error
    }
    this.#settle(resident)
    this.#stops.push(stop)
    return {
      ...{ name, actor, context, stop, kill },
      get crashedWith() {
        return life.crashedWith
      },
      get isAlive() {
        return life.isAlive
      },
      restart: () => this.#spawn(actorClass, options, generation + 1),
    }
  }

  /** A newcomer is made known to all who ask its component. */
  #settle(newcomer: Resident): void {
    this.#residents.set(newcomer.name, newcomer)
    const askers = [...this.#residents.values()].filter((r) => r.asks.includes(newcomer.component))
    const boards = askers.map((asker) => asker.switchboard)
    const observer = this.#observers.get(newcomer.component)
    if (observer) boards.push(observer)
    for (const board of boards) this.#introduce(board, newcomer.component, newcomer)
  }

  /** Tells a switchboard a component's replicas, and connects it to one of them, or to all. */
  #introduce(board: Switchboard, component: string, only?: Resident): void {
    const replicas = [...this.#residents.values()].filter((r) => r.component === component)
    const names = new Set([...board.replicas(component), ...replicas.map((r) => r.name)])
    board.setReplicas(component, [...names])
    for (const target of only ? [only] : replicas) {
      const { port1, port2 } = new MessageChannel()
      target.ports.add(port1)
      port1.once('close', () => target.ports.delete(port1))
      const { name, gauge, answers } = target
      serve(port1, answers, { name, gauge, clock: this.clock })
      board.connect(target.name, target.actorId, port2)
    }
  }

  #leave(resident: Resident): void {
    if (this.#residents.get(resident.name) === resident) this.#residents.delete(resident.name)
    for (const port of resident.ports) port.close()
    resident.switchboard.close()
  }
}
