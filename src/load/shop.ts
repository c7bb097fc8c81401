/**
 * Owns the load's data: a web shop of ten services, 4 to 30 spans a trace, five to eight attributes a span. The same
 * seed gives the same ids and values; requests are grouped by resource as a collector's batch processor does.
 */
import { Random } from '../lib/random.js'
import { OtlpWriter } from './otlp-writer.js'

const SERVICES = ['frontend', 'checkout', 'cart', 'payment', 'shipping', 'catalog', 'recommendation', 'currency', 'email', 'auth'] // prettier-ignore
const ROUTES = ['/api/cart', '/api/checkout', '/api/products', '/api/products/{id}', '/api/login', '/api/orders/{id}', '/api/search', '/healthz'] // prettier-ignore
const METHODS = ['GET', 'POST', 'PUT', 'DELETE']
const PODS = 3
const SPANS_MIN = 4
const SPANS_RANGE = 27
/** Attribute of every resource, by which a run's spans are searched and counted. */
export const RUN_ATTRIBUTE = 'load.run'

export interface ShopOptions {
  readonly seed: number
  /** Value of `load.run` on every resource; '' leaves it out. */
  readonly run: string
  /** Spans a request, about. */
  readonly batch: number
  /** Spread each trace over about this many requests. */
  readonly split: number
  /** Share of traces (0..1) whose spans lie `late_ms` in the past. */
  readonly lateShare: number
  readonly late_ms: number
  /** Trace starts are spread over this time before now. */
  readonly spread_ms: number
}

export interface Payload {
  readonly bytes: Buffer
  readonly spans: number
  /** 24 bytes a span: trace id, span id; for the ledger. */
  readonly ids: Buffer
}

interface Made {
  readonly id: Uint8Array
  readonly service: number
  readonly start_ns: bigint
  readonly duration_ns: number
}
interface Group {
  readonly resource: Buffer
  spans: Buffer[]
}

export class Shop {
  readonly #options: ShopOptions
  readonly #random: Random
  readonly #writer = new OtlpWriter()
  readonly #spanWriter = new OtlpWriter()
  readonly #resources = new Map<string, Buffer>()
  #groups = new Map<string, Group>()
  #ids: Buffer[] = []
  /** Spans that travel in a later request than the rest of their trace. */
  #held: { key: string; span: Buffer; id: Buffer }[] = []
  readonly #ready: Payload[] = []
  traces = 0
  spans = 0

  constructor(options: ShopOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
  }

  /** Makes one more trace; requests that are full by then come out of `next`. `now_ns` is when it ends, about. */
  addTrace(now_ns: bigint): void {
    const random = this.#random
    const { lateShare, late_ms, spread_ms, batch, split } = this.#options
    this.traces++
    const traceId = random.fill(new Uint8Array(16))
    const isLate = lateShare > 0 && random.float() < lateShare
    const back_ms = random.float() * spread_ms + (isLate ? late_ms : 0)
    const start_ns = now_ns - BigInt(Math.floor(back_ms * 1e6))
    const made: Made[] = []
    for (let n = SPANS_MIN + random.below(SPANS_RANGE); n > 0; n--) {
      const parent = made.length > 0 ? random.pick(made) : undefined
      const me = this.#place(parent, start_ns)
      made.push(me)
      const key = `${SERVICES[me.service]!}-${traceId[0]! % PODS}`
      const span = this.#span(traceId, me, parent)
      const id = Buffer.concat([traceId, me.id])
      if (split > 1 && random.below(split) > 0) this.#held.push({ key, span, id })
      else this.#add(key, span, id)
    }
    if (this.#ids.length >= batch) this.#close()
  }

  /** The next full request; undefined when more traces are needed. */
  next(): Payload | undefined {
    return this.#ready.shift()
  }

  /** Everything that is left, as requests. */
  finish(): Payload[] {
    this.#close()
    this.#close()
    return this.#ready.splice(0)
  }

  #add(key: string, span: Buffer, id: Buffer): void {
    let group = this.#groups.get(key)
    if (!group) this.#groups.set(key, (group = { resource: this.#resource(key), spans: [] }))
    group.spans.push(span)
    this.#ids.push(id)
  }

  #close(): void {
    if (this.#ids.length > 0) {
      const w = this.#writer
      for (const key of [...this.#groups.keys()].sort()) {
        const group = this.#groups.get(key)!
        w.message(1, () => {
          w.raw(group.resource)
          w.message(2, () => {
            w.message(1, () => {
              w.text(1, 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp')
              w.text(2, '0.60.0')
            })
            for (const span of group.spans) w.bytes(2, span)
          })
        })
      }
      this.spans += this.#ids.length
      this.#ready.push({ bytes: w.take(), spans: this.#ids.length, ids: Buffer.concat(this.#ids) })
    }
    this.#groups = new Map()
    this.#ids = []
    const held = this.#held
    this.#held = []
    for (const { key, span, id } of held) this.#add(key, span, id)
  }

  #place(parent: Made | undefined, start_ns: bigint): Made {
    const random = this.#random
    const id = random.fill(new Uint8Array(8))
    if (!parent) return { id, service: 0, start_ns, duration_ns: (20 + random.below(2000)) * 1e6 }
    const offset_ns = Math.floor(random.float() * (parent.duration_ns / 2 + 1))
    return {
      id,
      service: random.oneIn(2) ? random.below(SERVICES.length) : parent.service,
      start_ns: parent.start_ns + BigInt(offset_ns),
      duration_ns: Math.floor(random.float() * (parent.duration_ns - offset_ns + 1)) + 1000,
    }
  }

  #resource(key: string): Buffer {
    let bytes = this.#resources.get(key)
    if (bytes) return bytes
    const [service, pod] = key.split('-') as [string, string]
    const w = new OtlpWriter()
    w.message(1, () => {
      const pairs: [string, string | number][] = [
        ['service.name', service], ['service.version', `1.${pod}.0`], ['service.instance.id', `${key}-7f9c`],
        ['k8s.cluster.name', 'prod-eu-1'], ['k8s.namespace.name', 'shop'], ['k8s.pod.name', `${service}-7f9c5d-${pod}`],
        ['k8s.container.name', service], ['host.name', `node-${pod}`], ['telemetry.sdk.language', 'go'], ['process.pid', 100 + Number(pod)],
      ] // prettier-ignore
      for (const [name, value] of pairs) w.attribute(1, name, value)
      if (this.#options.run !== '') w.attribute(1, RUN_ATTRIBUTE, this.#options.run)
    })
    bytes = w.take()
    this.#resources.set(key, bytes)
    return bytes
  }

  #span(traceId: Uint8Array, me: Made, parent: Made | undefined): Buffer {
    const random = this.#random
    const at = this.#spanWriter
    const dice = random.below(100)
    const code = dice < 3 ? 500 : dice < 8 ? 404 : 200
    at.bytes(1, traceId)
    at.bytes(2, me.id)
    if (parent) at.bytes(4, parent.id)
    this.#shape(at, SERVICES[me.service]!, code)
    at.fixed64(7, me.start_ns)
    at.fixed64(8, me.start_ns + BigInt(me.duration_ns))
    if (code === 500) {
      at.message(11, () => {
        at.fixed64(1, me.start_ns + 1000n)
        at.text(2, 'exception')
        at.attribute(3, 'exception.type', 'java.lang.IllegalStateException')
        at.attribute(3, 'exception.message', `boom ${random.below(1000)}`)
      })
    }
    if (random.oneIn(50)) {
      at.message(13, () => {
        at.bytes(1, random.fill(new Uint8Array(16)))
        at.bytes(2, random.fill(new Uint8Array(8)))
      })
    }
    if (code === 500) {
      at.message(15, () => {
        at.text(2, 'internal error')
        at.int(3, 2)
      })
    }
    return at.take()
  }

  /** Name, kind and attributes: a server call, a database call, or inner work. */
  #shape(w: OtlpWriter, service: string, code: number): void {
    const random = this.#random
    const route = random.pick(ROUTES)
    const method = random.pick(METHODS)
    switch (random.below(3)) {
      case 0:
        w.text(5, `${method} ${route}`)
        w.int(6, 2)
        w.attribute(9, 'http.method', method)
        w.attribute(9, 'http.route', route)
        w.attribute(
          9,
          'http.url',
          `https://shop.example.com${route}?session=${random.below(100_000)}`,
        )
        w.attribute(9, 'http.status_code', code)
        w.attribute(9, 'http.user_agent', 'Mozilla/5.0 (X11; Linux x86_64)')
        w.attribute(9, 'net.peer.ip', `10.0.${random.below(255)}.${random.below(255)}`)
        w.attribute(9, 'user.id', `u-${String(random.below(50_000)).padStart(6, '0')}`)
        w.attribute(9, 'http.retry', random.oneIn(10))
        break
      case 1:
        w.text(5, `SELECT shop.${service}`)
        w.int(6, 3)
        w.attribute(9, 'db.system', 'postgresql')
        w.attribute(9, 'db.name', 'shop')
        w.attribute(9, 'db.statement', `SELECT * FROM ${service} WHERE id = $1 AND region = $2`)
        w.attribute(9, 'db.rows', random.below(1000))
        w.attribute(9, 'db.cost', random.float() * 100, true)
        w.attribute(9, 'net.peer.name', 'pg-0.shop')
        w.attribute(9, 'net.peer.port', 5432)
        break
      default:
        w.text(5, `process ${service}`)
        w.int(6, 1)
        w.attribute(9, 'thread.name', `worker-${random.below(16)}`)
        w.attribute(9, 'items', random.below(50))
        w.attribute(
          9,
          'cache.key',
          `k:${random.bits().toString(16)}${(random.bits() >>> 1).toString(16).padStart(8, '0')}`,
        )
        w.attribute(9, 'cache.hit', random.below(3) > 0)
        w.attribute(9, 'ratio', random.float(), true)
    }
  }
}
