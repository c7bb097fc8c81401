/** Owns the errors an ask can end with, and the form in which an error crosses from one thread to another. */

/** The target died or was replaced while the ask was in flight, or stayed down until its deadline. Safe to ask again if the ask is. */
export class ActorDown extends Error {
  readonly code = 'ACTOR_DOWN'
  override readonly name = 'ActorDown'
  constructor(
    readonly target: string,
    readonly method: string,
    why: string,
  ) {
    super(`ask ${target}.${method} failed: ${why}`)
  }
}

/** The target is up and did not answer in time. */
export class DeadlineExceeded extends Error {
  readonly code = 'DEADLINE_EXCEEDED'
  override readonly name = 'DeadlineExceeded'
  constructor(
    readonly target: string,
    readonly method: string,
    readonly deadline_ms: number,
  ) {
    super(`ask ${target}.${method} not answered within its deadline of ${deadline_ms} ms`)
  }
}

/** Too many asks are unanswered; the ask was not sent, or not begun. */
export class Overloaded extends Error {
  readonly code = 'OVERLOADED'
  override readonly name = 'Overloaded'
  constructor(
    readonly target: string,
    readonly method: string,
    readonly inFlight: number,
    readonly max_in_flight: number,
  ) {
    super(
      `ask ${target}.${method} refused: ${inFlight} asks in flight, the limit is ${max_in_flight}`,
    )
  }
}

/** The asker gave the ask up by its signal. */
export class AskCancelled extends Error {
  readonly code = 'ASK_CANCELLED'
  override readonly name = 'AskCancelled'
  constructor(
    readonly target: string,
    readonly method: string,
  ) {
    super(`ask ${target}.${method} cancelled by its asker`)
  }
}

/** A mistake in the code: a target the topology does not connect, or a method its contract does not have. */
export class NoSuchAsk extends Error {
  readonly code = 'NO_SUCH_ASK'
  override readonly name = 'NoSuchAsk'
}

/** What a handler threw, on the asker's side: the target's own code, name and text. */
export class AskFailed extends Error {
  override readonly name: string
  constructor(
    readonly target: string,
    readonly method: string,
    readonly code: string,
    error: WireError,
  ) {
    super(error.message)
    this.name = error.name
    if (error.stack) this.stack = `${error.stack}\n    at ask ${target}.${method}`
  }
}

/** An error as plain data: structured clone would drop its code. */
export interface WireError {
  name: string
  code: string
  message: string
  stack?: string
}

export function toWireError(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: 'Error', code: 'UNKNOWN', message: String(error) }
  const { name, message, stack } = error
  return { name, code: errorCode(error), message, ...(stack ? { stack } : {}) }
}

/** The stable code of whatever was thrown; `UNKNOWN` when it has none. */
export function errorCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && code.length > 0 ? code : 'UNKNOWN'
}
