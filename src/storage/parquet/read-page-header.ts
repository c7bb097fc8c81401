/** Owns reading page headers and page indexes from thrift. Throws `Malformed`. */
import type {
  BoundaryOrder,
  ColumnIndex,
  DataPageHeader,
  DataPageHeaderV2,
  DictionaryPageHeader,
  Encoding,
  OffsetIndex,
  PageHeader,
  PageType,
} from './metadata.js'
import { complete, readStatistics, type Draft } from './read-metadata.js'
import { THRIFT, type ThriftReader } from './thrift-reader.js'

export function readPageHeader(input: ThriftReader): PageHeader {
  const draft: Draft<PageHeader> = {}
  input.struct((id, type) => {
    switch (id) {
      case 1:
        draft.type = input.i32() as PageType
        break
      case 2:
        draft.uncompressedPageSize = input.count()
        break
      case 3:
        draft.compressedPageSize = input.count()
        break
      case 4:
        draft.crc = input.i32() >>> 0
        break
      case 5:
        draft.dataPageHeader = readDataPageHeader(input)
        break
      case 7:
        draft.dictionaryPageHeader = readDictionaryPageHeader(input)
        break
      case 8:
        draft.dataPageHeaderV2 = readDataPageHeaderV2(input)
        break
      default:
        input.skip(type)
    }
  })
  return complete(input, 'page header', draft, [
    'type',
    'uncompressedPageSize',
    'compressedPageSize',
  ])
}

function readDataPageHeader(input: ThriftReader): DataPageHeader {
  const draft: Draft<DataPageHeader> = {}
  input.struct((id, type) => {
    if (id === 1) draft.numValues = input.count()
    else if (id === 2) draft.encoding = input.i32() as Encoding
    else if (id === 3) draft.definitionLevelEncoding = input.i32() as Encoding
    else if (id === 4) draft.repetitionLevelEncoding = input.i32() as Encoding
    else if (id === 5) draft.statistics = readStatistics(input)
    else input.skip(type)
  })
  return complete(input, 'data page header', draft, [
    'numValues',
    'encoding',
    'definitionLevelEncoding',
    'repetitionLevelEncoding',
  ])
}

function readDictionaryPageHeader(input: ThriftReader): DictionaryPageHeader {
  const draft: Draft<DictionaryPageHeader> = {}
  input.struct((id, type) => {
    if (id === 1) draft.numValues = input.count()
    else if (id === 2) draft.encoding = input.i32() as Encoding
    else if (id === 3) draft.isSorted = input.bool(type)
    else input.skip(type)
  })
  return complete(input, 'dictionary page header', draft, ['numValues', 'encoding'])
}

function readDataPageHeaderV2(input: ThriftReader): DataPageHeaderV2 {
  const draft: Draft<DataPageHeaderV2> = { isCompressed: true }
  input.struct((id, type) => {
    switch (id) {
      case 1:
        draft.numValues = input.count()
        break
      case 2:
        draft.numNulls = input.count()
        break
      case 3:
        draft.numRows = input.count()
        break
      case 4:
        draft.encoding = input.i32() as Encoding
        break
      case 5:
        draft.definitionLevelsByteLength = input.count()
        break
      case 6:
        draft.repetitionLevelsByteLength = input.count()
        break
      case 7:
        draft.isCompressed = input.bool(type)
        break
      case 8:
        draft.statistics = readStatistics(input)
        break
      default:
        input.skip(type)
    }
  })
  return complete(input, 'data page header', draft, [
    'numValues',
    'numNulls',
    'numRows',
    'encoding',
    'definitionLevelsByteLength',
    'repetitionLevelsByteLength',
  ])
}

export function readOffsetIndex(input: ThriftReader): OffsetIndex {
  const offsets: number[] = []
  const compressedPageSizes: number[] = []
  const firstRowIndexes: number[] = []
  const location = () => {
    let offset: number | undefined
    let size: number | undefined
    let row: number | undefined
    input.struct((id, type) => {
      if (id === 1) offset = input.count()
      else if (id === 2) size = input.count()
      else if (id === 3) row = input.count()
      else input.skip(type)
    })
    if (offset === undefined || size === undefined || row === undefined) {
      input.fail('a page location is not whole')
    }
    offsets.push(offset)
    compressedPageSizes.push(size)
    firstRowIndexes.push(row)
  }
  input.struct((id, type) => {
    if (id === 1) input.list(THRIFT.STRUCT, location)
    else input.skip(type)
  })
  return { offsets, compressedPageSizes, firstRowIndexes }
}

export function readColumnIndex(input: ThriftReader): ColumnIndex {
  const nullPages: boolean[] = []
  const minValues: Uint8Array[] = []
  const maxValues: Uint8Array[] = []
  let nullCounts: number[] | undefined
  let boundaryOrder: BoundaryOrder = 0
  input.struct((id, type) => {
    if (id === 1) input.list(THRIFT.TRUE, () => nullPages.push(input.boolElement()))
    else if (id === 2) input.list(THRIFT.BINARY, () => minValues.push(input.binary()))
    else if (id === 3) input.list(THRIFT.BINARY, () => maxValues.push(input.binary()))
    else if (id === 4) boundaryOrder = input.i32() as BoundaryOrder
    else if (id === 5) {
      const counts: number[] = []
      input.list(THRIFT.I64, () => counts.push(input.count()))
      nullCounts = counts
    } else input.skip(type)
  })
  if (minValues.length !== nullPages.length || maxValues.length !== nullPages.length) {
    input.fail('the lists of a column index differ in length')
  }
  return { nullPages, minValues, maxValues, boundaryOrder, nullCounts }
}
