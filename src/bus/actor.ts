/** Owns what an actor is: the class it must be, the context it is given, and the ways its thread can end. */
import type { Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'

/**
 * One component on one thread. Life of an actor:
 *
 *     constructor(ctx)  no I/O           start()  opens things; ready when it resolves
 *     asks              what others may ask, from ready until the end of stop()
 *     stop()            ordered, at a safe point: finishes what it holds, closes what it opened;
 *                       also called when a start() gave up because `ctx.abort` fired
 *
 * A broken invariant or an unexpected error is thrown and kills the thread; the supervisor makes a new one.
 * What a caller may get wrong is part of the contract and is answered, not thrown.
 */
export interface Actor {
  /** Each method takes one argument and the call it belongs to, and answers what structured clone can carry. */
  readonly asks?: object
  start(): Promise<void>
  stop(): Promise<void>
}

/** What an `actor.ts` exports by default. */
export type ActorClass<Config = never> = new (ctx: Context<Config>) => Actor

/** All that an actor knows of the world outside. */
export interface Context<Config = unknown> {
  /** Component and replica, as in `livestore-0`: the thread's name, the log field, the name to ask for. */
  readonly name: string
  readonly component: string
  readonly index: number
  /** Above zero and never used twice in a process: this thread's mark on locks in shared memory. */
  readonly actorId: number
  /** How many threads this child has had before this one. */
  readonly generation: number
  /** Deeply frozen. */
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  /** Shared memory by name. It outlives the actor: a replacement is given the same buffers. */
  readonly shared: Readonly<Record<string, SharedArrayBuffer>>
  /** Fires when the actor is told to stop, before `stop()` is called. */
  readonly abort: AbortSignal
  /** One replica by its name (`livestore-0`), or the least busy live one by its component (`querier`). */
  ask<Asks extends object>(target: string): Asker<Asks>
  /** The names of a component's replicas, those being restarted included. */
  replicas(component: string): readonly string[]
  /** A sign of life from long work that keeps the event loop busy; the loop itself gives one by timer. */
  progress(): void
  /** Ends this thread with the error, also from where a throw would be swallowed. */
  crash(error: unknown): never
}

/** The call an ask belongs to, as its handler sees it. */
export interface Call {
  /** Fires when nobody waits for the answer any more: cancelled, past its deadline, or the asker is gone. */
  readonly signal: AbortSignal
  /** What was left of the deadline on arrival. */
  readonly deadline_ms: number
}

export interface AskOptions {
  deadline_ms?: number // default 10 s, at most 10 minutes; the time spent waiting for a restart counts
  signal?: AbortSignal // gives the ask up; the handler's call.signal fires too
}

/** A contract as its asker sees it: each method takes the argument and the options of the ask. */
export type Asker<Asks extends object> = {
  readonly [Method in keyof Asks]: Asks[Method] extends () => infer Answer
    ? (args?: undefined, options?: AskOptions) => Promise<Awaited<Answer>>
    : Asks[Method] extends (args: infer Args, call: Call) => infer Answer
      ? (args: Args, options?: AskOptions) => Promise<Awaited<Answer>>
      : never
}

/** How a thread ended. Only `stopped` is an ordered end; all others count as crashes, unless it was being stopped. */
export type ExitStatus =
  /** It was told to stop, `stop()` resolved, the thread ended by itself. */
  | { kind: 'stopped' }
  /** An error nobody caught: a bug, a broken invariant, `ctx.crash`, or a failed `start()` or `stop()`. */
  | { kind: 'threw'; code: string; message: string }
  /** `process.exit(code)` in the thread, or an event loop that ran empty (code 0). */
  | { kind: 'exited'; code: number }
  /** The thread reached its heap limit (`resourceLimits`). */
  | { kind: 'out_of_memory'; message: string }
  /** Its progress word stood still for too long: it hung, and was terminated. */
  | { kind: 'hung'; silent_ms: number }
  /** `start()` did not resolve in time: terminated. */
  | { kind: 'start_timeout'; timeout_ms: number }
  /** `stop()` did not resolve in time: terminated. */
  | { kind: 'drain_timeout'; timeout_ms: number }
  /** Ended at once because the whole process was told to end at once. */
  | { kind: 'killed' }

/** The status in words, for logs and status pages. */
export function describeExit(status: ExitStatus): string {
  switch (status.kind) {
    case 'stopped':
      return 'stopped in order'
    case 'threw':
      return `threw ${status.code}: ${status.message}`
    case 'exited':
      return `exited with code ${status.code}`
    case 'out_of_memory':
      return `ran out of heap: ${status.message}`
    case 'hung':
      return `hung: no progress for ${Math.round(status.silent_ms)} ms`
    case 'start_timeout':
      return `not ready after ${status.timeout_ms} ms`
    case 'drain_timeout':
      return `not drained after ${status.timeout_ms} ms`
    case 'killed':
      return 'killed'
  }
}

/** The ways a chaos test can make an actor die. */
export const WAYS_TO_DIE = ['throw', 'exit', 'hang', 'oom'] as const
export type WayToDie = (typeof WAYS_TO_DIE)[number]
