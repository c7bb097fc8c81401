/**
 * Owns the dead letters of all partitions this livestore has: it keeps the tries of suspected records and the records that are put
 * aside, for its own consumers and (by asks) for the distributor's, and answers those who look at them.
 */
import type { Poison, PoisonLedger, Suspicion } from '../../bus/poison.js'
import { SUSPICIONS_MAX } from '../../bus/poison.js'
import type { Log } from '../../lib/log.js'
import type { Clock } from '../../lib/time.js'
import {
  deadLetterId,
  MAX_DEAD_LETTERS,
  MAX_DEAD_LETTER_BYTES,
  type DeadLetter,
  type DeadLetterTopic,
} from '../../storage/wal/dead-letters.js'
import type { LivestoreState } from '../../storage/wal/state.js'
import type { DeadLetterAsks, DeadLetterList, LetterOf } from './contract.js'
import type { QuarantineMetrics } from './metrics.js'

/** How often it is told that a partition stands still for want of room. */
const FULL_TOLD_MS = 60_000

export interface QuarantineOptions {
  readonly metrics: QuarantineMetrics
  readonly clock: Clock
  readonly log: Log
}

export class Quarantine {
  readonly #options: QuarantineOptions
  readonly #states = new Map<number, LivestoreState>()
  #fullToldAt_ms = -Infinity

  constructor(options: QuarantineOptions) {
    this.#options = options
  }

  /** Keeps what concerns a partition, of both topics, in its state. */
  own(partition: number, state: LivestoreState): void {
    this.#states.set(partition, state)
    this.#setGauges(partition)
  }

  /** What others may ask; the contract's methods. */
  readonly asks: DeadLetterAsks = {
    poisonKnown: ({ topic, partition }) => this.ledger(topic, partition).known(),
    poisonTrying: ({ topic, partition, suspicion }) =>
      this.ledger(topic, partition).trying(suspicion),
    poisonCleared: ({ topic, partition, identity }) =>
      this.ledger(topic, partition).cleared(identity),
    poisonQuarantine: ({ topic, partition, poison }) =>
      this.ledger(topic, partition).quarantine(poison),
    poisonAgain: ({ topic, partition, identity, tenant, count }) =>
      this.ledger(topic, partition).again(identity, tenant, count),
    deadLetters: () => Promise.resolve(this.#list()),
    deadLetter: ({ id }) => Promise.resolve(this.#find(id)),
    discardDeadLetter: ({ id, why }) => this.#discard(id, why),
  }

  ledger(topic: DeadLetterTopic, partition: number): PoisonLedger {
    const state = this.#stateOf(partition)
    // A request comes by any partition of `ingress`, its retry by another: the tries of all of them are in one place.
    const tries = topic === 'ingress' ? this.#stateOf(0) : state
    const prefix = `try/${topic}/`
    return {
      known: () => {
        const suspicions = tries.notes(prefix).map(([, value]) => value as Suspicion)
        const letters = state.deadLetters.list().filter((letter) => letter.topic === topic)
        return Promise.resolve({
          suspicions,
          letters: letters.map(({ identity, length_bytes }) => ({ identity, length_bytes })),
        })
      },
      trying: async (suspicion) => {
        await forgetOldest(tries, prefix, suspicion.identity)
        await tries.setNote(prefix + suspicion.identity, suspicion)
      },
      cleared: (identity) => tries.setNote(prefix + identity, undefined),
      quarantine: async (poison) => {
        if (!(await this.quarantine(topic, partition, poison))) return false
        await tries.setNote(prefix + poison.identity, undefined)
        return true
      },
      again: (identity, tenant, count) =>
        Promise.resolve(this.#again(topic, identity, tenant, count)),
    }
  }

  /**
   * Puts a record aside; durable when it resolves with true, and false when there is no room. One that was acknowledged is always taken:
   * it only moves from the log to here, and the log is bounded.
   */
  async quarantine(
    topic: DeadLetterTopic,
    partition: number,
    poison: Poison,
    { wasAcknowledged = false } = {},
  ): Promise<boolean> {
    const { log, clock, metrics } = this.#options
    const state = this.#stateOf(partition)
    const letter = letterOf(topic, partition, poison, wasAcknowledged, clock.now())
    if (!wasAcknowledged && !state.deadLetters.hasRoom(letter.id, letter.length_bytes)) {
      this.#tellFull(partition, state)
      return false
    }
    await state.putDeadLetter(letter, poison.bytes)
    metrics.letters.labels(topic, letter.reason).inc()
    metrics.discarded.labels(letter.tenant, 'quarantined').inc(letter.spans)
    this.#setGauges(partition)
    log.error(
      `record put aside: it killed its consumer ${letter.tries} times; look at it with: tempo-actors bus dlq show ${letter.id}`,
      {
        ...{ id: letter.id, topic, partition, offset: letter.offset, tenant: letter.tenant },
        ...{ spans: letter.spans, bytes: letter.length_bytes, last_death: letter.why },
        was_acknowledged: wasAcknowledged,
      },
    )
    return true
  }

  #again(topic: DeadLetterTopic, identity: string, tenant: string, count: number): boolean {
    const { metrics, log } = this.#options
    const letter = [...this.#states]
      .map(([partition, state]) => state.deadLetters.get(deadLetterId(topic, partition, identity)))
      .find((found) => found?.identity === identity)
    if (!letter) return false
    metrics.letters.labels(topic, 'again').inc()
    metrics.discarded.labels(tenant, 'quarantined').inc(count)
    log.debug('record is a dead letter already: refused again', { id: letter.id })
    return true
  }

  #list(): DeadLetterList {
    const states = [...this.#states.values()].map((state) => state.deadLetters)
    return {
      letters: states
        .flatMap((state) => state.list())
        .sort((a, b) => a.quarantinedAt_ms - b.quarantinedAt_ms),
      size_bytes: states.reduce((sum, state) => sum + state.size_bytes, 0),
      max_letters: states.length * MAX_DEAD_LETTERS,
      max_bytes: states.length * MAX_DEAD_LETTER_BYTES,
    }
  }

  #find(id: string): LetterOf | undefined {
    const state = this.#ownerOf(id)
    const letter = state?.deadLetters.get(id)
    const bytes = state?.deadLetterBytes(id)
    return letter && bytes && { letter, bytes }
  }

  async #discard(id: string, why: string): Promise<boolean> {
    const state = this.#ownerOf(id)
    const letter = state?.deadLetters.get(id)
    if (!state || !letter) return false
    await state.removeDeadLetter(id)
    this.#setGauges(letter.partition)
    const { tenant, spans } = letter
    this.#options.log.info('dead letter removed', { id, why, tenant, spans })
    return true
  }

  #ownerOf(id: string): LivestoreState | undefined {
    return [...this.#states.values()].find((state) => state.deadLetters.get(id))
  }

  #stateOf(partition: number): LivestoreState {
    const state = this.#states.get(partition)
    if (!state) throw new Error(`this livestore has no partition ${partition}`)
    return state
  }

  #setGauges(partition: number): void {
    const { count, size_bytes } = this.#stateOf(partition).deadLetters
    this.#options.metrics.held.labels(String(partition)).set(count)
    this.#options.metrics.held_bytes.labels(String(partition)).set(size_bytes)
  }

  #tellFull(partition: number, state: LivestoreState): void {
    const now_ms = this.#options.clock.monotonic()
    if (now_ms - this.#fullToldAt_ms < FULL_TOLD_MS) return
    this.#fullToldAt_ms = now_ms
    const { count, size_bytes } = state.deadLetters
    this.#options.log.error(
      'no room for another dead letter: the partition stands still until some are replayed or discarded (tempo-actors bus dlq list)',
      { partition, held: count, held_bytes: size_bytes, max: MAX_DEAD_LETTERS, max_bytes: MAX_DEAD_LETTER_BYTES }, // prettier-ignore
    )
  }
}

function letterOf(
  topic: DeadLetterTopic,
  partition: number,
  poison: Poison,
  wasAcknowledged: boolean,
  quarantinedAt_ms: number,
): DeadLetter {
  const { identity, offset, tenant, timestamp_ms, count: spans, tries, death, bytes } = poison
  return {
    id: deadLetterId(topic, partition, identity),
    ...{ identity, topic, partition, offset, tenant, timestamp_ms, spans, tries },
    length_bytes: bytes.length,
    reason: death.kind,
    why: death.text,
    wasAcknowledged,
    quarantinedAt_ms,
  }
}

/** A bound on what is suspected at once: the oldest suspicion is given up for a new one. */
async function forgetOldest(
  state: LivestoreState,
  prefix: string,
  identity: string,
): Promise<void> {
  const notes = state.notes(prefix)
  if (notes.length < SUSPICIONS_MAX || state.note(prefix + identity) !== undefined) return
  const at = ([, value]: [string, unknown]) => (value as Suspicion).at_ms
  const [oldest] = notes.sort((a, b) => at(a) - at(b))
  if (oldest) await state.setNote(oldest[0], undefined)
}
