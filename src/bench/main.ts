/**
 * Owns `npm run bench`: the whole store as a process under a load from another, at a rate and at full speed, until the last
 * block is flushed and read back. Prints a table; --json prints the figures. Absolute times are this machine's.
 */
import { parseArgs } from 'node:util'
import type { LoadReport } from '../load/load.js'
import { OtlpWriter } from '../load/otlp-writer.js'
import { RUN_ATTRIBUTE } from '../load/shop.js'
import { systemClock } from '../lib/time.js'
import { cpuSeconds, memory, PeakMemory, type Memory } from './process-stats.js'
import { BenchServer, runLoad } from './server.js'

const FLUSH_TIMEOUT_MS = 120_000
/** Reading the metrics is the server's work too: not more often than this. */
const POLL_MS = 1000
const FLUSH_METRICS = [
  'tempo_actors_live_store_live_spans',
  'tempo_live_store_complete_queue_length',
  'tempo_actors_live_store_flush_queue_length',
  'tempo_live_store_local_blocks_flushed_total',
] as const
const PROBES = 20
const PROBE_TIMEOUT_MS = 5000

interface Figures {
  readonly name: string
  readonly load: LoadReport
  readonly acceptedPerSecond: number
  /** CPU seconds of the server while it was loaded, and until the last block was flushed and read back. */
  readonly cpuLoad_s: number
  readonly cpuAll_s: number
  readonly spansPerCore: number
  readonly spansPerCoreLoad: number
  readonly peak: Memory
  readonly idle: Memory
  readonly bytesPerSpan: number
  readonly readBack: number
  readonly searchable_ms: { p50: number; max: number }
  readonly ready_ms: number
}

const { values: options } = parseArgs({
  options: {
    traces: { type: 'string', default: '50000' },
    rate: { type: 'string', default: '20000' },
    connections: { type: 'string', default: '4' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    flag: { type: 'string', multiple: true, default: [] },
    'node-flag': { type: 'string', multiple: true, default: [] },
  },
})

const scenarios = [
  { name: `at ${options.rate} spans/s`, key: 'rate', args: ['--rate', options.rate] },
  { name: 'at full speed', key: 'full', args: [] },
].filter((scenario) => options.only === '' || scenario.key === options.only)

const results: Figures[] = []
for (const scenario of scenarios) {
  say(`${scenario.name}: ${options.traces} traces over ${options.connections} connections ...`)
  results.push(await measure(scenario.name, scenario.args))
}
process.stdout.write(options.json ? JSON.stringify(results, null, 2) + '\n' : table(results))

async function measure(name: string, args: readonly string[]): Promise<Figures> {
  const server = await BenchServer.start(options.flag, options['node-flag'])
  try {
    const idle = memory(server.pid)
    const peak = new PeakMemory(server.pid)
    const before_s = cpuSeconds(server.pid)
    const load = await runLoad([
      '--endpoint', `127.0.0.1:${server.grpc}`, '--traces', options.traces, '--connections', options.connections,
      '--premake', '--batch', '256', ...args,
    ]) // prettier-ignore
    const loaded_s = cpuSeconds(server.pid)
    say(
      `  ${load.spansPerSecond} spans/s accepted, p99 ${load.ack_ms.p99} ms; waiting for the flush ...`,
    )
    await flushed(server, load)
    const readBack = await count(server, load)
    const all_s = cpuSeconds(server.pid)
    const bytesPerSpan = server.blockBytes() / load.acknowledgedSpans
    const searchable_ms = await searchable(server)
    return {
      name,
      load,
      acceptedPerSecond: load.spansPerSecond,
      cpuLoad_s: loaded_s - before_s,
      cpuAll_s: all_s - before_s,
      spansPerCore: load.acknowledgedSpans / (all_s - before_s),
      spansPerCoreLoad: load.acknowledgedSpans / (loaded_s - before_s),
      peak: peak.stop(),
      idle,
      bytesPerSpan,
      readBack,
      searchable_ms,
      ready_ms: server.readyAfter_ms,
    }
  } finally {
    await server.stop()
  }
}

/** Waits until no span is in a live head and no block waits for its flush. */
async function flushed(server: BenchServer, load: LoadReport): Promise<void> {
  const deadline = systemClock.monotonic() + FLUSH_TIMEOUT_MS
  for (;;) {
    await systemClock.sleep(POLL_MS)
    const [live, cut, queued, done] = await server.metrics(FLUSH_METRICS)
    if (live + cut + queued === 0 && done > 0) return
    if (systemClock.monotonic() > deadline) {
      throw new Error(
        `not flushed in time: ${live} live spans, ${cut} slices cut, ${queued} blocks queued of ${load.spans} spans`,
      )
    }
  }
}

/** Counts the run's spans in the backend by a query over all of them. */
async function count(server: BenchServer, load: LoadReport): Promise<number> {
  const now_s = Math.ceil(systemClock.now() / 60_000) * 60 + 60
  const query = `{ resource.${RUN_ATTRIBUTE} = "${load.run}" } | count_over_time()`
  const params = new URLSearchParams({
    q: query,
    step: '60s',
    start: String(now_s - 3600),
    end: String(now_s),
  })
  const reply = await server.get<{ series?: { samples?: { value?: number }[] }[] }>(
    `/api/metrics/query_range?${params.toString()}`,
  )
  return (reply.series ?? [])
    .flatMap((s) => s.samples ?? [])
    .reduce((sum, s) => sum + (s.value ?? 0), 0)
}

/** From the ack of a span to the first search that finds it. */
async function searchable(server: BenchServer): Promise<{ p50: number; max: number }> {
  const { grpcClient } = await import('../load/otlp-client.js')
  const client = grpcClient(`127.0.0.1:${server.grpc}`, '')
  const delays: number[] = []
  for (let probe = 0; probe < PROBES; probe++) {
    const sent = await client.send(probeRequest(probe), PROBE_TIMEOUT_MS)
    if (!sent.ok) throw new Error(`probe refused: ${sent.error}`)
    const acked = systemClock.monotonic()
    const path = `/api/search?${new URLSearchParams({ q: `{ span.probe = ${probe} }` }).toString()}`
    for (;;) {
      const reply = await server.get<{ traces?: unknown[] }>(path)
      if ((reply.traces ?? []).length > 0) break
      if (systemClock.monotonic() - acked > PROBE_TIMEOUT_MS)
        throw new Error(`probe ${probe} not found in time`)
    }
    delays.push(systemClock.monotonic() - acked)
  }
  client.close()
  delays.sort((a, b) => a - b)
  return { p50: delays[PROBES >> 1]!, max: delays.at(-1)! }
}

function probeRequest(probe: number): Buffer {
  const w = new OtlpWriter()
  const now = BigInt(Math.floor(systemClock.now())) * 1_000_000n
  w.message(1, () => {
    w.message(1, () => w.attribute(1, 'service.name', 'probe'))
    w.message(2, () => {
      w.message(2, () => {
        w.bytes(1, Buffer.from((probe + 1).toString(16).padStart(32, '0'), 'hex'))
        w.bytes(2, Buffer.from((probe + 1).toString(16).padStart(16, '0'), 'hex'))
        w.text(5, 'probe')
        w.fixed64(7, now)
        w.fixed64(8, now + 1000n)
        w.attribute(9, 'probe', probe)
      })
    })
  })
  return w.take()
}

function table(rows: readonly Figures[]): string {
  const f = (n: number, digits = 0) =>
    n.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits })
  const parts = (m: Memory) =>
    `${f(m.total_mib)} MiB (anonymous ${f(m.anonymous_mib)}, shared ${f(m.shared_mib)}, file-mapped ${f(m.file_mib)})`
  let out = ''
  for (const r of rows) {
    const lines: [string, string][] = [
      [
        'accepted',
        `${f(r.acceptedPerSecond)} spans/s (${f(r.load.acknowledgedSpans)} spans in ${f(r.load.wall_s, 1)} s, ${f(r.load.failedSpans)} given up)`,
      ],
      [
        'per core, all in',
        `${f(r.spansPerCore)} spans per CPU second, until the last block is flushed and read back (${f(r.cpuAll_s, 1)} s)`,
      ],
      [
        'per core, load only',
        `${f(r.spansPerCoreLoad)} spans per CPU second (${f(r.cpuLoad_s, 1)} s)`,
      ],
      ['peak RSS', parts(r.peak)],
      ['idle RSS', parts(r.idle)],
      ['on disk', `${f(r.bytesPerSpan, 1)} bytes/span (${f(r.load.bytes / r.load.spans)} as OTLP)`],
      [
        'ack',
        `p50 ${f(r.load.ack_ms.p50, 1)} ms, p99 ${f(r.load.ack_ms.p99, 1)} ms, max ${f(r.load.ack_ms.max, 1)} ms`,
      ],
      [
        'ack to searchable',
        `p50 ${f(r.searchable_ms.p50, 1)} ms, max ${f(r.searchable_ms.max, 1)} ms (one HTTP search included)`,
      ],
      ['read back', `${f(r.readBack)} of ${f(r.load.acknowledgedSpans)} spans`],
      ['ready after', `${f(r.ready_ms)} ms`],
    ]
    out += `\n${r.name}\n` + lines.map(([name, value]) => `  ${name.padEnd(20)}${value}\n`).join('')
  }
  return out + '\n'
}

function say(text: string): void {
  process.stderr.write(text + '\n')
}
