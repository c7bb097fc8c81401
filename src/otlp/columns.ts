/**
 * Owns the one shape in which spans are read: tables of columns. The live head, blockpack and vParquet all offer
 * it; the TraceQL engine, the block writers and the trace assembler use nothing else.
 *
 * A source is cut into row groups. A row group holds **whole traces** as far as the source has them: the spans of one
 * trace are contiguous rows, so `parents.trace` never decreases. Six tables, linked by row numbers:
 *
 *     trace 1──* span *──1 resource        event *──1 span   (spans' events and links are contiguous:
 *                span *──1 scope           link  *──1 span    offsets[i]..offsets[i+1])
 */

export type Level = 'trace' | 'resource' | 'scope' | 'span' | 'event' | 'link'

/** Attribute value types. `any` = array, kvlist, bytes or empty: dictionary codes of the AnyValue's protobuf bytes. */
export type ValueType = 'string' | 'int' | 'float' | 'bool' | 'any'

/** Which attribute column: one key may have one column per value type at each level. */
export interface AttributeKey {
  readonly level: Exclude<Level, 'trace'>
  readonly key: string
  readonly type: ValueType
}

/** Strings of a source by code; code 0 means absent, valid codes are 1..size. Codes are valid over the whole source. */
export interface Dictionary {
  readonly size: number
  /** The bytes of a code, as sent (may be invalid UTF-8). Do not write to them. */
  bytes(code: number): Uint8Array
  /** The text of a code, cached. */
  text(code: number): string
  /** The code of exactly this text, 0 when the source has no such string. */
  find(text: string): number
}

/** One code a row; 0 = the row has no value. */
export interface StringColumn {
  readonly type: 'string'
  readonly codes: Uint32Array
  readonly dictionary: Dictionary
}
/** 64-bit integers as two halves: value = hi * 2^32 + lo, hi signed for attributes and unsigned for times and durations. */
export interface IntColumn {
  readonly type: 'int'
  readonly lo: Uint32Array
  readonly hi: Uint32Array
  /** 1 = the row has a value; undefined = every row has one. */
  readonly present: Uint8Array | undefined
}
export interface FloatColumn {
  readonly type: 'float'
  readonly values: Float64Array
  readonly present: Uint8Array | undefined
}
/** 0 absent, 1 false, 2 true. */
export interface BoolColumn {
  readonly type: 'bool'
  readonly values: Uint8Array
}
/** Codes of AnyValue protobuf bytes (opentelemetry.proto.common.v1.AnyValue); 0 = absent. */
export interface AnyColumn {
  readonly type: 'any'
  readonly codes: Uint32Array
  readonly dictionary: Dictionary
}
/** `width` bytes a row, back to back; used for trace and span ids. All zero = empty. */
export interface FixedColumn {
  readonly type: 'fixed'
  readonly width: number
  readonly bytes: Uint8Array
}

export type AttributeColumn = StringColumn | IntColumn | FloatColumn | BoolColumn | AnyColumn
export type Column = AttributeColumn | FixedColumn

/** What every row of a table has beside attributes. Times are ns since the epoch; `int` fields are unsigned unless said. */
export interface Fields {
  /** 16 bytes. */
  'trace.id': FixedColumn
  /** Least span start, greatest span end of this source's spans of the trace. */
  'trace.start': IntColumn
  'trace.end': IntColumn
  /** Of the root span (no parent id; the last one of several, as Tempo does); 0 when the source has no root. */
  'trace.rootService': StringColumn
  'trace.rootName': StringColumn
  'resource.droppedAttributes': IntColumn
  'resource.schemaUrl': StringColumn
  'scope.name': StringColumn
  'scope.version': StringColumn
  'scope.droppedAttributes': IntColumn
  'scope.schemaUrl': StringColumn
  /** 8 bytes. */
  'span.id': FixedColumn
  /** 8 bytes, zeros for a root. */
  'span.parentId': FixedColumn
  'span.start': IntColumn
  /** end - start modulo 2^64 (an end before its start wraps, as in Tempo). */
  'span.duration': IntColumn
  'span.name': StringColumn
  /** OTLP numbers: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  'span.kind': IntColumn
  /** OTLP numbers: 0 unset, 1 ok, 2 error. */
  'span.status': IntColumn
  'span.statusMessage': StringColumn
  'span.traceState': StringColumn
  'span.flags': IntColumn
  'span.droppedAttributes': IntColumn
  'span.droppedEvents': IntColumn
  'span.droppedLinks': IntColumn
  'event.time': IntColumn
  'event.name': StringColumn
  'event.droppedAttributes': IntColumn
  /** Raw id bytes as sent, through the dictionary. */
  'link.traceId': StringColumn
  'link.spanId': StringColumn
  'link.traceState': StringColumn
  'link.flags': IntColumn
  'link.droppedAttributes': IntColumn
}
export type FieldName = keyof Fields

export interface Parents {
  /** Row in the table `trace` of each span; never decreases. */
  readonly trace: Uint32Array
  /** Row in the table `resource` of each span. */
  readonly resource: Uint32Array
  /** Row in the table `scope` of each span. */
  readonly scope: Uint32Array
}

export interface RowGroup {
  /** Rows of each table. */
  readonly counts: Readonly<Record<Level, number>>
  /** Least start and greatest end over the group's spans, ns; known without reading a column. */
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  parents(): Promise<Parents>
  /** counts.span + 1 offsets into the table of the level. */
  offsets(level: 'event' | 'link'): Promise<Uint32Array>
  /** Every attribute column the group has at a level, in a stable order. */
  attributes(level: AttributeKey['level']): Promise<readonly AttributeKey[]>
  /** One attribute column; undefined when the group has none by that key and type. */
  attribute(key: AttributeKey): Promise<AttributeColumn | undefined>
  /** A field; undefined when the column is empty or zero throughout (absent, 0, or all-zero bytes). */
  field<F extends FieldName>(name: F): Promise<Fields[F] | undefined>
  /**
   * What is known of a column without reading it, so that a group can be skipped: undefined = nothing known;
   * `has: false` = the predicate's value is certainly not in the group. Optional.
   */
  mayHave?(key: AttributeKey | FieldName, text: string): Promise<boolean>
  /**
   * The trace at a row of the table `trace` as OTLP TracesData, where the group knows more than its tables say (the order of
   * attributes, keys that occur twice) or reads less than a whole column for it. Optional.
   */
  assemble?(traceRow: number): Promise<Uint8Array>
}

/** A live head, a block, or any other place that holds spans. */
/** Small enough to be kept for each block there is. */
export interface TraceFilter {
  readonly retained_bytes: number
  /** False only when the source certainly has not got the trace. Id: 16 bytes. */
  mayHave(traceId: Uint8Array): boolean
}

export interface ColumnSource {
  /** The block's UUID; a head has the UUID that its block will have. */
  readonly id: string
  readonly tenant: string
  readonly spanCount: number
  readonly traceCount: number
  readonly minStart_ns: bigint
  readonly maxEnd_ns: bigint
  /** Bytes in this source, for `inspectedBytes`. */
  readonly size_bytes: number
  readonly dictionary: Dictionary
  readonly groupCount: number
  group(index: number): Promise<RowGroup>
  /** Where a trace is: its group and row in the table `trace`; undefined when the source has not got it. Id: 16 bytes. */
  locate(traceId: Uint8Array): Promise<{ group: number; row: number } | undefined>
  /** What tells without the source that it has not got a trace; absent or undefined = the source has none. */
  traceFilter?(): Promise<TraceFilter | undefined>
  /** Bytes read from the backend or decoded so far, for `inspectedBytes`. */
  inspected_bytes(): number
  /** Memory that an open source keeps from one question to the next, about; absent = next to nothing. */
  retained_bytes?(): number
  close(): Promise<void>
}
