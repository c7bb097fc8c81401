/** Owns reading a parquet file's structures from thrift: the footer. Throws `Malformed`. */
import { THRIFT, ThriftReader } from './thrift-reader.js'
import type {
  Codec,
  ColumnChunk,
  ColumnMetaData,
  Encoding,
  FileMetaData,
  KeyValue,
  LogicalType,
  PageEncodingStats,
  PageType,
  Repetition,
  RowGroupMetaData,
  SchemaElement,
  SortingColumn,
  Statistics,
  Type,
} from './metadata.js'

/** An object whose fields are being read. */
export type Draft<T> = { -readonly [K in keyof T]?: T[K] | undefined }

export function complete<T extends object>(
  input: ThriftReader,
  name: string,
  draft: Draft<T>,
  required: readonly (keyof T & string)[],
): T {
  const missing = required.filter((field) => draft[field] === undefined)
  if (missing.length > 0) input.fail(`${name} has no ${missing.join(', ')}`)
  return draft as T
}

function structs<T>(input: ThriftReader, read: (input: ThriftReader) => T): T[] {
  const out: T[] = []
  input.list(THRIFT.STRUCT, () => out.push(read(input)))
  return out
}

function numbers<T extends number>(input: ThriftReader): T[] {
  const out: T[] = []
  input.list(THRIFT.I32, () => out.push(input.i32() as T))
  return out
}

export function readFileMetaData(input: ThriftReader): FileMetaData {
  const rowGroups: RowGroupMetaData[] = []
  const rest = readFooter(input, (group) => rowGroups.push(group))
  return { ...rest, rowGroups }
}

/** A footer without its row groups, each of which is handed to `onRowGroup` with its place in the bytes. */
export function readFooter(
  input: ThriftReader,
  onRowGroup: (group: RowGroupMetaData, offset: number) => void,
): Omit<FileMetaData, 'rowGroups'> {
  const draft: Draft<Omit<FileMetaData, 'rowGroups'>> = {}
  input.struct((id, type) => {
    if (id === 1) draft.version = input.i32()
    else if (id === 2) draft.schema = structs(input, readSchemaElement)
    else if (id === 3) draft.numRows = input.count()
    else if (id === 4) {
      input.list(THRIFT.STRUCT, () => {
        const { offset } = input
        onRowGroup(readRowGroup(input), offset)
      })
    } else if (id === 5) draft.keyValueMetadata = structs(input, readKeyValue)
    else if (id === 6) draft.createdBy = input.text()
    else if (id === 7) {
      draft.columnOrders = input.list(THRIFT.STRUCT, () => {
        input.skip(THRIFT.STRUCT)
      })
    } else input.skip(type)
  })
  return complete(input, 'footer', draft, ['version', 'schema', 'numRows'])
}

function readSchemaElement(input: ThriftReader): SchemaElement {
  const draft: Draft<SchemaElement> = {}
  input.struct((id, type) => {
    switch (id) {
      case 1:
        draft.type = input.i32() as Type
        break
      case 2:
        draft.typeLength = input.i32()
        break
      case 3:
        draft.repetition = input.i32() as Repetition
        break
      case 4:
        draft.name = input.text()
        break
      case 5:
        draft.numChildren = input.i32()
        break
      case 6:
        draft.convertedType = input.i32()
        break
      case 7:
        draft.scale = input.i32()
        break
      case 8:
        draft.precision = input.i32()
        break
      case 9:
        draft.fieldId = input.i32()
        break
      case 10:
        draft.logicalType = readLogicalType(input)
        break
      default:
        input.skip(type)
    }
  })
  return complete(input, 'schema element', draft, ['name'])
}

function readLogicalType(input: ThriftReader): LogicalType | undefined {
  let logical: LogicalType | undefined
  input.struct((id) => {
    let bitWidth: number | undefined
    let isSigned: boolean | undefined
    input.struct((inner, type) => {
      if (id === 10 && inner === 1 && type === THRIFT.BYTE) bitWidth = input.i8()
      else if (id === 10 && inner === 2) isSigned = input.bool(type)
      else input.skip(type)
    })
    logical = { id, bitWidth, isSigned }
  })
  return logical
}

function readKeyValue(input: ThriftReader): KeyValue {
  const draft: Draft<KeyValue> = {}
  input.struct((id, type) => {
    if (id === 1) draft.key = input.text()
    else if (id === 2) draft.value = input.text()
    else input.skip(type)
  })
  return complete(input, 'key and value', draft, ['key'])
}

export function readRowGroup(input: ThriftReader): RowGroupMetaData {
  const draft: Draft<RowGroupMetaData> = {}
  input.struct((id, type) => {
    if (id === 1) draft.columns = structs(input, readColumnChunk)
    else if (id === 2) draft.totalByteSize = input.count()
    else if (id === 3) draft.numRows = input.count()
    else if (id === 4) draft.sortingColumns = structs(input, readSortingColumn)
    else if (id === 5) draft.fileOffset = input.count()
    else if (id === 6) draft.totalCompressedSize = input.count()
    else if (id === 7) draft.ordinal = input.i32()
    else input.skip(type)
  })
  return complete(input, 'row group', draft, ['columns', 'totalByteSize', 'numRows'])
}

function readSortingColumn(input: ThriftReader): SortingColumn {
  const draft: Draft<SortingColumn> = {}
  input.struct((id, type) => {
    if (id === 1) draft.columnIndex = input.i32()
    else if (id === 2) draft.descending = input.bool(type)
    else if (id === 3) draft.nullsFirst = input.bool(type)
    else input.skip(type)
  })
  return complete(input, 'sorting column', draft, ['columnIndex', 'descending', 'nullsFirst'])
}

function readColumnChunk(input: ThriftReader): ColumnChunk {
  const draft: Draft<ColumnChunk> = { fileOffset: 0 }
  input.struct((id, type) => {
    switch (id) {
      case 1:
        draft.filePath = input.text()
        break
      case 2:
        draft.fileOffset = input.count()
        break
      case 3:
        draft.metaData = readColumnMetaData(input)
        break
      case 4:
        draft.offsetIndexOffset = input.count()
        break
      case 5:
        draft.offsetIndexLength = input.i32()
        break
      case 6:
        draft.columnIndexOffset = input.count()
        break
      case 7:
        draft.columnIndexLength = input.i32()
        break
      default:
        input.skip(type)
    }
  })
  return complete(input, 'column chunk', draft, ['metaData'])
}

function readColumnMetaData(input: ThriftReader): ColumnMetaData {
  const draft: Draft<ColumnMetaData> = { encodings: [] }
  const path: string[] = []
  input.struct((id, type) => {
    switch (id) {
      case 1:
        draft.type = input.i32() as Type
        break
      case 2:
        draft.encodings = numbers<Encoding>(input)
        break
      case 3:
        input.list(THRIFT.BINARY, () => path.push(input.text()))
        draft.pathInSchema = path
        break
      case 4:
        draft.codec = input.i32() as Codec
        break
      case 5:
        draft.numValues = input.count()
        break
      case 6:
        draft.totalUncompressedSize = input.count()
        break
      case 7:
        draft.totalCompressedSize = input.count()
        break
      case 8:
        draft.keyValueMetadata = structs(input, readKeyValue)
        break
      case 9:
        draft.dataPageOffset = input.count()
        break
      case 10:
        draft.indexPageOffset = input.count()
        break
      case 11:
        draft.dictionaryPageOffset = input.count()
        break
      case 12:
        draft.statistics = readStatistics(input)
        break
      case 13:
        draft.encodingStats = structs(input, readEncodingStats)
        break
      case 14:
        draft.bloomFilterOffset = input.count()
        break
      case 15:
        draft.bloomFilterLength = input.i32()
        break
      default:
        input.skip(type)
    }
  })
  return complete(input, 'column metadata', draft, [
    'type',
    'pathInSchema',
    'codec',
    'numValues',
    'totalUncompressedSize',
    'totalCompressedSize',
    'dataPageOffset',
  ])
}

export function readStatistics(input: ThriftReader): Statistics {
  const draft: Draft<Statistics> = {}
  input.struct((id, type) => {
    if (id === 1) draft.max = input.binary()
    else if (id === 2) draft.min = input.binary()
    else if (id === 3) draft.nullCount = input.count()
    else if (id === 4) draft.distinctCount = input.count()
    else if (id === 5) draft.maxValue = input.binary()
    else if (id === 6) draft.minValue = input.binary()
    else input.skip(type)
  })
  return draft
}

function readEncodingStats(input: ThriftReader): PageEncodingStats {
  const draft: Draft<PageEncodingStats> = {}
  input.struct((id, type) => {
    if (id === 1) draft.pageType = input.i32() as PageType
    else if (id === 2) draft.encoding = input.i32() as Encoding
    else if (id === 3) draft.count = input.i32()
    else input.skip(type)
  })
  return complete(input, 'encoding statistics', draft, ['pageType', 'encoding', 'count'])
}
