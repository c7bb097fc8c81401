/**
 * Owns one pipe between an asker and a target: calls and replies over a MessagePort by comlink, which comes in by
 * this door only. comlink keeps no reject for a reply that never comes, so death, deadline and overload are raced here.
 */
import { expose, transfer as comlinkTransfer, wrap } from 'comlink'
import type { MessagePort } from 'node:worker_threads'
import { Deadlines } from '../lib/deadlines.js'
import type { Clock } from '../lib/time.js'
import type { Call } from './actor.js'
import {
  ActorDown,
  AskCancelled,
  AskFailed,
  DeadlineExceeded,
  NoSuchAsk,
  Overloaded,
  toWireError,
  type WireError,
} from './ask-errors.js'

/** Asks one actor handles at once, from all its askers together; the next is refused, not queued. */
export const MAX_SERVING = 1024
/** Asks in flight from one asker to one target. */
export const MAX_IN_FLIGHT = 256

type Reply =
  | { kind: 'value'; value: unknown }
  | { kind: 'error'; error: WireError }
  | { kind: 'no_such_ask'; message: string }
  | { kind: 'overloaded'; serving: number; max_serving: number }
  | { kind: 'deadline' }
  | { kind: 'cancelled' }

/** What comlink exposes: one method, so that a contract decides what may be called and not the shape of an object. */
interface Door {
  invoke: (id: number, method: string, args: unknown, deadline_ms: number) => Promise<Reply>
  cancel: (id: number) => Promise<void>
}

const transfers = new WeakMap<object, ArrayBuffer[]>()

/** Marks buffers of an argument or an answer to be moved, not copied; they are gone from this thread afterwards. */
export function transfer<T extends object>(value: T, buffers: readonly ArrayBuffer[]): T {
  transfers.set(value, [...buffers])
  return value
}

function transfersOf(value: unknown): ArrayBuffer[] {
  return (typeof value === 'object' && value && transfers.get(value)) || []
}

function moving<T extends object>(message: T, buffers: ArrayBuffer[]): T {
  return buffers.length > 0 ? comlinkTransfer(message, buffers) : message
}

/** How busy an answering actor is; shared by all its ports and published with its vitals. */
export class ServeGauge {
  /** Handlers that run now, those whose asker has given up included. */
  serving = 0
  handled = 0
  failed = 0
  constructor(readonly max_serving = MAX_SERVING) {}
}

export interface ServeOptions {
  name: string // of the actor that answers
  clock: Clock
  gauge: ServeGauge
}

/** Answers asks that come in by this port, until it closes; then whoever still works for it is told by `call.signal`. */
export function serve(port: MessagePort, asks: object, options: ServeOptions): void {
  const { gauge } = options
  const deadlines = new Deadlines(options.clock)
  const running = new Map<number, ServedCall>()
  const door: Door = {
    async invoke(id, method, args, deadline_ms) {
      const handler = handlerOf(asks, method)
      if (!handler) {
        return { kind: 'no_such_ask', message: `${options.name} answers no ask "${method}"` }
      }
      if (gauge.serving >= gauge.max_serving) {
        return { kind: 'overloaded', serving: gauge.serving, max_serving: gauge.max_serving }
      }
      const call = new ServedCall(deadline_ms, gauge)
      running.set(id, call)
      const deadline = deadlines.after(deadline_ms, () => call.end({ kind: 'deadline' }))
      const reply = await call.run(handler, args)
      deadlines.clear(deadline)
      running.delete(id)
      return reply.kind === 'value' ? moving(reply, transfersOf(reply.value)) : reply
    },
    cancel(id) {
      running.get(id)?.end({ kind: 'cancelled' })
      return Promise.resolve()
    },
  }
  port.once('close', () => {
    for (const call of running.values()) call.end({ kind: 'cancelled' })
  })
  expose(door, port)
}

type Handler = (args: unknown, call: Call) => unknown

/** A contract may be an object literal or an instance of a class; what every object inherits is no part of it. */
function handlerOf(asks: object, method: string): Handler | undefined {
  if (method === 'constructor' || method in Object.prototype) return undefined
  const handler = (asks as Record<string, unknown>)[method]
  return typeof handler === 'function' ? (handler.bind(asks) as Handler) : undefined
}

/** A reason made once: without one, every abort would make an error with a stack. */
const ASK_IS_OVER = Object.assign(new Error('nobody waits for the answer any more'), {
  code: 'ASK_IS_OVER',
})

/** One ask at its target. The handler runs to its end, but the reply leaves at the deadline: a caller's slot always comes back. */
class ServedCall implements Call {
  #reply: Reply | undefined
  #resolve: (reply: Reply) => void = () => undefined
  #controller: AbortController | undefined

  constructor(
    readonly deadline_ms: number,
    private readonly gauge: ServeGauge,
  ) {}

  /** Made when a handler looks at it: most never do, and it is dear. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#reply) this.#controller.abort(ASK_IS_OVER)
    }
    return this.#controller.signal
  }

  run(handler: Handler, args: unknown): Promise<Reply> {
    this.gauge.serving++
    const replied = new Promise<Reply>((resolve) => (this.#resolve = resolve))
    void this.#handle(handler, args)
    return replied
  }

  /** The first end counts. */
  end(reply: Reply): void {
    if (this.#reply) return
    this.#reply = reply
    this.gauge.handled++
    if (reply.kind !== 'value') this.gauge.failed++
    this.#resolve(reply)
    this.#controller?.abort(ASK_IS_OVER)
  }

  async #handle(handler: Handler, args: unknown): Promise<void> {
    try {
      this.end({ kind: 'value', value: await handler(args, this) })
    } catch (error) {
      this.end({ kind: 'error', error: toWireError(error) })
    } finally {
      this.gauge.serving--
    }
  }
}

export interface AskTerms {
  deadline_ms: number // what is left of it
  signal?: AbortSignal | undefined
}

/** The asker's end of a pipe to one thread of one target; a replacement of the target gets a new one. */
export class Pipe {
  readonly #door: Door
  readonly #pending = new Set<(why: string) => void>()
  #askId = 0
  #unanswered = 0
  #isClosed = false

  constructor(
    readonly target: string,
    readonly actorId: number,
    private readonly port: MessagePort,
    private readonly deadlines: Deadlines,
    private readonly max_in_flight: number,
    onClose: (pipe: Pipe) => void,
  ) {
    const remote = wrap<Door>(port) as unknown as Door
    // comlink makes a new proxy a property read; once is enough.
    this.#door = { invoke: remote.invoke, cancel: remote.cancel }
    // A port closes after the last reply in it was read, so nothing that was answered is reported as lost.
    port.once('close', () => {
      this.#isClosed = true
      this.#rejectAll('the actor died or was replaced while the ask was in flight')
      onClose(this)
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Asks without a reply yet, given up or not: what the target still has to work off. */
  get inFlight(): number {
    return this.#unanswered
  }

  close(): void {
    this.port.close()
  }

  ask(method: string, args: unknown, terms: AskTerms): Promise<unknown> {
    if (this.#isClosed) {
      return Promise.reject(new ActorDown(this.target, method, 'the actor is down'))
    }
    if (this.#unanswered >= this.max_in_flight) {
      return Promise.reject(
        new Overloaded(this.target, method, this.#unanswered, this.max_in_flight),
      )
    }
    return this.#send(method, args, terms)
  }

  #send(method: string, args: unknown, { deadline_ms, signal }: AskTerms): Promise<unknown> {
    const id = ++this.#askId
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        this.#pending.delete(die)
        signal?.removeEventListener('abort', cancel)
        this.deadlines.clear(deadline)
        finish()
      }
      const die = (why: string) => settle(() => reject(new ActorDown(this.target, method, why)))
      const cancel = () => {
        void this.#door.cancel(id)
        settle(() => reject(new AskCancelled(this.target, method)))
      }
      this.#pending.add(die)
      signal?.addEventListener('abort', cancel)
      const deadline = this.deadlines.after(deadline_ms, () => {
        settle(() => reject(new DeadlineExceeded(this.target, method, deadline_ms)))
      })
      this.#unanswered++
      this.#invoke(id, method, args, deadline_ms).then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(asError(error))),
      )
    })
  }

  async #invoke(id: number, method: string, args: unknown, deadline_ms: number): Promise<unknown> {
    try {
      const given = typeof args === 'object' && args ? moving(args, transfersOf(args)) : args
      const reply = await this.#door.invoke(id, method, given, deadline_ms)
      return this.#open(reply, method, deadline_ms)
    } finally {
      this.#unanswered--
    }
  }

  #open(reply: Reply, method: string, deadline_ms: number): unknown {
    switch (reply.kind) {
      case 'value':
        return reply.value
      case 'error':
        throw new AskFailed(this.target, method, reply.error.code, reply.error)
      case 'no_such_ask':
        throw new NoSuchAsk(reply.message)
      case 'overloaded':
        throw new Overloaded(this.target, method, reply.serving, reply.max_serving)
      case 'deadline':
        throw new DeadlineExceeded(this.target, method, deadline_ms)
      case 'cancelled':
        throw new AskCancelled(this.target, method)
    }
  }

  #rejectAll(why: string): void {
    for (const die of [...this.#pending]) die(why)
    this.#pending.clear()
    this.#unanswered = 0
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
