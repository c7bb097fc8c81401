/** Owns reading points in time as people give them: RFC 3339, Unix time, and `now-1h`. */
import { parseDuration_ms } from '../../lib/units.js'
import { parseTime_ns } from '../../storage/block/meta.js'
import { Usage } from './context.js'

const SECOND_NS = 1_000_000_000n
/** Longer numbers are nanoseconds, as in Tempo's API. */
const SECONDS_DIGITS_MAX = 10

/** Undefined when the option was not given. */
export function timeOption(name: string, text: string, now_ms: number): bigint | undefined {
  if (text === '') return undefined
  const relative = /^now(?:-(.+))?$/.exec(text)
  if (relative) {
    const ago_ms = relative[1] === undefined ? 0 : parseDuration_ms(relative[1])
    if (ago_ms !== undefined && Number.isFinite(ago_ms)) {
      return BigInt(Math.round(now_ms - ago_ms)) * 1_000_000n
    }
  }
  if (/^\d{1,19}$/.test(text)) {
    return BigInt(text) * (text.length <= SECONDS_DIGITS_MAX ? SECOND_NS : 1n)
  }
  const at_ns = parseTime_ns(text)
  if (at_ns !== undefined) return at_ns
  throw new Usage(
    `--${name} is ${JSON.stringify(text)}: expected 2006-01-02T15:04:05Z, Unix seconds or nanoseconds, now or now-1h`,
  )
}
