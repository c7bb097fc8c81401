/** Owns an actor's asks: which targets there are, the pipe to each, and what an ask does while a target is down. */
import type { MessagePort } from 'node:worker_threads'
import { assert } from '../lib/assert.js'
import { Deadlines } from '../lib/deadlines.js'
import type { Clock } from '../lib/time.js'
import type { Asker, AskOptions } from './actor.js'
import { ActorDown, AskCancelled, NoSuchAsk, Overloaded } from './ask-errors.js'
import { MAX_IN_FLIGHT, Pipe } from './port.js'

export const DEFAULT_DEADLINE_MS = 10_000
export const MAX_DEADLINE_MS = 600_000

/** A target: one replica by name. It stays when its thread dies; only its pipe changes. */
interface Line {
  readonly name: string
  readonly component: string
  pipe: Pipe | undefined
  /** The latest thread a pipe came from: an older one, delivered late, must not take its place. */
  actorId: number
  /** Asks that wait for a pipe. */
  waiting: number
}

export interface SwitchboardOptions {
  clock: Clock
  /** Component to the names of its replicas: all that may be asked. */
  targets: Readonly<Record<string, readonly string[]>>
  max_in_flight?: number // default MAX_IN_FLIGHT, a target
}

export class Switchboard {
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #max_in_flight: number
  readonly #components = new Map<string, Line[]>()
  readonly #lines = new Map<string, Line>()
  /** Asks that wait for a pipe look again after every change. */
  readonly #changed = new Set<() => void>()
  readonly #askers = new Map<string, Asker<object>>()
  #isClosed = false

  constructor(options: SwitchboardOptions) {
    this.#clock = options.clock
    this.#deadlines = new Deadlines(options.clock)
    this.#max_in_flight = options.max_in_flight ?? MAX_IN_FLIGHT
    for (const [component, names] of Object.entries(options.targets)) {
      this.setReplicas(component, names)
    }
  }

  /** Asks sent and not answered, and asks that wait for a target to come back. */
  get inFlight(): number {
    let count = 0
    for (const line of this.#lines.values()) count += (line.pipe?.inFlight ?? 0) + line.waiting
    return count
  }

  /** The replicas a component has from now on; asks to one that is gone fail. */
  setReplicas(component: string, names: readonly string[]): void {
    const lines = this.#components.get(component) ?? []
    // What is still in flight to one that left may be answered yet: its port closes with its thread, not here.
    for (const gone of lines) if (!names.includes(gone.name)) this.#lines.delete(gone.name)
    const next = names.map(
      (name) =>
        this.#lines.get(name) ?? { name, component, pipe: undefined, actorId: 0, waiting: 0 },
    )
    for (const line of next) this.#lines.set(line.name, line)
    this.#components.set(component, next)
    this.#notify()
  }

  replicas(component: string): readonly string[] {
    return (this.#components.get(component) ?? []).map((line) => line.name)
  }

  /** A target's thread is ready, and this is the way to it. */
  connect(name: string, actorId: number, port: MessagePort): void {
    const line = this.#lines.get(name)
    if (!line || this.#isClosed || actorId <= line.actorId) {
      port.close()
      return
    }
    line.actorId = actorId
    line.pipe = new Pipe(name, actorId, port, this.#deadlines, this.#max_in_flight, (pipe) => {
      if (line.pipe === pipe) line.pipe = undefined
    })
    this.#notify()
  }

  /** The thread is dead: no new ask goes there. What is in flight ends when its port has been read to the end. */
  down(name: string, actorId: number): void {
    const line = this.#lines.get(name)
    if (line?.pipe && line.pipe.actorId <= actorId) line.pipe = undefined
  }

  /** Closes every pipe; what is in flight or waits fails with `ActorDown`. */
  close(): void {
    this.#isClosed = true
    for (const line of this.#lines.values()) line.pipe?.close()
    this.#notify()
  }

  asker<Asks extends object>(target: string): Asker<Asks> {
    const known = this.#askers.get(target)
    if (known) return known as Asker<Asks>
    const methods = new Map<string, (args: unknown, options?: AskOptions) => Promise<unknown>>()
    const asker = new Proxy({} as Asker<Asks>, {
      get: (_, property) => {
        // `then` must be missing, or an `await` of the asker would ask for it.
        if (typeof property !== 'string' || property === 'then') return undefined
        let method = methods.get(property)
        if (!method) {
          method = (args, options) => this.#ask(target, property, args, options ?? {})
          methods.set(property, method)
        }
        return method
      },
    })
    this.#askers.set(target, asker)
    return asker
  }

  async #ask(target: string, method: string, args: unknown, options: AskOptions): Promise<unknown> {
    const deadline_ms = options.deadline_ms ?? DEFAULT_DEADLINE_MS
    assert(
      deadline_ms > 0 && deadline_ms <= MAX_DEADLINE_MS,
      `ask ${target}.${method}: deadline_ms is ${deadline_ms}, must be above 0 and at most ${MAX_DEADLINE_MS}`,
    )
    if (options.signal?.aborted) throw new AskCancelled(target, method)
    const lines = this.#linesOf(target, method)
    const live = leastBusy(lines)
    if (live?.pipe) return live.pipe.ask(method, args, { deadline_ms, signal: options.signal })
    const asked_at = this.#clock.monotonic()
    const pipe = await this.#awaitPipe(target, method, deadline_ms, options.signal)
    const left_ms = Math.max(1, deadline_ms - (this.#clock.monotonic() - asked_at))
    return pipe.ask(method, args, { deadline_ms: left_ms, signal: options.signal })
  }

  /** One replica, or all of a component; none when the target is unknown or has left. */
  #lookUp(target: string): readonly Line[] {
    const line = this.#lines.get(target)
    return line ? [line] : (this.#components.get(target) ?? [])
  }

  #linesOf(target: string, method: string): readonly Line[] {
    const lines = this.#lookUp(target)
    if (lines.length > 0) return lines
    const component = target.replace(/-\d+$/, '')
    if (this.#components.has(target) || this.#components.has(component)) {
      throw new ActorDown(target, method, 'there is no such replica')
    }
    const known = [...this.#components.keys()].join(', ') || 'none'
    throw new NoSuchAsk(
      `ask ${target}.${method}: this actor may not ask "${target}"; its targets: ${known}`,
    )
  }

  /** Resolves with a pipe as soon as one of the target's replicas is back; rejects at the deadline. */
  #awaitPipe(
    target: string,
    method: string,
    deadline_ms: number,
    signal?: AbortSignal,
  ): Promise<Pipe> {
    const lines = this.#linesOf(target, method)
    const waiting = lines[0]!
    if (waiting.waiting >= this.#max_in_flight) {
      throw new Overloaded(target, method, waiting.waiting, this.#max_in_flight)
    }
    waiting.waiting++
    return new Promise<Pipe>((resolve, reject) => {
      const settle = (finish: () => void) => {
        waiting.waiting--
        this.#changed.delete(look)
        signal?.removeEventListener('abort', cancel)
        this.#deadlines.clear(deadline)
        finish()
      }
      const fail = (error: Error) => settle(() => reject(error))
      const cancel = () => fail(new AskCancelled(target, method))
      const look = () => {
        const lines = this.#lookUp(target)
        const pipe = leastBusy(lines)?.pipe
        if (this.#isClosed) fail(new ActorDown(target, method, 'the asker is stopping'))
        else if (lines.length === 0) fail(new ActorDown(target, method, 'it left service'))
        else if (pipe) settle(() => resolve(pipe))
      }
      this.#changed.add(look)
      signal?.addEventListener('abort', cancel)
      const why = `it was down for the ${deadline_ms} ms of the deadline`
      const deadline = this.#deadlines.after(deadline_ms, () => {
        fail(new ActorDown(target, method, why))
      })
      look()
    })
  }

  #notify(): void {
    for (const look of [...this.#changed]) look()
  }
}

/** The live replica with the fewest asks in flight. */
function leastBusy(lines: readonly Line[]): Line | undefined {
  let best: Line | undefined
  for (const line of lines) {
    if (!line.pipe || line.pipe.isClosed) continue
    if (!best?.pipe || line.pipe.inFlight < best.pipe.inFlight) best = line
  }
  return best
}
