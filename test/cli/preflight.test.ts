import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { checkPartitions } from '../../src/cli/preflight.js'
import { createLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { readAppliedOffsets } from '../../src/storage/wal/applied.js'
import { LivestoreState } from '../../src/storage/wal/state.js'
import { Wal } from '../../src/storage/wal/wal.js'

const options = {
  sync: 'committed' as const,
  clock: systemClock,
  log: createLog({ level: 'error', write: () => undefined }),
}
const blockId = '00000000-0000-4000-8000-000000000001'
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A store that was run with four partitions. */
async function store(): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), 'tempo-actors-preflight-'))
  folders.push(path)
  await readAppliedOffsets(path, 4, options)
  return path
}

it('takes fewer partitions when those left out are empty', async () => {
  const path = await store()
  await checkPartitions(path, 2, options)
})

it('refuses fewer partitions while one that is left out has records in its WAL', async () => {
  const path = await store()
  const wal = await Wal.open({ ...options, path, partition: 3 })
  const record = { tenant: 'acme', blockId, startOffset: 0, endOffset: 32, timestamp_ms: 1 }
  await wal.append([{ ...record, bytes: new Uint8Array(8) }], 32)
  await wal.close()
  await checkPartitions(path, 4, options)
  await expect(checkPartitions(path, 2, options)).rejects.toThrow(
    /partitions is 2, but partition 3 .* 1 WAL records and 0 blocks/,
  )
})

it('refuses fewer partitions while one that is left out has a block to flush', async () => {
  const path = await store()
  const state = await LivestoreState.open({ ...options, path, partition: 2 })
  const block = {
    ...{ blockId, tenant: 'acme', segment: 1, spans: 1, size_bytes: 1, attempts: 0 },
    ...{ state: 'completed' as const, completedAt_ms: 1, flushedAt_ms: undefined, meta: {} },
  }
  await state.putBlock(block)
  await state.close()
  await expect(checkPartitions(path, 1, options)).rejects.toThrow(/partition 2 .* 1 blocks/)
  const again = await LivestoreState.open({ ...options, path, partition: 2 })
  await again.markFlushed(blockId, 2)
  await again.close()
  await checkPartitions(path, 1, options)
})
