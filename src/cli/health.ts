/** Owns `-health`: one question to /ready of a running store, for container health checks. */
import { errorText } from '../lib/log.js'
import { oneLine } from '../lib/one-line.js'
import type { Output } from './output.js'

/** As Tempo waits. */
const TIMEOUT_MS = 5_000
const MAX_REASON_CHARACTERS = 300

/** Resolves with the exit code: 0 when it is ready. */
export async function askHealth(url: string, { out, err }: Output): Promise<number> {
  try {
    const reply = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (reply.status === 200) {
      out('tempo-actors is ready\n')
      return 0
    }
    const reason = (await reply.text()).trim().slice(0, MAX_REASON_CHARACTERS)
    err(`tempo-actors: ${oneLine(`${url} answers ${reply.status}: ${reason}`)}\n`)
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    err(`tempo-actors: ${oneLine(`${url} does not answer: ${errorText(cause ?? error)}`)}\n`)
  }
  return 1
}
