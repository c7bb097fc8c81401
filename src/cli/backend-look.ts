/** Owns one look at the S3 backend before the actors start: whether it refuses us for good, or only does not answer. */
import { errorText, silentLog } from '../lib/log.js'
import { systemClock } from '../lib/time.js'
import type { Config } from '../config.js'
import { BackendError } from '../storage/backend/backend.js'
import { S3Backend } from '../storage/backend/s3.js'

/** A store that is slower than this is taken for one that does not answer: it must not keep spans out. */
const LOOK_TIMEOUT_MS = 5_000
const LOOK_ATTEMPTS = 2

export interface BackendProblem {
  /** No retry cures it. */
  readonly isFinal: boolean
  readonly text: string
}

export async function lookAtS3(s3: Config['storage']['s3']): Promise<BackendProblem | undefined> {
  const backend = new S3Backend(s3, {
    clock: systemClock,
    log: silentLog,
    request_attempts: LOOK_ATTEMPTS,
    operation_timeout_ms: LOOK_TIMEOUT_MS,
  })
  try {
    await backend.ensureReady()
    return undefined
  } catch (error) {
    return { isFinal: error instanceof BackendError && !error.retryable, text: errorText(error) }
  } finally {
    await backend.close()
  }
}
