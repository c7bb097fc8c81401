/** Owns the test of a write-ahead log whose LMDB address space is too small, again and again: it grows, and no commit is lost. */
import { expect, it } from 'vitest'
import { Random } from '../../src/lib/random.js'
import { openWal, recordsFrom, replayAll, temporaryFolder, told } from '../storage/wal/support.js'
import { tell } from '../support/faults.js'

const MAP_BYTES = 64 * 1024
const OPENINGS = 8
const RECORDS = 40
const RECORD_BYTES_MAX = 60_000

it(`${OPENINGS} openings with ${MAP_BYTES / 1024} KiB of address space: each commit past it is there`, async () => {
  const random = new Random(1)
  const path = temporaryFolder()
  const lengths = Array.from({ length: OPENINGS * RECORDS }, () => 1 + random.below(RECORD_BYTES_MAX)) // prettier-ignore
  const records = recordsFrom(0, lengths)
  for (let opening = 0; opening < OPENINGS; opening++) {
    const wal = await openWal(path, { mapSize_bytes: MAP_BYTES })
    for (const record of records.slice(opening * RECORDS, (opening + 1) * RECORDS)) {
      await wal.append([record], record.endOffset)
    }
    await wal.close()
  }
  const again = await openWal(path, { mapSize_bytes: MAP_BYTES })
  const found = await replayAll(again, 1)
  await again.close()
  tell({
    group: 'WAL',
    fault: `LMDB map full (${MAP_BYTES / 1024} KiB)`,
    tries: OPENINGS,
    acknowledged: records.length,
    lost: records.length - found.length,
    doubled: 0,
    crashes: 0,
    found: 'it grows; every commit is there (acknowledged: commits)',
  })
  expect(found).toEqual(told(records))
}, 120_000)
