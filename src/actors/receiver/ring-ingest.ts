/**
 * Owns the way of a request from a door into `ingress`, and back: the request's bytes go into a ring as they came (a
 * long one in several parts), and the answer is given once every span of it is durable.
 */
import { setMaxListeners } from 'node:events'
import { NO_CORRELATION, type AckReceiver } from '../../bus/acks.js'
import { REPLAYED_FLAG } from '../../bus/poison.js'
import { BACK_PRESSURED, type Ring } from '../../bus/ring.js'
import { copyBytes } from '../../lib/copy.js'
import type { Clock } from '../../lib/time.js'
import type { LimitsSource } from '../../limits/view.js'
import { countSpans } from '../../otlp/count-spans.js'
import { splitRequest } from '../../otlp/split.js'
import { malformedText } from '../../otlp/wire.js'
import { MALFORMED_CODES } from '../distributor/contract.js'
import type { Ingest, PushRequest, PushResult } from './contract.js'
import type { Pending, Verdict } from './pending.js'
import { rejectionText } from './rejections.js'

/** Room for a record's header and its tenant beside the value. */
const RECORD_OVERHEAD_BYTES = 1024
/** A full ring is waited for this long before the client is told to come back. */
const SPACE_WAIT_MS = 1000
/** Encoded tenant names that are kept; with more tenants than this, they are encoded again now and then. */
const KEYS_MAX = 10_000
/** One request is split into no more parts than an ack slot has bits. */
const PARTS_MAX = 32

export interface RingIngestOptions {
  readonly actorId: number
  readonly ingress: readonly Ring[]
  readonly acks: AckReceiver
  readonly pending: Pending
  readonly retryAfter_ms: number
  /** For the words about spans that were not kept. */
  readonly limits?: LimitsSource
  readonly clock: Clock
  readonly signal: AbortSignal
}

interface Part {
  readonly body: Uint8Array
  readonly spans: number
}

/** A request on its way, and what of it was rejected before it went. */
interface Sent {
  readonly tenant: string
  readonly parts: readonly Part[]
  readonly rejectedSpans: number
  readonly message: string
}

export class RingIngest implements Ingest {
  readonly #options: RingIngestOptions
  readonly #keys = new Map<string, Buffer>()
  readonly #partBytesMax: number
  #turn = 0

  constructor(options: RingIngestOptions) {
    this.#options = options
    // Every request that waits for room listens.
    setMaxListeners(0, options.signal)
    this.#partBytesMax =
      Math.min(...options.ingress.map((ring) => ring.maxRecordLength)) - RECORD_OVERHEAD_BYTES
  }

  async push(request: PushRequest): Promise<PushResult> {
    if (request.body.length === 0) return { ok: true, rejectedSpans: 0, message: '' }
    if (request.body.length <= this.#partBytesMax) {
      return this.#send(request, [{ body: request.body, spans: 0 }], 0, '')
    }
    const split = splitRequest(request.body, { limit_bytes: this.#partBytesMax })
    if ('malformed' in split) return refused('invalid', split.malformed.message)
    if ('tooLarge' in split) return refused('too_large', split.tooLarge)
    if (split.parts.length > PARTS_MAX) {
      return refused(
        'too_large',
        `the request needs ${split.parts.length} parts of ${this.#partBytesMax} bytes, at most ${PARTS_MAX} are taken: send less at once`,
      )
    }
    const [oversized] = split.oversized
    const message = oversized
      ? `span ${oversized.index} of the request takes ${oversized.size_bytes} bytes, at most ${this.#partBytesMax} are stored`
      : ''
    return this.#send(request, split.parts, split.rejectedSpans, message)
  }

  /** All parts go to one partition of `ingress`: one distributor has them in order. */
  async #send(
    request: PushRequest,
    parts: readonly Part[],
    rejectedSpans: number,
    message: string,
  ): Promise<PushResult> {
    const { acks, pending } = this.#options
    if (parts.length === 0) return { ok: true, rejectedSpans, message }
    const correlation = acks.open(parts.length)
    if (correlation === NO_CORRELATION)
      return this.#busy(`${acks.slots} requests wait for their ack already`)
    const ring = this.#pick()
    for (const [number, part] of parts.entries()) {
      if (!(await this.#append(ring, request, correlation, number, part.body))) {
        acks.close(correlation)
        return this.#busy(
          `the topic ${ring.label} is full: the store takes spans slower than they come`,
        )
      }
    }
    const sent = { tenant: request.tenant, parts, rejectedSpans, message }
    return this.#answer(await pending.wait(correlation), sent)
  }

  async #append(
    ring: Ring,
    { tenant, isReplay = false }: PushRequest,
    correlation: number,
    number: number,
    body: Uint8Array,
  ): Promise<boolean> {
    const { actorId, clock, signal } = this.#options
    const key = this.#keyOf(tenant)
    const flags = isReplay ? REPLAYED_FLAG : 0
    const head = { type: number + 1, flags, correlation, key, timestamp_ms: clock.now() }
    const deadline = clock.monotonic() + SPACE_WAIT_MS
    for (;;) {
      const end = ring.append(actorId, head, body.length, (target, at) => {
        copyBytes(body, 0, body.length, target, at)
      })
      if (end > 0) return true
      const left_ms = deadline - clock.monotonic()
      if (end !== BACK_PRESSURED || left_ms <= 0 || signal.aborted) return false
      await ring.waitForSpace(key.length, body.length, { timeout_ms: left_ms, signal })
    }
  }

  /** The partitions in turn, a full one passed over when another has room. */
  #pick(): Ring {
    const { ingress } = this.#options
    for (let tries = 0; tries < ingress.length; tries++) {
      this.#turn = (this.#turn + 1) % ingress.length
      if (ingress[this.#turn]!.hasSpace(RECORD_OVERHEAD_BYTES, this.#partBytesMax)) break
    }
    return ingress[this.#turn]!
  }

  #keyOf(tenant: string): Buffer {
    let key = this.#keys.get(tenant)
    if (!key) {
      if (this.#keys.size >= KEYS_MAX) this.#keys.clear()
      this.#keys.set(tenant, (key = Buffer.from(tenant, 'utf8')))
    }
    return key
  }

  #answer(verdict: Verdict, { tenant, parts, ...before }: Sent): PushResult {
    switch (verdict.kind) {
      case 'durable': {
        if (verdict.rejectedSpans === 0) return { ok: true, ...before }
        // A livestore that died in between has counted twice: no more than were sent were rejected.
        const sent = parts.reduce((sum, { body }) => sum + countSpans(body), 0)
        const rejected = Math.min(verdict.rejectedSpans, sent)
        const text = rejectionText(this.#options.limits, tenant, rejected, verdict.reason)
        return {
          ok: true,
          rejectedSpans: before.rejectedSpans + rejected,
          message: [before.message, text].filter(Boolean).join('; '),
        }
      }
      case 'refused': {
        const { code, detail1, detail2 } = verdict
        const malformed = MALFORMED_CODES[code - 1] ?? 'BAD_TAG'
        return refused(
          'invalid',
          malformedText(malformed, detail1, detail2 > 0 ? detail2 : undefined),
        )
      }
      case 'timeout':
        return {
          ok: false,
          refused: 'unavailable',
          message: `not durable in time (${verdict.text}); it may be stored or not, send it again`,
          retryAfter_ms: this.#options.retryAfter_ms,
        }
    }
  }

  #busy(message: string): PushResult {
    return {
      ok: false,
      refused: 'rate_limited',
      message,
      retryAfter_ms: this.#options.retryAfter_ms,
    }
  }
}

function refused(why: 'invalid' | 'too_large', message: string): PushResult {
  return { ok: false, refused: why, message }
}
