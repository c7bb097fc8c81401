/** Owns a web shop's traces for tests and measurements: ten services, 4 to 30 spans a trace, about seven attributes a span. */
import { Random } from './random.js'
import type { ResourceSpansObject, SpanObject, Value } from './otlp-objects.js'

const SERVICES = ['frontend', 'checkout', 'cart', 'payment', 'shipping', 'catalog', 'recommendation', 'currency', 'email', 'auth'] // prettier-ignore
const ROUTES = ['/api/cart', '/api/checkout', '/api/products', '/api/products/{id}', '/api/login', '/api/orders/{id}', '/api/search', '/healthz'] // prettier-ignore
const METHODS = ['GET', 'POST', 'PUT', 'DELETE']
const SCOPE = {
  name: 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp',
  version: '0.60.0',
}
const PODS = 3

export interface ShopOptions {
  seed?: number // default 1
  traces?: number // default 100
  /** Newest trace start, ns since the epoch. */
  end_ns?: bigint // default 2023-11-14T22:13:20Z
  spread_s?: number // default 30: starts are spread over this time before the end
}

/** Traces grouped by resource, as a collector's batch processor sends them. */
export function shopTraces(options: ShopOptions = {}): ResourceSpansObject[] {
  const { seed = 1, traces = 100, end_ns = 1_700_000_000_000_000_000n, spread_s = 30 } = options
  const random = new Random(seed)
  const byResource = new Map<string, ResourceSpansObject>()
  for (const service of SERVICES) {
    for (let pod = 0; pod < PODS; pod++)
      byResource.set(`${service}-${pod}`, shopResource(service, pod))
  }
  for (let t = 0; t < traces; t++) {
    const start = end_ns - BigInt(Math.floor(random.float() * spread_s * 1e9))
    addTrace(random, start, byResource)
  }
  return [...byResource.values()].filter((rs) => rs.scopes[0]!.spans.length > 0)
}

function shopResource(service: string, pod: number): ResourceSpansObject {
  const attributes: [string, Value][] = [
    ['service.name', service],
    ['service.version', `1.${pod}.0`],
    ['service.instance.id', `${service}-${pod}-7f9c`],
    ['k8s.cluster.name', 'prod-eu-1'],
    ['k8s.namespace.name', 'shop'],
    ['k8s.pod.name', `${service}-7f9c5d-${pod}`],
    ['k8s.container.name', service],
    ['host.name', `node-${pod}`],
    ['telemetry.sdk.language', 'go'],
    ['process.pid', BigInt(100 + pod)],
  ]
  return { resource: { attributes }, scopes: [{ scope: SCOPE, spans: [] }] }
}

interface Made {
  spanId: Uint8Array
  service: number
  start: bigint
  duration_ns: number
}

function addTrace(
  random: Random,
  start: bigint,
  byResource: Map<string, ResourceSpansObject>,
): void {
  const traceId = random.bytes(16)
  const made: Made[] = []
  for (let i = 4 + random.below(27); i > 0; i--) {
    const parent = made.length ? random.pick(made) : undefined
    const me: Made = { spanId: random.bytes(8), service: 0, start, duration_ns: (20 + random.below(2000)) * 1e6 } // prettier-ignore
    if (parent) {
      const offset_ns = Math.floor(random.float() * (parent.duration_ns / 2 + 1))
      me.service = random.oneIn(2) ? random.below(SERVICES.length) : parent.service
      me.start = parent.start + BigInt(offset_ns)
      me.duration_ns = Math.floor(random.float() * (parent.duration_ns - offset_ns + 1)) + 1000
    }
    made.push(me)
    const span = shopSpan(random, traceId, me)
    if (parent) span.parentSpanId = parent.spanId
    byResource.get(`${SERVICES[me.service]!}-${traceId[0]! % PODS}`)!.scopes[0]!.spans.push(span)
  }
}

function shopSpan(random: Random, traceId: Uint8Array, me: Made): SpanObject {
  const end = me.start + BigInt(me.duration_ns)
  const span: SpanObject = { traceId, spanId: me.spanId, start: me.start, end }
  const service = SERVICES[me.service]!
  const dice = random.below(100)
  const code = dice < 3 ? 500n : dice < 8 ? 404n : 200n
  const shape = random.below(3)
  if (shape === 0) {
    const route = random.pick(ROUTES)
    const method = random.pick(METHODS)
    span.name = `${method} ${route}`
    span.kind = 2
    span.attributes = [
      ['http.method', method],
      ['http.route', route],
      ['http.url', `https://shop.example.com${route}?session=${random.below(100_000)}`],
      ['http.status_code', code],
      ['http.user_agent', 'Mozilla/5.0 (X11; Linux x86_64)'],
      ['net.peer.ip', `10.0.${random.below(255)}.${random.below(255)}`],
      ['user.id', `u-${String(random.below(50_000)).padStart(6, '0')}`],
      ['http.retry', random.oneIn(10)],
    ]
  } else if (shape === 1) {
    span.name = `SELECT shop.${service}`
    span.kind = 3
    span.attributes = [
      ['db.system', 'postgresql'],
      ['db.name', 'shop'],
      ['db.statement', `SELECT * FROM ${service} WHERE id = $1 AND region = $2`],
      ['db.rows', BigInt(random.below(1000))],
      ['db.cost', random53(random) * 100],
      ['net.peer.name', 'pg-0.shop'],
      ['net.peer.port', 5432n],
    ]
  } else {
    span.name = `process ${service}`
    span.kind = 1
    span.attributes = [
      ['thread.name', `worker-${random.below(16)}`],
      ['items', BigInt(random.below(50))],
      ['cache.key', `k:${random.hex(16)}`],
      ['cache.hit', !random.oneIn(3)],
      ['ratio', random53(random)],
    ]
  }
  if (code === 500n) {
    span.status = { code: 2, message: 'internal error' }
    span.events = [{
      time: me.start + 1000n,
      name: 'exception',
      attributes: [
        ['exception.type', 'java.lang.IllegalStateException'],
        ['exception.message', `boom ${random.below(1000)}`],
      ],
    }] // prettier-ignore
  }
  if (random.oneIn(50)) span.links = [{ traceId: random.bytes(16), spanId: random.bytes(8) }]
  return span
}

/** As many random bits as a double holds: what real measurements look like to a compressor. */
function random53(random: Random): number {
  return (random.bits() * 2 ** 21 + (random.bits() >>> 11)) / 2 ** 53
}
