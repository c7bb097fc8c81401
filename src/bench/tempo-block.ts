/** Owns what can be measured of a real Tempo's blocks: their size, and traces by id and searches through its HTTP API over them. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../lib/time.js'
import { grpcClient } from '../load/otlp-client.js'
import type { Payload } from '../load/shop.js'
import { blockData, SCANS, SEARCH_LIMIT, someTraceIds, SPANS_PER_SPAN_SET, TRACES_BY_ID, WARM_UP_SCANS, WARM_UP_TRACES } from './block-measures.js' // prettier-ignore
import { spansOf } from './block-data.js'
import { calibrated, type Calibration } from './calibration.js'
import { cpuSeconds } from './process-stats.js'
import { summary, type Laps } from './stopwatch.js'
import { BenchTempo } from './tempo.js'
import { flushedOf, type FlushedBlocks } from './tempo-blocks.js'

const CONNECTIONS = 4
const SEND_TIMEOUT_MS = 15_000
const FLUSH_TIMEOUT_MS = 200_000
const FIND_TIMEOUT_MS = 60_000
const POLL_MS = 1000
/** Searches of Tempo ask its backend only for what is older than 31 s by our configuration of it. */
const BACKEND_AFTER_MS = 40_000
const RANGE_S = 600
/** More than of ours: the kernel counts another process's CPU by 10 ms. */
const SCAN_RUNS = 25
const SHOP = 'shop'
const WIDE = 'wide'

export interface TempoScan extends Laps {
  readonly name: string
  readonly query: string
  readonly found: number
}

/** CPU is that of the whole process while it answered. */
export interface TempoBlockFigures {
  readonly version: string
  readonly format: string
  readonly blocks: number
  readonly bytesPerSpan: number
  readonly wideBytesPerSpan: number
  readonly byId: Laps
  readonly scans: readonly TempoScan[]
  readonly calibration: Calibration
}

export interface TempoBlockOptions {
  readonly traces: number
  readonly wideTraces: number
  readonly now_ms: number
}

export async function measureTempoBlocks(
  command: string,
  version: string,
  options: TempoBlockOptions,
): Promise<TempoBlockFigures> {
  const { shop, wide } = blockData(options)
  const copy = mkdtempSync(join(tmpdir(), 'tempo-bench-blocks-'))
  try {
    const [figures, calibration] = await calibrated(async () => {
      const [made, madeWide] = await makeBlocks(command, shop, wide, copy)
      const sizes = {
        format: made.format,
        blocks: made.blocks,
        bytesPerSpan: made.bytes / spansOf(shop),
        wideBytesPerSpan: madeWide.bytes / spansOf(wide),
      }
      return { ...sizes, ...(await ask(command, copy, shop, options.now_ms)) }
    })
    return { version, ...figures, calibration }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** Sends the spans to a Tempo, each kind as a tenant of its own, and copies the blocks that it makes of them. */
async function makeBlocks(
  command: string,
  shop: readonly Payload[],
  wide: readonly Payload[],
  copy: string,
): Promise<[FlushedBlocks, FlushedBlocks]> {
  const tempo = await BenchTempo.start(command, { isMultitenant: true })
  try {
    await sendAll(tempo.otlp, SHOP, shop)
    await sendAll(tempo.otlp, WIDE, wide)
    const made = await flushed(tempo, SHOP, tracesOf(shop))
    const madeWide = await flushed(tempo, WIDE, tracesOf(wide))
    cpSync(tempo.blocks, copy, { recursive: true })
    return [made, madeWide]
  } finally {
    await tempo.stop()
  }
}

async function sendAll(port: number, tenant: string, payloads: readonly Payload[]): Promise<void> {
  let next = 0
  const connection = async () => {
    const client = grpcClient(`127.0.0.1:${port}`, tenant)
    try {
      for (let i = next++; i < payloads.length; i = next++) {
        const sent = await client.send(payloads[i]!.bytes, SEND_TIMEOUT_MS)
        if (!sent.ok) throw new Error(`Tempo refused spans: ${sent.error}`)
      }
    } finally {
      client.close()
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, connection))
}

async function flushed(tempo: BenchTempo, tenant: string, traces: number): Promise<FlushedBlocks> {
  const deadline = systemClock.monotonic() + FLUSH_TIMEOUT_MS
  for (;;) {
    const found = flushedOf(join(tempo.blocks, tenant))
    if (found.traces >= traces) return found
    if (systemClock.monotonic() > deadline) {
      throw new Error(`Tempo flushed ${found.traces} of ${traces} traces of ${tenant} in time`)
    }
    await systemClock.sleep(POLL_MS)
  }
}

function tracesOf(payloads: readonly Payload[]): number {
  const ids = new Set<string>()
  for (const payload of payloads) {
    for (let at = 0; at < payload.ids.length; at += 24) ids.add(payload.ids.toString('latin1', at, at + 16))
  }
  return ids.size
} // prettier-ignore

/** Another Tempo, over the copied blocks alone: none of the spans is in memory of it. */
async function ask(
  command: string,
  copy: string,
  shop: readonly Payload[],
  now_ms: number,
): Promise<Pick<TempoBlockFigures, 'byId' | 'scans'>> {
  await systemClock.sleep(Math.max(0, now_ms + BACKEND_AFTER_MS - systemClock.now()))
  const tempo = await BenchTempo.start(command, {
    isMultitenant: true,
    fill: (blocks) => cpSync(copy, blocks, { recursive: true }),
  })
  try {
    const paths = someTraceIds(shop, TRACES_BY_ID).map((id) => `/api/v2/traces/${id.toString('hex')}`) // prettier-ignore
    await found(tempo, paths[0]!)
    await askEach(tempo, paths.slice(0, WARM_UP_TRACES))
    const byId = await askEach(tempo, paths)
    const scans: TempoScan[] = []
    for (const { name, query } of SCANS) {
      const path = searchPath(query, now_ms)
      await askEach(tempo, new Array<string>(WARM_UP_SCANS).fill(path))
      const laps = await askEach(tempo, new Array<string>(SCAN_RUNS).fill(path))
      const reply = (await (await get(tempo, path)).json()) as { traces?: unknown[] }
      scans.push({ ...laps, name, query, found: (reply.traces ?? []).length })
    }
    return { byId, scans }
  } finally {
    await tempo.stop()
  }
}

function searchPath(query: string, now_ms: number): string {
  const end_s = Math.ceil(now_ms / 1000) + 5
  const parameters = {
    q: query,
    start: String(end_s - RANGE_S),
    end: String(end_s),
    limit: String(SEARCH_LIMIT),
    spss: String(SPANS_PER_SPAN_SET),
  }
  return `/api/search?${new URLSearchParams(parameters).toString()}`
}

async function askEach(tempo: BenchTempo, paths: readonly string[]): Promise<Laps> {
  const wall_ms: number[] = []
  const before_s = cpuSeconds(tempo.pid)
  for (const path of paths) {
    const started_ms = systemClock.monotonic()
    await (await get(tempo, path)).arrayBuffer()
    wall_ms.push(systemClock.monotonic() - started_ms)
  }
  return summary(wall_ms, cpuSeconds(tempo.pid) - before_s)
}

async function get(tempo: BenchTempo, path: string): Promise<Response> {
  const accept = path.startsWith('/api/search') ? 'application/json' : 'application/protobuf'
  const reply = await fetch(tempo.base + path, { headers: { accept, 'x-scope-orgid': SHOP } })
  if (!reply.ok) throw new Error(`${path} answered ${reply.status}: ${await reply.text()}`)
  return reply
}

/** Until it has read its list of blocks. */
async function found(tempo: BenchTempo, path: string): Promise<void> {
  const deadline = systemClock.monotonic() + FIND_TIMEOUT_MS
  for (;;) {
    const reply = await fetch(tempo.base + path, { headers: { 'x-scope-orgid': SHOP } })
    const body = await reply.text()
    if (reply.ok) return
    if (systemClock.monotonic() > deadline) {
      throw new Error(`Tempo does not find a trace of its blocks: ${reply.status} ${body}`)
    }
    await systemClock.sleep(POLL_MS)
  }
}
