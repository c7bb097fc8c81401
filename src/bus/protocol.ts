/** Owns what the supervisor and an actor's thread say to each other: the control plane, and nothing of the data. */
import type { MessagePort } from 'node:worker_threads'
import type { LogFormat, LogLevel } from '../lib/log.js'
import type { WayToDie } from './actor.js'

/** What a thread is born with (`workerData`). */
export interface Birth {
  module: string // URL of the actor module
  name: string
  component: string
  index: number
  actorId: number
  generation: number
  config: unknown
  shared: Record<string, SharedArrayBuffer>
  vitals: SharedArrayBuffer
  heartbeat_interval_ms: number
  /** Component to replica names: whom this actor may ask. */
  targets: Record<string, readonly string[]>
  log: { level: LogLevel; format: LogFormat }
}

/** From the supervisor to a thread. */
export type ToActor =
  /** The target's thread `actorId` is ready; ask it by this port. */
  | { type: 'connect'; target: string; actorId: number; port: MessagePort }
  /** Answer asks that come by this port. */
  | { type: 'serve'; asker: string; port: MessagePort }
  /** The target's thread `actorId` is dead. */
  | { type: 'down'; target: string; actorId: number }
  /** The component has these replicas from now on. */
  | { type: 'replicas'; component: string; names: readonly string[] }
  /** Finish, close, and end the thread. */
  | { type: 'stop' }
  /** Die, for a test. */
  | { type: 'die'; how: WayToDie }

/** From a thread to the supervisor. Death has no message: the thread's exit is the message. */
export type FromActor =
  /** `start()` resolved. */
  | { type: 'ready' }
  /** `stop()` resolved; the thread ends by itself now. */
  | { type: 'stopped' }
