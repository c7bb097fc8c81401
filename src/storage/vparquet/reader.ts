/** Owns which of Tempo's parquet versions are read, whatever this program writes. */
import type { BlockEncoding } from '../block/encoding.js'
import { openVparquet } from './read/source.js'

export type BlockReader = Pick<BlockEncoding, 'version' | 'open'>

/** The file says itself how its lists and columns stand, so one reader reads them all. */
export const vparquetReaders: readonly BlockReader[] = ['vParquet4', 'vParquet5'].map(
  (version) => ({
    version,
    open: openVparquet,
  }),
)
