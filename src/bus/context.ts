/** Owns the making of a context: the same for an actor on its thread and for one in a test's universe. */
import type { Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { Context } from './actor.js'
import type { Switchboard } from './switchboard.js'

export interface ContextParts {
  name: string
  component: string
  index: number
  actorId: number
  generation: number
  config: unknown
  shared: Record<string, SharedArrayBuffer>
  log: Log
  clock: Clock
  switchboard: Switchboard
  abort: AbortSignal
  progress: () => void
  crash: (error: unknown) => never
}

export function createContext(parts: ContextParts): Context {
  const { switchboard, config, shared, log, name, ...rest } = parts
  return Object.freeze<Context>({
    ...rest,
    name,
    config: deepFreeze(config),
    shared: Object.freeze({ ...shared }),
    log: log.with({ actor: name }),
    ask: (target) => switchboard.asker(target),
    replicas: (component) => switchboard.replicas(component),
  })
}

/** Freezes plain data to its leaves. Views of memory are left alone: they cannot be frozen. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (ArrayBuffer.isView(value) || value instanceof SharedArrayBuffer) return value
  Object.freeze(value)
  for (const key of Reflect.ownKeys(value)) deepFreeze(value[key as keyof T])
  return value
}
