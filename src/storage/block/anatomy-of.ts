/** Owns the choice of who tells what a block consists of, by its format. */
import type { BackendReader } from '../backend/backend.js'
import { vparquetAnatomy } from '../vparquet/read/anatomy.js'
import { vparquetEncodings } from '../vparquet/encoding.js'
import type { BlockAnatomy } from './anatomy.js'
import { blockpackAnatomy } from './blockpack-anatomy.js'
import { VERSION } from './blockpack-format.js'
import { UnsupportedBlock, type BlockMeta } from './encoding.js'
import { knownEncodings } from './registry.js'

export const isParquet = ({ format }: BlockMeta): boolean =>
  vparquetEncodings.some(({ version }) => version === format)

/** Throws `UnsupportedBlock`, `CorruptBlock`. */
export function anatomyOf(meta: BlockMeta, backend: BackendReader): Promise<BlockAnatomy> {
  if (meta.format === VERSION) return blockpackAnatomy(meta, backend)
  if (isParquet(meta)) return vparquetAnatomy(meta, backend)
  return Promise.reject(new UnsupportedBlock(meta.blockID, meta.format, knownEncodings()))
}
