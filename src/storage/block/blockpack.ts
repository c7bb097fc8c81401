/** Owns blockpack as a block encoding; docs/blockpack.md is its specification. */
import { VERSION } from './blockpack-format.js'
import { openBlockpack } from './blockpack-reader.js'
import { writeBlockpack } from './blockpack-writer.js'
import type { BlockEncoding } from './encoding.js'

export const blockpack: BlockEncoding = {
  version: VERSION,
  write: writeBlockpack,
  open: openBlockpack,
}
