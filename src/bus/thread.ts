/** Owns the making of threads: the one place that starts a Worker, behind an interface that tests replace. */
import { Worker, type MessagePort, type ResourceLimits } from 'node:worker_threads'
import type { Birth, FromActor, ToActor } from './protocol.js'

export interface Thread {
  readonly threadId: number
  post(message: ToActor, transferred?: readonly MessagePort[]): void
  /** Ends the thread wherever it is. Safe for one that hangs in JavaScript; one inside an addon can take the process along. */
  terminate(): void
}

/** What a thread reports; `exit` is the last and comes exactly once, when the thread is gone. */
export interface ThreadEvents {
  message(message: FromActor): void
  error(error: unknown): void
  exit(code: number): void
}

/** Heap limits of one thread, in MiB; ArrayBuffers and shared memory are not counted by them. */
export type HeapLimits = Pick<
  ResourceLimits,
  'maxOldGenerationSizeMb' | 'maxYoungGenerationSizeMb' | 'stackSizeMb'
>

export type Spawn = (birth: Birth, limits: HeapLimits, events: ThreadEvents) => Thread

const ENTRY = new URL('./worker.js', import.meta.url)

export const spawnWorker: Spawn = (birth, limits, events) => {
  const worker = new Worker(ENTRY, {
    workerData: birth,
    name: birth.name,
    resourceLimits: limits,
  })
  worker.on('message', (message: FromActor) => events.message(message))
  worker.on('error', (error: unknown) => events.error(error))
  worker.on('exit', (code) => events.exit(code))
  return {
    threadId: worker.threadId,
    post: (message, transferred = []) => worker.postMessage(message, transferred),
    terminate: () => void worker.terminate(),
  }
}
