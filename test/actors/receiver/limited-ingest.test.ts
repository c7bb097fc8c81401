import { describe, expect, it } from 'vitest'
import { DISCARD_REASONS } from '../../../src/actors/distributor/contract.js'
import type { PushRequest, PushResult } from '../../../src/actors/receiver/contract.js'
import { LimitedIngest } from '../../../src/actors/receiver/limited-ingest.js'
import { rejectionText } from '../../../src/actors/receiver/rejections.js'
import { failureOfPush } from '../../../src/actors/receiver/verdict.js'
import type { SomeLimits } from '../../../src/config/limits.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { Metrics, MetricsPage, renderMetrics } from '../../../src/lib/metrics.js'
import { RPC } from '../../../src/otlp/export-reply.js'
import { noLimits } from '../../limits/no-limits.js'
import { shopRequests } from '../../support/otlp-gen.js'

const KEPT: PushResult = { ok: true, rejectedSpans: 0, message: '' }
const BUSY: PushResult = { ok: false, refused: 'rate_limited', message: 'full', retryAfter_ms: 1 }
const [{ bytes: body, spans }] = shopRequests({ traces: 20 }) as [
  { bytes: Uint8Array; spans: number },
]
const size = body.length

function limited(limits: SomeLimits, { retryAfter_ms = 5000, answer = KEPT } = {}) {
  const clock = new FakeClock()
  const page = MetricsPage.create()
  const pushed: PushRequest[] = []
  const state = { answer }
  const next = {
    push: (request: PushRequest) => {
      pushed.push(request)
      return Promise.resolve(state.answer)
    },
  }
  const ingest = new LimitedIngest(next, {
    limits: noLimits(limits),
    discarded: new Metrics(page).counter('tempo_discarded_spans_total', 'Spans not kept.', [
      'tenant',
      'reason',
    ]),
    retryAfter_ms,
    clock,
  })
  const push = (tenant = 'a') => ingest.push({ tenant, body })
  const metrics = () => renderMetrics([{ actor: 'receiver', sab: page }])
  return { push, clock, pushed, state, metrics }
}

const refusalOf = (result: PushResult) => failureOfPush(result as PushResult & { ok: false }, 5000)

describe('a tenant over its rate', () => {
  it('is refused before anything is stored, counted by span, and told what, where and when', async () => {
    const { push, pushed, metrics, clock } = limited({
      rate_limit_bytes: size / 10,
      burst_size_bytes: size,
    })
    expect(await push()).toEqual(KEPT)
    const over = await push()
    expect(pushed).toHaveLength(1)
    expect(over).toMatchObject({ ok: false, refused: 'rate_limited', retryAfter_ms: 10_000 })
    expect((over as { message: string }).message).toBe(
      `RATE_LIMITED: tenant a may send ${size / 10} bytes a second (overrides.defaults.ingestion.rate_limit_bytes is ${size / 10}, overrides.defaults.ingestion.burst_size_bytes is ${size}); there is room for the ${size} bytes of this request in 10s`,
    )
    const { status, http } = refusalOf(over)
    expect(http).toBe(429)
    expect(status).toMatchObject({ code: RPC.RESOURCE_EXHAUSTED, retryAfter_ms: 10_000 })
    expect(await metrics()).toContain(
      `tempo_discarded_spans_total{tenant="a",reason="rate_limited"} ${spans}\n`,
    )
    expect(await push('b')).toEqual(KEPT)
    await clock.advance(10_000)
    expect(await push()).toEqual(KEPT)
  })

  it('is never told less than the time that is configured', async () => {
    const { push } = limited({ rate_limit_bytes: size * 10, burst_size_bytes: size })
    await push()
    expect(await push()).toMatchObject({ refused: 'rate_limited', retryAfter_ms: 5000 })
  })

  it('is told no time where that is switched off, for it or for all', async () => {
    const limits = { rate_limit_bytes: size, burst_size_bytes: size }
    const own = limited({ ...limits, retry_info_enabled: false })
    await own.push()
    const refusal = refusalOf(await own.push())
    expect(refusal.http).toBe(429)
    expect(refusal.status.retryAfter_ms).toBeUndefined()
    const all = limited(limits, { retryAfter_ms: 0 })
    await all.push()
    expect(refusalOf(await all.push()).status.retryAfter_ms).toBeUndefined()
  })

  it('is not asked to come again with a request that will never be taken', async () => {
    const { push, metrics } = limited({ rate_limit_bytes: size, burst_size_bytes: size - 1 })
    const over = await push()
    expect(over).toMatchObject({ ok: false, refused: 'too_large' })
    expect((over as { message: string }).message).toMatch(/send less in one request$/)
    const { status, http } = refusalOf(over)
    expect(http).toBe(413)
    expect(status).toMatchObject({ code: RPC.RESOURCE_EXHAUSTED, retryAfter_ms: undefined })
    expect(await metrics()).toContain(`reason="rate_limited"} ${spans}\n`)
  })

  it('does not pay for what the store had no room for', async () => {
    const { push, state } = limited(
      { rate_limit_bytes: 1, burst_size_bytes: size },
      { answer: BUSY },
    )
    for (let i = 0; i < 5; i++) expect(await push()).toEqual(BUSY)
    state.answer = KEPT
    expect(await push()).toEqual(KEPT)
    expect(await push()).toMatchObject({ refused: 'rate_limited' })
  })
})

describe('what a sender is told of spans that were not kept', () => {
  const limits = noLimits({ max_bytes_per_trace: 5_000_000, max_traces_per_user: 3 })

  it('names the limit, its value and its key', () => {
    expect(rejectionText(limits, 'a', 12, DISCARD_REASONS.trace_too_large)).toBe(
      'TRACE_TOO_LARGE: 12 spans were not kept: their trace would have more than 5000000 bytes (overrides.defaults.global.max_bytes_per_trace)',
    )
    expect(rejectionText(limits, 'a', 1, DISCARD_REASONS.live_traces_exceeded)).toBe(
      'LIVE_TRACES_EXCEEDED: 1 span was not kept: tenant a has 3 live traces already (overrides.defaults.ingestion.max_traces_per_user)',
    )
    expect(rejectionText(limits, 'a', 2, 99)).toBe('2 spans were not kept: unknown reason')
  })
})
