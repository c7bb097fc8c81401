/** Owns the distributor's way to the dead letters, which the livestore keeps: asks that outlast the livestore's restarts. */
import type { Asker } from '../../bus/actor.js'
import type { PoisonLedger } from '../../bus/poison.js'
import { errorText, type Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import type { LivestoreAsks } from '../livestore/contract.js'
import { INGRESS_TOPIC } from './contract.js'

const DEADLINE_MS = 10_000
const RETRY_MS = 250

export interface RemoteLedgerOptions {
  readonly partition: number
  readonly livestore: Asker<LivestoreAsks>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

/** Every method waits for the livestore as long as it takes, and rejects only when the actor stops meanwhile. */
export function remoteLedger(options: RemoteLedgerOptions): PoisonLedger {
  const { livestore, partition } = options
  const of = { topic: INGRESS_TOPIC, partition } as const
  const limit = { deadline_ms: DEADLINE_MS }
  return {
    known: () => insist(options, () => livestore.poisonKnown(of, limit)),
    trying: (suspicion) =>
      insist(options, () => livestore.poisonTrying({ ...of, suspicion }, limit)),
    cleared: (identity) =>
      insist(options, () => livestore.poisonCleared({ ...of, identity }, limit)),
    quarantine: (poison) => {
      // A part of a batch's memory would travel with all of it.
      const own = { ...poison, bytes: poison.bytes.slice() }
      return insist(options, () => livestore.poisonQuarantine({ ...of, poison: own }, limit))
    },
    again: (identity, tenant, count) =>
      insist(options, () => livestore.poisonAgain({ ...of, identity, tenant, count }, limit)),
  }
}

async function insist<T>(options: RemoteLedgerOptions, ask: () => Promise<T>): Promise<T> {
  const { clock, log, signal } = options
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (signal.aborted) throw error
      log.debug('livestore did not answer about suspected records, asking again', {
        error: errorText(error),
      })
      await clock.sleep(RETRY_MS, signal)
    }
  }
}
