/** Owns what a block encoding is: how a block is written from row groups and opened as a column source, and its meta.json. */
import type { BackendReader } from '../backend/backend.js'
import type { ColumnSource, RowGroup } from '../../otlp/columns.js'

/**
 * Tempo's meta.json (tempodb/backend/block_meta.go), with the fields both systems read. Times are RFC 3339; `size` is the
 * bytes of the data object; counts are plain numbers. `replicationFactor: 1` or Tempo's metrics ignore the block.
 */
export interface BlockMeta {
  format: string // "blockpack1", "vParquet4", ...
  blockID: string
  tenantID: string
  startTime: string
  endTime: string
  totalObjects: number // traces
  totalSpans?: number
  size: number
  compactionLevel: number
  indexPageSize: number
  totalRecords: number // row groups
  bloomShards: number
  footerSize: number
  /** Attributes that have columns of their own in a parquet block: their order gives the columns' names. */
  dedicatedColumns?: readonly DedicatedColumn[]
  replicationFactor: number
  /** The blocks that this one was merged from, which it stands for: a key of ours, see backend/replaced-blocks.ts. */
  compactedFrom?: readonly string[]
}

/** As meta.json has it: no scope = span, no type = string. */
export interface DedicatedColumn {
  readonly s?: 'resource' | 'span' | 'event'
  readonly n: string
  readonly t?: 'string' | 'int'
  readonly o?: readonly string[]
}

/** Where a block's objects are written; the encoding writes data first and never meta.json (the caller does, last). */
export interface BlockSink {
  /** Opens one object of the block for sequential writing. */
  create(name: string): Promise<ObjectWriter>
}
export interface ObjectWriter {
  write(bytes: Uint8Array): Promise<void>
  /** Makes the object whole (and durable when the sink is configured so). */
  close(): Promise<void>
}

export interface WriteRequest {
  blockId: string
  tenant: string
  compactionLevel: number
  /** Row groups sorted by trace id over the whole sequence; one trace is in one group only. */
  groups: AsyncIterable<RowGroup> | Iterable<RowGroup>
  sink: BlockSink
  /** Attributes that get columns of their own, where the encoding has such. */
  dedicatedColumns?: readonly DedicatedColumn[] // default Tempo's
  /** Called now and then, so that a long build can report progress. */
  onProgress?: (spans: number) => void
}

export interface BlockEncoding {
  readonly version: string
  /** The name of the object that has the spans; `size` of meta.json counts its bytes. */
  readonly dataObject: string
  /** Writes all objects but meta.json and returns it. Throws when the input is empty. */
  write(request: WriteRequest): Promise<BlockMeta>
  /** Opens a block; reads its footer. Throws `CorruptBlock` naming block, section and offset. */
  open(meta: BlockMeta, backend: BackendReader): Promise<ColumnSource>
  /** Opens a block to read all of it, in row groups of about so many spans; absent where none is ever large. */
  openInParts?(meta: BlockMeta, backend: BackendReader, groupSpans: number): Promise<ColumnSource>
}

/** A block that another program wrote, or a newer one of ours. It is whole, and stays as it is. */
export class UnsupportedBlock extends Error {
  readonly code = 'UNSUPPORTED_BLOCK'
  constructor(
    readonly blockId: string,
    readonly found: string,
    readonly supported: readonly string[],
  ) {
    super(
      `block ${blockId} has format ${found}, this program reads ${supported.join(', ')}: ` +
        'a newer tempo-actors or another program wrote it, ask that one; or move the block out of the backend to do without its spans',
    )
  }
}

/** A block that cannot be trusted: the message names the block, the section and the byte offset. */
export class CorruptBlock extends Error {
  readonly code = 'CORRUPT_BLOCK'
  constructor(
    readonly blockId: string,
    readonly section: string,
    readonly offset: number,
    detail: string,
  ) {
    super(`block ${blockId}: ${section} at byte ${offset}: ${detail}`)
  }
}
