/**
 * Owns the suspicion of records: which of them may have killed their consumer, and when one is put aside.
 *
 * A consumer that nothing happened to pays one look a batch (`isWatching` is false). After a death, the records that the
 * predecessor may have been at are tried one by one, and the try is counted durably before it is made, so that the count
 * outlives the thread and the process. The third try that ends in a death is the last: the record goes to the dead letters.
 *
 *     death in a batch = try 1 of each record in it     alone = try 2, try 3     found with 3 tries = put aside
 *
 * A record is known by its bytes, not by its offset: after the death of the process the ring is gone, and the sender's retry
 * brings the same bytes at another place. So too for a retry of what is a dead letter already: it kills nobody again.
 */
import { createHash } from 'node:crypto'
import type { Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import type { BusRecord } from './consumer.js'

/** Deaths of its consumer after which a record is put aside. */
export const TRIES_MAX = 3
/** Flag of a record that a person has sent again from the dead letters: it is not put aside for being one. */
export const REPLAYED_FLAG = 1
/** A sender that comes back later than this is not expected any more. */
export const SUSPICION_MS = 15 * 60_000
/** Suspicions that are kept at once; each took a death. */
export const SUSPICIONS_MAX = 64
/** While there is no room for another dead letter, this is how often it is looked for. */
const ROOM_WAIT_MS = 1000

/** How a consumer ended: a word for metrics, and the words for people. */
export interface Death {
  readonly kind: string
  readonly text: string
}

/** A record that was tried, and its tries so far; found at a start, each of them ended in a death. */
export interface Suspicion {
  readonly identity: string
  readonly length_bytes: number
  readonly tries: number
  readonly at_ms: number
  /** The latest death that is known. */
  readonly death: Death
}

/** A record that is put aside. */
export interface Poison {
  readonly identity: string
  readonly offset: number
  readonly tenant: string
  readonly timestamp_ms: number
  /** What the topic counts in a record: spans. */
  readonly count: number
  readonly tries: number
  readonly death: Death
  readonly bytes: Uint8Array
}

export interface KnownLetter {
  readonly identity: string
  readonly length_bytes: number
}

/** Where tries and dead letters of one partition of a topic are kept; each change is durable when it resolves. */
export interface PoisonLedger {
  known(): Promise<{ suspicions: readonly Suspicion[]; letters: readonly KnownLetter[] }>
  /** Sets the tries of a record; it is about to be tried. */
  trying(suspicion: Suspicion): Promise<void>
  /** The record was not it. */
  cleared(identity: string): Promise<void>
  /** False while there is no room for it. */
  quarantine(poison: Poison): Promise<boolean>
  /** The bytes of a letter came once more; false when there is no such letter any more. */
  again(identity: string, tenant: string, count: number): Promise<boolean>
}

/**
 * What the guards of a thread share. One trial at a time: partitions are consumed side by side, and a death in the midst of two trials would
 * count against both. And what is known of records: a sender's retry may come by another partition than its first try did.
 */
export class TrialRoom {
  readonly suspicions = new Map<string, Suspicion>()
  readonly letters = new Map<string, number>()
  /** Lengths of all that is known: a record of another length is none of it, and need not be hashed. */
  lengths: ReadonlySet<number> = new Set()
  #last: Promise<void> = Promise.resolve()

  /** To be called after a change of what is known. */
  measure(): void {
    const lengths = new Set(this.letters.values())
    for (const { length_bytes } of this.suspicions.values()) lengths.add(length_bytes)
    this.lengths = lengths
  }

  /** Resolves when it is free; with what frees it again. */
  async enter(): Promise<() => void> {
    let leave = () => {}
    const before = this.#last
    this.#last = new Promise((resolve) => (leave = resolve))
    await before
    return leave
  }
}

export interface PoisonGuardOptions {
  readonly topic: string
  /** Shared by the guards of one thread. */
  readonly room: TrialRoom
  readonly ledger: PoisonLedger
  /** How the predecessor died; nothing when there was none. */
  readonly death: Death | undefined
  /** From the first record that is read on, so many bytes may have been in the predecessor's hands when it died. */
  readonly window_bytes: number
  /** Records that came after the death are above suspicion. */
  readonly tail: number
  readonly count: (value: Uint8Array) => number
  /** So many deaths are explained by a record that was put aside just now. */
  readonly forgive?: (deaths: number) => Promise<void>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  readonly progress: () => void
}

/** What to do with a record: take it; or it is put aside, and done with; or neither, as the actor stops. */
export type Admission = 'take' | 'stop' | { readonly aside: number }

export const PROCESS_DEATH: Death = {
  kind: 'process_ended',
  text: 'the process ended while it was at this record',
}

/** The name of a record's content. */
export function identityOf(topic: string, tenant: Uint8Array, value: Uint8Array): string {
  const hash = createHash('sha256').update(`${topic}\0${tenant.length}\0`)
  return hash.update(tenant).update(value).digest('hex').slice(0, 32)
}

/** Stands beside one consumer. Thread contract: the consumer's thread. */
export class PoisonGuard {
  readonly #options: PoisonGuardOptions
  readonly #suspicions: Map<string, Suspicion>
  readonly #letters: Map<string, number>
  /** Records that begin before this are suspects; unknown until the first record after a death is seen. */
  #until: number | undefined = 0
  #forgetAt_ms = Infinity
  #trying: Suspicion | undefined
  #leave: (() => void) | undefined

  private constructor(options: PoisonGuardOptions) {
    this.#options = options
    this.#suspicions = options.room.suspicions
    this.#letters = options.room.letters
    if (options.death) this.#until = undefined
  }

  static async open(options: PoisonGuardOptions): Promise<PoisonGuard> {
    const guard = new PoisonGuard(options)
    const { suspicions, letters } = await options.ledger.known()
    for (const suspicion of suspicions) guard.#suspicions.set(suspicion.identity, suspicion)
    for (const { identity, length_bytes } of letters) guard.#letters.set(identity, length_bytes)
    guard.#measure()
    if (suspicions.length > 0) guard.#forgetAt_ms = options.clock.monotonic() + SUSPICION_MS
    return guard
  }

  /** False on a healthy day: records need not be asked about. */
  get isWatching(): boolean {
    return this.#until !== 0 || this.#options.room.lengths.size > 0
  }

  /** True between an `admit` that counted a try and its `done`. */
  get isTrying(): boolean {
    return this.#trying !== undefined
  }

  /** True when nothing speaks against the record; costs no hash. */
  isFree(record: BusRecord): boolean {
    if (this.#until === undefined) {
      this.#until = Math.min(record.offset + this.#options.window_bytes, this.#options.tail)
    }
    if (record.offset < this.#until) return false
    this.#until = 0
    return !this.#options.room.lengths.has(record.value.length)
  }

  /** To be asked before a record is touched. `take` may have counted a try: say `done` after it. */
  async admit(record: BusRecord): Promise<Admission> {
    if (this.isFree(record)) return 'take'
    const { topic, ledger, count } = this.#options
    const isSuspect = record.offset < this.#until!
    await this.#forgetOld()
    const identity = identityOf(topic, record.key, record.value)
    if (this.#letters.has(identity) && (record.flags & REPLAYED_FLAG) === 0) {
      const spans = count(record.value)
      if (await ledger.again(identity, record.key.toString('utf8'), spans)) return { aside: spans }
      this.#letters.delete(identity)
      this.#measure()
    }
    const known = this.#suspicions.get(identity)
    if (!isSuspect && !known) return 'take'
    const tries = known?.tries ?? 1
    if (tries >= TRIES_MAX) return this.#putAside(record, identity, known)
    await this.#try(identity, record.value.length, tries + 1, known)
    return 'take'
  }

  /** The record that was taken did no harm. */
  async done(): Promise<void> {
    const tried = this.#trying
    if (!tried) return
    this.#trying = undefined
    await this.#options.ledger.cleared(tried.identity)
    this.#leaveRoom()
    if (this.#suspicions.delete(tried.identity)) this.#measure()
  }

  /** A wait begins that has nothing to do with the record: an end that comes now is not counted against it. */
  async pause(): Promise<void> {
    if (!this.#trying) return
    await this.#options.ledger.trying(oneLess(this.#trying))
    this.#leaveRoom()
  }

  async resume(): Promise<void> {
    if (!this.#trying) return
    this.#leave = await this.#options.room.enter()
    await this.#options.ledger.trying(this.#trying)
  }

  async #try(
    identity: string,
    length_bytes: number,
    tries: number,
    known: Suspicion | undefined,
  ): Promise<void> {
    const { ledger, clock, room } = this.#options
    this.#leave = await room.enter()
    const death = this.#deathOf(known)
    this.#trying = { identity, length_bytes, tries, at_ms: clock.now(), death }
    await ledger.trying(this.#trying)
  }

  async #putAside(
    record: BusRecord,
    identity: string,
    known: Suspicion | undefined,
  ): Promise<Admission> {
    const { ledger, count, clock, signal, progress } = this.#options
    const spans = count(record.value)
    const poison: Poison = {
      identity,
      offset: record.offset,
      tenant: record.key.toString('utf8'),
      timestamp_ms: record.timestamp_ms,
      count: spans,
      tries: known?.tries ?? TRIES_MAX,
      death: this.#deathOf(known),
      bytes: record.value,
    }
    while (!(await ledger.quarantine(poison))) {
      if (signal.aborted) return 'stop'
      await clock.sleep(ROOM_WAIT_MS, signal)
      progress()
    }
    this.#suspicions.delete(identity)
    this.#letters.set(identity, record.value.length)
    this.#measure()
    await this.#options.forgive?.(poison.tries)
    return { aside: spans }
  }

  #leaveRoom(): void {
    this.#leave?.()
    this.#leave = undefined
  }

  #deathOf(known: Suspicion | undefined): Death {
    return this.#options.death ?? known?.death ?? PROCESS_DEATH
  }

  /** Suspicions whose record never came back would have every record of that length hashed for ever. */
  async #forgetOld(): Promise<void> {
    if (this.#options.clock.monotonic() < this.#forgetAt_ms) return
    this.#forgetAt_ms = Infinity
    for (const identity of this.#suspicions.keys()) await this.#options.ledger.cleared(identity)
    this.#suspicions.clear()
    this.#measure()
  }

  #measure(): void {
    this.#options.room.measure()
  }
}

function oneLess(suspicion: Suspicion): Suspicion {
  return { ...suspicion, tries: suspicion.tries - 1 }
}
