/** Owns random OTLP for heads: every value type, absent parts, odd times, repeated ids, traces over several requests. */
import {
  encodeTraces,
  type EventObject,
  type SpanObject,
  type Value,
} from '../../support/otlp-objects.js'
import { Random } from '../../support/otlp-gen.js'

const KEYS = ['a', 'http.method', 'db.rows', 'ключ', 'k'.repeat(300), 'x y', '', 'service.name']
const TIMES = [
  0n,
  1n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
  1_760_000_000_123_456_789n,
]

function value(random: Random, depth = 0): Value {
  switch (random.below(depth > 2 ? 6 : 10)) {
    case 0:
      if (random.below(150) === 0) return 'y'.repeat(70_000)
      return random.pick([
        '',
        'x',
        'GET',
        'naïve ☃ 🚀',
        '\0',
        'y'.repeat(70_000),
        `u-${random.below(50)}`,
      ])
    case 1:
      return random.chance(0.5)
    case 2:
      return BigInt(random.below(1000)) - 500n
    case 3:
      return random.pick([
        0n,
        -1n,
        2n ** 31n - 1n,
        2n ** 31n,
        -(2n ** 31n),
        -(2n ** 31n) - 1n,
        2n ** 63n - 1n,
        -(2n ** 63n),
        BigInt.asIntN(64, (BigInt(random.u32()) << 32n) | BigInt(random.u32())),
      ])
    case 4:
      return random.pick([0, -0, 1.5, NaN, Infinity, -Infinity, 5e-324, random.float() * 1e9])
    case 5:
      return { utf8: Uint8Array.of(0xff, 0xfe, random.below(256)) }
    case 6:
      return null
    case 7:
      return { bytes: random.bytes(random.below(40)) }
    case 8:
      return { array: Array.from({ length: random.below(4) }, () => value(random, depth + 1)) }
    default:
      return {
        map: Array.from({ length: random.below(4) }, (): [string, Value] => [
          random.pick(KEYS),
          value(random, depth + 1),
        ]),
      }
  }
}

function attributes(random: Random, most: number): [string, Value][] {
  return Array.from({ length: random.below(most + 1) }, (): [string, Value] => [
    random.chance(0.05) ? `key-${random.below(100)}` : random.pick(KEYS),
    value(random),
  ])
}

function time(random: Random): bigint {
  if (random.chance(0.2)) return random.pick(TIMES)
  return 1_760_000_000_000_000_000n + BigInt(random.below(2 ** 31))
}

function event(random: Random): EventObject {
  return {
    time: time(random),
    name: random.pick(['', 'exception', 'log']),
    attributes: attributes(random, 2),
    droppedAttributes: random.chance(0.1) ? random.below(100) : 0,
  }
}

function span(
  random: Random,
  traces: readonly Uint8Array[],
  ids: readonly Uint8Array[],
): SpanObject {
  return {
    traceId: random.pick(traces),
    spanId: random.chance(0.3) ? random.pick(ids) : random.bytes(8),
    ...(random.chance(0.7) && { parentSpanId: random.pick(ids) }),
    name: random.pick(['', 'GET /', 'work', `name-${random.below(20)}`]),
    kind: random.chance(0.05) ? random.pick([6, 7, 8, 100, 2 ** 31 - 1]) : random.below(6),
    start: time(random),
    end: time(random),
    attributes: attributes(random, 6),
    ...(random.chance(0.1) && { traceState: 'a=b,c=d' }),
    ...(random.chance(0.3) && {
      flags: random.pick([1, 0x100, 0x301, 0xfffe, 0xffff, 0x10000, 2 ** 32 - 1]),
    }),
    ...(random.chance(0.1) && {
      droppedAttributes: random.below(9),
      droppedEvents: 2 ** 32 - 1,
      droppedLinks: 3,
    }),
    ...(random.chance(0.2) && {
      events: Array.from({ length: random.below(4) }, () => event(random)),
    }),
    ...(random.chance(0.2) && {
      links: Array.from({ length: random.below(3) }, () => ({
        traceId: random.bytes(random.pick([16, 16, 0, 5])),
        spanId: random.bytes(8),
        attributes: attributes(random, 2),
        traceState: random.pick(['', 'x=y']),
        flags: random.below(3),
        droppedAttributes: random.below(2),
      })),
    }),
    ...(random.chance(0.3) && {
      status: { code: random.pick([0, 1, 2, 3, 77]), message: random.pick(['', 'boom']) },
    }),
  }
}

/** Requests of about `spans` spans together. */
export function randomRequests(seed: number, spans: number): Uint8Array[] {
  const random = new Random(seed)
  const traces = Array.from({ length: Math.ceil(spans / 8) }, () => random.bytes(16))
  const ids = Array.from({ length: Math.ceil(spans / 8) }, () => random.bytes(8))
  const resources = Array.from({ length: 5 }, () => ({ attributes: attributes(random, 4) }))
  const requests: Uint8Array[] = []
  for (let made = 0; made < spans;) {
    const request = Array.from({ length: random.below(4) }, () => ({
      ...(random.chance(0.8) && { resource: random.pick(resources) }),
      ...(random.chance(0.3) && { schemaUrl: random.pick(['https://a', 'https://b']) }),
      scopes: Array.from({ length: random.below(3) }, () => {
        const count = random.below(6)
        made += count
        return {
          ...(random.chance(0.7) && {
            scope: {
              name: random.pick(['', 'lib', 'other']),
              version: random.pick(['', '1', '2']),
              attributes: random.chance(0.3) ? attributes(random, 2) : [],
              droppedAttributes: random.below(2),
            },
          }),
          schemaUrl: random.pick(['', 'https://c']),
          spans: Array.from({ length: count }, () => span(random, traces, ids)),
        }
      }),
    }))
    requests.push(encodeTraces(request))
  }
  return requests
}
