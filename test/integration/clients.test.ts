/**
 * Real clients against the real program and a real MinIO: what k6, telemetrygen and the OpenTelemetry SDK send over gRPC
 * and HTTP is found by id and by search while it is live, after a restart, in blocks, and when all local data is gone.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { S3Backend } from '../../src/storage/backend/s3.js'
import { parseMeta } from '../../src/storage/block/meta.js'
import { Minio } from '../support/minio.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { eventually, TestServer } from '../support/server.js'
import { run } from './program.js'
import { search, spanIds, tagValues } from './tempo-api.js'

const EXAMPLE = new URL('../../examples/hono-app', import.meta.url).pathname
const K6_SCRIPT = new URL('./k6-traces.js', import.meta.url).pathname
const BUCKET = 'spans'
const TENANT = 'single-tenant'
const LANES = 8
const FLUSH_MS = 120_000
/** While the first server runs, nothing is cut: what is found then comes from live heads. */
const KEEP_LIVE = ['--actors.max_head_idle=1h', '--live_store.max_block_duration=1h']
const CUT_SOON = ['--actors.max_head_idle=1s', '--live_store.flush_check_period=200ms']

type Protocol = 'grpc' | 'http'

/** What a client sent, as far as it is known beforehand or said by the client. */
interface Sent {
  /** '' when the client chooses many, and only ids are known. */
  readonly service: string
  /** Traces that have spans of the service, and how many spans of it each has. */
  readonly traces: number
  readonly spansPerTrace?: number
  /** Where the ids are known: spans of the whole trace by id. */
  readonly byId?: ReadonlyMap<string, number>
  /** Where the service is one of several in a trace: spans of the whole trace. */
  readonly wholeTrace?: number
}

describe.skipIf(!peerPath('minio'))(peerTitle('clients, with blocks in MinIO', 'minio'), () => {
  let minio: Minio
  let server: TestServer
  const sent: Sent[] = []
  let live: Snapshot

  beforeAll(async () => {
    minio = await Minio.start()
    await minio.createBucket(BUCKET)
    server = await TestServer.start({ flags: [...s3Flags(minio), ...KEEP_LIVE] })
  })
  afterAll(async () => {
    await server.remove()
    await minio.stop()
  })

  describe.each(['grpc', 'http'] as const)('over %s', (protocol) => {
    const endpoint = () => (protocol === 'grpc' ? server.grpc : server.http)

    it.skipIf(!peerPath('k6'))(peerTitle('k6 with xk6-client-tracing', 'k6'), async () => {
      const from = await k6(protocol, endpoint())
      for (const one of from) await expectSent(server.base, one)
      sent.push(...from)
    })

    it.skipIf(!peerPath('telemetrygen'))(peerTitle('telemetrygen', 'telemetrygen'), async () => {
      const from = await telemetrygen(protocol, endpoint())
      await expectSent(server.base, from)
      sent.push(from)
    })

    const names = protocol === 'grpc' ? ['grpc'] : ['http/protobuf', 'http/json']
    it.each(names)('the OpenTelemetry SDK in a Hono app: %s', async (name) => {
      const from = await sdk(name, `http://${endpoint()}`)
      await expectSent(server.base, from)
      sent.push(from)
    })
  })

  it('all of it is live, and all of its services are known', async () => {
    expect(await server.metric('tempo_live_store_local_blocks_flushed_total')).toBe(0)
    live = await snapshot(server.base, sent)
    expect(live.byId.size).toBeGreaterThanOrEqual(3 * 20)
    const own = sent.map(({ service }) => service).filter((service) => service !== '')
    expect(live.services).toEqual(expect.arrayContaining(own))
    console.log(`${live.byId.size} traces, ${live.spans} spans, ${live.services.length} services`)
  })

  it('finds the same after a restart, and again in blocks', async () => {
    expect(await server.stop()).toBe(0)
    const flags = [...s3Flags(minio), ...CUT_SOON]
    server = await TestServer.start({ folder: server.folder, ports: server.ports, flags })
    expectSame(await snapshot(server.base, sent), live)
    await eventually('every span is in MinIO', FLUSH_MS, async () => {
      return (await spansInBucket(minio)) >= live.spans
    })
    expect(await spansInBucket(minio)).toBe(live.spans)
    expectSame(await snapshot(server.base, sent), live)
  })

  it('finds the same in MinIO alone, with all local data deleted', async () => {
    expect(await server.stop()).toBe(0)
    rmSync(server.folder, { recursive: true })
    const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-'))
    server = await TestServer.start({ folder, ports: server.ports, flags: s3Flags(minio) })
    expectSame(await snapshot(server.base, sent), live)
    for (const one of sent) await expectSent(server.base, one)
    expect(await server.metric('tempo_actors_live_store_live_spans')).toBe(0)
  })
})

async function k6(protocol: Protocol, endpoint: string): Promise<Sent[]> {
  const prefix = `k6-${protocol}`
  const templated = 20
  const spans = 9
  const ids = Array.from({ length: 10 }, (_, i) =>
    `${protocol === 'grpc' ? 'a' : 'b'}${i}`.repeat(16),
  )
  // k6 would ask a service on the internet for a k6 with the extension when it does not know the one built into it.
  const env = {
    ENDPOINT: protocol === 'grpc' ? endpoint : `http://${endpoint}`,
    PROTOCOL: protocol,
    PREFIX: prefix,
    TEMPLATED: String(templated),
    IDS: ids.join(','),
    SPANS: String(spans),
    K6_NO_USAGE_REPORT: 'true',
    K6_AUTO_EXTENSION_RESOLUTION: 'false',
  }
  await run(peerPath('k6')!, ['run', '--address=', '--quiet', K6_SCRIPT], { env })
  const of = (service: string, spansPerTrace: number): Sent => ({
    service: `${prefix}-${service}`,
    traces: templated,
    spansPerTrace,
    wholeTrace: 5,
  })
  const parameterized: Sent = {
    service: '',
    traces: 0,
    byId: new Map(ids.map((id) => [id, spans])),
  }
  return [of('gate', 2), of('auth', 1), of('articles', 2), parameterized]
}

async function telemetrygen(protocol: Protocol, endpoint: string): Promise<Sent> {
  const service = `telemetrygen-${protocol}`
  const args = [
    'traces',
    ...['--otlp-endpoint', endpoint, '--otlp-insecure', '--service', service],
    ...['--workers', '2', '--traces', '30', '--rate', '0', '--child-spans', '4'],
    ...[
      '--span-links',
      '1',
      '--status-code',
      'Error',
      '--telemetry-attributes',
      'peer="telemetrygen"',
    ],
    ...(protocol === 'http' ? ['--otlp-http'] : []),
  ]
  await run(peerPath('telemetrygen')!, args)
  return { service, traces: 60, spansPerTrace: 5, wholeTrace: 5 }
}

async function sdk(protocol: string, endpoint: string): Promise<Sent> {
  const service = `sdk-${protocol}`
  const env = {
    OTEL_SERVICE_NAME: service,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  }
  const output = await run('npm', ['run', '--silent', 'send'], { cwd: EXAMPLE, env })
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  const requests = lines.map((line) => JSON.parse(line) as { traceId: string; spans: number })
  expect(requests, output).toHaveLength(20)
  const byId = new Map(requests.map(({ traceId, spans }) => [traceId, spans]))
  return { service, traces: byId.size, byId }
}

/** By search over the service, and each trace by id, with every span that was sent. */
async function expectSent(base: string, one: Sent): Promise<void> {
  const found = one.service === '' ? new Map<string, number>() : await find(base, one.service)
  expect(found.size, one.service).toBe(one.traces)
  const { byId, spansPerTrace, wholeTrace } = one
  if (spansPerTrace !== undefined) {
    expect(new Set(found.values()), one.service).toEqual(new Set([spansPerTrace]))
  }
  if (byId && one.traces > 0) expect(found).toEqual(byId)
  const wanted = byId ?? new Map([...found.keys()].map((id) => [id, wholeTrace]))
  await inLanes([...wanted], async ([traceId, spans]) => {
    const ids = await spanIds(base, traceId)
    expect(ids, `${one.service} ${traceId}`).toHaveLength(spans ?? -1)
    expect(new Set(ids).size).toBe(ids.length)
  })
}

/** All that a store says about what was sent. */
interface Snapshot {
  readonly byId: ReadonlyMap<string, readonly string[]>
  readonly bySearch: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly services: readonly string[]
  readonly spans: number
}

async function snapshot(base: string, sent: readonly Sent[]): Promise<Snapshot> {
  // k6's random traces have services of its own choice.
  const services = await tagValues(base, 'resource.service.name')
  const bySearch = new Map<string, Map<string, number>>()
  const ids = new Set(sent.flatMap(({ byId }) => [...(byId?.keys() ?? [])]))
  for (const service of services) {
    const found = await find(base, service)
    expect(found.size, service).toBeGreaterThan(0)
    bySearch.set(service, found)
    for (const id of found.keys()) ids.add(id)
  }
  const byId = new Map<string, string[]>()
  await inLanes([...ids], async (id) => {
    byId.set(id, await spanIds(base, id))
  })
  const spans = [...byId.values()].reduce((sum, { length }) => sum + length, 0)
  const matched = [...bySearch.values()].flatMap((found) => [...found.values()])
  // Every span has exactly one service.
  expect(matched.reduce((sum, n) => sum + n, 0)).toBe(spans)
  return { byId, bySearch, services, spans }
}

function expectSame(now: Snapshot, before: Snapshot): void {
  expect(now.services).toEqual(before.services)
  expect(now.bySearch).toEqual(before.bySearch)
  expect(now.byId).toEqual(before.byId)
}

const find = (base: string, service: string) =>
  search(base, `{ resource.service.name = ${JSON.stringify(service)} }`)

async function inLanes<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

/** Spans in the blocks that are complete, by their meta.json. */
async function spansInBucket(minio: Minio): Promise<number> {
  const backend = new S3Backend(minio.config(BUCKET), { clock: systemClock, log: silentLog })
  try {
    let spans = 0
    for (const [block, objects] of await backend.listBlocks(TENANT)) {
      if (!objects.includes('meta.json')) continue
      const meta = parseMeta(await backend.get(`${TENANT}/${block}/meta.json`), block)
      spans += meta.totalSpans ?? 0
    }
    return spans
  } finally {
    await backend.close()
  }
}

function s3Flags(minio: Minio): string[] {
  const { bucket, endpoint, access_key, secret_key } = minio.config(BUCKET)
  const settings = { bucket, endpoint, access_key, secret_key, insecure: 'true' }
  const flags = Object.entries(settings).map(([key, value]) => `--storage.trace.s3.${key}=${value}`)
  return ['--storage.trace.backend=s3', ...flags]
}
