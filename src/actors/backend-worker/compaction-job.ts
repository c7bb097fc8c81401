/** Owns one compaction on a thread of its own: from the backend, over the scratch folder, back into the backend. */
import type { Config } from '../../config.js'
import { createLog } from '../../lib/log.js'
import { systemClock } from '../../lib/time.js'
import { openBackend } from '../../storage/backend/open.js'
import {
  compact,
  type CompactRequest,
  type CompactResult,
} from '../../storage/compaction/compact.js'

export interface CompactionJob extends CompactRequest {
  readonly storage: Config['storage']
  /** One double: spans written so far. */
  readonly progress: SharedArrayBuffer
}

export default async function job(request: CompactionJob): Promise<CompactResult> {
  const { storage, progress, ...work } = request
  const log = createLog({ level: 'warn' }, { component: 'compaction' })
  // Synced whatever `wal_sync` says: what goes for it was safe for long.
  const backend = await openBackend(storage, { clock: systemClock, log, sync: true })
  const written = new Float64Array(progress)
  try {
    return await compact(work, backend, (spans) => (written[0] = spans))
  } finally {
    await backend.close()
  }
}
