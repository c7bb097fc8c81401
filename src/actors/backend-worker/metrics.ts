/** Owns the backend-worker's metrics, under Tempo's names. */
import { exponentialBuckets, type Counter, type Gauge, type Histogram, type Metrics } from '../../lib/metrics.js' // prettier-ignore

const MIB = 2 ** 20
const SECONDS = [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300]

export interface CompactionMetrics {
  readonly blocks: Counter
  readonly objectsWritten: Counter
  readonly bytesWritten: Counter
  readonly objectsCombined: Counter
  readonly spansDeduped: Counter
  readonly errors: Counter
  readonly outstanding: Gauge
  readonly outputSize: Histogram
  readonly duration: Histogram
  readonly progress: Gauge
}

export function compactionMetrics(metrics: Metrics): CompactionMetrics {
  const name = (rest: string) => `tempodb_compaction_${rest}`
  return {
    blocks: metrics.counter(name('blocks_total'), 'Blocks that were merged.', ['level']),
    objectsWritten: metrics.counter(name('objects_written_total'), 'Traces written.', ['level']),
    bytesWritten: metrics.counter(name('bytes_written_total'), 'Bytes written.', ['level']),
    objectsCombined: metrics.counter(
      name('objects_combined_total'),
      'Traces that stood in several blocks.',
      ['level'],
    ),
    spansDeduped: metrics.counter(name('spans_deduped_total'), 'Copies of spans left out.', [
      'replication_factor',
    ]),
    errors: metrics.counter(name('errors_total'), 'Compactions and marks that failed.'),
    outstanding: metrics.gauge(name('outstanding_blocks'), 'Blocks that are to be merged.', [
      'tenant',
    ]),
    outputSize: metrics.histogram(
      name('output_block_size_bytes'),
      'Size of merged blocks.',
      exponentialBuckets(MIB, 2, 10),
    ),
    duration: metrics.histogram(
      'tempo_actors_backend_worker_compaction_duration_seconds',
      'One compaction.',
      SECONDS,
    ),
    progress: metrics.gauge(
      'tempo_actors_backend_worker_compaction_progress_ratio',
      'How far the compaction under way is; 0 = none is.',
    ),
  }
}

export interface RetentionMetrics {
  readonly duration: Histogram
  readonly errors: Counter
  readonly marked: Counter
  readonly deleted: Counter
}

export function retentionMetrics(metrics: Metrics): RetentionMetrics {
  const name = (rest: string) => `tempodb_retention_${rest}`
  return {
    duration: metrics.histogram(name('duration_seconds'), 'One look at all blocks.', SECONDS),
    errors: metrics.counter(name('errors_total'), 'Blocks that could not be marked or deleted.'),
    marked: metrics.counter(name('marked_for_deletion_total'), 'Blocks too old, or too many.'),
    deleted: metrics.counter(name('deleted_total'), 'Blocks deleted.'),
  }
}

export interface IndexMetrics {
  readonly errors: Counter
  readonly isBuilder: Gauge
  readonly age_seconds: Gauge
  readonly objects: Gauge
  readonly bytes: Gauge
}

export function indexMetrics(metrics: Metrics): IndexMetrics {
  const name = (rest: string) => `tempodb_blocklist_tenant_index_${rest}`
  return {
    errors: metrics.counter(name('errors_total'), 'Indexes not read or not written.', ['tenant']),
    isBuilder: metrics.gauge(name('builder'), '1 where the index is written here.', ['tenant']),
    age_seconds: metrics.gauge(name('age_seconds'), 'Age of the index that was read last.', ['tenant']), // prettier-ignore
    objects: metrics.gauge('tempodb_backend_objects_total', 'Traces in the backend.', ['tenant', 'status']), // prettier-ignore
    bytes: metrics.gauge('tempodb_backend_bytes_total', 'Bytes in the backend.', ['tenant', 'status']), // prettier-ignore
  }
}
