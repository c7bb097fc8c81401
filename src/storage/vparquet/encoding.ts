/** Owns Tempo's parquet as block encodings: written from row groups, and opened by the one reader of all versions. */
import type { BlockEncoding } from '../block/encoding.js'
import { DATA_OBJECT } from './objects.js'
import { openInParts } from './read/parts.js'
import { openVparquet } from './read/source.js'
import { writeVparquet } from './write/writer.js'

export const vparquetEncodings: readonly BlockEncoding[] = (
  ['vParquet4', 'vParquet5'] as const
).map((version) => ({
  version,
  dataObject: DATA_OBJECT,
  write: (request) => writeVparquet(version, request),
  open: openVparquet,
  openInParts,
}))
