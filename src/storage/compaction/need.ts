/** Owns the estimate of what memory a merge takes, so that it is begun only where there is room for it. */
import { blockpack } from '../block/blockpack.js'
import type { BlockMeta } from '../block/encoding.js'
import { KEPT_BYTES_PER_INPUT } from './merge.js'
import { READ_AHEAD_BYTES } from './read-ahead.js'
import { RETAINED_BYTES_PER_INPUT } from './source-cursor.js'

const MIB = 2 ** 20

/** The thread, and one row group of the output: measured, 57 MiB at rest of which the process had its own share. */
const AT_LEAST_BYTES = 24 * MIB
const MOST_PER_INPUT_BYTES = KEPT_BYTES_PER_INPUT + RETAINED_BYTES_PER_INPUT + READ_AHEAD_BYTES
/** A small block is in memory whole: its columns, decoded, take about twelve times its bytes (measured 32 against 400 a span). */
const DECODED_RATIO = 12

/**
 * Parquet: pages of the output wait until its row group is whole; of each input there are the dictionaries of a row group, and
 * columns of a part of it. Measured, less the process at rest: 173 MiB for four inputs in row groups of 5000 traces, 248 for
 * three in one row group of 27 MB each.
 */
const PARQUET_AT_LEAST_BYTES = 96 * MIB
const PARQUET_RATIO = 2.25

/** Bytes of resident memory that merging these takes at its peak, about. */
export function mergeNeed_bytes(
  inputs: readonly Pick<BlockMeta, 'format' | 'size' | 'totalRecords'>[],
): number {
  const isParquet = inputs.some(({ format }) => format !== blockpack.version)
  const least_bytes = isParquet ? PARQUET_AT_LEAST_BYTES : AT_LEAST_BYTES
  return inputs.reduce((sum, input) => sum + inputNeed_bytes(input, isParquet), least_bytes)
}

function inputNeed_bytes(
  { size, totalRecords }: Pick<BlockMeta, 'size' | 'totalRecords'>,
  isParquet: boolean,
): number {
  if (!isParquet) return Math.min(MOST_PER_INPUT_BYTES, DECODED_RATIO * size)
  return Math.min(READ_AHEAD_BYTES, size) + (PARQUET_RATIO * size) / Math.max(1, totalRecords)
}
