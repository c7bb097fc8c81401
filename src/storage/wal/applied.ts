/** Owns the look into the write-ahead logs before the rings are made: ring offsets go on where the logs end. */
import { Wal, type WalOptions } from './wal.js'

/** Applied offsets by partition; makes the folders of a new store. Throws with words when they cannot be used. */
export async function readAppliedOffsets(
  path: string,
  partitions: number,
  options: Pick<WalOptions, 'sync' | 'clock' | 'log'>,
): Promise<number[]> {
  const offsets: number[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const wal = await Wal.open({ ...options, path, partition })
    offsets.push(wal.appliedOffset)
    await wal.close()
  }
  return offsets
}
