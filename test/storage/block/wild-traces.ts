/** Owns random traces that have everything OTLP can say, at its extremes, for round trips. */
import { Random } from '../../support/random.js'
import type {
  Attributes,
  EventObject,
  LinkObject,
  ResourceSpansObject,
  SpanObject,
  Value,
} from '../../support/otlp-objects.js'

const INTS = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n, -(2n ** 32n), 200n]
const FLOATS = [0, -0, 1.5, -1e300, 5e-324, Infinity, -Infinity, Number.MAX_SAFE_INTEGER]
const TEXTS = ['', 'a', 'GET', 'a\u0000b', '\u{1f600} emoji', '{"x":1}', 'x'.repeat(300), '200']
const TIME = 1_700_000_000_000_000_000n

export function wildTraces(random: Random): ResourceSpansObject[] {
  const traces = Array.from({ length: 1 + random.below(30) }, () => random.bytes(16))
  const seen = new Map<string, Uint8Array[]>()
  return Array.from({ length: 1 + random.below(8) }, () => ({
    schemaUrl: random.pick(['', 'https://schema/1']),
    resource: { attributes: attributes(random, 5), droppedAttributes: random.below(3) },
    scopes: Array.from({ length: 1 + random.below(3) }, () => ({
      schemaUrl: random.pick(['', 'https://schema/2']),
      scope: {
        name: random.pick(TEXTS),
        version: random.pick(['', '1.0']),
        attributes: attributes(random, 2),
        droppedAttributes: random.below(2),
      },
      spans: Array.from({ length: random.below(12) }, () =>
        span(random, random.pick(traces), seen),
      ),
    })),
  }))
}

function span(random: Random, traceId: Uint8Array, seen: Map<string, Uint8Array[]>): SpanObject {
  const key = Buffer.from(traceId).toString('hex')
  const others = seen.get(key) ?? []
  const spanId = random.bytes(8)
  seen.set(key, [...others, spanId])
  const start = random.oneIn(20) ? 0n : TIME + BigInt(random.below(1_000_000))
  const out: SpanObject = {
    traceId,
    spanId,
    start,
    // Now and then an end before the start, which wraps.
    end: random.oneIn(15)
      ? start - 1n + 2n ** 64n * (start === 0n ? 1n : 0n)
      : start + BigInt(random.bits()),
    name: random.pick(TEXTS),
    kind: random.below(6),
    status: { code: random.below(3), message: random.pick(['', '', 'boom']) },
    traceState: random.pick(['', '', 'a=b']),
    flags: random.pick([0, 1, 0xffffffff, 257]),
    attributes: attributes(random, 8),
    droppedAttributes: random.pick([0, 0, 7, 0xffffffff]),
    droppedEvents: random.below(2),
    droppedLinks: random.below(2),
    events: Array.from({ length: random.oneIn(3) ? random.below(4) : 0 }, () => event(random)),
    links: Array.from({ length: random.oneIn(3) ? random.below(3) : 0 }, () => link(random)),
  }
  const parent = random.oneIn(5)
    ? random.bytes(8)
    : random.oneIn(10)
      ? spanId
      : others.length > 0
        ? random.pick(others)
        : undefined
  if (!random.oneIn(4)) out.parentSpanId = parent ?? new Uint8Array(0)
  return out
}

function event(random: Random): EventObject {
  return {
    time: random.pick([0n, TIME, TIME + 500n, 2n ** 64n - 1n]),
    name: random.pick(TEXTS),
    attributes: attributes(random, 3),
    droppedAttributes: random.below(2),
  }
}

function link(random: Random): LinkObject {
  return {
    traceId: random.bytes(random.pick([16, 16, 3])),
    spanId: random.bytes(8),
    traceState: random.pick(['', 'c=d']),
    attributes: attributes(random, 2),
    droppedAttributes: random.below(2),
    flags: random.pick([0, 1, 0xffffffff]),
  }
}

function attributes(random: Random, max: number): Attributes {
  const keys = new Set(
    Array.from({ length: random.below(max + 1) }, () => `key.${random.below(12)}`),
  )
  return [...keys].map((key) => [key, value(random, 2)] as const)
}

function value(random: Random, depth: number): Value {
  switch (random.below(depth > 0 ? 9 : 6)) {
    case 0:
      return random.pick(TEXTS)
    case 1:
      return random.pick(INTS)
    case 2:
      return random.pick(FLOATS)
    case 3:
      return random.oneIn(2)
    case 4:
      return { utf8: Uint8Array.of(0xff, 0xfe, random.below(256)) }
    case 5:
      return random.hex(16)
    case 6:
      return random.oneIn(2) ? null : { bytes: random.bytes(random.below(5)) }
    case 7:
      return { array: Array.from({ length: random.below(4) }, () => value(random, depth - 1)) }
    default:
      return { map: [[`k${random.below(3)}`, value(random, depth - 1)]] }
  }
}
