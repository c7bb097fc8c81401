/** Owns reading Tempo's query parameters: time ranges in its many forms, limits, trace ids. A bad one is a `BadParam`. */
import { fromHex } from '../lib/bytes.js'
import { parseDuration_ms } from '../lib/units.js'

/** The text says which parameter, what was received and what is expected; answered as 400. */
export class BadParam extends Error {
  readonly code = 'BAD_PARAM'
}

const SECOND_NS = 1_000_000_000n
const UINT32_MAX = 4_294_967_295
/** Longer numbers are nanoseconds, as Tempo reads them. */
const SECONDS_DIGITS_MAX = 10
const TRACE_ID_HEX_LENGTH = 32
const DEFAULT_SINCE_MS = 3_600_000
/** Go's time.Duration and Unix nanoseconds end here, in the year 2262. */
const NS_END = 2n ** 63n

/** A positive whole number parameter, or the default when it is absent or empty. */
export function wholeNumber(
  params: URLSearchParams,
  name: string,
  fallback: number,
  { zero = false } = {},
): number {
  const text = params.get(name)
  if (text === null || text === '') return fallback
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (!(value <= UINT32_MAX)) {
    throw new BadParam(`invalid ${name}: ${shown(text)} is not a whole number below 2^32`)
  }
  if (value === 0 && !zero) throw new BadParam(`invalid ${name}: must be a positive number`)
  return value
}

export interface Range {
  start_ns: bigint | undefined
  end_ns: bigint | undefined
}

/** start and end of search, tags and trace by id; both or neither (RFC 3339, or Unix seconds, float seconds, ns). */
export function searchRange(params: URLSearchParams, now_ms: number, cutoff_ms = 0): Range {
  const since = params.get('since')
  const newest = BigInt(Math.round(now_ms - cutoff_ms)) * 1_000_000n
  if (since) {
    const length = duration_ms('since', since)
    if (length <= 0) throw new BadParam(`invalid since: ${shown(since)} must be positive`)
    return { start_ns: newest - nanoseconds('since', since, length * 1e6), end_ns: newest }
  }
  const start = params.get('start') ?? ''
  const end = params.get('end') ?? ''
  if (isZero(start) && isZero(end)) {
    return { start_ns: undefined, end_ns: cutoff_ms > 0 ? newest : undefined }
  }
  if (start === '' || end === '') {
    throw new BadParam('only one of start and end provided: must provide both or neither')
  }
  const start_ns = timestamp_ns('start', start)
  let end_ns = timestamp_ns('end', end)
  if (end_ns <= start_ns) {
    throw new BadParam(`start must be before end: start=${shown(start)} end=${shown(end)}`)
  }
  if (cutoff_ms > 0 && end_ns > newest) end_ns = newest
  return { start_ns, end_ns }
}

/** start and end of the metrics endpoints: `since` (default 1h) before `end` (default now). */
export function metricsRange(
  params: URLSearchParams,
  now_ms: number,
  cutoff_ms = 0,
): { start_ns: bigint; end_ns: bigint } {
  const range = searchRange(params, now_ms, cutoff_ms)
  const end_ns = range.end_ns ?? BigInt(Math.round(now_ms)) * 1_000_000n
  return {
    start_ns: range.start_ns ?? end_ns - BigInt(DEFAULT_SINCE_MS) * 1_000_000n,
    end_ns,
  }
}

/** Seconds ("15", "0.5") or a Go duration ("1m"); 0 when absent. */
export function step_ns(params: URLSearchParams): bigint {
  const text = params.get('step')
  if (text === null || text === '') return 0n
  const ms = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)
    ? Number(text) * 1000
    : parseDuration_ms(text)
  if (ms === undefined || Number.isNaN(ms)) {
    throw new BadParam(
      `invalid step: cannot parse ${shown(text)} as seconds or a duration such as 15s`,
    )
  }
  if (ms < 0) throw new BadParam(`invalid step: ${shown(text)} must be positive`)
  return nanoseconds('step', text, ms * 1e6)
}

/** 16 bytes of a hex trace id, padded on the left as Tempo does. */
export function traceId(text: string): Uint8Array {
  const bytes =
    text.length > 0 && text.length <= TRACE_ID_HEX_LENGTH
      ? fromHex(text.padStart(TRACE_ID_HEX_LENGTH, '0'))
      : undefined
  if (!bytes) {
    throw new BadParam(
      `trace ids are 1 to ${TRACE_ID_HEX_LENGTH} hex digits, received ${JSON.stringify(text.slice(0, 64))} (${text.length} characters)`,
    )
  }
  return bytes
}

function duration_ms(name: string, text: string): number {
  const ms = parseDuration_ms(text)
  if (ms === undefined) {
    throw new BadParam(`invalid ${name}: cannot parse ${shown(text)} as a duration such as 1h`)
  }
  return ms
}

function isZero(text: string): boolean {
  return text === '' || text === '0'
}

function timestamp_ns(name: string, text: string): bigint {
  if (/^\d+\.\d*$/.test(text)) {
    const seconds = Math.trunc(Number(text))
    const fraction = Math.round((Number(text) - seconds) * 1000) / 1000
    const whole_ns = Number.isFinite(seconds) ? BigInt(seconds) * SECOND_NS : NS_END
    return withinTime(name, text, whole_ns) + BigInt(Math.round(fraction * 1e9))
  }
  if (/^\d{1,19}$/.test(text)) {
    const unit = text.length <= SECONDS_DIGITS_MAX ? SECOND_NS : 1n
    return withinTime(name, text, BigInt(text) * unit)
  }
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text)
  const at = match ? Date.parse(match[1]! + match[3]!) : NaN
  if (Number.isNaN(at)) {
    throw new BadParam(
      `invalid ${name}: ${shown(text)} is not Unix seconds, Unix nanoseconds or an RFC 3339 time`,
    )
  }
  return BigInt(at) * 1_000_000n + BigInt((match![2] ?? '').padEnd(9, '0'))
}

/** A length of time, which may come from a text of any number of digits. */
function nanoseconds(name: string, text: string, ns: number): bigint {
  return withinTime(name, text, Number.isFinite(ns) ? BigInt(Math.round(ns)) : NS_END)
}

function withinTime(name: string, text: string, ns: bigint): bigint {
  if (ns < NS_END) return ns
  throw new BadParam(`invalid ${name}: ${shown(text)} is more than 292 years`)
}

const SHOWN_MAX = 64

/** A parameter as an error repeats it. */
function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text)
}
