/** Owns how the structures of metadata.ts stand in a file: parquet.thrift's field numbers, as they are written. */
import type {
  ColumnChunk,
  ColumnIndex,
  ColumnMetaData,
  FileMetaData,
  KeyValue,
  OffsetIndex,
  PageHeader,
  RowGroupMetaData,
  SchemaElement,
  Statistics,
} from './metadata.js'
import { ThriftWriter } from './thrift-writer.js'

const INTEGER = 10
const TYPE_ORDER = 1

/** The bytes of the footer, without its length and the magic behind it. */
export function fileMetaDataBytes(file: FileMetaData): Uint8Array {
  const w = new ThriftWriter()
  w.struct(() => {
    w.i32Field(1, file.version)
    w.structList(2, file.schema, (element) => {
      writeSchemaElement(w, element)
    })
    w.i64Field(3, file.numRows)
    w.structList(4, file.rowGroups, (group) => {
      writeRowGroup(w, group)
    })
    if (file.keyValueMetadata) writeKeyValues(w, 5, file.keyValueMetadata)
    if (file.createdBy !== undefined) w.textField(6, file.createdBy)
    if (file.columnOrders !== undefined) {
      const orders = Array.from({ length: file.columnOrders }, () => TYPE_ORDER)
      w.structList(7, orders, (order) => {
        w.structField(order, () => undefined)
      })
    }
  })
  return w.out.view().slice()
}

export function writePageHeader(w: ThriftWriter, page: PageHeader): void {
  w.struct(() => {
    w.i32Field(1, page.type)
    w.i32Field(2, page.uncompressedPageSize)
    w.i32Field(3, page.compressedPageSize)
    if (page.crc !== undefined) w.i32Field(4, page.crc | 0)
    const dictionary = page.dictionaryPageHeader
    if (dictionary) {
      w.structField(7, () => {
        w.i32Field(1, dictionary.numValues)
        w.i32Field(2, dictionary.encoding)
        if (dictionary.isSorted !== undefined) w.boolField(3, dictionary.isSorted)
      })
    }
    const data = page.dataPageHeaderV2
    if (data) {
      w.structField(8, () => {
        w.i32Field(1, data.numValues)
        w.i32Field(2, data.numNulls)
        w.i32Field(3, data.numRows)
        w.i32Field(4, data.encoding)
        w.i32Field(5, data.definitionLevelsByteLength)
        w.i32Field(6, data.repetitionLevelsByteLength)
        w.boolField(7, data.isCompressed)
        if (data.statistics) writeStatistics(w, 8, data.statistics)
      })
    }
  })
}

export function columnIndexBytes(index: ColumnIndex): Uint8Array {
  const w = new ThriftWriter()
  w.struct(() => {
    w.boolList(1, index.nullPages)
    w.binaryList(2, index.minValues)
    w.binaryList(3, index.maxValues)
    w.i32Field(4, index.boundaryOrder)
    if (index.nullCounts) w.i64List(5, index.nullCounts)
  })
  return w.out.view().slice()
}

export function offsetIndexBytes(index: OffsetIndex): Uint8Array {
  const w = new ThriftWriter()
  w.struct(() => {
    w.structList(1, [...index.offsets.keys()], (page) => {
      w.i64Field(1, index.offsets[page]!)
      w.i32Field(2, index.compressedPageSizes[page]!)
      w.i64Field(3, index.firstRowIndexes[page]!)
    })
  })
  return w.out.view().slice()
}

function writeSchemaElement(w: ThriftWriter, element: SchemaElement): void {
  if (element.type !== undefined) w.i32Field(1, element.type)
  if (element.typeLength !== undefined) w.i32Field(2, element.typeLength)
  if (element.repetition !== undefined) w.i32Field(3, element.repetition)
  w.textField(4, element.name)
  if (element.numChildren !== undefined) w.i32Field(5, element.numChildren)
  if (element.convertedType !== undefined) w.i32Field(6, element.convertedType)
  if (element.scale !== undefined) w.i32Field(7, element.scale)
  if (element.precision !== undefined) w.i32Field(8, element.precision)
  if (element.fieldId !== undefined) w.i32Field(9, element.fieldId)
  const { logicalType } = element
  if (!logicalType) return
  w.structField(10, () => {
    w.structField(logicalType.id, () => {
      if (logicalType.id !== INTEGER) return
      // A byte, not an i32: parquet-go refuses the file otherwise.
      w.i8Field(1, logicalType.bitWidth!)
      w.boolField(2, logicalType.isSigned!)
    })
  })
}

function writeRowGroup(w: ThriftWriter, group: RowGroupMetaData): void {
  w.structList(1, group.columns, (chunk) => {
    writeColumnChunk(w, chunk)
  })
  w.i64Field(2, group.totalByteSize)
  w.i64Field(3, group.numRows)
  if (group.sortingColumns) {
    w.structList(4, group.sortingColumns, (column) => {
      w.i32Field(1, column.columnIndex)
      w.boolField(2, column.descending)
      w.boolField(3, column.nullsFirst)
    })
  }
  if (group.fileOffset !== undefined) w.i64Field(5, group.fileOffset)
  if (group.totalCompressedSize !== undefined) w.i64Field(6, group.totalCompressedSize)
  // An i16, which is written as an i32 is but has its own type: left out, as nobody asks for it.
}

function writeColumnChunk(w: ThriftWriter, chunk: ColumnChunk): void {
  if (chunk.filePath !== undefined) w.textField(1, chunk.filePath)
  w.i64Field(2, chunk.fileOffset)
  w.structField(3, () => {
    writeColumnMetaData(w, chunk.metaData)
  })
  if (chunk.offsetIndexOffset !== undefined) w.i64Field(4, chunk.offsetIndexOffset)
  if (chunk.offsetIndexLength !== undefined) w.i32Field(5, chunk.offsetIndexLength)
  if (chunk.columnIndexOffset !== undefined) w.i64Field(6, chunk.columnIndexOffset)
  if (chunk.columnIndexLength !== undefined) w.i32Field(7, chunk.columnIndexLength)
}

function writeColumnMetaData(w: ThriftWriter, column: ColumnMetaData): void {
  w.i32Field(1, column.type)
  w.i32List(2, column.encodings)
  w.textList(3, column.pathInSchema)
  w.i32Field(4, column.codec)
  w.i64Field(5, column.numValues)
  w.i64Field(6, column.totalUncompressedSize)
  w.i64Field(7, column.totalCompressedSize)
  if (column.keyValueMetadata) writeKeyValues(w, 8, column.keyValueMetadata)
  w.i64Field(9, column.dataPageOffset)
  if (column.indexPageOffset !== undefined) w.i64Field(10, column.indexPageOffset)
  if (column.dictionaryPageOffset !== undefined) w.i64Field(11, column.dictionaryPageOffset)
  if (column.statistics) writeStatistics(w, 12, column.statistics)
  if (column.encodingStats) {
    w.structList(13, column.encodingStats, (stats) => {
      w.i32Field(1, stats.pageType)
      w.i32Field(2, stats.encoding)
      w.i32Field(3, stats.count)
    })
  }
}

function writeStatistics(w: ThriftWriter, id: number, statistics: Statistics): void {
  w.structField(id, () => {
    if (statistics.max) w.binaryField(1, statistics.max)
    if (statistics.min) w.binaryField(2, statistics.min)
    if (statistics.nullCount !== undefined) w.i64Field(3, statistics.nullCount)
    if (statistics.distinctCount !== undefined) w.i64Field(4, statistics.distinctCount)
    if (statistics.maxValue) w.binaryField(5, statistics.maxValue)
    if (statistics.minValue) w.binaryField(6, statistics.minValue)
  })
}

function writeKeyValues(w: ThriftWriter, id: number, pairs: readonly KeyValue[]): void {
  w.structList(id, pairs, ({ key, value }) => {
    w.textField(1, key)
    if (value !== undefined) w.textField(2, value)
  })
}
