/** Owns measuring one compaction: the blocks of a backend merged by the store's own code, and what it cost. */
import { systemClock } from '../lib/time.js'
import type { Backend } from '../storage/backend/backend.js'
import type { BlockMeta } from '../storage/block/encoding.js'
import { compact } from '../storage/compaction/compact.js'

export interface CompactionFigures {
  readonly blocks: number
  readonly spans: number
  readonly traces: number
  /** Traces that had spans in several of the blocks. */
  readonly combinedTraces: number
  readonly inputBytes: number
  readonly outputBytes: number
  readonly wall_s: number
  readonly cpu_s: number
  readonly spansPerCpuSecond: number
}

/** The merged block is in the backend afterwards, but for its meta.json: the inputs stay the ones that count. */
export async function measureCompaction(
  inputs: readonly BlockMeta[],
  backend: Backend,
  scratchFolder: string,
): Promise<CompactionFigures> {
  const started_ms = systemClock.monotonic()
  const before = process.cpuUsage()
  const { meta, counts } = await compact({ inputs, scratch: scratchFolder }, backend)
  const used = process.cpuUsage(before)
  const cpu_s = (used.user + used.system) / 1e6
  const spans = inputs.reduce((sum, { totalSpans }) => sum + (totalSpans ?? 0), 0)
  return {
    blocks: inputs.length,
    spans,
    traces: counts.traces,
    combinedTraces: counts.combinedTraces,
    inputBytes: inputs.reduce((sum, { size }) => sum + size, 0),
    outputBytes: meta.size,
    wall_s: (systemClock.monotonic() - started_ms) / 1000,
    cpu_s,
    spansPerCpuSecond: spans / cpu_s,
  }
}
