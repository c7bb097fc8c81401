/**
 * Owns the bench's wide data: 18 resource attributes, 10 span attributes with an array and a nested value among them, events
 * and links with attributes. The same seed gives the same ids and values.
 */
import { Random } from '../lib/random.js'
import { OtlpWriter } from '../load/otlp-writer.js'
import type { Payload } from '../load/shop.js'
import type { DataOptions } from './block-data.js'

const SERVICES = ['gateway', 'orders', 'billing', 'stock', 'search', 'users', 'mail', 'reports'] // prettier-ignore
const PODS = 4
const SPANS_MIN = 4
const SPANS_RANGE = 27
const TRACES_A_REQUEST = 16
const FLAGS = ['new-cart', 'fast-pay', 'dark', 'beta-search', 'slow-mail', 'eu-only'] // prettier-ignore
const ERRORS = ['TimeoutError', 'ConnectionReset', 'NotFound', 'Conflict']
const SPREAD_MS = 30_000

export function widePayloads({ seed, traces, now_ns }: DataOptions): Payload[] {
  const random = new Random(seed)
  const payloads: Payload[] = []
  for (let made = 0; made < traces; made += TRACES_A_REQUEST) {
    const request = new WideRequest(random)
    const until = Math.min(traces, made + TRACES_A_REQUEST)
    for (let trace = made; trace < until; trace++) {
      request.addTrace(now_ns - BigInt(random.below(SPREAD_MS)) * 1_000_000n)
    }
    payloads.push(request.take())
  }
  return payloads
}

class WideRequest {
  readonly #spans = new Map<number, Buffer[]>()
  readonly #ids: Buffer[] = []
  readonly #spanWriter = new OtlpWriter()

  constructor(private readonly random: Random) {}

  addTrace(start_ns: bigint): void {
    const { random } = this
    const traceId = random.fill(new Uint8Array(16))
    let parent: Uint8Array | undefined
    for (let n = SPANS_MIN + random.below(SPANS_RANGE); n > 0; n--) {
      const spanId = random.fill(new Uint8Array(8))
      const resource = random.below(SERVICES.length * PODS)
      const w = this.#spanWriter
      w.bytes(1, traceId)
      w.bytes(2, spanId)
      if (parent) w.bytes(4, parent)
      writeSpan(w, random, start_ns + BigInt(random.below(1_000_000_000)))
      const spans = this.#spans.get(resource) ?? []
      spans.push(w.take())
      this.#spans.set(resource, spans)
      this.#ids.push(Buffer.concat([traceId, spanId]))
      if (!parent || random.oneIn(2)) parent = spanId
    }
  }

  take(): Payload {
    const w = new OtlpWriter()
    for (const [resource, spans] of [...this.#spans].sort(([a], [b]) => a - b)) {
      w.message(1, () => {
        w.message(1, () => writeResource(w, resource))
        w.message(2, () => {
          w.message(1, () => {
            w.text(1, 'com.example.instrumentation')
            w.text(2, '2.11.0')
            w.attribute(3, 'build', 'release')
          })
          for (const span of spans) w.bytes(2, span)
        })
      })
    }
    return { bytes: w.take(), spans: this.#ids.length, ids: Buffer.concat(this.#ids) }
  }
}

/** 18 attributes: what a resource detector of a Kubernetes cluster in a cloud finds. */
function writeResource(w: OtlpWriter, resource: number): void {
  const service = SERVICES[Math.floor(resource / PODS)]!
  const pod = resource % PODS
  const hash = (Math.imul(resource + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
  const pairs: [string, string | number][] = [
    ['service.name', service], ['service.namespace', 'shop'], ['service.version', '2025.11.3'],
    ['service.instance.id', `${hash}-${service}-${pod}`], ['deployment.environment', 'production'],
    ['cloud.provider', 'aws'], ['cloud.region', 'eu-central-1'], ['cloud.availability_zone', `eu-central-1${'abc'[pod % 3]!}`],
    ['host.name', `ip-10-0-${pod}-${resource}`], ['host.arch', 'arm64'], ['os.type', 'linux'],
    ['k8s.cluster.name', 'prod-eu-1'], ['k8s.namespace.name', 'shop'], ['k8s.pod.name', `${service}-${hash.slice(0, 6)}-${pod}`],
    ['k8s.pod.uid', `${hash}-0000-4000-8000-${hash}0000`], ['container.id', hash.repeat(8)],
    ['process.pid', 1000 + resource], ['telemetry.sdk.language', 'java'],
  ] // prettier-ignore
  for (const [name, value] of pairs) w.attribute(1, name, value)
}

function writeSpan(w: OtlpWriter, random: Random, start_ns: bigint): void {
  const isError = random.oneIn(25)
  const operation = random.below(40)
  w.text(5, `operation-${operation}`)
  w.int(6, 1 + random.below(5))
  w.fixed64(7, start_ns)
  w.fixed64(8, start_ns + BigInt(1000 + random.below(200_000_000)))
  w.attribute(9, 'http.request.method', random.pick(['GET', 'POST', 'PUT']))
  w.attribute(9, 'http.response.status_code', isError ? 500 : 200)
  w.attribute(9, 'url.path', `/v1/things/${operation}/items`)
  w.attribute(9, 'enduser.id', `user-${random.below(20_000)}`)
  w.attribute(9, 'messaging.partition', random.below(32))
  w.attribute(9, 'queue.wait_ms', random.below(10_000) / 100, true)
  w.attribute(9, 'cache.hit', random.oneIn(3))
  w.attribute(9, 'thread.name', `pool-1-thread-${random.below(32)}`)
  writeFlags(w, random)
  writeOrder(w, random)
  for (let events = random.below(3); events > 0; events--) {
    w.message(11, () => {
      w.fixed64(1, start_ns + BigInt(random.below(1_000_000)))
      w.text(2, isError ? 'exception' : 'message')
      w.attribute(3, 'message.id', random.below(1000))
      w.attribute(3, 'message.type', random.pick(['SENT', 'RECEIVED']))
      if (isError) w.attribute(3, 'exception.type', `java.io.${random.pick(ERRORS)}`)
    })
  }
  if (random.oneIn(10)) {
    w.message(13, () => {
      w.bytes(1, random.fill(new Uint8Array(16)))
      w.bytes(2, random.fill(new Uint8Array(8)))
      w.attribute(4, 'link.reason', random.pick(['batch', 'retry']))
    })
  }
  if (isError) w.message(15, () => w.int(3, 2))
}

/** An array of texts. */
function writeFlags(w: OtlpWriter, random: Random): void {
  const flags = FLAGS.filter(() => random.oneIn(2))
  w.message(9, () => {
    w.text(1, 'feature.flags')
    w.message(2, () => w.message(5, () => flags.forEach((flag) => w.message(1, () => w.text(1, flag))))) // prettier-ignore
  })
}

/** A map with an array of numbers in it. */
function writeOrder(w: OtlpWriter, random: Random): void {
  const items = Array.from({ length: random.below(4) }, () => random.below(500))
  w.message(9, () => {
    w.text(1, 'order')
    w.message(2, () => {
      w.message(6, () => {
        w.attribute(1, 'tier', random.pick(['free', 'plus', 'pro']))
        w.message(1, () => {
          w.text(1, 'items')
          w.message(2, () => w.message(5, () => items.forEach((item) => w.message(1, () => w.int(3, item))))) // prettier-ignore
        })
      })
    })
  })
}
