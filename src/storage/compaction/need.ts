/** Owns the estimate of what memory a merge takes, so that it is begun only where there is room for it. */
import type { BlockMeta } from '../block/encoding.js'
import { KEPT_BYTES_PER_INPUT } from './merge.js'
import { READ_AHEAD_BYTES } from './read-ahead.js'
import { RETAINED_BYTES_PER_INPUT } from './source-cursor.js'

/** The thread, and one row group of the output: measured, 57 MiB at rest of which the process had its own share. */
const AT_LEAST_BYTES = 24 * 2 ** 20
const MOST_PER_INPUT_BYTES = KEPT_BYTES_PER_INPUT + RETAINED_BYTES_PER_INPUT + READ_AHEAD_BYTES
/** A small block is in memory whole: its columns, decoded, take about twelve times its bytes (measured 32 against 400 a span). */
const DECODED_RATIO = 12

/** Bytes of resident memory that merging these takes at its peak, about. */
export function mergeNeed_bytes(inputs: readonly Pick<BlockMeta, 'size'>[]): number {
  return inputs.reduce(
    (sum, { size }) => sum + Math.min(MOST_PER_INPUT_BYTES, DECODED_RATIO * size),
    AT_LEAST_BYTES,
  )
}
