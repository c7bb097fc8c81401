/** Owns one supervised child: its thread, its states, when it is restarted, when it is given up. */
import { backoffDelay_ms } from '../lib/backoff.js'
import { errorText, type Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { MessagePort } from 'node:worker_threads'
import { describeExit, type ExitStatus, type WayToDie } from './actor.js'
import { errorCode } from './ask-errors.js'
import { Crashes } from './crashes.js'
import type { Birth, FromActor, ToActor } from './protocol.js'
import type { HeapLimits, Spawn, Thread } from './thread.js'
import { createVitals, VitalsReader, type Vitals } from './vitals.js'

/** What is run, and how it is kept running. */
export interface ChildSpec {
  component: string
  index: number // replica; the child's name is `${component}-${index}`
  module: string // URL of the actor module
  config?: unknown
  shared?: Record<string, SharedArrayBuffer>
  /** Components this actor asks; `supervisor` may be one of them. */
  asks?: readonly string[]
  heap?: HeapLimits
  restart?: Partial<RestartPolicy>
}

export interface RestartPolicy {
  /** Crashes within `period_ms` that are healed; the next one ends the process. */
  intensity: number
  period_ms: number
  backoff_base_ms: number
  backoff_max_ms: number
  /** Ready for this long, and the next crash is a first one again. */
  stable_ms: number
  start_timeout_ms: number
  drain_timeout_ms: number
  heartbeat_interval_ms: number
  heartbeat_timeout_ms: number
}

export const DEFAULT_RESTART: RestartPolicy = {
  intensity: 5,
  period_ms: 60_000,
  backoff_base_ms: 100,
  backoff_max_ms: 10_000,
  stable_ms: 60_000,
  start_timeout_ms: 60_000,
  drain_timeout_ms: 20_000,
  heartbeat_interval_ms: 250,
  heartbeat_timeout_ms: 30_000,
}

/** A terminated thread that has not gone after this is inside an addon for good; only the process's end helps. */
export const TERMINATE_TIMEOUT_MS = 10_000
/** A thread that said it stopped and keeps running has left something open. */
export const LINGER_TIMEOUT_MS = 2_000
/** Ends remembered for the status page. */
const MAX_EXITS = 8

export type ChildState =
  'idle' | 'starting' | 'ready' | 'restarting' | 'stopping' | 'stopped' | 'failed'

export interface ExitRecord {
  at_ms: number // since the epoch
  generation: number
  /** The state it ended in: a crash while `starting` is another fault than one while `ready`. */
  while: ChildState
  status: ExitStatus
  text: string
}

export interface ChildStatus {
  name: string
  component: string
  index: number
  state: ChildState
  generation: number
  restarts: number
  actorId: number
  threadId: number // -1 while there is none
  uptime_ms: number // since it was last ready; 0 while it is not
  exits: readonly ExitRecord[] // latest last
  vitals: Vitals
}

/** What a child needs of its supervisor. */
export interface ChildHost {
  readonly clock: Clock
  readonly log: Log
  readonly spawn: Spawn
  readonly random: () => number
  /** No child is restarted any more. */
  readonly isStopping: boolean
  /** The parts of a birth that the child does not know itself. */
  birth(child: Child): Pick<Birth, 'actorId' | 'targets' | 'log'>
  spawned(child: Child): void
  ready(child: Child): void
  /** The thread `actorId` is gone and touches no shared memory any more. */
  dead(child: Child, actorId: number, status: ExitStatus): void
  restarting(child: Child, delay_ms: number): void
  /** More crashes than the policy heals. */
  exhausted(child: Child, status: ExitStatus): void
  /** The thread survived `terminate`. */
  stuck(child: Child): void
}

/** One thread of a child, from its making to its exit. */
interface Incarnation {
  readonly actorId: number
  readonly thread: Thread
  /** Why it was terminated, when it was. */
  verdict?: ExitStatus
  error?: unknown
  saidStopped: boolean
  /** Ends the timers of this thread. */
  readonly over: AbortController
}

export class Child {
  readonly name: string
  readonly policy: RestartPolicy
  readonly #vitalsShared = createVitals()
  readonly #vitals = new VitalsReader(this.#vitalsShared)
  readonly #exits: ExitRecord[] = []
  readonly #settled = new Set<() => void>()
  readonly #crashes: Crashes
  #state: ChildState = 'idle'
  #live: Incarnation | undefined
  #generation = -1
  #failuresInRow = 0
  #readyAt_ms = 0
  #lastProgress = 0
  #silent_ms = 0
  #hasBeaten = false
  #backoff = new AbortController()

  constructor(
    readonly spec: ChildSpec,
    private readonly host: ChildHost,
    defaults: Partial<RestartPolicy> = {},
  ) {
    this.name = `${spec.component}-${spec.index}`
    this.policy = { ...DEFAULT_RESTART, ...defaults, ...spec.restart }
    this.#crashes = new Crashes(this.policy)
  }

  get state(): ChildState {
    return this.#state
  }

  get actorId(): number {
    return this.#live?.actorId ?? 0
  }

  /** Sends to its thread; a message to a dead one is dropped with its ports. */
  post(message: ToActor, transferred: readonly MessagePort[] = []): void {
    if (this.#live) this.#live.thread.post(message, transferred)
    else for (const port of transferred) port.close()
  }

  get hasThread(): boolean {
    return this.#live !== undefined
  }

  start(): void {
    if (this.#state === 'idle') this.#spawn()
  }

  /** Resolves when it is ready, or will never be. */
  async whenReady(): Promise<boolean> {
    while (this.#state === 'starting' || this.#state === 'restarting') await this.#change()
    return this.#state === 'ready'
  }

  /** Ordered: at a safe point of its own, within the drain timeout. Resolves when its thread is gone. */
  async stop(): Promise<void> {
    this.#backoff.abort()
    if (!this.#live) {
      if (this.#state !== 'failed') this.#enter('stopped')
      return
    }
    if (this.#state !== 'stopping') {
      const incarnation = this.#live
      this.#enter('stopping')
      incarnation.thread.post({ type: 'stop' })
      const timeout_ms = this.policy.drain_timeout_ms
      this.#after(incarnation, timeout_ms, () => {
        if (incarnation.saidStopped) return
        this.#terminate(incarnation, { kind: 'drain_timeout', timeout_ms })
      })
    }
    await this.#gone()
  }

  /** At once, wherever it is. */
  async kill(): Promise<void> {
    this.#backoff.abort()
    if (!this.#live) {
      if (this.#state !== 'failed') this.#enter('stopped')
      return
    }
    this.#enter('stopping')
    this.#terminate(this.#live, { kind: 'killed' })
    await this.#gone()
  }

  /** Makes its thread die, for a test; false when it has none. */
  die(how: WayToDie): boolean {
    this.#live?.thread.post({ type: 'die', how })
    return this.#live !== undefined
  }

  /** The cause of its latest so many crashes is gone: they count no more. False when that has been said too often. */
  forgive(crashes: number): boolean {
    if (!this.#crashes.forgive(crashes, this.host.clock.monotonic())) return false
    this.#failuresInRow = Math.max(0, this.#failuresInRow - crashes)
    return true
  }

  /**
   * Looks at the progress word, a tick of the watch later. A thread that has not beaten yet is loading its modules,
   * which is long on a busy machine: its start timeout judges it, or a slow start would be killed and started anew for ever.
   */
  checkHeartbeat(tick_ms: number): void {
    const incarnation = this.#live
    if (!incarnation || (this.#state !== 'ready' && this.#state !== 'starting')) return
    const progress = this.#vitals.progress()
    if (progress !== this.#lastProgress) {
      this.#hasBeaten = true
      this.#silent_ms = 0
    } else if (this.#hasBeaten) {
      this.#silent_ms += tick_ms
    }
    this.#lastProgress = progress
    if (this.#silent_ms < this.policy.heartbeat_timeout_ms || incarnation.verdict) return
    this.#terminate(incarnation, { kind: 'hung', silent_ms: this.#silent_ms })
  }

  status(): ChildStatus {
    const { component, index } = this.spec
    const isReady = this.#state === 'ready'
    return {
      name: this.name,
      component,
      index,
      state: this.#state,
      generation: Math.max(0, this.#generation),
      restarts: Math.max(0, this.#generation),
      actorId: this.actorId,
      threadId: this.#live?.thread.threadId ?? -1,
      uptime_ms: isReady ? this.host.clock.monotonic() - this.#readyAt_ms : 0,
      exits: [...this.#exits],
      vitals: this.#vitals.read(),
    }
  }

  #spawn(): void {
    this.#generation++
    this.#silent_ms = 0
    this.#hasBeaten = false
    this.#lastProgress = this.#vitals.progress()
    const { module, component, index, config, shared = {}, heap = {} } = this.spec
    const given = this.host.birth(this)
    const birth: Birth = {
      ...given,
      ...{ module, name: this.name, component, index, config, shared },
      generation: this.#generation,
      vitals: this.#vitalsShared,
      heartbeat_interval_ms: this.policy.heartbeat_interval_ms,
    }
    this.#enter('starting')
    let incarnation: Incarnation | undefined
    try {
      const thread = this.host.spawn(birth, heap, {
        message: (message) => incarnation && this.#heard(incarnation, message),
        error: (error) => incarnation && (incarnation.error ??= error),
        exit: (code) => incarnation && this.#exited(incarnation, code),
      })
      incarnation = {
        actorId: birth.actorId,
        thread,
        saidStopped: false,
        over: new AbortController(),
      }
    } catch (error) {
      // No thread was made: out of memory or threads, or a config that cannot be cloned.
      this.#ended(birth.actorId, threw(error))
      return
    }
    this.#live = incarnation
    this.#after(incarnation, this.policy.start_timeout_ms, () => {
      if (this.#state !== 'starting') return
      const timeout_ms = this.policy.start_timeout_ms
      this.#terminate(incarnation, { kind: 'start_timeout', timeout_ms })
    })
    this.host.spawned(this)
  }

  #heard(incarnation: Incarnation, message: FromActor): void {
    switch (message.type) {
      case 'ready':
        if (this.#state !== 'starting' || this.#live !== incarnation || incarnation.verdict) return
        this.#readyAt_ms = this.host.clock.monotonic()
        this.#hasBeaten = true
        this.#enter('ready')
        this.host.ready(this)
        break
      case 'stopped':
        incarnation.saidStopped = true
        this.#after(incarnation, LINGER_TIMEOUT_MS, () => {
          this.host.log.warn('actor stopped but left something open, its thread is ended', {
            actor: this.name,
          })
          this.#terminate(incarnation, { kind: 'stopped' })
        })
        break
    }
  }

  #exited(incarnation: Incarnation, code: number): void {
    if (this.#live !== incarnation) return
    this.#live = undefined
    incarnation.over.abort()
    this.#ended(incarnation.actorId, exitStatus(incarnation, code, this.#state))
  }

  /** The end of a thread: remember it, free what it held, and decide what comes next. */
  #ended(actorId: number, status: ExitStatus): void {
    const { host, policy } = this
    const now_ms = host.clock.monotonic()
    const wasStopping = this.#state === 'stopping'
    this.#remember(status)
    this.#vitals.clearGauges()
    if (this.#state === 'ready' && now_ms - this.#readyAt_ms >= policy.stable_ms) {
      this.#failuresInRow = 0
    }
    host.dead(this, actorId, status)
    if (wasStopping || host.isStopping) {
      this.#enter('stopped')
      return
    }
    if (this.#crashes.add(now_ms)) {
      this.#enter('failed')
      host.exhausted(this, status)
      return
    }
    this.#restartLater()
  }

  #restartLater(): void {
    const { backoff_base_ms, backoff_max_ms } = this.policy
    const range = { base_ms: backoff_base_ms, max_ms: backoff_max_ms }
    const delay_ms = backoffDelay_ms(this.#failuresInRow++, range, this.host.random)
    this.#enter('restarting')
    this.host.restarting(this, delay_ms)
    const backoff = new AbortController()
    this.#backoff = backoff
    void this.host.clock.sleep(delay_ms, backoff.signal).then(() => {
      if (!backoff.signal.aborted && this.#state === 'restarting') this.#spawn()
    })
  }

  #terminate(incarnation: Incarnation, verdict: ExitStatus): void {
    if (this.#live !== incarnation) return
    const isFirst = incarnation.verdict === undefined
    incarnation.verdict ??= verdict
    if (!isFirst) return
    incarnation.thread.terminate()
    this.#after(incarnation, TERMINATE_TIMEOUT_MS, () => this.host.stuck(this))
  }

  /** Runs `act` later unless the thread has gone by then. */
  #after(incarnation: Incarnation, delay_ms: number, act: () => void): void {
    void this.host.clock.sleep(delay_ms, incarnation.over.signal).then(() => {
      if (!incarnation.over.signal.aborted) act()
    })
  }

  #remember(status: ExitStatus): void {
    const text = describeExit(status)
    const at_ms = this.host.clock.now()
    const generation = this.#generation
    this.#exits.push({ at_ms, generation, while: this.#state, status, text })
    if (this.#exits.length > MAX_EXITS) this.#exits.shift()
  }

  #enter(state: ChildState): void {
    this.#state = state
    for (const settle of [...this.#settled]) settle()
    this.#settled.clear()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#settled.add(resolve))
  }

  async #gone(): Promise<void> {
    while (this.#live) await this.#change()
  }
}

function exitStatus(incarnation: Incarnation, code: number, state: ChildState): ExitStatus {
  if (incarnation.verdict) return incarnation.verdict
  if (incarnation.error !== undefined) {
    const isHeapLimit = errorCode(incarnation.error) === 'ERR_WORKER_OUT_OF_MEMORY'
    return isHeapLimit
      ? { kind: 'out_of_memory', message: errorText(incarnation.error) }
      : threw(incarnation.error)
  }
  if (state === 'stopping' && incarnation.saidStopped && code === 0) return { kind: 'stopped' }
  return { kind: 'exited', code }
}

function threw(error: unknown): ExitStatus {
  return { kind: 'threw', code: errorCode(error), message: errorText(error) }
}
