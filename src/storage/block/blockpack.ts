/** Owns blockpack as a block encoding; docs/blockpack.md is its specification. */
import { DATA_OBJECT, VERSION } from './blockpack-format.js'
import { openBlockpack } from './blockpack-reader.js'
import { writeBlockpack } from './blockpack-writer.js'
import type { BlockEncoding } from './encoding.js'

export const blockpack: BlockEncoding = {
  version: VERSION,
  dataObject: DATA_OBJECT,
  write: writeBlockpack,
  open: openBlockpack,
}
