/** Owns measuring one load: against our store and, beside it, against a real Tempo, with the same spans and the same clocks. */
import { systemClock } from '../lib/time.js'
import type { LoadReport } from '../load/load.js'
import { RUN_ATTRIBUTE } from '../load/shop.js'
import { calibrated, type Calibration } from './calibration.js'
import { cpuSeconds, memory, PeakMemory, type Memory } from './process-stats.js'
import { searchable } from './searchable.js'
import { BenchServer, runLoad } from './server.js'
import { BenchTempo } from './tempo.js'

const FLUSH_TIMEOUT_MS = 120_000
/** Tempo cuts a block every 30 s, and flushes it when it finds it complete. */
const TEMPO_FLUSH_TIMEOUT_MS = 200_000
/** Reading the metrics is the server's work too: not more often than this. */
const POLL_MS = 1000
const FLUSH_METRICS = [
  'tempo_actors_live_store_live_spans',
  'tempo_live_store_complete_queue_length',
  'tempo_actors_live_store_flush_queue_length',
  'tempo_live_store_local_blocks_flushed_total',
] as const

export interface LoadFlags {
  readonly traces: string
  readonly connections: string
  readonly args: readonly string[]
}

/** What is measured of both. */
export interface Measured {
  readonly load: LoadReport
  readonly acceptedPerSecond: number
  /** CPU seconds of the server while it was loaded, and until the last block was flushed (ours: and read back). */
  readonly cpuLoad_s: number
  readonly cpuAll_s: number
  readonly spansPerCore: number
  readonly spansPerCoreLoad: number
  readonly peak: Memory
  readonly idle: Memory
  readonly bytesPerSpan: number
  readonly ready_ms: number
  readonly calibration: Calibration
}
export interface OwnFigures extends Measured {
  readonly readBack: number
  readonly searchable_ms: { p50: number; max: number }
}
export interface TempoFigures extends Measured {
  readonly version: string
  /** In blocks of the backend when the wait was over; fewer than the load's is a measurement that does not count. */
  readonly tracesInBlocks: number
  readonly flushedAfter_s: number
}

export async function measureOwn(
  flags: LoadFlags,
  serverFlags: readonly string[],
  nodeFlags: readonly string[],
): Promise<OwnFigures> {
  const [figures, calibration] = await calibrated(async () => {
    const server = await BenchServer.start(serverFlags, nodeFlags)
    try {
      const loaded = await loadOf(server.pid, server.grpc, flags)
      await flushed(server, loaded.load)
      const readBack = await count(server, loaded.load)
      const all_s = cpuSeconds(server.pid)
      const bytes = server.blockBytes()
      const searchable_ms = await searchable(server)
      return { ...figuresOf(loaded, all_s, bytes), readBack, searchable_ms, ready_ms: server.ready_ms } // prettier-ignore
    } finally {
      await server.stop()
    }
  })
  return { ...figures, calibration }
}

export async function measureTempo(
  flags: LoadFlags,
  command: string,
  version: string,
): Promise<TempoFigures> {
  const [figures, calibration] = await calibrated(async () => {
    const tempo = await BenchTempo.start(command)
    try {
      const loaded = await loadOf(tempo.pid, tempo.otlp, flags)
      const from_ms = systemClock.monotonic()
      const deadline = from_ms + TEMPO_FLUSH_TIMEOUT_MS
      let found = tempo.flushed()
      while (found.traces < loaded.load.traces && systemClock.monotonic() < deadline) {
        await systemClock.sleep(POLL_MS)
        found = tempo.flushed()
      }
      return {
        ...figuresOf(loaded, cpuSeconds(tempo.pid), found.bytes),
        version,
        tracesInBlocks: found.traces,
        flushedAfter_s: (systemClock.monotonic() - from_ms) / 1000,
        ready_ms: tempo.ready_ms,
      }
    } finally {
      await tempo.stop()
    }
  })
  return { ...figures, calibration }
}

interface Loaded {
  readonly load: LoadReport
  readonly before_s: number
  readonly loaded_s: number
  readonly idle: Memory
  readonly peak: PeakMemory
}

async function loadOf(pid: number, port: number, flags: LoadFlags): Promise<Loaded> {
  const idle = memory(pid)
  const peak = new PeakMemory(pid)
  const before_s = cpuSeconds(pid)
  const load = await runLoad([
    '--endpoint', `127.0.0.1:${port}`, '--traces', flags.traces, '--connections', flags.connections,
    '--premake', '--batch', '256', ...flags.args,
  ]) // prettier-ignore
  const loaded_s = cpuSeconds(pid)
  process.stderr.write(
    `  ${load.spansPerSecond} spans/s accepted, p99 ${load.ack_ms.p99} ms; waiting for the flush ...\n`,
  )
  return { load, before_s, loaded_s, idle, peak }
}

function figuresOf({ load, before_s, loaded_s, idle, peak }: Loaded, all_s: number, bytes: number) {
  return {
    load,
    acceptedPerSecond: load.spansPerSecond,
    cpuLoad_s: loaded_s - before_s,
    cpuAll_s: all_s - before_s,
    spansPerCore: load.acknowledgedSpans / (all_s - before_s),
    spansPerCoreLoad: load.acknowledgedSpans / (loaded_s - before_s),
    peak: peak.stop(),
    idle,
    bytesPerSpan: bytes / load.acknowledgedSpans,
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
