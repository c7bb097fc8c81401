/** The program on data folders that other versions wrote: older ones are read whole, newer ones are refused with words. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/lib/log.js'
import { systemClock } from '../../src/lib/time.js'
import { HEADER_KEY, encodeHeader } from '../../src/storage/wal/keys.js'
import { LmdbEnv } from '../../src/storage/wal/lmdb.js'
import { recordings, unpack, type Recording } from '../support/data-folder.js'
import { eventually, freePorts, TestServer } from '../support/server.js'
import { Program } from './program.js'

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'versions-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const flags = (partitions: number) => [
  '--multitenancy_enabled=true',
  '--live_store.wal.path=live-store',
  '--storage.trace.local.path=blocks',
  '--actors.max_head_idle=500ms',
  `--actors.bus.partitions=${partitions}`,
]

interface SpanJson {
  readonly spanId: string
}
interface TraceJson {
  readonly trace?: { resourceSpans?: { scopeSpans?: { spans?: SpanJson[] }[] }[] }
}

async function expectAll({ base }: TestServer, { sent }: Recording): Promise<void> {
  for (const { tenant, stage, traceId, spanIds } of sent) {
    const headers = { 'x-scope-orgid': tenant }
    const reply = await fetch(`${base}/api/v2/traces/${traceId}`, { headers })
    expect(reply.status, `${tenant} ${stage} ${traceId}`).toBe(200)
    const { trace } = (await reply.json()) as TraceJson
    const spans = (trace?.resourceSpans ?? []).flatMap(({ scopeSpans }) =>
      (scopeSpans ?? []).flatMap((scope) => scope.spans ?? []),
    )
    const found = spans.map(({ spanId }) => Buffer.from(spanId, 'base64').toString('hex')).sort()
    expect(found, `${tenant} ${stage} ${traceId}`).toEqual(spanIds)
  }
}

describe.each(recordings().map((recording) => [recording.name, recording] as const))(
  'a data folder of format %s',
  (_, recording) => {
    it('is served whole, at once, when all is flushed, and after a kill', async () => {
      unpack(recording, folder)
      const server = await TestServer.start({ folder, flags: flags(recording.partitions) })
      await expectAll(server, recording)
      await eventually('all is flushed', 60_000, async () => {
        const live = await server.metric('tempo_actors_live_store_live_spans')
        return (await server.metric('tempo_actors_live_store_flush_queue_length')) + live === 0
      })
      await expectAll(server, recording)
      await server.kill()
      await server.up()
      await expectAll(server, recording)
      expect(server.log).not.toMatch(/level=error/)
      await server.kill()
    })

    it('is read without its format.json too: there was none before 0.1.0', async () => {
      unpack(recording, folder, (path) => (path.endsWith('format.json') ? undefined : path))
      const server = await TestServer.start({ folder, flags: flags(recording.partitions) })
      await expectAll(server, recording)
      await server.kill()
    })
  },
)

describe('what a newer program wrote', () => {
  const recording = recordings().at(-1)!

  async function refusal(): Promise<string> {
    const { http, grpc, api } = await freePorts()
    const args = [
      MAIN,
      `--server.http_listen_port=${api}`,
      `--distributor.receivers.otlp.protocols.grpc.endpoint=127.0.0.1:${grpc}`,
      `--distributor.receivers.otlp.protocols.http.endpoint=127.0.0.1:${http}`,
      ...flags(recording.partitions),
    ]
    const { code, output } = await new Program(process.execPath, args, { cwd: folder }).end()
    expect(code).toBe(1)
    const lines = output.split('\n').filter((line) => line !== '' && !line.includes('level=info'))
    expect(lines, output).toHaveLength(1)
    return lines[0]!
  }

  async function put(path: string, key: Uint8Array, value: Uint8Array): Promise<void> {
    const env = LmdbEnv.open({ path, fsync: false, clock: systemClock, log: silentLog })
    await env.commit([{ key, value }])
    await env.close()
  }

  const words = (path: string) =>
    `msg="cannot start" error="live_store.wal.path (${join(folder, 'live-store')}) cannot be used: ${path} has format version 2, ` +
    'this program reads versions up to 1: a newer tempo-actors wrote it, start that one again; to go back to this one, ' +
    'send the newer one nothing until tempo_actors_live_store_live_spans and tempo_actors_live_store_flush_queue_length are 0, ' +
    'then give this one a new, empty folder"'

  it('is refused at the start in one line: folder, WAL segment, state', async () => {
    unpack(recording, folder)
    const store = join(folder, 'live-store')
    const header = { format: 2, partition: 1, seq: 4, baseOffset: 0, createdAt_ms: 0 }
    const state = join(store, 'state', 'p1')
    await put(state, Uint8Array.of(1), Buffer.from('2'))
    expect(await refusal()).toContain(words(state))
    const segment = join(store, 'wal', 'p1', '0000000004')
    await put(segment, HEADER_KEY, encodeHeader(header))
    expect(await refusal()).toContain(words(segment))
    writeFileSync(join(store, 'format.json'), '{"format":2}')
    expect(await refusal()).toContain(words(store))
  })

  it('of a block is left out of the answers, which name it, and counted; the others go on', async () => {
    unpack(recording, folder)
    const meta = Object.keys(recording.files).find((path) => /^blocks\/shop\/.*meta.json$/.test(path))! // prettier-ignore
    const blockId = meta.split('/')[2]!
    for (const path of Object.keys(recording.files).filter((p) => p.endsWith(`${blockId}/meta.json`))) // prettier-ignore
      writeFileSync(join(folder, path), Buffer.from(recording.files[path]!, 'base64').toString().replace('blockpack1', 'blockpack9')) // prettier-ignore
    const server = await TestServer.start({ folder, flags: flags(recording.partitions) })
    const ask = (tenant: string) =>
      fetch(`${server.base}/api/search?q=${encodeURIComponent('{ }')}`, {
        headers: { 'x-scope-orgid': tenant },
      })
    const partial = await ask('shop')
    expect(partial.status).toBe(200)
    const words = partial.headers.get('x-tempo-actors-partial')
    expect(words).toMatch(new RegExp(`block ${blockId} has format blockpack9, this program reads (\\w+, )*blockpack1(, \\w+)*: a newer`)) // prettier-ignore
    expect(words).toContain(
      'a newer tempo-actors or another program wrote it, ask that one; or move the block out of the backend to do without its spans',
    )
    const whole = await ask('team-b')
    expect([whole.status, whole.headers.get('x-tempo-actors-partial')]).toEqual([200, null])
    const metrics = await (await fetch(`${server.base}/metrics`)).text()
    expect(metrics).toMatch(/tempo_actors_querier_unreadable_blocks_total\{tenant="shop",reason="unsupported_version"\} [1-9]/) // prettier-ignore
    await server.kill()
  })
})

describe('a client that sends again what was stored', () => {
  it('is answered and not counted twice, while the head lives and when it is a block', async () => {
    const server = await TestServer.start({ folder, flags: ['--actors.max_head_idle=300ms'] })
    const now_s = Math.floor(Date.now() / 1000)
    const span = (i: number) => ({
      traceId: 'ab'.repeat(16),
      spanId: `${i}`.padStart(16, '0'),
      name: 'again',
      kind: 2,
      startTimeUnixNano: `${now_s - 5}000000000`,
      endTimeUnixNano: `${now_s - 4}000000000`,
    })
    const scopeSpans = [{ spans: Array.from({ length: 7 }, (_, i) => span(i + 1)) }]
    const body = JSON.stringify({ resourceSpans: [{ scopeSpans }] })
    const send = async () => {
      const reply = await fetch(`http://${server.http}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      expect(reply.status).toBe(200)
    }
    const counted = async () => {
      const q = new URLSearchParams({ q: '{ } | count_over_time()', start: `${now_s - 600}`, end: `${now_s + 60}`, step: '60' }) // prettier-ignore
      const reply = await fetch(`${server.base}/api/metrics/query_range?${q.toString()}`)
      const { series } = (await reply.json()) as {
        series: { samples: { value?: number }[] }[]
      }
      return series.flatMap(({ samples }) => samples).reduce((n, { value }) => n + (value ?? 0), 0)
    }
    const blocks = () => server.metric('tempo_live_store_blocks_completed_total')
    await send()
    await send()
    expect(await counted()).toBe(7)
    await eventually('it is a block', 20_000, async () => (await blocks()) === 1)
    await send()
    expect(await counted()).toBe(7)
    await server.kill()
    await server.up()
    await send()
    expect(await counted()).toBe(7)
    expect(await server.metric('tempo_actors_live_store_duplicate_spans_total')).toBe(7)
    await server.kill()
  })
})
