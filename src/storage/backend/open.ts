/** Owns the choice of backend: the S3 client (20 MiB and 0.3 s a thread) is loaded only where it is used. */
import type { Config } from '../../config.js'
import type { Log } from '../../lib/log.js'
import { systemClock, type Clock } from '../../lib/time.js'
import type { OpenBackend } from './backend.js'
import { LocalBackend } from './local.js'

export interface OpenOptions {
  clock: Clock
  log: Log
  /** Local: fsync before a write is reported done (`actors.wal_sync: flushed`). S3 always is durable. Default false. */
  sync?: boolean
}

/** Opens without touching disk or network; `ensureReady` on the result says whether it will work. */
export async function openBackend(
  storage: Config['storage'],
  options: OpenOptions,
): Promise<OpenBackend> {
  if (storage.backend === 'local') return new LocalBackend(storage.local_path, options)
  const { S3Backend } = await import('./s3.js')
  return new S3Backend(storage.s3, options)
}

/** A folder of blocks that is not the configured backend: the livestore's own. */
export function openLocal(
  root: string,
  options: { log: Log; clock?: Clock; sync?: boolean },
): Promise<OpenBackend> {
  return Promise.resolve(new LocalBackend(root, { clock: systemClock, ...options }))
}
