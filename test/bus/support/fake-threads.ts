/** Owns threads that are not there: a `Spawn` whose threads do what a test tells them, when it tells them. */
import type { MessagePort } from 'node:worker_threads'
import type { Birth, ToActor } from '../../../src/bus/protocol.js'
import type { HeapLimits, Spawn, ThreadEvents } from '../../../src/bus/thread.js'

export class FakeThread {
  readonly received: ToActor[] = []
  isTerminated = false
  isGone = false
  /** What a thread does when it is told to stop; by default it says so and ends. */
  onStop: () => void = () => this.stopInOrder()
  /** A thread stuck in an addon survives it. */
  survivesTerminate = false

  constructor(
    readonly birth: Birth,
    readonly limits: HeapLimits,
    private readonly events: ThreadEvents,
  ) {}

  get name(): string {
    return this.birth.name
  }

  ready(): void {
    this.events.message({ type: 'ready' })
  }

  throw(error: unknown): void {
    this.events.error(error)
    this.exit(1)
  }

  exit(code: number): void {
    if (this.isGone) return
    this.isGone = true
    this.events.exit(code)
  }

  sayStopped(): void {
    this.events.message({ type: 'stopped' })
  }

  stopInOrder(): void {
    this.sayStopped()
    this.exit(0)
  }

  /** A sign of life in the real place. */
  progress(): void {
    Atomics.add(new Int32Array(this.birth.vitals), 0, 1)
  }

  post(message: ToActor, transferred: readonly MessagePort[] = []): void {
    this.received.push(message)
    for (const port of transferred) port.close()
    if (message.type === 'stop') queueMicrotask(() => this.onStop())
  }

  terminate(): void {
    this.isTerminated = true
    if (!this.survivesTerminate) queueMicrotask(() => this.exit(1))
  }

  of<T extends ToActor['type']>(type: T): Extract<ToActor, { type: T }>[] {
    return this.received.filter((m): m is Extract<ToActor, { type: T }> => m.type === type)
  }
}

/** All threads a supervisor made, in order. */
export class FakeThreads {
  readonly all: FakeThread[] = []
  /** Called on each new thread; by default it is ready in the next microtask. */
  onSpawn: (thread: FakeThread) => void = (thread) => queueMicrotask(() => thread.ready())

  readonly spawn: Spawn = (birth, limits, events) => {
    const thread = new FakeThread(birth, limits, events)
    this.all.push(thread)
    this.onSpawn(thread)
    return {
      threadId: this.all.length,
      post: thread.post.bind(thread),
      terminate: thread.terminate.bind(thread),
    }
  }

  /** The latest thread of a child. */
  latest(name: string): FakeThread {
    const thread = this.all.filter((t) => t.name === name).at(-1)
    if (!thread) throw new Error(`no thread was made for ${name}`)
    return thread
  }

  names(): string[] {
    return this.all.map((thread) => thread.name)
  }
}
