/** Owns the keys of what is done to blocks in the backend: compaction and retention, under the names of Tempo's scheduler and worker. */
import { bytes, duration, int, section } from './fields.js'

const MAX_COUNT = 1_000_000_000

/** Tempo chooses blocks in its scheduler and works on them in its worker; both are one actor here, and the keys are where Tempo reads them. */
export const backend_scheduler = section(
  'Which blocks are merged with which, and how often blocks are looked through.',
  {
    provider: section({
      compaction: section({
        compaction: section({
          compaction_window: duration(
            '1h',
            'Blocks are merged with blocks that end in the same window of time.',
            { min: '1s' },
          ),
          max_compaction_objects: int(
            6_000_000,
            0,
            MAX_COUNT,
            'The most traces of a merged block.',
          ),
          max_block_bytes: bytes('100GiB', 'The largest merged block, by the sum of its inputs.'),
        }),
        min_input_blocks: int(2, 2, 1000, 'Fewer blocks than this are not merged.'),
        max_input_blocks: int(
          4,
          2,
          16,
          'Blocks merged at once; memory is needed for each of them.',
        ),
        max_compaction_level: int(
          0,
          0,
          255,
          'Blocks that were merged so often are left; 0 = any number of times.',
        ),
      }),
      retention: section({
        interval: duration('1h', 'How often blocks are looked through for those to delete.', {
          min: '100ms',
        }),
      }),
    }),
  },
)

export const backend_worker = section(
  'The work on blocks in the backend: merging them, and deleting what is old.',
  {
    compaction: section({
      block_retention: duration('336h', 'A block is deleted this long after its last span.', {
        min: '1s',
      }),
      compacted_block_retention: duration(
        '1h',
        'A block that was merged into another is kept this long for readers that do not know it yet.',
      ),
      retention_concurrency: int(10, 1, 1000, 'Blocks that are marked or deleted at once.'),
      max_time_per_tenant: duration('5m', "Then it is the next tenant's turn.", { min: '1s' }),
      compaction_cycle: duration('30s', 'The pause between two tenants is at least this.', {
        min: '10ms',
      }),
    }),
  },
)

/** Of `actors`. */
export const retention = section('Retention by size, which Tempo has not got.', {
  max_bytes: bytes(
    '0',
    'All blocks in the backend together may take so much; beyond it the oldest are deleted. 0 = any size.',
    { max: '1024TiB' },
  ),
  low_watermark: int(
    90,
    1,
    100,
    'Percent of max_bytes that blocks are deleted down to, so that it is not done block by block.',
  ),
})
