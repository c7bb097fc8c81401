/** Owns the livestore's metrics, under Tempo's names. */
import type { AppendResult } from '../../storage/head/writer.js'
import type { Counter, Gauge, Histogram, Metrics } from '../../lib/metrics.js'
import type { LocalFlushMetrics } from './local-flush.js'
import type { CutReason } from './slice.js'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const LONG_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const SIZES = [
  2 ** 16,
  2 ** 18,
  2 ** 20,
  2 ** 22,
  2 ** 23,
  2 ** 24,
  2 ** 25,
  2 ** 26,
  2 ** 28,
  2 ** 30,
]

export interface PartitionMetrics {
  readonly records: Counter
  readonly backPressure_seconds: Counter
  readonly commit_seconds: Histogram
  received(tenant: string, bytes: number, result: AppendResult): void
  cut(reason: CutReason): void
}
export interface RecentMetrics {
  readonly bytes: Gauge
  readonly forgotten: Counter
}

export interface QuarantineMetrics {
  readonly letters: Counter
  readonly held: Gauge
  readonly held_bytes: Gauge
  readonly discarded: Counter
}

export interface PipelineMetrics {
  readonly completed: Counter
  readonly cleared: Counter
  readonly failed: Counter
  readonly retries: Counter
  readonly duration_seconds: Histogram
  readonly size_bytes: Histogram
}

export class LivestoreMetrics implements PartitionMetrics {
  readonly records: Counter
  readonly backPressure_seconds: Counter
  readonly commit_seconds: Histogram
  /** Spans that a limit has kept out, by tenant and reason. */
  readonly discarded: Counter
  readonly pipeline: PipelineMetrics
  readonly flush: LocalFlushMetrics
  readonly quarantine: QuarantineMetrics
  readonly liveSpans: Gauge
  readonly liveBytes: Gauge
  readonly completeQueue: Gauge
  readonly flushQueue: Gauge
  readonly partitionOwned: Gauge
  readonly recent: RecentMetrics
  readonly #bytes: Counter
  readonly #traces: Counter
  readonly #duplicates: Counter
  readonly #cut: Counter

  constructor(metrics: Metrics) {
    const at = 'tempo_live_store'
    this.records = metrics.counter(
      `${at}_records_processed_total`,
      'Records taken from the topic traces.',
    )
    this.backPressure_seconds = metrics.counter(
      `${at}_back_pressure_seconds_total`,
      'Time in which nothing was taken, for lack of memory.',
    )
    this.commit_seconds = metrics.histogram(
      'tempo_actors_wal_commit_duration_seconds',
      'One WAL transaction.',
      SECONDS,
    )
    this.liveSpans = metrics.gauge('tempo_actors_live_store_live_spans', 'Spans in live heads.', [
      'partition',
    ])
    this.liveBytes = metrics.gauge(`${at}_live_trace_bytes`, 'Shared memory of live heads.', [
      'partition',
    ])
    this.completeQueue = metrics.gauge(
      `${at}_complete_queue_length`,
      'Cut slices that are not complete blocks yet.',
    )
    this.flushQueue = metrics.gauge(
      'tempo_actors_live_store_flush_queue_length',
      'Complete blocks that the backend has not got yet.',
    )
    this.partitionOwned = metrics.gauge(
      `${at}_partition_owned`,
      '1 for a partition this livestore owns.',
      ['partition'],
    )
    this.#bytes = metrics.counter(`${at}_bytes_received_total`, 'OTLP bytes taken.', ['tenant'])
    this.#traces = metrics.counter(`${at}_traces_created_total`, 'Traces begun in a live head.', [
      'tenant',
    ])
    this.#duplicates = metrics.counter(
      'tempo_actors_live_store_duplicate_spans_total',
      'Spans not kept because they are stored already: in the live head, or in one that was cut lately.',
      ['tenant', 'where'],
    )
    this.#cut = metrics.counter(`${at}_blocks_cut_total`, 'Slices cut.', ['reason'])
    this.recent = recentMetrics(metrics)
    this.discarded = metrics.counter('tempo_discarded_spans_total', 'Spans not kept.', [
      'tenant',
      'reason',
    ])
    this.pipeline = pipelineMetrics(metrics, at)
    this.flush = flushMetrics(metrics, at)
    this.quarantine = quarantineMetrics(metrics)
  }

  received(tenant: string, bytes: number, result: AppendResult): void {
    this.#bytes.labels(tenant).inc(bytes)
    if (result.newTraces > 0) this.#traces.labels(tenant).inc(result.newTraces)
    if (result.duplicates > 0) this.#duplicates.labels(tenant, 'head').inc(result.duplicates)
    if (result.recentDuplicates > 0)
      this.#duplicates.labels(tenant, 'recent').inc(result.recentDuplicates)
  }

  cut(reason: CutReason): void {
    this.#cut.labels(reason).inc()
  }
}

function recentMetrics(metrics: Metrics): RecentMetrics {
  const at = 'tempo_actors_live_store_recent_spans'
  return {
    bytes: metrics.gauge(`${at}_bytes`, 'Memory for the ids of spans in heads cut lately.', [
      'partition',
    ]),
    forgotten: metrics.counter(
      `${at}_forgotten_total`,
      'Spans of cut heads whose ids were given up early for lack of memory: a retry of them is stored again.',
    ),
  }
}

function pipelineMetrics(metrics: Metrics, at: string): PipelineMetrics {
  return {
    completed: metrics.counter(`${at}_blocks_completed_total`, 'Blocks built on local disk.'),
    cleared: metrics.counter(
      `${at}_blocks_cleared_total`,
      'Local blocks deleted after their flush.',
    ),
    failed: metrics.counter(`${at}_failed_completions_total`, 'Builds that failed.'),
    retries: metrics.counter(`${at}_completion_retries_total`, 'Builds tried again.'),
    duration_seconds: metrics.histogram(
      `${at}_completion_duration_seconds`,
      'Building one block.',
      LONG_SECONDS,
    ),
    size_bytes: metrics.histogram(`${at}_completion_size_bytes`, 'Size of a block.', SIZES),
  }
}

function quarantineMetrics(metrics: Metrics): QuarantineMetrics {
  return {
    letters: metrics.counter(
      'tempo_actors_dead_letters_total',
      'Records put aside because they killed their consumer; reason = how it died last, or again = a letter already.',
      ['topic', 'reason'],
    ),
    held: metrics.gauge('tempo_actors_dead_letters', 'Records that are put aside.', ['partition']),
    held_bytes: metrics.gauge('tempo_actors_dead_letters_bytes', 'Their bytes.', ['partition']),
    discarded: metrics.counter('tempo_discarded_spans_total', 'Spans not kept.', [
      'tenant',
      'reason',
    ]),
  }
}

function flushMetrics(metrics: Metrics, at: string): LocalFlushMetrics {
  return {
    flushed: metrics.counter(`${at}_local_blocks_flushed_total`, 'Blocks flushed to the backend.'),
    failed: metrics.counter(`${at}_local_failed_flushes_total`, 'Flushes that failed.'),
    retries: metrics.counter(`${at}_local_flush_retries_total`, 'Flushes tried again.'),
    failedRetries: metrics.counter(
      `${at}_local_flush_failed_retries_total`,
      'Flushes tried again that failed again.',
    ),
    duration_seconds: metrics.histogram(
      `${at}_local_flush_duration_seconds`,
      'Flushing one block.',
      LONG_SECONDS,
    ),
    size_bytes: metrics.histogram(
      `${at}_local_flush_size_bytes`,
      'Size of a flushed block.',
      SIZES,
    ),
  }
}
