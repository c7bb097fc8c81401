/** Limits as a client meets them: over gRPC and HTTP, in code, details, headers, words and metrics, and in what is found. */
import { credentials, Client, Metadata, type ServiceError } from '@grpc/grpc-js'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { load } from '../../src/load/load.js'
import { verify } from '../../src/load/verify.js'
import { fields } from '../otlp/support.js'
import { Random, request, span } from '../support/otlp-gen.js'
import { eventually, TestServer } from '../support/server.js'

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const RESOURCE_EXHAUSTED = 8
const RETRY_S = 2
const DEADLINE_MS = 20_000
const BURST_BYTES = 20_000
const TRACE_BYTES = 3000

const OVERRIDES = `overrides:
  rated:
    ingestion: { rate_limit_bytes: 1000, burst_size_bytes: ${BURST_BYTES} }
  steady:
    ingestion: { rate_limit_bytes: 300_000, burst_size_bytes: 150_000 }
  small:
    global: { max_bytes_per_trace: ${TRACE_BYTES} }
  few:
    ingestion: { max_traces_per_user: 2 }
`

let server: TestServer
const random = new Random(5)

/** Spans of a new trace, and about so many bytes. */
function trace(spans: number, traceId = random.bytes(16)) {
  const start = BigInt(Date.now()) * 1_000_000n
  const all = Array.from({ length: spans }, () =>
    span(traceId, random.bytes(8), { start, end: start + 1_000_000n }),
  )
  return { id: Buffer.from(traceId).toString('hex'), traceId, all, body: request(all) }
}

beforeAll(async () => {
  server = await TestServer.at({
    flags: [
      '--multitenancy_enabled=true',
      '--overrides.per_tenant_override_config=overrides.yaml',
      '--overrides.per_tenant_override_period=200ms',
      `--distributor.retry_after_on_resource_exhausted=${RETRY_S}s`,
    ],
  })
  writeFileSync(join(server.folder, 'overrides.yaml'), OVERRIDES)
  await server.up()
})
afterAll(() => server.remove())

interface Answer {
  /** 0 and 200 are fine. */
  code: number
  rejected: number
  message: string
  retry_s: number | undefined
}

async function overHttp(tenant: string, body: Uint8Array): Promise<Answer> {
  const reply = await fetch(`http://${server.http}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf', 'x-scope-orgid': tenant },
    body: Buffer.from(body),
  })
  const bytes = Buffer.from(await reply.arrayBuffer())
  const after = reply.headers.get('retry-after')
  const retry_s = after === null ? undefined : Number(after)
  if (reply.ok) return { code: reply.status, retry_s, ...partialSuccess(bytes) }
  const text = fields(bytes).find((field) => field.number === 2)
  const message = text ? Buffer.from(text.bytes).toString('utf8') : ''
  return { code: reply.status, rejected: 0, message, retry_s }
}

function overGrpc(tenant: string, body: Uint8Array): Promise<Answer> {
  const client = new Client(server.grpc, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('x-scope-orgid', tenant)
  const same = (bytes: Buffer) => bytes
  return new Promise((resolve) => {
    const done = (error: ServiceError | null, reply?: Buffer) => {
      client.close()
      if (!error) {
        resolve({ code: 0, retry_s: undefined, ...partialSuccess(reply!) })
        return
      }
      const [details] = error.metadata.get('grpc-status-details-bin') as Buffer[]
      const retry_s = details && retryInfo_s(details)
      resolve({ code: error.code, rejected: 0, message: error.details, retry_s })
    }
    const deadline = Date.now() + DEADLINE_MS
    client.makeUnaryRequest(EXPORT, same, same, Buffer.from(body), metadata, { deadline }, done)
  })
}

/** google.rpc.Status {3 details: Any {1 type, 2 RetryInfo {1 Duration {1 seconds}}}} */
function retryInfo_s(status: Uint8Array): number | undefined {
  const any = fields(status).find((field) => field.number === 3)
  if (!any) return undefined
  const [type, value] = fields(any.bytes)
  expect(Buffer.from(type!.bytes).toString()).toBe('type.googleapis.com/google.rpc.RetryInfo')
  const [delay] = fields(value!.bytes)
  const seconds = fields(delay!.bytes).find((field) => field.number === 1)
  return Number(seconds?.value ?? 0n)
}

/** ExportTraceServiceResponse {1 partial_success {1 rejected_spans, 2 error_message}} */
function partialSuccess(reply: Uint8Array): { rejected: number; message: string } {
  const partial = fields(reply).find((field) => field.number === 1)
  const parts = partial ? fields(partial.bytes) : []
  const message = parts.find((field) => field.number === 2)
  return {
    rejected: Number(parts.find((field) => field.number === 1)?.value ?? 0n),
    message: message ? Buffer.from(message.bytes).toString('utf8') : '',
  }
}

async function discarded(tenant: string, reason: string): Promise<number> {
  const text = await (await fetch(`${server.base}/metrics`)).text()
  const line = text
    .split('\n')
    .find(
      (one) =>
        one.startsWith('tempo_discarded_spans_total{') &&
        one.includes(`tenant="${tenant}"`) &&
        one.includes(`reason="${reason}"`),
    )
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')))
}

async function spansFound(tenant: string, traceId: string): Promise<number> {
  const reply = await fetch(`${server.base}/api/traces/${traceId}`, {
    headers: { 'x-scope-orgid': tenant },
  })
  if (reply.status === 404) return 0
  const found = (await reply.json()) as { batches?: { scopeSpans: { spans: unknown[] }[] }[] }
  return (found.batches ?? [])
    .flatMap((batch) => batch.scopeSpans)
    .reduce((sum, { spans }) => sum + spans.length, 0)
}

const DOORS = [
  { door: 'gRPC', send: overGrpc, ok: 0, over: RESOURCE_EXHAUSTED, tooLarge: RESOURCE_EXHAUSTED },
  { door: 'HTTP', send: overHttp, ok: 200, over: 429, tooLarge: 413 },
]

describe.each(DOORS)('over $door', ({ send, ok, over, tooLarge }) => {
  it('a request over the rate is refused whole, with a time to come back', async () => {
    const before = await discarded('rated', 'rate_limited')
    let spans = 0
    let refusal: Answer | undefined
    const kept: string[] = []
    for (let i = 0; i < 100 && !refusal; i++) {
      const one = trace(50)
      const answer = await send('rated', one.body)
      if (answer.code === ok) kept.push(one.id)
      else {
        refusal = answer
        spans = one.all.length
        expect(await spansFound('rated', one.id)).toBe(0)
      }
    }
    expect(refusal?.code).toBe(over)
    expect(refusal?.retry_s).toBeGreaterThanOrEqual(RETRY_S)
    expect(refusal?.message).toMatch(
      /^RATE_LIMITED: tenant rated may send 1000 bytes a second \(overrides\.rated\.ingestion\.rate_limit_bytes is 1000/,
    )
    expect(await discarded('rated', 'rate_limited')).toBe(before + spans)
    for (const id of kept) expect(await spansFound('rated', id)).toBe(50)
  })

  it('a request that can never pass is refused without one', async () => {
    const answer = await send('rated', trace(1000).body)
    expect(answer.code).toBe(tooLarge)
    expect(answer.retry_s).toBeUndefined()
    expect(answer.message).toContain(`may send ${BURST_BYTES} at once`)
  })

  it('a trace that is too large is rejected, and the rest of its request kept', async () => {
    const before = await discarded('small', 'trace_too_large')
    const large = trace(500)
    const other = trace(3)
    const answer = await send('small', request([...large.all, ...other.all]))
    expect(answer).toMatchObject({ code: ok, rejected: 500 })
    expect(answer.message).toBe(
      `TRACE_TOO_LARGE: 500 spans were not kept: their trace would have more than ${TRACE_BYTES} bytes (overrides.small.global.max_bytes_per_trace)`,
    )
    expect(await discarded('small', 'trace_too_large')).toBe(before + 500)
    expect(await spansFound('small', large.id)).toBe(0)
    expect(await spansFound('small', other.id)).toBe(3)
  })

  it('traces beyond the live ones are rejected', async () => {
    const answers: Answer[] = []
    for (let i = 0; i < 4; i++) answers.push(await send('few', trace(2).body))
    const last = answers.at(-1)!
    expect(last).toMatchObject({ code: ok, rejected: 2 })
    expect(last.message).toBe(
      'LIVE_TRACES_EXCEEDED: 2 spans were not kept: tenant few has 2 live traces already (overrides.few.ingestion.max_traces_per_user)',
    )
    expect(await discarded('few', 'live_traces_exceeded')).toBeGreaterThanOrEqual(2)
  })

  it('a tenant without limits of its own is not held to those of others', async () => {
    const one = trace(1000)
    expect(await send('free', one.body)).toMatchObject({ code: ok, rejected: 0 })
    expect(await spansFound('free', one.id)).toBe(1000)
  })
})

describe('a limit', () => {
  it('has given its verdict for good: after kill -9, what it rejected is not there and what it kept is', async () => {
    const kept = trace(30)
    const large = trace(500)
    const sent = await overGrpc('small', request([...kept.all, ...large.all]))
    expect(sent).toMatchObject({ code: 0, rejected: 500 })
    await server.kill()
    // The limit is lower than what was acknowledged.
    const path = join(server.folder, 'overrides.yaml')
    writeFileSync(path, OVERRIDES.replace(String(TRACE_BYTES), '10'))
    await server.up()
    // The same limit holds for a trace that is read: it has to be back for that.
    writeFileSync(path, OVERRIDES)
    await eventually('what was kept is there', 5000, async () => {
      return (await spansFound('small', kept.id)) === 30
    })
    expect(await spansFound('small', large.id)).toBe(0)
  })

  it('changes with its file, and stays while the file is bad', async () => {
    const path = join(server.folder, 'overrides.yaml')
    const one = trace(500)
    const status = async () =>
      (await (
        await fetch(`${server.base}/status/overrides/small`, {
          headers: { accept: 'application/json' },
        })
      ).json()) as Record<string, string>
    const isGood = () => server.metric('tempo_runtime_config_last_reload_successful')
    await eventually('the limit is back', 5000, async () =>
      (await status()).runtime_overrides!.includes(`max_bytes_per_trace: ${TRACE_BYTES}\n`),
    )
    expect(await overHttp('small', one.body)).toMatchObject({ rejected: 500 })
    writeFileSync(path, 'overrides:\n  small: {global: {max_bytes_per_trac: 0}}\n')
    await eventually('the bad file is seen', 5000, async () => (await isGood()) === 0)
    expect(await overHttp('small', one.body)).toMatchObject({ rejected: 500 })
    expect(server.log).toMatch(/limits of tenants not read.*did you mean max_bytes_per_trace/)
    writeFileSync(path, 'overrides:\n  small: {global: {max_bytes_per_trace: 0}}\n')
    await eventually('the good file is seen', 5000, async () => (await isGood()) === 1)
    expect(await overHttp('small', one.body)).toMatchObject({ rejected: 0 })
    expect(await spansFound('small', one.id)).toBe(500)
    writeFileSync(path, OVERRIDES)
  })

  it('is retried by a client that sends too fast, and no acknowledged span is lost or doubled', async () => {
    await eventually('the limits are back', 5000, async () =>
      (await (await fetch(`${server.base}/metrics`)).text()).includes('user="steady"} 300000\n'),
    )
    const ledger = join(server.folder, 'ledger')
    const before = await discarded('steady', 'rate_limited')
    const report = await load({
      ...{ endpoint: server.grpc, protocol: 'grpc', tenant: 'steady', run: 'limits', seed: 3 },
      ...{ traces: 150, duration_ms: Infinity, rate: 0, connections: 4, batch: 64, split: 1 },
      ...{ lateShare: 0, late_ms: 0, spread_ms: 1000, shuffle: 0, giveUpAfter_ms: 60_000 },
      ...{ ledger, premake: false },
    })
    expect(report.failedSpans, report.firstError).toBe(0)
    expect(report.retries).toBeGreaterThan(0)
    expect(report.acknowledgedSpans).toBe(report.spans)
    expect(await discarded('steady', 'rate_limited')).toBeGreaterThan(before)
    // The rate is kept: what was let through is the burst and what the time gave.
    expect(report.bytes).toBeLessThanOrEqual(150_000 + 300_000 * (report.wall_s + 0.5))
    const found = await verify({ ledger, base: server.base, concurrency: 4 })
    expect(found, found.examples.join('\n')).toMatchObject({ ok: true, lostSpans: 0 })
  })
})
