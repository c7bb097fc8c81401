/** Owns small records for the livestore's tests: a few spans each, known by their keys. */
import { toHex } from '../../../src/lib/bytes.js'
import { request, span } from '../../support/otlp-gen.js'
import { Random } from '../../support/random.js'
import type { Sent } from './house.js'

/** A record of `spans` spans of one trace. */
export function record(tenant: string, seed: number, spans = 3): Omit<Sent, 'end'> {
  const random = new Random(seed * 7919 + 1)
  const traceId = random.bytes(16)
  const ids = Array.from({ length: spans }, () => random.bytes(8))
  const start = 1_700_000_000_000_000_000n + BigInt(seed) * 1_000_000n
  const bytes = request(ids.map((id) => span(traceId, id, { start, end: start + 1_000_000n })))
  return { tenant, bytes, spans: ids.map((id) => `${toHex(traceId)} ${toHex(id)} 1`) }
}
