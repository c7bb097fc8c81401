/** Owns what others may ask of a livestore, and what a record of the topic `traces` holds. */

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

export interface LivestoreAsks {
  status(): Promise<PartitionStatus[]>
  /** Cuts every live head now and resolves when all blocks are in the backend; rejects at the ask's deadline. */
  flush(): Promise<void>
}
