/** Owns what others may ask of a livestore, and what a record of the topic `traces` holds. */
import type { Poison, PoisonLedger, Suspicion } from '../../bus/poison.js'
import type { DeadLetter, DeadLetterTopic } from '../../storage/wal/dead-letters.js'

/**
 * A record of `traces`: key = tenant id (UTF-8), value = one partition's slice of an OTLP request
 * (ExportTraceServiceRequest bytes with each resource once), correlation = the request's ack slot.
 */
export const TRACES_TOPIC = 'traces'
export const LIVESTORE_GROUP = 'livestore'

export interface PartitionStatus {
  readonly partition: number
  readonly appliedOffset: number
  readonly liveSpans: number
  readonly liveBytes: number
  readonly blocksCut: number
  readonly blocksToFlush: number
  readonly blocksLocal: number
}

export type { DeadLetter } from '../../storage/wal/dead-letters.js'

/** What a partition of a topic has against a record: the tries are kept here, so that they outlive who tries. */
interface OfTopic {
  readonly topic: DeadLetterTopic
  readonly partition: number
}

export interface DeadLetterList {
  /** Oldest first. */
  readonly letters: readonly DeadLetter[]
  readonly size_bytes: number
  readonly max_letters: number
  readonly max_bytes: number
}

export interface LetterOf {
  readonly letter: DeadLetter
  readonly bytes: Uint8Array
}

/** A `PoisonLedger` for those who have none of their own, and the dead letters for those who look at them. */
export interface DeadLetterAsks {
  poisonKnown(of: OfTopic): ReturnType<PoisonLedger['known']>
  poisonTrying(of: OfTopic & { readonly suspicion: Suspicion }): Promise<void>
  poisonCleared(of: OfTopic & { readonly identity: string }): Promise<void>
  poisonQuarantine(of: OfTopic & { readonly poison: Poison }): Promise<boolean>
  poisonAgain(
    of: OfTopic & { readonly identity: string; readonly tenant: string; readonly count: number },
  ): Promise<boolean>
  deadLetters(): Promise<DeadLetterList>
  deadLetter(of: { readonly id: string }): Promise<LetterOf | undefined>
  /** Durable when it resolves; false when there is no such letter. */
  discardDeadLetter(of: { readonly id: string; readonly why: string }): Promise<boolean>
}

export interface LivestoreAsks extends DeadLetterAsks {
  status(): Promise<PartitionStatus[]>
  /** Cuts every live head now and resolves when all blocks are in the backend; rejects at the ask's deadline. */
  flush(): Promise<void>
}
