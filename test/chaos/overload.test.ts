/**
 * Three times the load that the store can take, under several memory limits: resident memory stays below the limit, what is
 * refused may be sent again, nothing acknowledged is lost, and acks are quick again within ten seconds. Needs Linux's /proc.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { PeakMemory, memory } from '../../src/bench/process-stats.js'
import { grpcClient } from '../../src/load/otlp-client.js'
import { OtlpWriter } from '../../src/load/otlp-writer.js'
import { load, type LoadOptions, type LoadReport } from '../../src/load/load.js'
import { RUN_ATTRIBUTE } from '../../src/load/shop.js'
import { verify } from '../../src/load/verify.js'
import { tell } from '../support/faults.js'
import { sleep, TestServer } from '../support/server.js'

/** CI runs the short one; the full run is five minutes: OVERLOAD_SECONDS=300. */
const SECONDS = Number(process.env.OVERLOAD_SECONDS ?? 20)
const LIMITS = (process.env.OVERLOAD_LIMITS ?? '512MiB,LEAST,384MiB tuned,LEAST tuned').split(',')
const DIST = process.env.TEMPO_ACTORS_DIST ?? new URL('../../dist', import.meta.url).pathname

type Env = Readonly<Record<string, string>>
const TUNED: Env = {
  MALLOC_ARENA_MAX: '4',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_MMAP_THRESHOLD_: '131072',
}

const TIMES = 3
const LOADERS = 3
const CONNECTIONS = 64
const MEASURE_MS = 5000
const RECOVERY_MS = 10_000
/** An ack counts as quick when it takes no longer than before, give or take what a busy machine adds. */
const QUICK_LEAST_MS = 150
const QUICK_FACTOR = 4
const PROBE_EVERY_MS = 100
const QUICK_IN_A_ROW = 5

describe(`${TIMES} times the load for ${SECONDS} s`, () => {
  let server: TestServer | undefined
  afterEach(async () => {
    await server?.remove()
  })

  it.each(LIMITS)('stays under memory.limit %s', async (limit) => {
    // The allocator gives memory back only when it was told to before the process began.
    const env = limit.endsWith(' tuned') ? TUNED : {}
    const limit_mib = limit.startsWith('LEAST') ? await leastLimit_mib(env) : mib(limit)
    server = await TestServer.at({ flags: [`--memory.limit=${limit_mib}MiB`], env })
    await server.up()
    const idle = memory(server.pid)
    const quick_ms = Math.max(QUICK_LEAST_MS, QUICK_FACTOR * (await probe(server)))
    const rate = (await load(options(server, { seed: 1, duration_ms: MEASURE_MS }))).spansPerSecond

    const peak = new PeakMemory(server.pid)
    const ledger = join(server.folder, 'ledger')
    const witness = load(options(server, { seed: 2, rate: 200, connections: 2, ledger }))
    const each = (TIMES * rate) / LOADERS
    const loads = await Promise.all(
      Array.from({ length: LOADERS }, (_, i) => runLoad(server!, 10 + i, each)),
    )
    const recovered_ms = await quickAgain(server, quick_ms)
    const reports = [...loads, await witness]
    const found = await verify({ ledger, base: server.base, concurrency: 4 })
    const most = peak.stop()
    const accepted = sum(loads.map((report) => report.acknowledgedSpans))
    const refused = await server.metric('tempo_actors_receiver_turned_away_total')
    const near = await server.metric('tempo_actors_memory_near_limit_total')
    console.log(
      `limit ${limit_mib} MiB (${limit}): idle ${f(idle.total_mib)}, peak ${f(most.total_mib)} MiB (anonymous ${f(most.anonymous_mib)}, ` +
        `file ${f(most.file_mib)}); full speed ${rate} spans/s, offered ${f(TIMES * rate)}, taken ${f(accepted / SECONDS)}; ` +
        `${sum(loads.map((report) => report.retries))} retries, ${refused} turned away, near the limit ${near} times; ` +
        `ack p99 ${f(Math.max(...loads.map((report) => report.ack_ms.p99)))} ms under load, quick again after ${f(recovered_ms)} ms`,
    )
    tell({
      group: `${TIMES} times the load for ${SECONDS} s`,
      fault: `memory.limit ${limit_mib} MiB${limit.endsWith(' tuned') ? ', allocator tuned' : ''}`,
      tries: 1,
      acknowledged: sum(reports.map((report) => report.acknowledgedSpans)),
      lost: found.lostSpans,
      doubled: found.doubledSpans,
      crashes: server.crashes,
      found: `peak ${f(most.total_mib)} MiB, ${refused} requests turned away, acks quick again after ${f(recovered_ms)} ms`,
    })
    expect(server.crashes, server.log.slice(-4000)).toBe(0)
    expect(most.total_mib).toBeLessThan(limit_mib)
    for (const report of reports) expect(report.failedSpans, report.firstError).toBe(0)
    expect(recovered_ms).toBeLessThanOrEqual(RECOVERY_MS)
    expect(found, found.examples.join('\n')).toMatchObject({ lostSpans: 0, foreignSpans: 0 })
    for (const report of loads) {
      expect(await counted(server, report.run)).toBeGreaterThanOrEqual(report.acknowledgedSpans)
    }
    expect(await server.metric('tempo_actors_restarts_total')).toBe(0)
  })
})

it('says the least that is needed, in a sentence, before anything starts', async () => {
  const text = await refusedStart('--memory.limit=150MiB')
  expect(text).toMatch(
    /^tempo-actors: --memory\.limit: memory\.limit is 150 MiB \(as set\), too little by \d+ MiB: 1 partition, 1 block builder and requests of up to 16 MiB need at least \d+ MiB \(\d+ MiB with MALLOC_ARENA_MAX=4 .* in the environment\)\n$/,
  )
})

/** As the program itself says it. */
async function leastLimit_mib(env: Env): Promise<number> {
  const text = await refusedStart('--memory.limit=128MiB', env)
  return Number(/need at least (\d+) MiB/.exec(text)![1])
}

function refusedStart(flag: string, env: Env = {}): Promise<string> {
  const child = spawn(process.execPath, [join(DIST, 'main.js'), flag], {
    env: { ...process.env, ...env },
  })
  let text = ''
  child.stderr.on('data', (part: Buffer) => (text += part.toString()))
  return new Promise((resolve) => child.once('exit', () => resolve(text)))
}

function options(server: TestServer, own: Partial<LoadOptions> & { seed: number }): LoadOptions {
  return {
    endpoint: server.grpc,
    protocol: 'grpc',
    tenant: '',
    run: `overload-${own.seed}`,
    traces: Infinity,
    duration_ms: SECONDS * 1000,
    rate: 0,
    connections: 4,
    batch: 256,
    split: 1,
    lateShare: 0,
    late_ms: 0,
    spread_ms: 30_000,
    shuffle: 0,
    giveUpAfter_ms: 120_000,
    ledger: undefined,
    premake: false,
    ...own,
  }
}

/** A load in a process of its own: one process cannot offer that much. */
function runLoad(server: TestServer, seed: number, rate: number): Promise<LoadReport> {
  const flags = {
    endpoint: server.grpc,
    traces: 0,
    duration: `${SECONDS}s`,
    rate: Math.ceil(rate),
    connections: CONNECTIONS,
    seed,
    'give-up-after': '120s',
  }
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  const child = spawn(
    process.execPath,
    [join(DIST, 'main.js'), 'load', '--json', '--quiet', ...args],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  return new Promise((resolve) => child.once('exit', () => resolve(JSON.parse(text) as LoadReport)))
}

/** The median ack of ten small requests, ms. */
async function probe(server: TestServer): Promise<number> {
  const client = grpcClient(server.grpc, '')
  const times: number[] = []
  for (let i = 0; i < 10; i++) times.push(await ack_ms(client, i))
  client.close()
  return times.sort((a, b) => a - b)[5]!
}

/** How long it takes until acks are quick, several in a row. */
async function quickAgain(server: TestServer, quick_ms: number): Promise<number> {
  const client = grpcClient(server.grpc, '')
  const started = performance.now()
  let firstQuick = Infinity
  for (let i = 0, inARow = 0; inARow < QUICK_IN_A_ROW; i++) {
    const at = performance.now()
    const isQuick = (await ack_ms(client, 1000 + i)) <= quick_ms
    inARow = isQuick ? inARow + 1 : 0
    if (inARow === 1) firstQuick = at - started
    if (at - started > 6 * RECOVERY_MS) break
    await sleep(PROBE_EVERY_MS)
  }
  client.close()
  return firstQuick
}

async function ack_ms(client: ReturnType<typeof grpcClient>, number: number): Promise<number> {
  const started = performance.now()
  const sent = await client.send(probeRequest(number), RECOVERY_MS)
  return sent.ok ? performance.now() - started : Infinity
}

function probeRequest(number: number): Buffer {
  const w = new OtlpWriter()
  const now = BigInt(Date.now()) * 1_000_000n
  const hex = (number + 1).toString(16)
  w.message(1, () => {
    w.message(1, () => w.attribute(1, 'service.name', 'probe'))
    w.message(2, () => {
      w.message(2, () => {
        w.bytes(1, Buffer.from(hex.padStart(32, 'f'), 'hex'))
        w.bytes(2, Buffer.from(hex.padStart(16, 'f'), 'hex'))
        w.text(5, 'probe')
        w.fixed64(7, now)
        w.fixed64(8, now + 1000n)
      })
    })
  })
  return w.take()
}

/** Spans of a run, by a query over all of them. */
async function counted(server: TestServer, run: string): Promise<number> {
  const end_s = Math.ceil(Date.now() / 60_000) * 60 + 60
  const params = new URLSearchParams({
    q: `{ resource.${RUN_ATTRIBUTE} = "${run}" } | count_over_time()`,
    step: '60s',
    start: String(end_s - 3600),
    end: String(end_s),
  })
  const reply = (await server.get(`/api/metrics/query_range?${params.toString()}`)) as {
    series?: { samples?: { value?: number }[] }[]
  }
  return sum(
    (reply.series ?? []).flatMap(({ samples }) => (samples ?? []).map(({ value }) => value ?? 0)),
  )
}

function mib(text: string): number {
  return Number(/^(\d+)MiB/.exec(text)![1])
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function f(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
