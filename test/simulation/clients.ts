/**
 * Owns the clients: each sends requests of a few spans of several traces, waits for the answer or for the connection to
 * break, and sends again what was not acknowledged, whole or in two parts, as OTLP exporters do.
 */
import type { PushResult } from '../../src/actors/receiver/contract.js'
import { keyValue, request, span, stringValue } from '../support/otlp-gen.js'
import type { EdgeReceiver } from './edges.js'
import type { House } from './house.js'
import { ledger } from './ledger.js'
import { nameOf } from './span-names.js'
import { world } from './world.js'

const START_NS = 1_700_000_000_000_000_000n
const RETRY_MS = 300
const NETWORK_MS = 2
/** An exporter that hears nothing breaks the connection. */
const CLIENT_TIMEOUT_MS = 8000
const PADDING = 'x'.repeat(900)

interface Span {
  readonly name: string
  readonly trace: Uint8Array
  readonly id: Uint8Array
  readonly padding_bytes: number
}

export class Clients {
  #spans = 0
  #traces: Uint8Array[] = []
  /** Requests without an answer that ends them. */
  open = 0
  sent = 0
  retries = 0

  constructor(
    private readonly house: House,
    readonly tenants: readonly string[],
  ) {}

  /** Makes a request and sends it until it is acknowledged; resolves then. */
  async send(spanCount = 1 + world.random.below(6)): Promise<void> {
    const tenant = world.random.pick(this.tenants)
    const isLarge = world.random.oneIn(12)
    const spans = Array.from({ length: isLarge ? spanCount + 4 : spanCount }, () =>
      this.#span(isLarge),
    )
    ledger.noteSent(tenant, spans.map(({ name }) => name)) // prettier-ignore
    await this.#untilAcknowledged(tenant, spans)
  }

  async #untilAcknowledged(tenant: string, spans: readonly Span[]): Promise<void> {
    this.open++
    this.sent++
    const names = spans.map(({ name }) => name)
    const body = encode(spans)
    for (;;) {
      const result = await this.#push(tenant, body, names)
      if (result?.ok) {
        const { rejectedSpans, message } = result
        if (rejectedSpans === 0) break
        // Whoever was at work on a record at three deaths puts it aside, and says so.
        const isPutAside = spans.some(({ name }) => ledger.isPutAside(name))
        world.check(isPutAside, 'valid spans are kept', () => `${rejectedSpans}: ${message}`)
        this.open--
        return
      }
      if (result) {
        const isRetryable = result.refused === 'rate_limited' || result.refused === 'unavailable'
        world.check(isRetryable, 'valid requests are taken', () => result.message)
      }
      await world.sleep(RETRY_MS * (0.5 + world.random.float()))
      this.retries++
      if (spans.length > 1 && world.random.oneIn(4)) {
        const half = spans.length >> 1
        await Promise.all([
          this.#untilAcknowledged(tenant, spans.slice(0, half)),
          this.#untilAcknowledged(tenant, spans.slice(half)),
        ])
        this.open--
        return
      }
    }
    ledger.noteAcknowledged(tenant, names)
    world.say(`acknowledged ${spans.length} spans of ${tenant}: ${spans[0]!.name}`)
    this.open--
  }

  /** One try; undefined when nothing came back. */
  #push(
    tenant: string,
    body: Uint8Array,
    names: readonly string[],
  ): Promise<PushResult | undefined> {
    const { outside } = world
    return new Promise((resolve) => {
      const receiver = this.house.threads.ready('receiver')
      const answer = (result: PushResult | undefined) => {
        const why = result
          ? result.ok
            ? 'answer: ok'
            : `answer: ${result.message}`
          : 'connection lost'
        world.at(world.random.float() * NETWORK_MS, outside, why, () => resolve(result))
      }
      if (!receiver) {
        answer(undefined)
        return
      }
      world.at(CLIENT_TIMEOUT_MS, outside, 'timer', () => resolve(undefined))
      const lost = () => answer(undefined)
      receiver.life.ends.add(lost)
      world.at(world.random.float() * NETWORK_MS, receiver.life, 'request', () => {
        const push = (receiver.actor as EdgeReceiver).push({ tenant, body })
        void push
          .finally(() => receiver.life.ends.delete(lost))
          .then((result) => {
            if (result.ok) ledger.judgeAck(names)
            answer(result)
          })
      })
    })
  }

  #span(isLarge: boolean): Span {
    const { random } = world
    if (this.#traces.length === 0 || random.oneIn(3))
      this.#traces.push(random.fill(new Uint8Array(16)))
    // Mostly a trace of late; it may be spread over requests, slices and processes.
    const from = Math.max(0, this.#traces.length - 4)
    const trace = this.#traces[from + random.below(this.#traces.length - from)]!
    const id = new Uint8Array(8)
    new DataView(id.buffer).setUint32(4, ++this.#spans)
    id[0] = 1
    const padding_bytes = isLarge ? random.below(PADDING.length) : 0
    return { name: nameOf(trace, 0, id, 0), trace, id, padding_bytes }
  }
}

function encode(spans: readonly Span[]): Uint8Array {
  return request(
    spans.map(({ trace, id, padding_bytes }) => {
      const padding = keyValue('padding', stringValue(PADDING.slice(0, padding_bytes)))
      const times = { start: START_NS, end: START_NS + 1_000_000n }
      return span(trace, id, times, padding_bytes > 0 ? [padding] : [])
    }),
  )
}
