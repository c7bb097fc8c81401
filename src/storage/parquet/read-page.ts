/** Owns one page of a column chunk: from its stored bytes to levels and values. Throws `Malformed` with places within the page. */
import { Malformed } from '../block/codec/bytes.js'
import { crc32 } from '../block/codec/crc32.js'
import { ENCODING, TYPE, type Codec, type Encoding, type PageHeader } from './metadata.js'
import { readDeltaLengths, readDeltaStrings, readDeltas, readDeltas32 } from './read-delta.js'
import { readLevels, readRuns } from './read-levels.js'
import { readPlain, readStreamSplit } from './read-plain.js'
import type { Leaf } from './read-schema.js'
import { MAX_PAGE_BYTES, uncompress } from './uncompress.js'
import { countOf, gather, type PageValues, type PlainValues } from './values.js'

export interface Page {
  /** Pairs of levels. */
  readonly count: number
  /** Values that are there. */
  readonly present: number
  /** Undefined when not asked for, or when the column can have no others than its greatest. */
  readonly repetition: Uint8Array | undefined
  readonly definition: Uint8Array | undefined
  readonly values: PageValues
}

export interface PageContext {
  readonly leaf: Leaf
  readonly codec: Codec
  /** Undefined when the column chunk has no dictionary page. */
  readonly dictionary: PlainValues | undefined
}

/** The page as stored is `body`; `needsLevels` = false leaves out levels that only say what is known. */
export function readDataPage(
  header: PageHeader,
  body: Uint8Array,
  context: PageContext,
  needsLevels: boolean,
): Page {
  checkCrc(header, body)
  const { leaf, codec } = context
  const v2 = header.dataPageHeaderV2
  if (v2) {
    const { repetitionLevelsByteLength: repetitions, definitionLevelsByteLength: definitions } = v2
    const levels = repetitions + definitions
    if (levels > body.length || levels > header.uncompressedPageSize || v2.numNulls > v2.numValues) {
      throw new Malformed(0, `levels of ${levels} bytes in a page of ${body.length}`)
    }
    const present = v2.numValues - v2.numNulls
    let repetition: Uint8Array | undefined
    let definition: Uint8Array | undefined
    if (needsLevels && leaf.maxRepetition > 0) {
      repetition = new Uint8Array(v2.numValues)
      readLevels(body.subarray(0, repetitions), leaf.maxRepetition, repetition)
    }
    if (needsLevels && leaf.maxDefinition > 0) {
      definition = new Uint8Array(v2.numValues)
      readLevels(body.subarray(repetitions, levels), leaf.maxDefinition, definition)
      checkPresent(definition, leaf.maxDefinition, present)
    } else if (leaf.maxDefinition === 0 && v2.numNulls > 0) {
      throw new Malformed(0, `${v2.numNulls} nulls in a column that has none`)
    }
    const stored = body.subarray(levels)
    const bytes = v2.isCompressed
      ? uncompress(codec, stored, header.uncompressedPageSize - levels)
      : stored
    const values = readValues(v2.encoding, bytes, 0, present, context)
    return { count: v2.numValues, present, repetition, definition, values }
  }
  return readV1(header, body, context, needsLevels)
} // prettier-ignore

/** Levels and values are compressed together. */
function readV1(
  header: PageHeader,
  body: Uint8Array,
  context: PageContext,
  needsLevels: boolean,
): Page {
  const v1 = header.dataPageHeader
  if (!v1) throw new Malformed(0, `page of type ${header.type} has no header of its type`)
  const { leaf } = context
  const bytes = uncompress(context.codec, body, header.uncompressedPageSize)
  let at = 0
  const levels = (max: number, encoding: Encoding, isWanted: boolean): Uint8Array | undefined => {
    if (max === 0) return undefined
    if (encoding !== ENCODING.RLE) throw new Malformed(at, `levels in encoding ${encoding}`)
    if (at + 4 > bytes.length) throw new Malformed(at, 'page ends within its levels')
    const length = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
    at += 4
    if (length > bytes.length - at) throw new Malformed(at, `levels of ${length} bytes do not fit`)
    const input = bytes.subarray(at, at + length)
    at += length
    if (!isWanted) return undefined
    const out = new Uint8Array(v1.numValues)
    readLevels(input, max, out)
    return out
  }
  const repetition = levels(leaf.maxRepetition, v1.repetitionLevelEncoding, needsLevels)
  // Only these tell how many values there are.
  const definition = levels(leaf.maxDefinition, v1.definitionLevelEncoding, true)
  const present = definition ? countPresent(definition, leaf.maxDefinition) : v1.numValues
  const values = readValues(v1.encoding, bytes, at, present, context)
  return { count: v1.numValues, present, repetition, definition, values }
}

/** The values of a dictionary page. */
export function readDictionaryPage(
  header: PageHeader,
  body: Uint8Array,
  leaf: Leaf,
  codec: Codec,
): PlainValues {
  checkCrc(header, body)
  const dictionary = header.dictionaryPageHeader
  if (!dictionary) throw new Malformed(0, 'dictionary page has no header of its type')
  const { encoding, numValues } = dictionary
  if (encoding !== ENCODING.PLAIN && encoding !== ENCODING.PLAIN_DICTIONARY) {
    throw new Malformed(0, `dictionary in encoding ${encoding}`)
  }
  const bytes = uncompress(codec, body, header.uncompressedPageSize)
  return readPlain(leaf.type, leaf.typeLength, bytes, 0, numValues)
}

function readValues(
  encoding: Encoding,
  input: Uint8Array,
  at: number,
  count: number,
  { leaf, dictionary }: PageContext,
): PageValues {
  const { type, typeLength } = leaf
  switch (encoding) {
    case ENCODING.PLAIN:
      return readPlain(type, typeLength, input, at, count)
    case ENCODING.PLAIN_DICTIONARY:
    case ENCODING.RLE_DICTIONARY:
      return readIndexes(input, at, count, dictionary)
    case ENCODING.RLE:
      if (type === TYPE.BOOLEAN) return readRleBits(input, at, count)
      break
    case ENCODING.DELTA_BINARY_PACKED:
      if (type === TYPE.INT64) return readDeltas(input, at, count).values
      if (type === TYPE.INT32) return readDeltas32(input, at, count).values
      break
    case ENCODING.DELTA_LENGTH_BYTE_ARRAY:
      if (type === TYPE.BYTE_ARRAY) return readDeltaLengths(input, at, count).values
      break
    case ENCODING.DELTA_BYTE_ARRAY:
      if (type === TYPE.BYTE_ARRAY || type === TYPE.FIXED_LEN_BYTE_ARRAY) {
        return readDeltaStrings(input, at, count, MAX_PAGE_BYTES)
      }
      break
    case ENCODING.BYTE_STREAM_SPLIT:
      return readStreamSplit(type, typeLength, input, at, count)
    default:
  }
  throw new Malformed(at, `values of type ${type} in encoding ${encoding}`)
}

function readIndexes(
  input: Uint8Array,
  at: number,
  count: number,
  dictionary: PlainValues | undefined,
): PageValues {
  if (!dictionary) throw new Malformed(at, 'indexes into a dictionary that is not there')
  const indexes = new Uint32Array(count)
  if (count > 0) {
    const width = input[at] ?? 255
    if (width > 32) throw new Malformed(at, `indexes of ${width} bits`)
    readRuns(input, at + 1, width, indexes)
  }
  const size = countOf(dictionary)
  let greatest = 0
  for (let i = 0; i < count; i++) if (indexes[i]! > greatest) greatest = indexes[i]!
  if (count > 0 && greatest >= size) throw new Malformed(at, `index ${greatest} into a dictionary of ${size}`)
  return dictionary.kind === 'bytes' ? { kind: 'indexes', indexes } : gather(dictionary, indexes)
} // prettier-ignore

/** Booleans as runs, with their length before them. */
function readRleBits(input: Uint8Array, at: number, count: number): PageValues {
  if (at + 4 > input.length) throw new Malformed(at, 'page ends within its booleans')
  const length = new DataView(input.buffer, input.byteOffset + at, 4).getUint32(0, true)
  if (length > input.length - at - 4) throw new Malformed(at, `booleans of ${length} bytes`)
  const values = new Uint8Array(count)
  readLevels(input.subarray(at + 4, at + 4 + length), 1, values)
  return { kind: 'bool', values }
}

function countPresent(definition: Uint8Array, max: number): number {
  let present = 0
  for (let i = 0; i < definition.length; i++) if (definition[i] === max) present++
  return present
}

function checkPresent(definition: Uint8Array, max: number, present: number): void {
  const found = countPresent(definition, max)
  if (found !== present) throw new Malformed(0, `${found} values are there, the header says ${present}`)
} // prettier-ignore

function checkCrc({ crc }: PageHeader, body: Uint8Array): void {
  if (crc !== undefined && crc32(body) !== crc) {
    throw new Malformed(0, 'checksum does not match')
  }
}
