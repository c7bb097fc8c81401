/**
 * Owns the supervision of all actors, on the main thread: start sinks first, restart what dies, connect askers to the
 * new threads, drain in the direction of flow, and give the process up when a child cannot be kept alive.
 * It holds no sockets and no payloads and never blocks: while it works, every child is watched.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { errorText, type Log, type LogFormat, type LogLevel } from '../lib/log.js'
import { systemClock, type Clock } from '../lib/time.js'
import { describeExit, WAYS_TO_DIE, type ExitStatus, type WayToDie } from './actor.js'
import {
  Child,
  type ChildHost,
  type ChildSpec,
  type ChildStatus,
  type RestartPolicy,
} from './child.js'
import { serve, ServeGauge } from './port.js'
import type { Birth } from './protocol.js'
import { spawnWorker, type Spawn } from './thread.js'

/** The name by which actors ask the supervisor itself. */
export const SUPERVISOR = 'supervisor'
/** The supervisor's thread never ends before its askers, so any mark will do. */
const SUPERVISOR_ACTOR_ID = 1
/** Distance of two looks at the progress words, at most; a quarter of the shortest timeout when that is less. */
const MAX_CHECK_INTERVAL_MS = 1_000

export interface SupervisorOptions {
  /** In the order of the data path, source first. Started from the end, drained from the beginning. */
  children: readonly ChildSpec[]
  log: Log
  /** How the actors log. */
  actorLog?: { level: LogLevel; format: LogFormat } // default info, logfmt
  restart?: Partial<RestartPolicy> // for all children; a child's own wins
  chaos?: boolean // default false: `crash` is refused
  stop_timeout_ms?: number // default 25 s: for the whole ordered stop, then the rest is killed
  clock?: Clock
  spawn?: Spawn
  random?: () => number
  hooks?: Partial<SupervisorHooks>
}

/** Called on the main thread, and must be quick; what one throws is logged and goes no further. */
export interface SupervisorHooks {
  /** A thread is gone: release what it held in shared memory under this id. Comes before its replacement is made. */
  onActorDead(actorId: number, name: string, status: ExitStatus): void
  onReady(name: string, generation: number): void
  onRestart(name: string, status: ExitStatus, delay_ms: number): void
  /** A child used up its restarts; the others are being drained. */
  onEscalate(name: string, status: ExitStatus): void
  /** All threads are gone: 0 after an ordered stop, 1 after an escalation or a stop that had to use force. */
  onExit(code: 0 | 1): void
}

/** What actors may ask the supervisor. */
export interface SupervisorAsks {
  status(): SupervisorStatus
  crash(request: CrashRequest): CrashReply
  forgive(request: ForgiveRequest): boolean
}

/** What killed an actor so often has been put aside: those deaths do not count for its intensity. */
export interface ForgiveRequest {
  name: string // the child that says so of itself
  crashes: number
}

export interface CrashRequest {
  name: string // a child, `livestore-0`, or a component: its first replica with a thread
  how: WayToDie
}

export type CrashReply =
  | { kind: 'crashing'; name: string; generation: number }
  | { kind: 'refused'; reason: 'chaos_disabled' | 'unknown_actor' | 'unknown_way' | 'not_running' }

export interface SupervisorStatus {
  state: SupervisorState
  uptime_ms: number
  children: readonly ChildStatus[]
}

export type SupervisorState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped'

export class Supervisor {
  readonly asks: SupervisorAsks
  readonly #options: SupervisorOptions
  readonly #clock: Clock
  readonly #log: Log
  readonly #children: Child[] = []
  readonly #gauge = new ServeGauge()
  /** The supervisor's ends of its askers' ports, by asker. */
  readonly #ports = new Map<string, MessagePort>()
  readonly #watch = new AbortController()
  #state: SupervisorState = 'idle'
  #startedAt_ms = 0
  #lastActorId = SUPERVISOR_ACTOR_ID
  #exitCode: 0 | 1 = 0
  #stopped: Promise<0 | 1> | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#log = options.log
    this.asks = {
      status: () => this.status(),
      crash: (request) => this.crash(request),
      forgive: (request) => this.forgive(request),
    }
    const host = this.#host()
    for (const spec of options.children) {
      const child = new Child(spec, host, options.restart)
      if (this.#children.some((other) => other.name === child.name)) {
        throw new TypeError(`two children are named ${child.name}; each needs an index of its own`)
      }
      this.#children.push(child)
    }
    this.#checkAsks()
  }

  /** True when every child is ready; false when a stop or an escalation came first (then `onExit` tells how it ended). */
  async start(): Promise<boolean> {
    this.#state = 'starting'
    this.#startedAt_ms = this.#clock.monotonic()
    void this.#watchHeartbeats()
    for (const stage of this.#stages().reverse()) {
      if (this.#isStopping) return false
      for (const child of stage) child.start()
      const ready = await Promise.all(stage.map((child) => child.whenReady()))
      if (ready.includes(false)) return false
    }
    if (this.#isStopping) return false
    this.#state = 'running'
    return true
  }

  /** Drains in the direction of flow. Resolves with the exit code of the process; a second call joins the first. */
  stop(): Promise<0 | 1> {
    this.#stopped ??= this.#drain()
    return this.#stopped
  }

  /** Ends every thread at once; the second signal. */
  async kill(): Promise<0 | 1> {
    this.#exitCode = 1
    this.#state = 'stopping'
    await Promise.all(this.#children.map((child) => child.kill()))
    return this.stop()
  }

  status(): SupervisorStatus {
    return {
      state: this.#state,
      uptime_ms: this.#clock.monotonic() - this.#startedAt_ms,
      children: this.#children.map((child) => child.status()),
    }
  }

  /** Makes an actor die, for a test. */
  crash({ name, how }: CrashRequest): CrashReply {
    if (this.#options.chaos !== true) return { kind: 'refused', reason: 'chaos_disabled' }
    if (!WAYS_TO_DIE.includes(how)) return { kind: 'refused', reason: 'unknown_way' }
    const named = this.#children.filter((child) =>
      [child.name, child.spec.component].includes(name),
    )
    if (named.length === 0) return { kind: 'refused', reason: 'unknown_actor' }
    const child = named.find((candidate) => candidate.hasThread)
    if (!child?.die(how)) return { kind: 'refused', reason: 'not_running' }
    return { kind: 'crashing', name: child.name, generation: child.status().generation }
  }

  /** Lets a child's latest crashes count no more; false when there is no such child, or too much was forgiven already. */
  forgive({ name, crashes }: ForgiveRequest): boolean {
    const isForgiven = this.#children.find((child) => child.name === name)?.forgive(crashes)
    if (isForgiven) this.#log.info('crashes forgiven: their cause is put aside', { name, crashes })
    else this.#log.warn('crashes not forgiven: too many causes were put aside', { name, crashes })
    return isForgiven ?? false
  }

  get #isStopping(): boolean {
    return this.#state === 'stopping' || this.#state === 'stopped'
  }

  /** Neighbours of one component start and stop together. */
  #stages(): Child[][] {
    const stages: Child[][] = []
    for (const child of this.#children) {
      const last = stages.at(-1)
      if (last?.[0]?.spec.component === child.spec.component) last.push(child)
      else stages.push([child])
    }
    return stages
  }

  async #drain(): Promise<0 | 1> {
    this.#state = 'stopping'
    const timeout = new AbortController()
    const { stop_timeout_ms = 25_000 } = this.#options
    void this.#clock.sleep(stop_timeout_ms, timeout.signal).then(() => {
      if (timeout.signal.aborted) return
      this.#log.error('ordered stop took too long, ending the rest', { stop_timeout_ms })
      void this.kill()
    })
    for (const child of this.#children) if (!child.hasThread) this.#retire(child)
    for (const stage of this.#stages()) {
      await Promise.all(stage.map((child) => child.stop()))
    }
    timeout.abort()
    this.#watch.abort()
    for (const port of this.#ports.values()) port.close()
    this.#exit()
    return this.#exitCode
  }

  #host(): ChildHost {
    const { spawn = spawnWorker, random = Math.random } = this.#options
    const isStopping = () => this.#isStopping
    return {
      clock: this.#clock,
      log: this.#log,
      spawn,
      random,
      get isStopping() {
        return isStopping()
      },
      birth: (child) => this.#birth(child),
      spawned: (child) => this.#connectTargets(child),
      ready: (child) => this.#ready(child),
      dead: (child, actorId, status) => this.#dead(child, actorId, status),
      restarting: (child, delay_ms) => this.#restarting(child, delay_ms),
      exhausted: (child, status) => this.#escalate(child, status),
      stuck: (child) => this.#stuck(child),
    }
  }

  #birth(child: Child): Pick<Birth, 'actorId' | 'targets' | 'log'> {
    const targets: Record<string, readonly string[]> = {}
    for (const component of child.spec.asks ?? []) targets[component] = this.#namesOf(component)
    const log = this.#options.actorLog ?? { level: 'info', format: 'logfmt' }
    return { actorId: ++this.#lastActorId, targets, log }
  }

  #namesOf(component: string): readonly string[] {
    if (component === SUPERVISOR) return [SUPERVISOR]
    return this.#children.filter((c) => c.spec.component === component).map((c) => c.name)
  }

  #checkAsks(): void {
    for (const { name, spec } of this.#children) {
      const missing = spec.asks?.find((component) => this.#namesOf(component).length === 0)
      if (missing) throw new TypeError(`${name} asks "${missing}", and no child is one`)
    }
  }

  /** A new thread learns the way to every target that is ready. */
  #connectTargets(asker: Child): void {
    for (const component of asker.spec.asks ?? []) {
      if (component === SUPERVISOR) this.#connectSupervisor(asker)
      for (const target of this.#children) {
        if (target.spec.component === component && target.state === 'ready') {
          connect(asker, target)
        }
      }
    }
  }

  #connectSupervisor(asker: Child): void {
    const { port1, port2 } = new MessageChannel()
    this.#ports.set(asker.name, port1)
    serve(port1, this.asks, { name: SUPERVISOR, clock: this.#clock, gauge: this.#gauge })
    const actorId = SUPERVISOR_ACTOR_ID
    asker.post({ type: 'connect', target: SUPERVISOR, actorId, port: port2 }, [port2])
  }

  #ready(child: Child): void {
    const { generation } = child.status()
    this.#log.info('actor ready', { actor: child.name, generation })
    for (const asker of this.#askersOf(child)) connect(asker, child)
    this.#call('onReady', (hooks) => hooks.onReady?.(child.name, generation))
  }

  #askersOf(target: Child): Child[] {
    return this.#children.filter(
      (child) => child.hasThread && child.spec.asks?.includes(target.spec.component),
    )
  }

  #dead(child: Child, actorId: number, status: ExitStatus): void {
    const fields = { actor: child.name, status: status.kind, why: describeExit(status) }
    if (status.kind === 'stopped') this.#log.info('actor stopped', fields)
    else this.#log.error('actor died', fields)
    if (this.#isStopping && status.kind !== 'stopped') this.#exitCode = 1
    this.#call('onActorDead', (hooks) => hooks.onActorDead?.(actorId, child.name, status))
    this.#ports.get(child.name)?.close()
    this.#ports.delete(child.name)
    for (const asker of this.#askersOf(child)) {
      asker.post({ type: 'down', target: child.name, actorId })
    }
    if (this.#isStopping) this.#retire(child)
  }

  /** It will not come back: its askers fail at once instead of waiting for their deadlines, which would hold up their drain. */
  #retire({ spec: { component } }: Child): void {
    const left = this.#children.filter((c) => c.spec.component === component && c.hasThread)
    const names = left.map((child) => child.name)
    for (const asker of this.#children) {
      if (!asker.hasThread || !asker.spec.asks?.includes(component)) continue
      asker.post({ type: 'replicas', component, names })
    }
  }

  #restarting(child: Child, delay_ms: number): void {
    const status = child.status().exits.at(-1)!.status
    this.#log.info('actor restarts', { actor: child.name, delay_ms: Math.round(delay_ms) })
    this.#call('onRestart', (hooks) => hooks.onRestart?.(child.name, status, delay_ms))
  }

  #escalate(child: Child, status: ExitStatus): void {
    const { intensity, period_ms } = child.policy
    const why = describeExit(status)
    this.#log.error(
      `actor crashed more than ${intensity} times in ${period_ms} ms, draining the others to exit with code 1`,
      { actor: child.name, why },
    )
    this.#exitCode = 1
    this.#call('onEscalate', (hooks) => hooks.onEscalate?.(child.name, status))
    void this.stop()
  }

  /** A thread that survives `terminate` can neither be replaced nor waited for. */
  #stuck(child: Child): void {
    this.#log.error('actor cannot be terminated, it is stuck outside JavaScript; exiting', {
      actor: child.name,
    })
    this.#exitCode = 1
    this.#watch.abort()
    this.#exit()
  }

  #exit(): void {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#call('onExit', (hooks) => hooks.onExit?.(this.#exitCode))
  }

  async #watchHeartbeats(): Promise<void> {
    const timeouts_ms = this.#children.map((child) => child.policy.heartbeat_timeout_ms)
    const interval_ms = Math.min(MAX_CHECK_INTERVAL_MS, Math.min(...timeouts_ms) / 4)
    while (!this.#watch.signal.aborted) {
      await this.#clock.sleep(interval_ms, this.#watch.signal)
      // Ticks are counted, not time: when this thread was late (a starved machine, a paused process), so were the others.
      for (const child of this.#children) child.checkHeartbeat(interval_ms)
    }
  }

  #call(name: keyof SupervisorHooks, call: (hooks: Partial<SupervisorHooks>) => void): void {
    try {
      call(this.#options.hooks ?? {})
    } catch (error) {
      this.#log.error('supervisor hook threw', { hook: name, error: errorText(error) })
    }
  }
}

/** A new pipe between two threads; it lives as long as both. */
function connect(asker: Child, target: Child): void {
  const { port1, port2 } = new MessageChannel()
  const { actorId } = target
  target.post({ type: 'serve', asker: asker.name, port: port1 }, [port1])
  asker.post({ type: 'connect', target: target.name, actorId, port: port2 }, [port2])
}
