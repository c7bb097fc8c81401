/** Owns one load: makes requests, sends them over several connections at a rate, retries as an OTLP client does, and keeps the ledger. */
import { systemClock, type Clock } from '../lib/time.js'
import { ACKNOWLEDGED, LedgerWriter, REJECTED, UNACKNOWLEDGED } from './ledger.js'
import { grpcClient, httpClient, type OtlpClient } from './otlp-client.js'
import { Shop, type Payload } from './shop.js'

export interface LoadOptions {
  readonly endpoint: string
  readonly protocol: 'grpc' | 'http'
  readonly tenant: string
  readonly seed: number
  readonly run: string
  /** Ends after this many traces or this time, whichever comes first; Infinity = no bound. */
  readonly traces: number
  readonly duration_ms: number
  /** Spans a second over all connections; 0 = as fast as it goes. */
  readonly rate: number
  readonly connections: number
  readonly batch: number
  readonly split: number
  readonly lateShare: number
  readonly late_ms: number
  readonly spread_ms: number
  /** Share of requests (0..1) that change places with a later one. */
  readonly shuffle: number
  /** One request is tried for this long before it is given up. */
  readonly giveUpAfter_ms: number
  readonly ledger: string | undefined
  /** All requests are made before the clock starts; needs `traces`. */
  readonly premake: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: LoadProgress) => void
}

export interface LoadProgress {
  readonly elapsed_ms: number
  readonly sentSpans: number
  readonly acknowledgedSpans: number
  readonly failedSpans: number
}

export interface LoadReport {
  readonly run: string
  readonly spans: number
  readonly traces: number
  readonly requests: number
  readonly acknowledgedSpans: number
  /** Given up. */
  readonly failedSpans: number
  readonly rejectedSpans: number
  readonly retries: number
  readonly bytes: number
  readonly wall_s: number
  readonly spansPerSecond: number
  readonly ack_ms: { p50: number; p90: number; p99: number; max: number }
  readonly firstError: string
}

const SEND_DEADLINE_MS = 15_000
const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 1000
const PROGRESS_MS = 1000
/** Span times lie at most this long after the trace's start. */
const TRACE_LENGTH_MAX_MS = 5000

export async function load(options: LoadOptions, clock: Clock = systemClock): Promise<LoadReport> {
  return new Load(options, clock).run()
}

class Load {
  readonly #latencies: number[] = []
  readonly #shop: Shop
  readonly #ready: Payload[] = []
  #ledger: LedgerWriter | undefined
  #startedAt = 0
  #requests = 0
  #sentSpans = 0
  #acknowledged = 0
  #failed = 0
  #rejected = 0
  #retries = 0
  #bytes = 0
  #firstError = ''
  #isMade = false

  constructor(
    private readonly options: LoadOptions,
    private readonly clock: Clock,
  ) {
    this.#shop = new Shop(options)
  }

  async run(): Promise<LoadReport> {
    const { options, clock } = this
    const { run, seed, tenant } = options
    if (options.premake) while (!this.#isMade) this.#make()
    if (options.ledger !== undefined) {
      const oldest_ms = clock.now() - options.spread_ms - options.late_ms - TRACE_LENGTH_MAX_MS
      this.#ledger = new LedgerWriter(options.ledger, {
        run,
        seed,
        tenant,
        startedAt_ms: clock.now(),
        oldest_ms,
      })
    }
    this.#startedAt = clock.monotonic()
    const over = new AbortController()
    const progress = this.#report(over.signal)
    await Promise.all(Array.from({ length: options.connections }, () => this.#connection()))
    const wall_ms = clock.monotonic() - this.#startedAt
    over.abort()
    await progress
    this.#ledger?.close()
    return this.#summary(wall_ms)
  }

  async #connection(): Promise<void> {
    const { endpoint, tenant, protocol } = this.options
    const client = protocol === 'grpc' ? grpcClient(endpoint, tenant) : httpClient(endpoint, tenant)
    try {
      for (;;) {
        const payload = this.#next()
        if (!payload) return
        await this.#pace(payload)
        await this.#send(client, payload)
      }
    } finally {
      client.close()
    }
  }

  #isOver(): boolean {
    return (
      this.options.signal?.aborted === true ||
      this.clock.monotonic() - this.#startedAt >= this.options.duration_ms
    )
  }

  #next(): Payload | undefined {
    if (this.#isOver()) return undefined
    while (this.#ready.length < 2 && !this.#isMade) this.#make()
    if (
      this.#ready.length > 1 &&
      this.options.shuffle > 0 &&
      Math.random() < this.options.shuffle
    ) {
      this.#ready.push(this.#ready.shift()!)
    }
    return this.#ready.shift()
  }

  #make(): void {
    this.#shop.addTrace(BigInt(this.clock.now()) * 1_000_000n)
    for (let payload = this.#shop.next(); payload; payload = this.#shop.next())
      this.#ready.push(payload)
    if (this.#shop.traces >= this.options.traces) {
      this.#ready.push(...this.#shop.finish())
      this.#isMade = true
    }
  }

  /** Requests are due by the spans before them; a late one is not waited for. */
  async #pace(payload: Payload): Promise<void> {
    const { rate } = this.options
    const due_ms = rate > 0 ? (this.#sentSpans / rate) * 1000 : 0
    this.#sentSpans += payload.spans
    const wait_ms = due_ms - (this.clock.monotonic() - this.#startedAt)
    if (wait_ms > 0) await this.clock.sleep(wait_ms, this.options.signal)
  }

  async #send(client: OtlpClient, payload: Payload): Promise<void> {
    const { clock } = this
    const started = clock.monotonic()
    this.#requests++
    this.#bytes += payload.bytes.length
    for (let delay_ms = RETRY_FIRST_MS; ; delay_ms = Math.min(delay_ms * 2, RETRY_MAX_MS)) {
      const result = await client.send(payload.bytes, SEND_DEADLINE_MS)
      if (result.ok) {
        this.#latencies.push(clock.monotonic() - started)
        this.#acknowledged += payload.spans - result.rejectedSpans
        this.#rejected += result.rejectedSpans
        this.#ledger?.add(payload.ids, result.rejectedSpans > 0 ? REJECTED : ACKNOWLEDGED)
        return
      }
      this.#firstError ||= result.error
      const isOver = clock.monotonic() - started + delay_ms > this.options.giveUpAfter_ms
      if (!result.isRetryable || isOver || this.options.signal?.aborted) {
        this.#failed += payload.spans
        this.#ledger?.add(payload.ids, UNACKNOWLEDGED)
        return
      }
      this.#retries++
      await clock.sleep(result.retryAfter_ms ?? delay_ms, this.options.signal)
    }
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { onProgress } = this.options
    while (onProgress && !signal.aborted) {
      await this.clock.sleep(PROGRESS_MS, signal)
      onProgress({
        elapsed_ms: this.clock.monotonic() - this.#startedAt,
        sentSpans: this.#sentSpans,
        acknowledgedSpans: this.#acknowledged,
        failedSpans: this.#failed,
      })
    }
  }

  #summary(wall_ms: number): LoadReport {
    const sorted = Float64Array.from(this.#latencies).sort()
    const quantile = (q: number) => round(sorted[Math.floor(q * (sorted.length - 1))] ?? 0)
    return {
      run: this.options.run,
      spans: this.#sentSpans,
      traces: this.#shop.traces,
      requests: this.#requests,
      acknowledgedSpans: this.#acknowledged,
      failedSpans: this.#failed,
      rejectedSpans: this.#rejected,
      retries: this.#retries,
      bytes: this.#bytes,
      wall_s: round(wall_ms / 1000),
      spansPerSecond: Math.round(this.#acknowledged / (wall_ms / 1000)),
      ack_ms: { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), max: quantile(1) },
      firstError: this.#firstError,
    }
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
