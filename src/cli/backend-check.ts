/** Owns the verdict on the backend at a start: what refuses us ends it, what does not answer is waited for while spans are taken. */
import { Worker } from 'node:worker_threads'
import type { Config } from '../config.js'
import type { Log } from '../lib/log.js'
import { systemClock } from '../lib/time.js'
import { openBackend } from '../storage/backend/open.js'
import type { BackendProblem } from './backend-look.js'

type Look = (s3: Config['storage']['s3']) => Promise<BackendProblem | undefined>

/** Rejects with words when the backend cannot be used as it is configured. */
export async function checkBackend(
  storage: Config['storage'],
  log: Log,
  look: Look = lookFromThread,
): Promise<void> {
  if (storage.backend === 'local') {
    const backend = await openBackend(storage, { clock: systemClock, log })
    await backend.ensureReady()
    await backend.close()
    return
  }
  const problem = await look(storage.s3)
  if (problem?.isFinal) throw new Error(problem.text)
  if (!problem) return
  log.warn('the backend does not answer: spans are taken, and kept on local disk until it does', {
    error: problem.text,
  })
}

function lookFromThread(s3: Config['storage']['s3']): Promise<BackendProblem | undefined> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./backend-look-thread.js', import.meta.url), {
      workerData: s3,
    })
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', () => reject(new Error('the look at the backend ended without a word')))
  })
}
