/** Owns what the OTLP tests stand on: a seeded generator, a plain object codec of OTLP that shares no code with src, and shop traffic. */

/** Mulberry32: small, seeded, good enough for tests. */
export class Random {
  constructor(private state: number) {}
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  int(below: number): number {
    return Math.floor(this.next() * below)
  }
  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.int(256))
  }
  /** An id that is never all zero. */
  id(length: number): Uint8Array {
    const out = this.bytes(length)
    out[0]! |= 1
    return out
  }
}

export type Value =
  | { string: string }
  | { bool: boolean }
  | { int: bigint }
  | { double: number }
  | { array: Value[] }
  | { kvlist: KeyValue[] }
  | { bytes: Uint8Array }
  | undefined
export interface KeyValue {
  key: string
  value: Value
}
export interface Event {
  time: bigint
  name: string
  attributes: KeyValue[]
  dropped: number
}
export interface Link {
  traceId: Uint8Array
  spanId: Uint8Array
  traceState: string
  attributes: KeyValue[]
  flags: number
}
export interface Span {
  traceId: Uint8Array
  spanId: Uint8Array
  parentSpanId: Uint8Array
  traceState: string
  flags: number
  name: string
  kind: number
  start: bigint
  end: bigint
  attributes: KeyValue[]
  dropped: number
  events: Event[]
  links: Link[]
  statusMessage: string
  statusCode: number
  /** Bytes of fields that OTLP does not know. */
  unknown: Uint8Array
}
export interface ScopeSpans {
  scope: { name: string; version: string; attributes: KeyValue[]; dropped: number } | undefined
  spans: Span[]
  schemaUrl: string
  unknown: Uint8Array
}
export interface ResourceSpans {
  resource: { attributes: KeyValue[]; dropped: number } | undefined
  scopes: ScopeSpans[]
  schemaUrl: string
  unknown: Uint8Array
}

export class Writer {
  private bytes = new Uint8Array(64)
  private length = 0
  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const bytes = new Uint8Array((this.length + more) * 2)
    bytes.set(this.bytes)
    this.bytes = bytes
  }
  varint(n: number | bigint): this {
    this.room(10)
    let left = typeof n === 'number' && n >= 0 && n < 2 ** 31 ? n : BigInt.asUintN(64, BigInt(n))
    while (left > 0x7f) {
      this.bytes[this.length++] = Number(BigInt(left) & 0x7fn) | 0x80
      left = BigInt(left) >> 7n
    }
    this.bytes[this.length++] = Number(left)
    return this
  }
  raw(b: Uint8Array): this {
    this.room(b.length)
    this.bytes.set(b, this.length)
    this.length += b.length
    return this
  }
  tag(field: number, wire: number): this {
    return this.varint(field * 8 + wire)
  }
  /** A length-delimited field; `empty` says whether to write it when it has no bytes. */
  field(field: number, b: Uint8Array | string | Writer, empty = false): this {
    const content =
      typeof b === 'string' ? new TextEncoder().encode(b) : b instanceof Writer ? b.done() : b
    if (content.length === 0 && !empty) return this
    return this.tag(field, 2).varint(content.length).raw(content)
  }
  number(field: number, n: number | bigint, empty = false): this {
    return n === 0 || n === 0n
      ? empty
        ? this.tag(field, 0).varint(n)
        : this
      : this.tag(field, 0).varint(n)
  }
  fixed64(field: number, n: bigint): this {
    if (n === 0n) return this
    const b = new Uint8Array(8)
    new DataView(b.buffer).setBigUint64(0, n, true)
    return this.tag(field, 1).raw(b)
  }
  double(field: number, n: number): this {
    const b = new Uint8Array(8)
    new DataView(b.buffer).setFloat64(0, n, true)
    return this.tag(field, 1).raw(b)
  }
  fixed32(field: number, n: number): this {
    if (n === 0) return this
    const b = new Uint8Array(4)
    new DataView(b.buffer).setUint32(0, n, true)
    return this.tag(field, 5).raw(b)
  }
  done(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }
}

export function encodeValue(value: Value): Writer {
  const w = new Writer()
  if (!value) return w
  if ('string' in value) return w.field(1, value.string, true)
  if ('bool' in value) return w.number(2, value.bool ? 1 : 0, true)
  if ('int' in value) return w.number(3, value.int, true)
  if ('double' in value) return w.double(4, value.double)
  if ('bytes' in value) return w.field(7, value.bytes, true)
  const inner = new Writer()
  if ('array' in value) {
    for (const item of value.array) inner.field(1, encodeValue(item), true)
    return w.field(5, inner, true)
  }
  for (const item of value.kvlist) inner.field(1, encodeKeyValue(item), true)
  return w.field(6, inner, true)
}

export function encodeKeyValue({ key, value }: KeyValue): Writer {
  const w = new Writer().field(1, key)
  return value ? w.field(2, encodeValue(value), true) : w
}

function attributes(w: Writer, field: number, list: KeyValue[]): Writer {
  for (const item of list) w.field(field, encodeKeyValue(item), true)
  return w
}

export function encodeSpan(s: Span): Writer {
  const w = new Writer()
    .field(1, s.traceId)
    .field(2, s.spanId)
    .field(3, s.traceState)
    .field(4, s.parentSpanId)
    .fixed32(16, s.flags)
    .field(5, s.name)
    .number(6, s.kind)
    .fixed64(7, s.start)
    .fixed64(8, s.end)
  attributes(w, 9, s.attributes).number(10, s.dropped)
  for (const e of s.events) {
    const inner = new Writer().fixed64(1, e.time).field(2, e.name)
    w.field(11, attributes(inner, 3, e.attributes).number(4, e.dropped), true)
  }
  for (const l of s.links) {
    const inner = new Writer().field(1, l.traceId).field(2, l.spanId).field(3, l.traceState)
    w.field(13, attributes(inner, 4, l.attributes).fixed32(6, l.flags), true)
  }
  if (s.statusCode || s.statusMessage) {
    w.field(15, new Writer().field(2, s.statusMessage).number(3, s.statusCode), true)
  }
  return w.raw(s.unknown)
}

export function encodeRequest(list: ResourceSpans[]): Uint8Array {
  const out = new Writer()
  for (const rs of list) {
    const w = new Writer()
    if (rs.resource) {
      w.field(
        1,
        attributes(new Writer(), 1, rs.resource.attributes).number(2, rs.resource.dropped),
        true,
      )
    }
    for (const ss of rs.scopes) {
      const inner = new Writer()
      if (ss.scope) {
        const scope = new Writer().field(1, ss.scope.name).field(2, ss.scope.version)
        inner.field(1, attributes(scope, 3, ss.scope.attributes).number(4, ss.scope.dropped), true)
      }
      for (const span of ss.spans) inner.field(2, encodeSpan(span), true)
      w.field(2, inner.field(3, ss.schemaUrl).raw(ss.unknown), true)
    }
    out.field(1, w.field(3, rs.schemaUrl).raw(rs.unknown), true)
  }
  return out.done()
}

interface RawField {
  number: number
  wire: number
  value: bigint
  bytes: Uint8Array
  /** Tag and all. */
  raw: Uint8Array
}

/** Splits a message into its fields; throws on anything malformed. */
export function fields(from: Uint8Array): RawField[] {
  const b = Uint8Array.from(from) // of a Buffer, `slice` would be a view
  const out: RawField[] = []
  let at = 0
  const varint = () => {
    let n = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (at >= b.length || shift > 63n) throw new Error('bad varint')
      const byte = b[at++]!
      n |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, n)
    }
  }
  const take = (length: number) => {
    if (at + length > b.length) throw new Error('truncated')
    at += length
    return b.slice(at - length, at)
  }
  while (at < b.length) {
    const start = at
    const tag = Number(varint())
    const number = Math.floor(tag / 8)
    const wire = tag % 8
    let value = 0n
    let bytes = new Uint8Array(0)
    if (wire === 0) value = varint()
    else if (wire === 1) bytes = take(8)
    else if (wire === 2) bytes = take(Number(varint()))
    else if (wire === 5) bytes = take(4)
    else throw new Error(`wire type ${wire}`)
    if (wire === 1) value = new DataView(bytes.buffer).getBigUint64(0, true)
    if (wire === 5) value = BigInt(new DataView(bytes.buffer).getUint32(0, true))
    out.push({ number, wire, value, bytes, raw: b.slice(start, at) })
  }
  return out
}

const text = (b: Uint8Array) => new TextDecoder().decode(b)

export function decodeValue(b: Uint8Array): Value {
  const last = fields(b).at(-1)
  switch (last?.number) {
    case 1:
      return { string: text(last.bytes) }
    case 2:
      return { bool: last.value !== 0n }
    case 3:
      return { int: BigInt.asIntN(64, last.value) }
    case 4:
      return { double: new DataView(last.bytes.buffer).getFloat64(0, true) }
    case 5:
      return { array: fields(last.bytes).map((f) => decodeValue(f.bytes)) }
    case 6:
      return { kvlist: fields(last.bytes).map((f) => decodeKeyValue(f.bytes)) }
    case 7:
      return { bytes: last.bytes }
    default:
      return undefined
  }
}

export function decodeKeyValue(b: Uint8Array): KeyValue {
  const out: KeyValue = { key: '', value: undefined }
  for (const f of fields(b)) {
    if (f.number === 1) out.key = text(f.bytes)
    if (f.number === 2) out.value = decodeValue(f.bytes)
  }
  return out
}

function only(list: RawField[], number: number): KeyValue[] {
  return list.filter((f) => f.number === number).map((f) => decodeKeyValue(f.bytes))
}

function last(list: RawField[], number: number): RawField | undefined {
  return list.filter((f) => f.number === number).at(-1)
}

const none = new Uint8Array(0)
const bytesOf = (list: RawField[], number: number) => last(list, number)?.bytes ?? none
const numberOf = (list: RawField[], number: number) => Number(last(list, number)?.value ?? 0n)

function unknown(list: RawField[], known: number): Uint8Array {
  return new Writer()
    .raw(Uint8Array.from(list.filter((f) => f.number > known).flatMap((f) => [...f.raw])))
    .done()
}

export function decodeSpan(b: Uint8Array): Span {
  const f = fields(b)
  const status = fields(bytesOf(f, 15))
  return {
    traceId: bytesOf(f, 1),
    spanId: bytesOf(f, 2),
    traceState: text(bytesOf(f, 3)),
    parentSpanId: bytesOf(f, 4),
    flags: numberOf(f, 16),
    name: text(bytesOf(f, 5)),
    kind: numberOf(f, 6),
    start: last(f, 7)?.value ?? 0n,
    end: last(f, 8)?.value ?? 0n,
    attributes: only(f, 9),
    dropped: numberOf(f, 10),
    events: f
      .filter((e) => e.number === 11)
      .map((e) => fields(e.bytes))
      .map((e) => ({
        time: last(e, 1)?.value ?? 0n,
        name: text(bytesOf(e, 2)),
        attributes: only(e, 3),
        dropped: numberOf(e, 4),
      })),
    links: f
      .filter((l) => l.number === 13)
      .map((l) => fields(l.bytes))
      .map((l) => ({
        traceId: bytesOf(l, 1),
        spanId: bytesOf(l, 2),
        traceState: text(bytesOf(l, 3)),
        attributes: only(l, 4),
        flags: numberOf(l, 6),
      })),
    statusMessage: text(bytesOf(status, 2)),
    statusCode: numberOf(status, 3),
    unknown: unknown(f, 16),
  }
}

export function decodeRequest(b: Uint8Array): ResourceSpans[] {
  return fields(b)
    .filter((rs) => rs.number === 1)
    .map((rs) => {
      const f = fields(rs.bytes)
      const resource = last(f, 1)
      return {
        resource: resource && {
          attributes: only(fields(resource.bytes), 1),
          dropped: numberOf(fields(resource.bytes), 2),
        },
        scopes: f.filter((ss) => ss.number === 2).map((ss) => decodeScopeSpans(ss.bytes)),
        schemaUrl: text(bytesOf(f, 3)),
        unknown: unknown(f, 3),
      }
    })
}

function decodeScopeSpans(b: Uint8Array): ScopeSpans {
  const f = fields(b)
  const scope = last(f, 1)
  return {
    scope: scope && {
      name: text(bytesOf(fields(scope.bytes), 1)),
      version: text(bytesOf(fields(scope.bytes), 2)),
      attributes: only(fields(scope.bytes), 3),
      dropped: numberOf(fields(scope.bytes), 4),
    },
    spans: f.filter((s) => s.number === 2).map((s) => decodeSpan(s.bytes)),
    schemaUrl: text(bytesOf(f, 3)),
    unknown: unknown(f, 3),
  }
}

export function randomValue(r: Random, depth = 0): Value {
  switch (r.int(depth > 2 ? 5 : 8)) {
    case 0:
      return { string: randomText(r) }
    case 1:
      return { bool: r.int(2) === 0 }
    case 2:
      return { int: BigInt.asIntN(64, BigInt(r.int(2 ** 31)) * BigInt(r.int(2 ** 31) + 1) - 5n) }
    case 3:
      return { double: (r.next() - 0.5) * 10 ** r.int(30) }
    case 4:
      return { bytes: r.bytes(r.int(20)) }
    case 5:
      return { array: Array.from({ length: r.int(4) }, () => randomValue(r, depth + 1)) }
    case 6:
      return { kvlist: Array.from({ length: r.int(4) }, () => randomKeyValue(r, depth + 1)) }
    default:
      return undefined
  }
}

function randomText(r: Random): string {
  const length = r.int(10) === 0 ? r.int(400) : r.int(24)
  return Array.from({ length }, () =>
    r.pick(['a', 'b', 'z', '/', ' ', 'é', '漢', '😀', '"', '<']),
  ).join('')
}

function randomKeyValue(r: Random, depth = 0): KeyValue {
  return {
    key: r.pick(['http.url', 'user.id', 'é', 'k']) + String(r.int(5)),
    value: randomValue(r, depth),
  }
}

function randomAttributes(r: Random, most: number): KeyValue[] {
  return Array.from({ length: r.int(most + 1) }, () => randomKeyValue(r))
}

const UNKNOWN_FIELD = () =>
  new Writer()
    .tag(77, 2)
    .varint(3)
    .raw(Uint8Array.of(1, 2, 3))
    .done()

export function randomSpan(r: Random, traceId: Uint8Array): Span {
  const start = 1_700_000_000_000_000_000n + BigInt(r.int(1e9))
  return {
    traceId,
    spanId: r.id(8),
    parentSpanId: r.int(3) === 0 ? none : r.id(8),
    traceState: r.int(5) === 0 ? 'a=b' : '',
    flags: r.int(2) === 0 ? 257 : 0,
    name: randomText(r),
    kind: r.int(6),
    start,
    end: start + BigInt(r.int(1e9)),
    attributes: randomAttributes(r, 6),
    dropped: r.int(4) === 0 ? r.int(1000) : 0,
    events: Array.from({ length: r.int(4) === 0 ? r.int(4) : 0 }, () => ({
      time: start,
      name: randomText(r),
      attributes: randomAttributes(r, 3),
      dropped: r.int(2),
    })),
    links: Array.from({ length: r.int(5) === 0 ? r.int(3) : 0 }, () => ({
      traceId: r.id(16),
      spanId: r.id(8),
      traceState: '',
      attributes: randomAttributes(r, 2),
      flags: r.int(2),
    })),
    statusMessage: r.int(6) === 0 ? 'boom' : '',
    statusCode: r.int(3),
    unknown: r.int(8) === 0 ? UNKNOWN_FIELD() : none,
  }
}

/** A request of random shape: empty lists, missing resources and scopes, schema URLs and unknown fields included. */
export function randomRequest(r: Random, traces = 12): ResourceSpans[] {
  const ids = Array.from({ length: traces }, () => r.id(16))
  return Array.from({ length: r.int(5) }, () => ({
    resource:
      r.int(6) === 0 ? undefined : { attributes: randomAttributes(r, 5), dropped: r.int(2) },
    scopes: Array.from({ length: r.int(4) }, () => ({
      scope:
        r.int(4) === 0
          ? undefined
          : {
              name: randomText(r),
              version: '1',
              attributes: randomAttributes(r, 2),
              dropped: r.int(2),
            },
      spans: Array.from({ length: r.int(12) }, () => randomSpan(r, r.pick(ids))),
      schemaUrl: r.int(4) === 0 ? 'https://opentelemetry.io/schemas/1.27.0' : '',
      unknown: r.int(6) === 0 ? UNKNOWN_FIELD() : none,
    })),
    schemaUrl: r.int(4) === 0 ? 'https://opentelemetry.io/schemas/1.21.0' : '',
    unknown: r.int(6) === 0 ? UNKNOWN_FIELD() : none,
  }))
}

export function spanOf(fields: Partial<Span>): Span {
  return {
    traceId: new Uint8Array(16).fill(1),
    spanId: new Uint8Array(8).fill(2),
    parentSpanId: none,
    traceState: '',
    flags: 0,
    name: 'n',
    kind: 2,
    start: 1_700_000_000_000_000_000n,
    end: 1_700_000_000_000_001_000n,
    attributes: [],
    dropped: 0,
    events: [],
    links: [],
    statusMessage: '',
    statusCode: 0,
    unknown: none,
    ...fields,
  }
}

export function requestOf(spans: Span[]): ResourceSpans[] {
  return [
    {
      resource: { attributes: [{ key: 'service.name', value: { string: 'shop' } }], dropped: 0 },
      scopes: [
        {
          scope: { name: 'lib', version: '1', attributes: [], dropped: 0 },
          spans,
          schemaUrl: '',
          unknown: none,
        },
      ],
      schemaUrl: '',
      unknown: none,
    },
  ]
}

const SERVICES = [
  'frontend',
  'checkout',
  'cart',
  'payment',
  'shipping',
  'catalog',
  'currency',
  'email',
]
const ROUTES = ['/api/cart', '/api/checkout', '/api/products/{id}', '/api/orders/{id}', '/healthz']

/** Requests of about `batch` spans, traces of 4 to 30 spans grouped by resource as a collector's batch processor does. */
export function shopTraffic(
  seed: number,
  traces: number,
  batch: number,
): { body: Uint8Array; spans: number }[] {
  const r = new Random(seed)
  const out: { body: Uint8Array; spans: number }[] = []
  let groups = new Map<string, Span[]>()
  let pending = 0
  const s = (key: string, string: string): KeyValue => ({ key, value: { string } })
  const n = (key: string, int: number): KeyValue => ({ key, value: { int: BigInt(int) } })
  const flush = () => {
    const list = [...groups].sort().map(([key, spans]): ResourceSpans => {
      const resource = [
        s('service.name', key.slice(0, -2)),
        s('service.version', '1.2.0'),
        s('service.instance.id', `${key}-7f9c`),
        s('k8s.cluster.name', 'prod-eu-1'),
        s('k8s.namespace.name', 'shop'),
        s('k8s.pod.name', `${key}-7f9c5d`),
        s('k8s.container.name', key),
        s('host.name', 'node-1'),
        s('telemetry.sdk.language', 'go'),
        n('process.pid', 101),
      ]
      const scope = {
        name: 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp',
        version: '0.60.0',
        attributes: [],
        dropped: 0,
      }
      return {
        resource: { attributes: resource, dropped: 0 },
        scopes: [{ scope, spans, schemaUrl: '', unknown: none }],
        schemaUrl: '',
        unknown: none,
      }
    })
    if (pending > 0) out.push({ body: encodeRequest(list), spans: pending })
    groups = new Map()
    pending = 0
  }
  for (let t = 0; t < traces; t++) {
    const traceId = r.id(16)
    for (let i = 4 + r.int(27); i > 0; i--) {
      const service = r.pick(SERVICES)
      const span = randomShopSpan(r, traceId, service)
      const key = `${service}-${traceId[0]! % 3}`
      groups.set(key, [...(groups.get(key) ?? []), span])
      pending++
    }
    if (pending >= batch) flush()
  }
  flush()
  return out
}

function randomShopSpan(r: Random, traceId: Uint8Array, service: string): Span {
  const start = 1_700_000_000_000_000_000n + BigInt(r.int(1e9))
  const s = (key: string, string: string): KeyValue => ({ key, value: { string } })
  const n = (key: string, int: number): KeyValue => ({ key, value: { int: BigInt(int) } })
  const route = r.pick(ROUTES)
  const base = {
    traceId,
    spanId: r.id(8),
    parentSpanId: r.id(8),
    start,
    end: start + BigInt(r.int(1e9)),
  }
  switch (r.int(3)) {
    case 0:
      return spanOf({
        ...base,
        name: `GET ${route}`,
        kind: 2,
        attributes: [
          s('http.method', 'GET'),
          s('http.route', route),
          s('http.url', `https://shop.example.com${route}?session=${r.int(100000)}`),
          n('http.status_code', 200),
          s('http.user_agent', 'Mozilla/5.0 (X11; Linux x86_64)'),
          s('net.peer.ip', `10.0.${r.int(255)}.${r.int(255)}`),
          s('user.id', `u-${r.int(50000)}`),
          { key: 'http.retry', value: { bool: r.int(10) === 0 } },
        ],
      })
    case 1:
      return spanOf({
        ...base,
        name: `SELECT shop.${service}`,
        kind: 3,
        attributes: [
          s('db.system', 'postgresql'),
          s('db.name', 'shop'),
          s('db.statement', `SELECT * FROM ${service} WHERE id = $1 AND region = $2`),
          n('db.rows', r.int(1000)),
          { key: 'db.cost', value: { double: r.next() * 100 } },
          s('net.peer.name', 'pg-0.shop'),
          n('net.peer.port', 5432),
        ],
      })
    default:
      return spanOf({
        ...base,
        name: `process ${service}`,
        kind: 1,
        attributes: [
          s('thread.name', `worker-${r.int(16)}`),
          n('items', r.int(50)),
          s('cache.key', `k:${r.int(2 ** 31).toString(16)}`),
          { key: 'cache.hit', value: { bool: r.int(3) > 0 } },
          { key: 'ratio', value: { double: r.next() } },
        ],
        ...(r.int(30) === 0
          ? {
              statusCode: 2,
              statusMessage: 'internal error',
              events: [
                {
                  time: start,
                  name: 'exception',
                  attributes: [
                    s('exception.type', 'java.lang.IllegalStateException'),
                    s('exception.message', `boom ${r.int(1000)}`),
                  ],
                  dropped: 0,
                },
              ],
            }
          : {}),
      })
  }
}
