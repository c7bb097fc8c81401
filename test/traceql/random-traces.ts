/** Owns seeded random traces for tests: small alphabets, so that queries match, and every shape that queries can see. */
import type {
  EventObject,
  LinkObject,
  ResourceSpansObject,
  SpanObject,
  Value,
} from '../support/otlp-objects.js'

/** A small seeded generator (mulberry32). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }
  chance(part: number): boolean {
    return this.next() < part
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
}

export const BASE_NS = 1_700_000_000_000_000_000n
export const SPREAD_NS = 600_000_000_000n

const NAMES = ['GET /', 'POST /cart', 'query', 'publish', '']
const SERVICES = ['shop', 'cart', 'db', undefined]

function attributes(random: Random, withTexts: readonly string[]): [string, Value][] {
  const out: [string, Value][] = []
  if (random.chance(0.6)) out.push(['method', random.pick(withTexts)])
  if (random.chance(0.6)) out.push(['code', BigInt(random.pick([200, 404, 500, -1]))])
  if (random.chance(0.4)) out.push(['ratio', random.pick([0.5, 1.5, 2, -3.25])])
  if (random.chance(0.4)) out.push(['cached', random.chance(0.5)])
  if (random.chance(0.5)) {
    out.push(['mixed', random.pick<Value>(['a', 7n, 2.5, true, { array: ['a', 'b'] }])])
  }
  if (random.chance(0.3)) {
    out.push([
      'tags',
      {
        array: random.pick<Value[]>([
          ['x', 'y'],
          ['y', 'z'],
          [1n, 2n],
        ]),
      },
    ])
  }
  if (random.chance(0.1)) out.push(['a b"c', 'odd'])
  return out
}

function event(random: Random, start: bigint): EventObject {
  return {
    time: start + BigInt(random.below(3_000_000)),
    name: random.pick(['exception', 'retry', '']),
    attributes: attributes(random, ['e1', 'e2']),
  }
}

function link(random: Random): LinkObject {
  return {
    traceId: Uint8Array.from([...new Uint8Array(15), random.below(3) + 1]),
    spanId: Uint8Array.from([...new Uint8Array(7), random.below(3) + 1]),
    attributes: attributes(random, ['l1', 'l2']),
  }
}

function span(
  random: Random,
  traceId: Uint8Array,
  earlier: readonly SpanObject[],
  at: bigint,
): SpanObject {
  const start = at + BigInt(random.below(2_000_000_000))
  const parent =
    earlier.length > 0
      ? random.chance(0.9)
        ? random.pick(earlier).spanId
        : random.bytes(8)
      : undefined
  const shared = earlier.at(-1)
  return {
    traceId,
    spanId: shared && random.chance(0.04) ? shared.spanId : random.bytes(8),
    ...(parent ? { parentSpanId: parent } : {}),
    name: random.pick(NAMES),
    kind: random.below(6),
    start,
    end: start + BigInt(random.pick([0, 1, 999, 1_500_000, 100_000_000, 3_000_000_000])),
    attributes: attributes(random, ['GET', 'POST', '']),
    events: Array.from({ length: random.pick([0, 0, 1, 3]) }, () => event(random, start)),
    links: Array.from({ length: random.pick([0, 0, 0, 2]) }, () => link(random)),
    status: { code: random.below(3), message: random.pick(['', 'oops']) },
  }
}

/** Traces as one request would carry them: spans under their resources and scopes. */
export function randomTraces(seed: number, count: number): ResourceSpansObject[] {
  const random = new Random(seed)
  const resources: ResourceSpansObject[] = Array.from({ length: 6 }, () => {
    const service = random.pick(SERVICES)
    const own = attributes(random, ['GET', 'resource'])
    return {
      resource: { attributes: service === undefined ? own : [...own, ['service.name', service]] },
      scopes: [0, 1].map(() => ({
        scope: {
          name: random.pick(['lib', '']),
          version: random.pick(['1', '2', '']),
          attributes: attributes(random, ['s1', 's2']),
        },
        spans: [],
      })),
    }
  })
  for (let i = 0; i < count; i++) {
    const traceId = random.bytes(16)
    if (random.chance(0.2)) traceId[0] = 0
    const at = BASE_NS + BigInt(Math.floor(random.next() * Number(SPREAD_NS)))
    const spans: SpanObject[] = []
    for (let size = random.below(9) + 1; size > 0; size--) {
      spans.push(span(random, traceId, spans, at))
      random.pick(random.pick(resources).scopes).spans.push(spans.at(-1)!)
    }
  }
  return resources
}
