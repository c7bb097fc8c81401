/** Owns what is done with a dead letter from outside: seen, sent again, thrown away. The livestore keeps them, the receiver takes them in again. */
import type {
  DeadLetter,
  DeadLetterAsks,
  DeadLetterList,
  LetterOf,
} from '../actors/livestore/contract.js'
import type { PushResult, ReceiverAsks } from '../actors/receiver/contract.js'
import type { Asker } from '../bus/actor.js'

const ASK_DEADLINE_MS = 5000

export type ReplayReply =
  | { readonly kind: 'replayed'; readonly letter: DeadLetter }
  | { readonly kind: 'unknown' }
  /** It was not taken, or not all of it: the letter is still there. */
  | { readonly kind: 'kept'; readonly why: string; readonly isRetryable: boolean }

export interface DeadLetterApi {
  list(): Promise<DeadLetterList>
  find(id: string): Promise<LetterOf | undefined>
  /** Resolves when the spans are durable, and the letter gone; or when it is known why not. */
  replay(id: string): Promise<ReplayReply>
  /** False when there is no such letter. */
  discard(id: string): Promise<boolean>
}

export function deadLetterApi(
  livestore: Asker<DeadLetterAsks>,
  receiver: Asker<ReceiverAsks>,
  /** A replay waits for its ack as long as any request. */
  replayDeadline_ms: number,
): DeadLetterApi {
  const limit = { deadline_ms: ASK_DEADLINE_MS }
  const find = (id: string) => livestore.deadLetter({ id }, limit)
  return {
    list: () => livestore.deadLetters(undefined, limit),
    find,
    discard: (id) => livestore.discardDeadLetter({ id, why: 'discarded' }, limit),
    replay: async (id) => {
      const found = await find(id)
      if (!found) return { kind: 'unknown' }
      const { letter, bytes: body } = found
      const request = { tenant: letter.tenant, body, isReplay: true }
      const result = await receiver.replay(request, { deadline_ms: replayDeadline_ms })
      const why = whyNot(result)
      if (why) return { kind: 'kept', ...why }
      // Only now: a death before this leaves the letter, and its spans are stored twice at most, as by any client's retry.
      await livestore.discardDeadLetter({ id, why: 'replayed' }, limit)
      return { kind: 'replayed', letter }
    },
  }
}

function whyNot(result: PushResult): { why: string; isRetryable: boolean } | undefined {
  if (!result.ok) {
    const isRetryable = result.refused === 'rate_limited' || result.refused === 'unavailable'
    return { why: result.message, isRetryable }
  }
  return result.rejectedSpans > 0 ? { why: result.message, isRetryable: false } : undefined
}
