/**
 * One bucket under two programs: what tempo-actors wrote to MinIO as vParquet4 and vParquet5 answers in a real Tempo as Tempo's own
 * blocks of the same spans do, tempo-actors answers the same from Tempo's bucket, and Tempo's compactor merges both kinds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../../src/lib/bytes.js'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { S3Backend } from '../../src/storage/backend/s3.js'
import type { BlockMeta } from '../../src/storage/block/encoding.js'
import { parseMeta } from '../../src/storage/block/meta.js'
import { spansOf } from '../storage/block/blocks.js'
import { Minio } from '../support/minio.js'
import { decodeTraces, encodeTraces } from '../support/otlp-objects.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { eventually, TestServer } from '../support/server.js'
import { shopTraces } from '../support/shop-traces.js'
import { Tempo } from '../support/tempo.js'
import { TENANT, asInParquet } from '../support/vparquet-blocks.js'

const TRACES = 300
/** Old enough that Tempo asks the bucket for it, young enough that it does not mend the times. */
const END_S = Math.floor(Date.now() / 1000) - 60
const START_S = END_S - 60
const FLUSH_MS = 120_000
const AT_ONCE = 4
const STEP_S = 15
/** Sums of the same numbers in another order differ in the digits after these: of Tempo's answers, too, from two of its blocks. */
const DIGITS = 7
/** Ends before the first question is asked: Tempo does not answer for what is to come. */
const METRICS_STEPS = 7

const SEARCHES = [
  '{}',
  '{ resource.service.name = "payment" }',
  '{ resource.service.name != "payment" }',
  '{ resource.k8s.pod.name =~ "cart.*" }',
  '{ resource.k8s.pod.name !~ "cart.*" }',
  '{ resource.k8s.cluster.name = "prod-eu-1" && resource.host.name = "node-1" }',
  '{ resource.process.pid = 101 }',
  '{ .service.version = "1.2.0" }',
  '{ span.http.status_code >= 500 }',
  '{ span.http.status_code < 300 || status = error }',
  '{ span.http.method = "POST" }',
  '{ span.http.method = "POST" && span.http.route = "/api/cart" }',
  '{ .http.method = "GET" && .k8s.namespace.name = "shop" }',
  '{ span.http.url =~ ".*session=1.*" }',
  '{ span.db.system != nil }',
  '{ span.http.retry = true }',
  '{ span.nothing = "here" }',
  '{ name = "HTTP GET" || name =~ "SELECT.*" }',
  '{ name =~ "SELECT.*" && kind = client }',
  '{ status = error }',
  '{ status != error && kind = server }',
  '{ duration > 1500ms }',
  '{ duration <= 20ms && kind != client }',
  '{ traceDuration > 1s && rootServiceName = "frontend" }',
  '{ rootName =~ ".+" && nestedSetParent < 0 }',
  '{ instrumentation:name =~ ".*otelhttp" && instrumentation:version = "0.60.0" }',
  '{ event:name = "exception" }',
  '{ resource.service.name = "cart" } >> { status = error }',
  '{ kind = server } > { kind = client }',
  '{ status = error } << { kind = server }',
  '{ kind = client } ~ { kind = client }',
  '{ resource.service.name = "cart" } && { resource.service.name = "email" }',
  '{ resource.service.name = "cart" } || { status = error }',
  '{} | count() > 20',
  '{ kind = client } | avg(duration) > 200ms',
  '{ status = error } | by(resource.service.name) | count() > 1',
  '{ kind = server } | max(duration) > 1s | min(duration) < 500ms',
]

const METRICS = [
  '{} | rate()',
  '{} | count_over_time() by (resource.service.name)',
  '{ status = error } | rate() by (name)',
  '{ kind = server } | rate() by (resource.k8s.pod.name, kind)',
  '{} | min_over_time(duration) by (resource.service.name)',
  '{} | max_over_time(duration)',
  '{} | avg_over_time(duration) by (kind)',
  '{} | sum_over_time(duration) by (status)',
  '{} | quantile_over_time(duration, .5, .9, .99)',
  '{} | histogram_over_time(duration) by (kind)',
  '{} | count_over_time() by (span.http.status_code) | topk(3)',
  '{ span.http.method = "GET" } | rate() by (span.http.route) | bottomk(2)',
]

/** Whoever answers Tempo's API. */
type Ask = (path: string, parameters: Record<string, string>) => Promise<unknown>
interface Searched {
  traceID: string
  rootServiceName?: string
  rootTraceName?: string
  startTimeUnixNano?: string
  durationMs?: number
  spanSets?: { matched?: number }[]
}
interface Series {
  labels?: { key: string; value: Record<string, unknown> }[]
  samples?: { timestampMs: string; value?: number }[]
}

async function searchAnswers(ask: Ask): Promise<Map<string, string[]>> {
  const answers = new Map<string, string[]>()
  for (const q of SEARCHES) {
    const window = { start: String(START_S - 120), end: String(END_S + 120) }
    const reply = (await ask('/api/search', { q, limit: '5000', spss: '100', ...window })) as {
      traces?: Searched[]
    }
    const lines = (reply.traces ?? []).map(
      ({ traceID, rootServiceName, rootTraceName, startTimeUnixNano, durationMs, spanSets = [] }) =>
        [
          traceID.padStart(32, '0'),
          rootServiceName,
          rootTraceName,
          startTimeUnixNano,
          durationMs ?? 0,
          ...spanSets.map(({ matched }) => matched).sort(),
        ].join(' '),
    )
    answers.set(q, lines.sort())
  }
  return answers
}

async function metricsAnswers(ask: Ask): Promise<Map<string, string[]>> {
  const answers = new Map<string, string[]>()
  const start = Math.floor(START_S / STEP_S) * STEP_S
  for (const q of METRICS) {
    const window = {
      start: String(start),
      end: String(start + METRICS_STEPS * STEP_S),
      step: `${STEP_S}s`,
    }
    const reply = (await ask('/api/metrics/query_range', { q, ...window })) as { series?: Series[] }
    const lines = (reply.series ?? []).map(({ labels = [], samples = [] }) => {
      const names = labels.map(({ key, value }) => `${key}=${JSON.stringify(value)}`).sort()
      const values = samples.map(
        ({ timestampMs, value = 0 }) => `${timestampMs}:${value.toPrecision(DIGITS)}`,
      )
      return `${names.join(',')} ${values.sort().join(' ')}`
    })
    answers.set(q, lines.sort())
  }
  return answers
}

const askOf =
  (base: string): Ask =>
  async (path, parameters) => {
    const reply = await fetch(`${base}${path}?${new URLSearchParams(parameters).toString()}`, {
      signal: AbortSignal.timeout(60_000),
    })
    if (!reply.ok) throw new Error(`${path} ${parameters.q!}: ${reply.status} ${await reply.text()}`)
    return reply.json()
  } // prettier-ignore

const hasPeers = peerPath('tempo') !== undefined && peerPath('minio') !== undefined
const title = `${peerTitle('one bucket, two programs', 'tempo')}, ${peerTitle('', 'minio')}`

describe.skipIf(!hasPeers)(title, () => {
  const traces = shopTraces({ traces: TRACES, seed: 5, end_ns: BigInt(END_S) * 1_000_000_000n })
  const request = encodeTraces(traces)
  const ids = [...new Set(traces.flatMap((rs) => rs.scopes.flatMap((ss) => ss.spans.map(({ traceId }) => toHex(traceId)))))] // prettier-ignore
  let minio: Minio
  let searched: Map<string, string[]>
  let measured: Map<string, string[]>

  const backend = (bucket: string) =>
    new S3Backend(minio.config(bucket), { clock: systemClock, log: silentLog })
  const s3Of = (bucket: string) => {
    const { endpoint, access_key, secret_key } = minio.config(bucket)
    return { bucket, endpoint, access_key, secret_key }
  }
  const flagsOf = (bucket: string) => [
    '--storage.trace.backend=s3',
    ...Object.entries(s3Of(bucket)).map(([key, value]) => `--storage.trace.s3.${key}=${value}`),
    '--storage.trace.s3.insecure=true',
    '--storage.trace.s3.forcepathstyle=true',
    '--storage.trace.blocklist_poll=1s',
  ]

  /** The blocks of a bucket that are whole and in nobody's stead. */
  async function metasOf(bucket: string): Promise<BlockMeta[]> {
    const store = backend(bucket)
    const blocks = await store.listBlocks(TENANT)
    const metas: BlockMeta[] = []
    for (const [blockId, objects] of blocks) {
      if (!objects.includes('meta.json')) continue
      metas.push(parseMeta(await store.get(`${TENANT}/${blockId}/meta.json`), blockId))
    }
    await store.close()
    return metas
  }
  const tracesIn = async (bucket: string) =>
    (await metasOf(bucket)).reduce((sum, { totalObjects }) => sum + totalObjects, 0)

  async function writeOurs(bucket: string, version: string): Promise<void> {
    const flags = [`--storage.trace.block.version=${version}`, '--live_store.max_block_duration=2s', '--actors.max_head_idle=1s'] // prettier-ignore
    const server = await TestServer.start({ flags: [...flagsOf(bucket), ...flags] })
    const reply = await fetch(`http://${server.http}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: Buffer.from(request),
    })
    expect(reply.status).toBe(200)
    await eventually(`${version} blocks are in the bucket`, FLUSH_MS, async () => (await tracesIn(bucket)) >= TRACES) // prettier-ignore
    await server.remove()
  }

  async function writeTempos(bucket: string, version: string): Promise<void> {
    const tempo = await Tempo.prepare({ s3: s3Of(bucket), version })
    await tempo.run()
    await tempo.push(request)
    await eventually("Tempo's blocks are in the bucket", FLUSH_MS, async () => (await tracesIn(bucket)) >= TRACES) // prettier-ignore
    await tempo.stop()
  }

  async function expectEveryTrace(tempo: Tempo): Promise<void> {
    const expected = new Map<string, string[]>()
    for (const rs of traces) {
      for (const scope of rs.scopes) {
        for (const span of scope.spans) {
          const one = asInParquet([{ ...rs, scopes: [{ ...scope, spans: [span] }] }])
          const id = toHex(span.traceId)
          expected.set(id, [...(expected.get(id) ?? []), ...spansOf(one)])
        }
      }
    }
    const queue = [...ids]
    const lane = async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const bytes = await tempo.get(`/api/traces/${id}`, {}, 'application/protobuf')
        expect(spansOf(asInParquet(decodeTraces(bytes))), id).toEqual(expected.get(id)!.sort())
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
  }

  const expectAnswers = async (ask: Ask) => {
    expect(await searchAnswers(ask)).toEqual(searched)
    expect(await metricsAnswers(ask)).toEqual(measured)
  }

  beforeAll(async () => {
    minio = await Minio.start()
    for (const bucket of ['tempo4', 'tempo5', 'ours4', 'ours5']) await minio.createBucket(bucket)
    await writeTempos('tempo4', 'vParquet4')
    await writeTempos('tempo5', 'vParquet5')
    await writeOurs('ours4', 'vParquet4')
    await writeOurs('ours5', 'vParquet5')
    // What Tempo says of its own blocks is what everybody is held to.
    const tempo = await Tempo.prepare({ s3: s3Of('tempo5') })
    await tempo.run()
    const ask = askOf(`http://127.0.0.1:${tempo.port}`)
    searched = await searchAnswers(ask)
    measured = await metricsAnswers(ask)
    await tempo.stop()
  }, 400_000)
  afterAll(async () => {
    await minio.stop()
  })

  it('the questions are worth asking: nearly all have an answer', () => {
    const answered = [...searched.values(), ...measured.values()].filter(({ length }) => length > 0)
    console.log(`${SEARCHES.length} searches and ${METRICS.length} metrics queries, ${answered.length} with an answer`) // prettier-ignore
    expect(answered.length).toBeGreaterThan(0.9 * (SEARCHES.length + METRICS.length))
  })

  it.each(['ours4', 'ours5'])(
    'Tempo answers from our blocks (%s) as from its own, and has every trace',
    async (bucket) => {
      const tempo = await Tempo.prepare({ s3: s3Of(bucket) })
      await tempo.run()
      await expectEveryTrace(tempo)
      await expectAnswers(askOf(`http://127.0.0.1:${tempo.port}`))
      await tempo.stop()
    },
    300_000,
  )

  it.skipIf(!peerPath('tempo-cli')).each(['ours4', 'ours5'])(
    'tempo-cli lists, analyses and searches our blocks (%s) in the bucket',
    async (bucket) => {
      const tempo = await Tempo.prepare({ s3: s3Of(bucket) })
      await tempo.run()
      const metas = await metasOf(bucket)
      const list = await tempo.cli(['list', 'blocks'], [TENANT])
      for (const { blockID } of metas) expect(list).toContain(blockID)
      for (const { blockID, totalSpans } of metas) {
        const analysis = await tempo.cli(['analyse', 'block'], [TENANT, blockID])
        expect(analysis).toContain(`Total rows: ${totalSpans}`)
      }
      const span = await tempo.cli(['query', 'trace-id'], [ids[0]!, TENANT])
      expect(span).toContain('spanId')
      const window = [START_S - 120, END_S + 120].map((s) => new Date(1000 * s).toISOString())
      const searchIn = async (asked: Tempo) => {
        const answer = await asked.cli(
          ['query', 'search'],
          ['http.method', 'POST', ...window, TENANT],
        )
        return (
          answer
            .match(/^ *[0-9a-f]{24,32}$/gm)
            ?.map((id) => id.trim())
            .sort() ?? []
        )
      }
      const other = await Tempo.prepare({ s3: s3Of(bucket.replace('ours', 'tempo')) })
      await other.run()
      const expected = await searchIn(other)
      await other.stop()
      expect(expected.length).toBeGreaterThan(0)
      expect(await searchIn(tempo)).toEqual(expected)
      await tempo.stop()
    },
    300_000,
  )

  it.each(['tempo4', 'tempo5', 'ours4', 'ours5'])(
    'we answer from %s as Tempo does from its own',
    async (bucket) => {
      const server = await TestServer.start({ flags: flagsOf(bucket) })
      await expectAnswers(askOf(server.base))
      await server.remove()
    },
    300_000,
  )

  it.each(['4', '5'])(
    "Tempo's compactor merges our vParquet%s blocks with its own",
    async (version) => {
      await copyBlocks(`ours${version}`, `tempo${version}`)
      const before = await metasOf(`tempo${version}`)
      const tempo = await Tempo.prepare({ s3: s3Of(`tempo${version}`), isCompacting: true })
      await tempo.run()
      await eventually('the blocks are one', FLUSH_MS, async () => (await metasOf(`tempo${version}`)).length === 1) // prettier-ignore
      const [merged] = await metasOf(`tempo${version}`)
      console.log(`${before.length} blocks of ${before.map(({ totalObjects }) => totalObjects).join(' + ')} traces are one of ${merged!.totalObjects}`) // prettier-ignore
      expect(merged).toMatchObject({ format: `vParquet${version}`, totalObjects: TRACES })
      await tempo.stop()
      const after = await Tempo.prepare({ s3: s3Of(`tempo${version}`) })
      await after.run()
      await expectEveryTrace(after)
      await expectAnswers(askOf(`http://127.0.0.1:${after.port}`))
      await after.stop()
    },
    300_000,
  )

  /** Adds the blocks of one bucket to another, meta.json last. */
  async function copyBlocks(from: string, to: string): Promise<void> {
    const [source, target] = [backend(from), backend(to)]
    for (const [blockId, objects] of await source.listBlocks(TENANT)) {
      const isMeta = (name: string) => Number(name === 'meta.json')
      for (const name of objects.sort((a, b) => isMeta(a) - isMeta(b))) {
        if (name === 'nocompact.flg') continue
        const path = `${TENANT}/${blockId}/${name}`
        await target.put(path, await source.get(path))
      }
    }
    await source.close()
    await target.close()
  }
})
