/**
 * Owns the test data: seeded OTLP requests written as protobuf by hand. `shopRequests` resembles the benchmark's load
 * (about 320 bytes and 7 attributes a span); `Proto` writes anything else.
 */

/** A small seeded generator (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 <= n < 2^32. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 <= n < bound. */
  below(bound: number): number {
    return Math.floor((this.u32() / 2 ** 32) * bound)
  }

  float(): number {
    return this.u32() / 2 ** 32
  }

  chance(part: number): boolean {
    return this.float() < part
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
}

/** Writes protobuf into a growing buffer. */
export class Proto {
  #bytes = new Uint8Array(256)
  #at = 0

  /** Valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  get length(): number {
    return this.#at
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
    return this
  }

  varint(value: bigint | number): this {
    this.#room(10)
    if (typeof value === 'number' && value >= 0 && value < 0x80000000) {
      let small = value
      for (; small >= 0x80; small >>>= 7) this.#bytes[this.#at++] = (small & 0x7f) | 0x80
      this.#bytes[this.#at++] = small
      return this
    }
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest >= 0x80n) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[this.#at++] = Number(rest)
    return this
  }

  int(field: number, value: bigint | number): this {
    return this.varint(field << 3).varint(value)
  }

  fixed64(field: number, value: bigint): this {
    this.varint((field << 3) | 1)
    this.#room(8)
    new DataView(this.#bytes.buffer).setBigUint64(this.#at, BigInt.asUintN(64, value), true)
    this.#at += 8
    return this
  }

  fixed32(field: number, value: number): this {
    this.varint((field << 3) | 5)
    this.#room(4)
    new DataView(this.#bytes.buffer).setUint32(this.#at, value, true)
    this.#at += 4
    return this
  }

  double(field: number, value: number): this {
    this.varint((field << 3) | 1)
    this.#room(8)
    new DataView(this.#bytes.buffer).setFloat64(this.#at, value, true)
    this.#at += 8
    return this
  }

  bytes(field: number, bytes: Uint8Array): this {
    return this.varint((field << 3) | 2)
      .varint(bytes.length)
      .raw(bytes)
  }

  string(field: number, text: string): this {
    return this.bytes(field, Buffer.from(text, 'utf8'))
  }

  message(field: number, message: Proto): this {
    return this.bytes(field, message.view())
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + bytes))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

export const stringValue = (text: string) => new Proto().string(1, text)
export const boolValue = (value: boolean) => new Proto().int(2, value ? 1 : 0)
export const intValue = (value: bigint | number) => new Proto().int(3, value)
export const doubleValue = (value: number) => new Proto().double(4, value)
export const keyValue = (key: string, value: Proto) => new Proto().string(1, key).message(2, value)

/** An ExportTraceServiceRequest of one resource and scope around encoded spans. */
export function request(spans: readonly Proto[], service = 'shop'): Uint8Array {
  const scope = new Proto().message(1, new Proto().string(1, 'lib'))
  for (const span of spans) scope.message(2, span)
  const resource = new Proto().message(1, keyValue('service.name', stringValue(service)))
  return new Proto().message(1, new Proto().message(1, resource).message(2, scope)).finish()
}

/** A small span: ids, name, times and the given attributes. */
export function span(
  traceId: Uint8Array,
  spanId: Uint8Array,
  options: { name?: string; kind?: number; start?: bigint; end?: bigint; parent?: Uint8Array } = {},
  attributes: readonly Proto[] = [],
): Proto {
  const { name = 'work', kind = 1, start = 1000n, end = 2000n, parent } = options
  const out = new Proto().bytes(1, traceId).bytes(2, spanId)
  if (parent) out.bytes(4, parent)
  out.string(5, name).int(6, kind).fixed64(7, start).fixed64(8, end)
  for (const attribute of attributes) out.message(9, attribute)
  return out
}

export interface ShopOptions {
  seed?: number // default 1
  traces: number
  /** Spans a request, about. */
  batch?: number // default 256
  /** Unix ns at which traces begin, about. */
  base_ns?: bigint
}
export interface ShopRequest {
  readonly bytes: Uint8Array
  readonly spans: number
}

const SERVICES =
  'frontend checkout cart payment shipping catalog recommendation currency email auth'.split(' ')
const ROUTES =
  '/api/cart /api/checkout /api/products /api/products/{id} /api/login /api/orders/{id} /api/search /healthz'.split(
    ' ',
  )
const METHODS = ['GET', 'POST', 'PUT', 'DELETE']

function shopResource(service: string, pod: number): Proto {
  const text = (key: string, value: string) => keyValue(key, stringValue(value))
  return [
    text('service.name', service),
    text('service.version', `1.${pod}.0`),
    text('service.instance.id', `${service}-${pod}-7f9c`),
    text('k8s.cluster.name', 'prod-eu-1'),
    text('k8s.namespace.name', 'shop'),
    text('k8s.pod.name', `${service}-7f9c5d-${pod}`),
    text('k8s.container.name', service),
    text('host.name', `node-${pod}`),
    text('telemetry.sdk.language', 'go'),
    keyValue('process.pid', intValue(100 + pod)),
  ].reduce((resource, attribute) => resource.message(1, attribute), new Proto())
}

function shopAttributes(
  random: Random,
  service: string,
  status: number,
): [string, number, Proto[]] {
  const text = (key: string, value: string) => keyValue(key, stringValue(value))
  const int = (key: string, value: number) => keyValue(key, intValue(value))
  const route = random.pick(ROUTES)
  const method = random.pick(METHODS)
  switch (random.below(3)) {
    case 0: {
      const url = `https://shop.example.com${route}?session=${random.below(100000)}`
      const user = `u-${String(random.below(50000)).padStart(6, '0')}`
      const attributes = [
        text('http.method', method),
        text('http.route', route),
        text('http.url', url),
        int('http.status_code', status),
        text('http.user_agent', 'Mozilla/5.0 (X11; Linux x86_64)'),
        text('net.peer.ip', `10.0.${random.below(255)}.${random.below(255)}`),
        text('user.id', user),
        keyValue('http.retry', boolValue(random.chance(0.1))),
      ]
      return [`${method} ${route}`, 2, attributes]
    }
    case 1: {
      const statement = `SELECT * FROM ${service} WHERE id = $1 AND region = $2`
      const attributes = [
        text('db.system', 'postgresql'),
        text('db.name', 'shop'),
        text('db.statement', statement),
        int('db.rows', random.below(1000)),
        keyValue('db.cost', doubleValue(random.float() * 100)),
        text('net.peer.name', 'pg-0.shop'),
        int('net.peer.port', 5432),
      ]
      return [`SELECT shop.${service}`, 3, attributes]
    }
    default: {
      const key = `k:${random.u32().toString(16)}${random.u32().toString(16)}`
      const attributes = [
        text('thread.name', `worker-${random.below(16)}`),
        int('items', random.below(50)),
        text('cache.key', key),
        keyValue('cache.hit', boolValue(random.chance(0.66))),
        keyValue('ratio', doubleValue(random.float())),
      ]
      return [`process ${service}`, 1, attributes]
    }
  }
}

/** Traces of 4 to 30 spans over ten services, packed into requests as a collector's batch processor does. */
export function shopRequests(options: ShopOptions): ShopRequest[] {
  const { seed = 1, traces, batch = 256, base_ns = 1_760_000_000_000_000_000n } = options
  const random = new Random(seed)
  const resources = new Map<string, Proto>()
  const scope = new Proto()
    .string(1, 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp')
    .string(2, '0.60.0')
  const out: ShopRequest[] = []
  let groups = new Map<string, Proto[]>()
  let pending = 0
  const flush = () => {
    const bytes = new Proto()
    for (const key of [...groups.keys()].sort()) {
      const spans = new Proto().message(1, scope)
      for (const made of groups.get(key)!) spans.message(2, made)
      bytes.message(1, new Proto().message(1, resources.get(key)!).message(2, spans))
    }
    out.push({ bytes: bytes.finish(), spans: pending })
    groups = new Map()
    pending = 0
  }
  for (let trace = 0; trace < traces; trace++) {
    const id = random.bytes(16)
    const made: { id: Uint8Array; service: number; at: bigint; duration: number }[] = []
    const count = 4 + random.below(27)
    for (let i = 0; i < count; i++) {
      const parent = i === 0 ? undefined : random.pick(made)
      const offset = parent ? random.below(parent.duration / 2 + 1) : 0
      const me = {
        id: random.bytes(8),
        service: !parent ? 0 : random.chance(0.5) ? random.below(SERVICES.length) : parent.service,
        at: parent ? parent.at + BigInt(offset) : base_ns + BigInt(random.below(30e9)),
        duration: parent
          ? random.below(parent.duration - offset + 1) + 1000
          : (20 + random.below(2000)) * 1e6,
      }
      made.push(me)
      const draw = random.below(100)
      const status = draw < 3 ? 500 : draw < 8 ? 404 : 200
      const service = SERVICES[me.service]!
      const [name, kind, attributes] = shopAttributes(random, service, status)
      const out = span(
        id,
        me.id,
        {
          name,
          kind,
          start: me.at,
          end: me.at + BigInt(me.duration),
          ...(parent && { parent: parent.id }),
        },
        attributes,
      )
      if (status === 500) {
        const event = new Proto().fixed64(1, me.at + 1000n).string(2, 'exception')
        event.message(3, keyValue('exception.type', stringValue('java.lang.IllegalStateException')))
        event.message(3, keyValue('exception.message', stringValue(`boom ${random.below(1000)}`)))
        out.message(11, event).message(15, new Proto().string(2, 'internal error').int(3, 2))
      }
      if (random.below(50) === 0) {
        out.message(13, new Proto().bytes(1, random.bytes(16)).bytes(2, random.bytes(8)))
      }
      const pod = id[0]! % 3
      const key = `${service}-${pod}`
      if (!resources.has(key)) resources.set(key, shopResource(service, pod))
      const group = groups.get(key)
      if (group) group.push(out)
      else groups.set(key, [out])
      pending++
    }
    if (pending >= batch) flush()
  }
  if (pending > 0) flush()
  return out
}
