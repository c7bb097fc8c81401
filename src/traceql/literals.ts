/** Owns reading Go's string literals and the two forms of duration that TraceQL takes: Prometheus' (`1w2d`) and Go's (`1.5h`). */

const UNITS_NS: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
  y: 31_536_000_000_000_000n,
}
const MAX_DURATION_NS = 2n ** 63n - 1n
const PROMETHEUS = /^(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?$/

/** Nanoseconds; undefined when the text is no duration or over 292 years. */
export function parseDuration_ns(text: string): bigint | undefined {
  if (PROMETHEUS.test(text)) return sum(text, /(\d+)()(ms|[ywdhms])/g)
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined
  return sum(text, /(\d*)(\.\d*)?(ns|us|µs|μs|ms|s|m|h)/g)
}

function sum(text: string, parts: RegExp): bigint | undefined {
  let total = 0n
  for (const [, whole, decimals, unit] of text.matchAll(parts)) {
    const scale = UNITS_NS[unit!]!
    total += BigInt(whole === '' || whole === undefined ? '0' : whole) * scale
    const digits = (decimals ?? '').slice(1)
    if (digits !== '') total += (BigInt(digits) * scale) / 10n ** BigInt(digits.length)
  }
  return total > MAX_DURATION_NS ? undefined : total
}

/** Go's time.ParseDuration for parameters such as minDuration: signed, several units, "0". */
export function parseGoDuration_ns(text: string): bigint | undefined {
  const [, sign, body] = /^([+-]?)(.*)$/.exec(text) ?? []
  if (body === '0') return 0n
  if (body === undefined || /[dwy]/.test(body)) return undefined
  const value = parseDuration_ns(body)
  return value === undefined || body === '' ? undefined : sign === '-' ? -value : value
}

const SIMPLE: Record<string, number> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  '\\': 92,
  '"': 34,
}
const ESCAPE =
  /\\(?:([abfnrtv\\"])|x([\da-fA-F]{2})|([0-3][0-7]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8}))/y

/** The text of a Go string literal in double quotes or backticks; undefined when an escape is wrong. */
export function unquoteGo(literal: string): string | undefined {
  const body = literal.slice(1, -1)
  if (literal.startsWith('`')) return body.replaceAll('\r', '')
  if (!body.includes('\\')) return body
  const parts: Uint8Array[] = []
  let at = 0
  while (at < body.length) {
    const next = body.indexOf('\\', at)
    if (next !== at) {
      const end = next < 0 ? body.length : next
      parts.push(Buffer.from(body.slice(at, end)))
      at = end
      continue
    }
    ESCAPE.lastIndex = at
    const match = ESCAPE.exec(body)
    if (!match) return undefined
    const bytes = escapedBytes(match)
    if (!bytes) return undefined
    parts.push(bytes)
    at = ESCAPE.lastIndex
  }
  return Buffer.concat(parts).toString('utf8')
}

function escapedBytes(match: RegExpExecArray): Uint8Array | undefined {
  const [, simple, hex, octal, short, long] = match
  if (simple !== undefined) return Uint8Array.of(SIMPLE[simple]!)
  if (hex !== undefined) return Uint8Array.of(parseInt(hex, 16))
  if (octal !== undefined) return Uint8Array.of(parseInt(octal, 8))
  const point = parseInt(short ?? long!, 16)
  if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return undefined
  return Buffer.from(String.fromCodePoint(point))
}
