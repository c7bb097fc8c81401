/**
 * Owns the structures of a parquet file as typed objects, with the names of parquet.thrift in camelCase. 64-bit integers
 * are numbers: a file whose sizes or counts go beyond 2^53 is refused when it is read. Absent = undefined.
 */

export const TYPE = {
  BOOLEAN: 0,
  INT32: 1,
  INT64: 2,
  INT96: 3,
  FLOAT: 4,
  DOUBLE: 5,
  BYTE_ARRAY: 6,
  FIXED_LEN_BYTE_ARRAY: 7,
} as const
export type Type = (typeof TYPE)[keyof typeof TYPE]

export const REPETITION = { REQUIRED: 0, OPTIONAL: 1, REPEATED: 2 } as const
export type Repetition = (typeof REPETITION)[keyof typeof REPETITION]

/** Those that Tempo's schemas have, and their neighbours; any other number is kept as it is. */
export const CONVERTED_TYPE = {
  UTF8: 0,
  MAP: 1,
  MAP_KEY_VALUE: 2,
  LIST: 3,
  ENUM: 4,
  UINT_8: 11,
  UINT_16: 12,
  UINT_32: 13,
  UINT_64: 14,
  INT_8: 15,
  INT_16: 16,
  INT_32: 17,
  INT_64: 18,
  JSON: 19,
} as const

export const ENCODING = {
  PLAIN: 0,
  PLAIN_DICTIONARY: 2,
  RLE: 3,
  BIT_PACKED: 4,
  DELTA_BINARY_PACKED: 5,
  DELTA_LENGTH_BYTE_ARRAY: 6,
  DELTA_BYTE_ARRAY: 7,
  RLE_DICTIONARY: 8,
  BYTE_STREAM_SPLIT: 9,
} as const
export type Encoding = (typeof ENCODING)[keyof typeof ENCODING]

export const CODEC = {
  UNCOMPRESSED: 0,
  SNAPPY: 1,
  GZIP: 2,
  LZO: 3,
  BROTLI: 4,
  LZ4: 5,
  ZSTD: 6,
  LZ4_RAW: 7,
} as const
export type Codec = (typeof CODEC)[keyof typeof CODEC]

export const PAGE_TYPE = {
  DATA_PAGE: 0,
  INDEX_PAGE: 1,
  DICTIONARY_PAGE: 2,
  DATA_PAGE_V2: 3,
} as const
export type PageType = (typeof PAGE_TYPE)[keyof typeof PAGE_TYPE]

export const BOUNDARY_ORDER = { UNORDERED: 0, ASCENDING: 1, DESCENDING: 2 } as const
export type BoundaryOrder = (typeof BOUNDARY_ORDER)[keyof typeof BOUNDARY_ORDER]

/** The member of the union LogicalType that is set, by its thrift field. */
export const LOGICAL_TYPE = {
  STRING: 1,
  MAP: 2,
  LIST: 3,
  ENUM: 4,
  DECIMAL: 5,
  DATE: 6,
  TIME: 7,
  TIMESTAMP: 8,
  INTEGER: 10,
  UNKNOWN: 11,
  JSON: 12,
  BSON: 13,
  UUID: 14,
} as const

export interface LogicalType {
  readonly id: number
  /** Of INTEGER. */
  readonly bitWidth?: number | undefined
  readonly isSigned?: boolean | undefined
}

export interface SchemaElement {
  readonly name: string
  /** Leaves only. */
  readonly type?: Type | undefined
  readonly typeLength?: number | undefined
  /** Absent at the root. */
  readonly repetition?: Repetition | undefined
  /** Groups only. */
  readonly numChildren?: number | undefined
  readonly convertedType?: number | undefined
  readonly scale?: number | undefined
  readonly precision?: number | undefined
  readonly fieldId?: number | undefined
  readonly logicalType?: LogicalType | undefined
}

export interface Statistics {
  /** Of old writers, in signed byte order. */
  readonly max?: Uint8Array | undefined
  readonly min?: Uint8Array | undefined
  readonly nullCount?: number | undefined
  readonly distinctCount?: number | undefined
  readonly maxValue?: Uint8Array | undefined
  readonly minValue?: Uint8Array | undefined
}

export interface KeyValue {
  readonly key: string
  readonly value?: string | undefined
}

export interface PageEncodingStats {
  readonly pageType: PageType
  readonly encoding: Encoding
  readonly count: number
}

export interface ColumnMetaData {
  readonly type: Type
  readonly encodings: readonly Encoding[]
  /** From below the root to the leaf. */
  readonly pathInSchema: readonly string[]
  readonly codec: Codec
  /** With nulls: one for each pair of levels. */
  readonly numValues: number
  readonly totalUncompressedSize: number
  /** Of all pages with their headers. */
  readonly totalCompressedSize: number
  readonly keyValueMetadata?: readonly KeyValue[] | undefined
  readonly dataPageOffset: number
  readonly indexPageOffset?: number | undefined
  readonly dictionaryPageOffset?: number | undefined
  readonly statistics?: Statistics | undefined
  readonly encodingStats?: readonly PageEncodingStats[] | undefined
  readonly bloomFilterOffset?: number | undefined
  readonly bloomFilterLength?: number | undefined
}

export interface ColumnChunk {
  readonly filePath?: string | undefined
  readonly fileOffset: number
  readonly metaData: ColumnMetaData
  readonly offsetIndexOffset?: number | undefined
  readonly offsetIndexLength?: number | undefined
  readonly columnIndexOffset?: number | undefined
  readonly columnIndexLength?: number | undefined
}

export interface SortingColumn {
  readonly columnIndex: number
  readonly descending: boolean
  readonly nullsFirst: boolean
}

/** A row group as the footer has it (`RowGroup` is the word for what the engine reads). */
export interface RowGroupMetaData {
  readonly columns: readonly ColumnChunk[]
  readonly totalByteSize: number
  readonly numRows: number
  readonly sortingColumns?: readonly SortingColumn[] | undefined
  readonly fileOffset?: number | undefined
  readonly totalCompressedSize?: number | undefined
  readonly ordinal?: number | undefined
}

export interface FileMetaData {
  readonly version: number
  /** Depth first, the root first. */
  readonly schema: readonly SchemaElement[]
  readonly numRows: number
  readonly rowGroups: readonly RowGroupMetaData[]
  readonly keyValueMetadata?: readonly KeyValue[] | undefined
  readonly createdBy?: string | undefined
  /** One for each leaf; the only order there is is TYPE_ORDER. */
  readonly columnOrders?: number | undefined
}

export interface DataPageHeader {
  readonly numValues: number
  readonly encoding: Encoding
  readonly definitionLevelEncoding: Encoding
  readonly repetitionLevelEncoding: Encoding
  readonly statistics?: Statistics | undefined
}

export interface DataPageHeaderV2 {
  readonly numValues: number
  readonly numNulls: number
  readonly numRows: number
  readonly encoding: Encoding
  readonly definitionLevelsByteLength: number
  readonly repetitionLevelsByteLength: number
  /** Of the values; levels never are compressed. True when the writer does not say. */
  readonly isCompressed: boolean
  readonly statistics?: Statistics | undefined
}

export interface DictionaryPageHeader {
  readonly numValues: number
  readonly encoding: Encoding
  readonly isSorted?: boolean | undefined
}

export interface PageHeader {
  readonly type: PageType
  /** Without the header. */
  readonly uncompressedPageSize: number
  readonly compressedPageSize: number
  /** CRC-32 (of gzip) of the page as stored, without its header. */
  readonly crc?: number | undefined
  readonly dataPageHeader?: DataPageHeader | undefined
  readonly dictionaryPageHeader?: DictionaryPageHeader | undefined
  readonly dataPageHeaderV2?: DataPageHeaderV2 | undefined
}

/** Where the data pages of a column chunk are, one entry a page in each list. */
export interface OffsetIndex {
  /** Of the page header in the file. */
  readonly offsets: readonly number[]
  /** Header and page. */
  readonly compressedPageSizes: readonly number[]
  /** In the row group. */
  readonly firstRowIndexes: readonly number[]
}

/** What is known of the data pages of a column chunk, one entry a page in each list. */
export interface ColumnIndex {
  readonly nullPages: readonly boolean[]
  /** Empty for pages of nulls; may be cut off. */
  readonly minValues: readonly Uint8Array[]
  readonly maxValues: readonly Uint8Array[]
  readonly boundaryOrder: BoundaryOrder
  readonly nullCounts?: readonly number[] | undefined
}
