/** Owns what the routes are given, and what they share: the way to the frontend, to the actors' status, refusals and headers. */
import type { Context as HonoContext } from 'hono'
import type { FrontendApi, Refusal, Reply } from '../actors/frontend/contract.js'
import type { Config } from '../config.js'
import type { BuildInfo } from '../lib/build-info.js'
import type { Log } from '../lib/log.js'
import type { Histogram } from '../lib/metrics.js'
import type { Clock } from '../lib/time.js'
import type { LimitsView } from '../limits/view.js'
import type { DeadLetterApi } from './dead-letters.js'

export interface ServiceStatus {
  readonly name: string
  readonly component: string
  readonly state: string
  readonly restarts: number
  readonly uptime_ms: number
}

/** Where the pages get their facts; each call is bounded by its own deadline. */
export interface StatusSource {
  readonly build: BuildInfo
  /** Undefined = ready; otherwise why not. */
  notReady(): Promise<string | undefined>
  services(): Promise<readonly ServiceStatus[]>
  /** The Prometheus exposition of every actor. */
  metrics(): Promise<string>
}

export const CRASH_WAYS = ['throw', 'exit', 'hang', 'oom'] as const
export type CrashWay = (typeof CRASH_WAYS)[number]

export interface ActorReplica {
  readonly name: string
  readonly component: string
  readonly state: string
  readonly generation: number
  readonly restarts: number
  readonly uptime_ms: number
  readonly threadId: number
  readonly heapUsed_bytes: number
  readonly eventLoopLag_ms: number
  readonly mailboxDepth: number
}

export interface ActorControl {
  list(): Promise<readonly ActorReplica[]>
  /** Rejects with words when there is no such actor. */
  crash(name: string, how: CrashWay): Promise<void>
}

export interface AppDependencies {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  /** The query-frontend; its asks carry their own deadlines. */
  readonly frontend: FrontendApi
  readonly status: StatusSource
  readonly control: ActorControl
  /** Which limits hold for a tenant now. */
  readonly limits: LimitsView
  readonly deadLetters: DeadLetterApi
  /** `tempo_request_duration_seconds`. */
  readonly requestDuration: Histogram
}

export interface Env {
  Variables: { tenant: string }
}

/** A typed refusal on its way to `onError`. */
export class Refused extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message)
  }
}

/** The data of a reply; throws its refusal. */
export function accepted<T>(reply: Reply<T>): T {
  if ('refused' in reply) throw new Refused(reply.refused)
  return reply.ok
}

/** For answers in which Tempo has no place to say that they are partial, and why. */
export const PARTIAL_HEADER = 'x-tempo-actors-partial'
const HEADER_CHARS_MAX = 2048

/** A header is of printable ASCII, and clients bound all of them together at 8 KiB or so. */
function headerValue(text: string): string {
  const ascii = text.replace(/[^\x20-\x7e]/g, '?')
  return ascii.length <= HEADER_CHARS_MAX ? ascii : `${ascii.slice(0, HEADER_CHARS_MAX - 3)}...`
}

/** The data of a reply; throws its refusal, and says in a header what is missing. */
export function answered<T>(c: HonoContext<Env>, reply: Reply<T>): T {
  if ('ok' in reply && reply.missing !== undefined)
    c.header(PARTIAL_HEADER, headerValue(reply.missing))
  return accepted(reply)
}

/** True when the client asked for protobuf in `Accept` (a substring match, as Tempo does). */
export function wantsProtobuf(accept: string | undefined): boolean {
  return accept?.includes('application/protobuf') ?? false
}
